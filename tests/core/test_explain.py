"""An explanation is true: its printed numbers give its results, and its results are what is decided and published."""

from __future__ import annotations

import operator
import re
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, note

from ringfence.explain import Explanation, explain_decision, explain_position
from ringfence.formulas import Condition
from ringfence_schemas.outcomes import Decision, DeleverageRequested, LiquidationOrder, LiquidationStarted, MarginCall
from tests.core.desk import Desk, tiers, told
from tests.core.engines import FoldEngine, Json
from tests.core.test_properties import stream, weather
from tests.core.weather import Move, moves, worlds

RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
PUBLISHED = {
    "notional": "notional",
    "equity": "equity",
    "maintenance": "maintenance_margin",
    "margin ratio": "margin_ratio",
    "collateral": "collateral",
    "initial margin": "initial_margin",
    "max removable": "max_removable",
    "margin shortfall": "margin_shortfall",
    "liquidation price": "liquidation_price",
    "liquidation price after funding": "liquidation_price_after_funding",
    "bankruptcy price": "limit_price",
}
"""Step -> the field of decisions and views that says the same."""


def value(text: str) -> Fraction:
    """What arithmetic comes to, exactly."""
    fractions = re.sub(r"\d+(?:\.\d+)?", r"Fraction('\g<0>')", text)
    return Fraction(eval(fractions, {"Fraction": Fraction, "max": max, "min": min}))  # noqa: S307 -- our own formulas


def assert_true(explanation: Explanation) -> None:
    """Every step and every condition, computed anew from the numbers that it shows."""
    for step in explanation.steps:
        assert value(step.numbers) == Fraction(step.exact), step
    for condition in explanation.conditions:
        assert RELATIONS[condition.relation](value(condition.left), value(condition.right)) == condition.holds, (
            condition
        )


def assert_said(explanation: Explanation, outcome: Json) -> None:
    """What it calls published stands in the outcome, wherever that has such a field."""
    for step in explanation.steps:
        field = PUBLISHED.get(step.name.partition(",")[0])
        if field in outcome and outcome[field] is not None:
            assert step.published == outcome[field], (step, outcome)


def condition(explanation: Explanation, name: str) -> Condition:
    """The one with this name."""
    (found,) = (each for each in explanation.conditions if each.name == name)
    return found


class Witness:
    """Explains every decision of an engine at the moment it is recorded."""

    def __init__(self, engine: FoldEngine) -> None:
        self.explained: list[tuple[Decision, Explanation]] = []
        self._fold = engine.fold
        self._fold.state.witness = self._take

    def _take(self, decision: Decision) -> None:
        book = self._fold.state.books.get(getattr(decision, "instrument", None) or "")
        bucket = book.buckets.get(getattr(decision, "account", None) or "") if book else None
        self.explained.append((decision, explain_decision(decision, bucket)))


def judge(decision: Decision, explanation: Explanation) -> None:
    """What is true of each kind of decision."""
    assert_true(explanation)
    assert_said(explanation, msgspec.to_builtins(decision))
    match decision:
        case MarginCall(status="called" | "escalated"):
            assert condition(explanation, f"level {decision.level} is reached").holds
        case MarginCall(status="recovered"):
            assert not any(each.holds for each in explanation.conditions if each.name.startswith("level"))
        case LiquidationStarted():
            assert condition(explanation, "it is liquidated at the mark").holds
            assert condition(explanation, "its key is beyond the threshold").holds
        case LiquidationOrder():
            assert [each.holds for each in explanation.conditions if "restores" in each.name] in (
                [],
                [True],
                [True, False],
            )


@weather
@given(worlds(), moves)
def test_whatever_is_decided_in_any_weather_is_explained_by_numbers_that_add_up(
    world: list[Json], drawn: list[Move]
) -> None:
    """Each decision at its moment, and each position after every input, against its view."""
    engine = FoldEngine()
    witness = Witness(engine)
    for data in stream(world, drawn):
        note(data.decode())
        engine.apply(data)
        while witness.explained:
            judge(*witness.explained.pop())
    for line in engine.statement():
        for view in line.get("positions", ()):
            explanation = explain_position(engine.fold.state.books[view["instrument"]].buckets[line["account"]])
            assert_true(explanation)
            assert_said(explanation, view)
            near = [each.holds for each in explanation.conditions if re.search(r"at [0-9]", each.name)]
            assert near in ([], [True], [True, False])


def last(desk: Desk, play: Any) -> Explanation:
    """The explanation of the last decision that something leads to."""
    witness = Witness(desk.engine)
    play()
    return witness.explained[-1][1]


def test_a_call_shows_every_level_and_how_it_came_from_the_one_before() -> None:
    """Ten at 100 with 200 of margin: at 85 equity is 50 and maintenance 42.5; level 2 is reached, 1.1 is not."""
    desk = Desk(margin_call_levels=["2", "1.1"], default_leverage="5")
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    explanation = last(desk, lambda: desk.tick("85"))
    assert condition(explanation, "level 2 is reached") == Condition(
        "level 2 is reached", "equity <= r * maintenance", "50", "<=", "2 * 42.5", holds=True
    )
    assert not condition(explanation, "level 1.1 is reached").holds
    assert explanation.notes == (
        "From no level to level 2: a level is entered where it is reached, and left where it is no longer held.",
    )
    shortfall = explanation.steps[-1]
    assert (shortfall.numbers, shortfall.published) == ("max(0, 2 * 42.5 - 50)", "35")


@pytest.mark.parametrize(
    ("options", "before", "note"),
    [
        ({}, "100", "No margin call came before it: the instrument has no margin_call_levels."),
        ({"margin_call_levels": ["2"]}, "100", "No margin call came before it: one step led past every level."),
        ({"margin_call_levels": ["2"]}, "85", "Margin call ann|X|c1 was open before."),
    ],
)
def test_a_liquidation_says_whether_a_call_came_before(options: Json, before: str, note: str) -> None:
    """The evidence is the same; the reason is in words."""
    desk = Desk(default_leverage="5", liquidation={"mode": "takeover"}, **options)
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    desk.tick(before)
    witness = Witness(desk.engine)
    desk.tick("83")
    (started,) = (each for decision, each in witness.explained if isinstance(decision, LiquidationStarted))
    assert started.notes == (note,)


def test_a_position_that_no_price_can_liquidate_says_so() -> None:
    """Bought with all of its cost, at no maintenance: the line is crossed below the first tick."""
    desk = Desk(tiers=tiers(("0", "0")), default_leverage="0.5")
    desk.deposit("ann", "1000")
    desk.buy("ann", "10", "1")
    desk.tick("1")
    explanation = explain_position(desk.bucket("ann"))
    assert explanation.notes == ("No price on the grid from one tick to 10^18 would liquidate it.",)
    assert [step.name for step in explanation.steps][:3] == ["notional", "equity", "maintenance, tier 1 from 0"]


def test_without_a_mark_only_the_liquidation_price_is_explained() -> None:
    """Nothing is judged, so nothing else can be said; without a position nothing at all."""
    desk = Desk(default_leverage="5")
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    explanation = explain_position(desk.bucket("ann"))
    assert [step.name for step in explanation.steps] == ["liquidation price, on the line of tier 1"]
    assert {given.symbol: given.value for given in explanation.given}["P"] == "none yet"
    desk.sell("ann", "10", "100")
    assert explain_position(desk.bucket("ann")).notes == ("There is no position.",)


def test_margin_that_may_not_be_removed_shows_what_may() -> None:
    """At 100 with 200 of margin at five-fold leverage there is nothing to spare."""
    desk = Desk(default_leverage="5")
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    desk.tick("100")
    explanation = last(desk, lambda: desk.command("remove_margin", "ann", amount="1"))
    removable = explanation.steps[-1]
    assert (removable.name, removable.numbers) == ("max removable", "max(0, min(200 - 50, 200 - 200))")
    assert removable.published == "0"


def test_what_is_about_nobodys_position_needs_no_figures() -> None:
    """A refused withdrawal of somebody unknown."""
    desk = Desk()
    withdrawal = {"account": "bob", "asset": "USDT", "amount": "1"}
    assert last(desk, lambda: desk.play("withdrawal", **withdrawal)) == Explanation()


@pytest.mark.parametrize(("side", "price", "line"), [("buy", "84", "1 - 0.05"), ("sell", "115", "1 + 0.05")])
def test_a_short_is_explained_as_a_long_is(side: str, price: str, line: str) -> None:
    """Its threshold lies on the other side of the price, and its boundary is one tick lower, not higher."""
    desk = Desk(default_leverage="5")
    desk.deposit("ann", "200")
    getattr(desk, side)("ann", "10", "100")
    desk.tick("100")
    explanation = explain_position(desk.bucket("ann"))
    boundary = [each for each in explanation.conditions if "mark" not in each.name]
    assert [each.holds for each in boundary] == [True, False]
    witness = Witness(desk.engine)
    desk.tick(price)
    for decision, each in witness.explained:
        judge(decision, each)
    started = witness.explained[0][1]
    assert [step.numbers for step in started.steps if step.name == "threshold"] == [f"{price} * ({line}) - 0"]


def test_requirements_at_the_entry_price_are_explained_by_it() -> None:
    """Ten bought at 100 need 50 wherever the mark is; key and crossing have that in them, and no rate."""
    desk = Desk(default_leverage="5", maintenance={"basis": "entry"})
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    desk.tick("110")
    explanation = explain_position(desk.bucket("ann"))
    steps = {step.name.partition(",")[0]: step for step in explanation.steps}
    assert (steps["notional"].numbers, steps["notional"].published) == ("10 * 110", "1100")
    assert (steps["maintenance"].formula, steps["maintenance"].published) == ("max(0, |q| * E * k - cum)", "50")
    assert (steps["liquidation price"].numbers, steps["liquidation price"].published) == (
        "(10 * 0 - -800 + 50) / 10",
        "85",
    )
    witness = Witness(desk.engine)
    desk.tick("85")
    started = {step.name: step for step in witness.explained[0][1].steps}
    assert (started["key"].numbers, started["key"].exact) == ("-(-800 - 50) / 10", "85")
    assert started["threshold"].numbers == "85 * (1 - 0) - 0"


def line_of(desk: Desk, account: str) -> tuple[str, str, str | None]:
    """The step that says where a position is liquidated: on what, by which numbers, at which price."""
    explanation = explain_position(desk.bucket(account))
    assert_true(explanation)
    (step,) = (each for each in explanation.steps if each.name.startswith("liquidation price"))
    return step.name, step.numbers, step.published


@pytest.mark.parametrize(
    ("contract", "deal", "said"),
    [
        ("linear", ("sell", "10", "90", "150"), ("liquidation price, where tier 2 begins", "1000 / 10", "100")),
        ("inverse", ("buy", "12000", "14", "200"), ("liquidation price, where tier 2 begins", "12000 / 1000", "12")),
        (
            "inverse",
            ("sell", "4000", "14", "100"),
            (
                "liquidation price, on the line of tier 1",
                "(-4000 + 4000 * 0.01) / (-185.71428572 + 0 - -4000 * 0)",
                "22",
            ),
        ),
    ],
)
def test_where_a_tier_begins_its_edge_may_be_the_liquidation_price(
    contract: str, deal: tuple[str, str, str, str], said: tuple[str, str, str]
) -> None:
    """With a tenth of the whole notional asked for from 1000 on, the edge of that tier liquidates before any line."""
    side, quantity, price, margin = deal
    desk = Desk(contract=contract, tier_mode="whole", tiers=tiers(("0", "0.01"), ("1000", "0.25")))
    desk.deposit("ann", "1000")
    desk.tick(price)
    desk.play("fill", account="ann", instrument="X", side=side, quantity=quantity, price=price, margin=margin)
    assert line_of(desk, "ann") == said


def test_a_position_under_water_at_every_price_has_no_line() -> None:
    """A long whose collateral funding has eaten up is liquidated on the last price of the grid, which no formula gives;
    nor has its order a limit.
    """
    desk = Desk(contract="inverse")
    desk.deposit("ann", "1")
    desk.buy("ann", "1000", "100", margin="1")
    desk.funding("0.2", price="10")
    assert desk.position("ann")["liquidation_price"] == "999999999999999999"
    assert "liquidation price" not in [
        step.name.partition(",")[0] for step in explain_position(desk.bucket("ann")).steps
    ]
    witness = Witness(desk.engine)
    desk.tick("50")
    (order,) = (each for decision, each in witness.explained if isinstance(decision, LiquidationOrder))
    assert_true(order)
    assert "bankruptcy price" not in [step.name for step in order.steps]


def test_an_inverse_requirement_at_the_entry_price_may_eat_up_all_there_is() -> None:
    """1000 dollars at 100 are ten coins, of which half a coin must be held.  With exactly that left, equity meets it at
    no price; with one unit more, where 1000 dollars are worth that unit.
    """
    desk = Desk(contract="inverse", maintenance={"basis": "entry"})
    desk.deposit("ann", "100")
    desk.buy("ann", "1000", "100", margin="0.5")
    desk.funding("0.1", price="10")
    assert not explain_position(desk.bucket("ann")).steps
    desk.command("add_margin", "ann", amount="0.00000001")
    assert line_of(desk, "ann") == (
        "liquidation price, maintenance that no price moves",
        "1000 / (10.50000001 - 1000 * 0.01 - 0.5)",
        "100000000000",
    )


@pytest.mark.parametrize(
    ("contract", "size", "margins", "price", "score", "left"),
    [
        ("linear", "1", ("10", "50"), "88", "132/775", Fraction(60)),  # 12 of 100 at an effective leverage of 88 / 62
        (
            "inverse",
            "100",
            ("0.1", "0.5"),
            "80",
            "5/12",
            Fraction(100, 91) - Fraction(1, 2),
        ),  # a quarter of its coin at one of 1.25 / 0.75
    ],
)
def test_a_request_to_deleverage_shows_its_score_and_that_it_can_be_borne(
    contract: str, size: str, margins: tuple[str, str], price: str, score: str, left: Fraction
) -> None:
    """Bob's short has made a part of what it was worth, at its effective leverage, and would have something left."""
    desk = Desk(contract=contract, tiers=tiers(("0", "0.01")))
    for account in ("ann", "bob"):
        desk.deposit(account, "50")
    desk.buy("ann", size, "100", margin=margins[0])
    desk.sell("bob", size, "100", margin=margins[1])
    witness = Witness(desk.engine)
    desk.tick(price)
    desk.sell("ann", size, price, liquidation_id="ann|X|l1")
    ((asked, explanation),) = (each for each in witness.explained if isinstance(each[0], DeleverageRequested))
    assert_true(explanation)
    assert_said(explanation, msgspec.to_builtins(asked))
    assert explanation.steps[-1].exact == score
    borne = condition(explanation, "it can bear the price")
    assert (value(borne.left), borne.holds) == (left, True)


def test_an_order_that_waited_until_the_price_was_back_is_for_one_step_and_says_so() -> None:
    """Bob's order waits behind ann's; when its interval begins nothing need be sold any more, and one contract is."""
    desk = Desk(liquidation={"throttle": {"notional": "1", "interval_us": 100}})
    for account in ("ann", "bob"):
        desk.deposit(account, "100")
        desk.buy(account, "10", "100", margin="100")
    desk.tick("93")
    desk.tick("100")
    witness = Witness(desk.engine)
    desk.tick("100", time_us=100)
    ((order, explanation),) = [(each, told) for each, told in witness.explained if isinstance(each, LiquidationOrder)]
    judge(order, explanation)
    assert (order.account, order.quantity) == ("bob", "1")
    assert explanation.notes == ("It is one quantity step, the least that is ordered, and restores the position.",)


@pytest.mark.parametrize("options", [{}, {"maintenance": {"basis": "entry"}}])
def test_the_price_after_the_next_funding_is_explained_with_what_the_wallet_would_pay(options: Json) -> None:
    """Ann has 14 free and owes 10 each time: the first leaves her bucket as it was, the next would cost it 6."""
    desk = Desk(funding_payer="free_balance_first", **options)
    desk.deposit("ann", "74")
    desk.buy("ann", "10", "100", margin="60")
    desk.tick("100")
    assert explain_position(desk.bucket("ann")).steps[-1].name.startswith("liquidation price, ")
    desk.funding("0.01")
    explanation, position = explain_position(desk.bucket("ann")), desk.position("ann")
    assert_true(explanation)
    assert_said(explanation, position)
    assert explanation.given[-2].meaning == "of ann, USDT, pays its funding, else out of reach"
    names = [step.name.partition(",")[0] for step in explanation.steps[-2:]]
    assert names == ["liquidation price", "liquidation price after funding"]
    costs = [Fraction(step.exact) for step in explanation.steps[-2:]]
    assert costs[1] - costs[0] == Fraction(6, 10) / (1 if options else Fraction(95, 100))


def test_where_given_amounts_ask_for_nothing_the_line_of_equity_alone_is_shown() -> None:
    """An amount above the charge leaves nothing to hold: key and threshold have no amount and no rate in them."""
    desk = Desk(tier_mode="given", tiers=[{"floor": "0", "maintenance_rate": "0.05", "maintenance_amount": "100"}])
    desk.deposit("ann", "100")
    desk.tick("100")
    desk.buy("ann", "10", "100", margin="100")
    witness = Witness(desk.engine)
    assert told(desk.tick("90"))[0] == "liquidation_started"
    steps = {step.name: step.numbers for step in witness.explained[0][1].steps}
    assert (steps["key"], steps["threshold"]) == ("-(-900 + 0) / 10", "90 * (1 - 0) - 0")
    for decision, explanation in witness.explained:
        judge(decision, explanation)
