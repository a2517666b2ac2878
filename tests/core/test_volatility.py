"""The requirement that follows volatility: the digits of its rate, the time it goes by, and what a change costs."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.explain import explain_position
from ringfence.invariants import i8_snapshot_is_the_state
from ringfence.scales import ONE
from ringfence.snapshot import restore, snapshot
from ringfence.state import Rise
from ringfence.volatility import VolatilityRules, read_volatility
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Volatility
from tests.core.desk import Desk, instrument, tiers, told
from tests.core.engines import FoldEngine, Json

SECOND_US = 1_000_000

LAST_CHANGE: Json = {
    "interval_us": SECOND_US,
    "lambda": "0",
    "multiplier": "1",
    "horizon_us": SECOND_US,
    "step": "0.01",
    "cap": "0.5",
    "notice_us": SECOND_US,
    "hold_us": 0,
}
"""The rate is the change of the last second, up to a whole per cent, at most a half; announced a second ahead."""


def rules(**options: Any) -> VolatilityRules:
    """Parameters with what is asked for: the rate is sigma itself, to eighteen digits."""
    stated = {"interval_us": 1, "decay": "0.94", "multiplier": "1", "horizon_us": 1, "step": "1e-18", "cap": "0.9"}
    found = read_volatility(Volatility(**{"notice_us": 0, "hold_us": 0, **stated, **options}), 0)
    assert found is not None
    return found


def rates(decisions: list[Json]) -> list[tuple[str, str | None, str | None]]:
    """What was said about the rate: announced or changed, from what to what."""
    kinds = {"requirement_announced": "announced", "requirement_changed": "changed"}
    return [(kinds[each["type"]], each["old_rate"], each["new_rate"]) for each in decisions if each["type"] in kinds]


# ---------------------------------------------------------------------------------------------------- the arithmetic


def test_the_variance_is_rounded_down_at_36_decimals_and_the_change_at_18() -> None:
    """From 3 to 4 is 0.333333333333333333, a third cut off; 0.06 of its square is kept, and 0.94 of what was."""
    third = 333_333_333_333_333_333
    first = rules().variance_after(0, 3, 4)
    assert first == third**2 * 6 // 100
    assert rules().variance_after(first, 4, 4) == first * 94 // 100
    assert rules().variance_after(0, 4, 3) == (ONE // 4) ** 2 * 6 // 100


@pytest.mark.parametrize(
    ("variance", "options", "rate"),
    [
        (0, {}, "0"),
        (2, {}, "0.000000000000000001"),
        (2 * 10**36 // 10**4, {}, "0.014142135623730950"),
        (10**32, {"floor": "0.01"}, "0.01"),
        (10**32, {"floor": "0.009999999999999999"}, "0.01"),
        (10**32, {"floor": "0.010000000000000001"}, "0.010000000000000001"),
        (10**32, {"stress": "0.05", "stress_weight": "0.25"}, "0.02"),
        (10**32, {"stress": "0.05", "stress_weight": "1"}, "0.05"),
        (10**32, {"stress": "0.000000000000000003", "stress_weight": "0.5"}, "0.005000000000000001"),
        (10**32, {"horizon_us": 2}, "0.014142135623730951"),
        (10**32, {"horizon_us": 9, "interval_us": 4}, "0.015"),
        (10**32, {"multiplier": "2.33", "step": "0.01"}, "0.03"),
        (10**32, {"multiplier": "3", "step": "0.01"}, "0.03"),
        (10**32, {"multiplier": "3.000000000000000001", "step": "0.01"}, "0.04"),
        (10**32, {"multiplier": "3", "step": "0.01", "cap": "0.025"}, "0.025"),
        (10**40, {"multiplier": "3"}, "0.9"),
    ],
)
def test_the_rate_to_its_last_digit(variance: int, options: Json, rate: str) -> None:
    """Roots, the mixture with stress and the floor are rounded down at 18 decimals, the rate up to a multiple of the
    step; the cap has the last word.
    """
    whole, _, part = rate.partition(".")
    assert rules(**options).rate_of(variance) == int(whole + part.ljust(18, "0"))


# ------------------------------------------------------------------------------------------------------- market time


def test_shards_with_different_accounts_announce_the_same_at_the_same_ticks() -> None:
    """Two shards see the same ticks and different accounts, of which one is minutes ahead, before, between and after
    them: rates, dates and names of what they announce and change are equal, and only their own positions differ.
    """
    prices = ["100", "100", "97", "97", "91", "104", "104", "104", "104"]
    said: list[list[Json]] = []
    for shard, ahead_us in ((0, 0), (1, 300 * SECOND_US)):
        engine = FoldEngine(Settings(shard=shard, shards=2))
        engine.apply(json.dumps(instrument(volatility=LAST_CHANGE)).encode())
        heard: list[Json] = []
        for number, price in enumerate(prices):
            time_us = number * SECOND_US
            deposit = {"type": "deposit", "transfer_id": f"d{number}", "account": f"a{shard}", "asset": "USDT"}
            fill = {"type": "fill", "fill_id": f"f{number}", "account": f"a{shard}", "instrument": "X"}
            fill |= {"side": "buy" if shard else "sell", "quantity": "1", "price": price, "margin": "20"}
            tick = {"type": "tick", "instrument": "X", "price": price, "time_us": time_us}
            for own in (deposit | {"amount": "50"}, fill):
                engine.apply(json.dumps({**own, "time_us": time_us + ahead_us}).encode())
            heard += engine.apply(json.dumps(tick).encode())
        said.append([each for each in heard if each["type"].startswith("requirement")])
    assert said[0] != said[1], "their positions differ, and so does what is rehearsed"
    shown = (
        "id",
        "time_us",
        "cause",
        "would_call",
        "would_call_notional",
        "would_liquidate",
        "would_liquidate_notional",
    )
    common = [[{name: each[name] for name in each if name not in shown} for each in shard] for shard in said]
    assert common[0] == common[1]
    assert Counter(each["type"] for each in common[0]) == {"requirement_announced": 3, "requirement_changed": 5}


def test_a_sample_is_the_first_mark_of_an_interval_of_market_time() -> None:
    """A microsecond before the boundary is no sample, on it is one; what comes later in the interval, or late, is none;
    and funding, which moves market time but not the mark, takes none.
    """
    desk = Desk(volatility=LAST_CHANGE)
    desk.tick("100", time_us=SECOND_US)
    assert rates(desk.tick("90", time_us=2 * SECOND_US - 1)) == []
    assert rates(desk.tick("98", time_us=2 * SECOND_US)) == [("announced", "0", "0.02")]
    assert rates(desk.tick("50", time_us=2 * SECOND_US + 1)) == []
    assert rates(desk.funding("0.01", time_us=3 * SECOND_US)) == [("changed", "0", "0.02")]
    assert rates(desk.tick("96.04", time_us=SECOND_US)) == [], (
        "late, and yet the first mark of the interval: two per cent"
    )
    assert rates(desk.tick("98", time_us=3 * SECOND_US + 1)) == []
    assert rates(desk.tick("96.04", time_us=4 * SECOND_US)) == [("changed", "0.02", "0")]


def test_a_gap_is_one_interval() -> None:
    """Two per cent over ten seconds of silence are two per cent, of which nothing was forgotten meanwhile."""
    desk = Desk(volatility=LAST_CHANGE | {"lambda": "0.75"})
    desk.tick("100", time_us=SECOND_US)
    assert rates(desk.tick("96", time_us=2 * SECOND_US)) == [("announced", "0", "0.02")]
    desk.tick("96", time_us=3 * SECOND_US)
    assert rates(desk.tick("96", time_us=60 * SECOND_US)) == []
    assert desk.book.sampling is not None
    assert desk.book.sampling.variance == (ONE * 4 // 100) ** 2 // 4 * 9 // 16


def test_a_tick_in_quarantine_is_no_sample() -> None:
    """The mark stays, and so does the interval's sample to come; the tick that moves the mark is it."""
    desk = Desk(volatility=LAST_CHANGE, mark={"max_jump": "0.2", "confirm_ticks": 1})
    desk.tick("100", time_us=SECOND_US)
    assert told(desk.tick("50", time_us=2 * SECOND_US)) == ["tick_quarantined"]
    said = desk.tick("98", time_us=2 * SECOND_US + 1)
    assert rates(said) == [("announced", "0", "0.02")]
    assert said[-1]["effective_us"] == 3 * SECOND_US + 1


def test_packed_ticks_let_rises_and_versions_pass_in_order_before_any_price() -> None:
    """A rise of X and a version of Y are due between two packed inputs: both take effect first, in order of time,
    and only then the price of X is a sample, which takes the rate back.
    """
    desk = Desk(volatility=LAST_CHANGE)
    desk.play(**instrument(instrument="Y"))
    desk.play("ticks", source="feed", prices=[["X", "100"], ["Y", "100"]], time_us=SECOND_US)
    desk.play("ticks", source="feed", prices=[["X", "95"], ["Y", "95"]], time_us=2 * SECOND_US)
    desk.play(**instrument(instrument="Y", version=2, effective_us=3 * SECOND_US - 1, time_us=2 * SECOND_US))
    said = desk.play("ticks", source="feed", prices=[["X", "95"], ["Y", "95"]], time_us=3 * SECOND_US)
    assert [(each["instrument"], each["cause"].get("due_us")) for each in said] == [
        ("Y", 3 * SECOND_US - 1),
        ("X", 3 * SECOND_US),
        ("X", None),
    ]
    assert rates(said) == [("changed", "0", "0.05"), ("changed", "0.05", "0")]


def test_a_version_goes_before_a_rise_of_the_same_time() -> None:
    """With other parameters the rise never is; with the same it follows, under the new version."""
    for multiplier, said in (
        ("2", [("changed", "0", "0.1")]),
        ("1", [("changed", "0", "0.05")]),
    ):
        desk = Desk(volatility=LAST_CHANGE)
        desk.tick("100", time_us=SECOND_US)
        desk.tick("95", time_us=2 * SECOND_US)
        stated = LAST_CHANGE | {"multiplier": multiplier}
        desk.play(**instrument(version=2, volatility=stated, effective_us=3 * SECOND_US, time_us=2 * SECOND_US))
        found = desk.funding("0", time_us=3 * SECOND_US)
        assert rates(found) == said
        assert [each["parameters"] for each in found] == [2, 2]


# ------------------------------------------------------------------------------------------------- rises and falls


def test_a_rise_is_announced_only_beyond_what_is_announced_and_takes_effect_in_order() -> None:
    """Three per cent, then two, then four: the second says nothing; both others come at their own times, though the
    market has long been quiet.
    """
    desk = Desk(volatility=LAST_CHANGE | {"notice_us": 5 * SECOND_US})
    said = [rates(desk.tick(price, time_us=at * SECOND_US)) for at, price in enumerate(("100", "97", "95.06", "98.9"))]
    assert said == [[], [("announced", "0", "0.03")], [], [("announced", "0", "0.05")]]
    said = [rates(desk.tick("98.9", time_us=at * SECOND_US)) for at in range(4, 10)]
    assert said == [[], [], [("changed", "0", "0.03")], [], [("changed", "0.03", "0.05"), ("changed", "0.05", "0")], []]


@pytest.mark.parametrize(
    ("hold_us", "said"),
    [
        (3 * SECOND_US - 1, [[], [], [], [("changed", "0.1", "0.03")]]),
        (3 * SECOND_US, [[], [], [], [("changed", "0.1", "0.03")]]),
        (3 * SECOND_US + 1, [[], [], [], []]),
    ],
)
def test_a_fall_holds_as_long_as_it_must_and_goes_to_the_greatest_that_was_asked_for(
    hold_us: int, said: list[Any]
) -> None:
    """Asked for 0, 3, 0 and 0 per cent in the four seconds after a rise: three seconds after the first, 3 per cent."""
    desk = Desk(volatility=LAST_CHANGE | {"notice_us": 0, "hold_us": hold_us})
    desk.tick("100", time_us=SECOND_US)
    assert rates(desk.tick("90", time_us=2 * SECOND_US)) == [("changed", "0", "0.1")]
    prices = ("90", "92.7", "92.7", "92.7")
    assert [rates(desk.tick(price, time_us=(3 + at) * SECOND_US)) for at, price in enumerate(prices)] == said


def test_what_reaches_the_rate_in_force_ends_a_fall() -> None:
    """Ten per cent again, not more, and the fall begins anew."""
    desk = Desk(volatility=LAST_CHANGE | {"notice_us": 0, "hold_us": 2 * SECOND_US})
    prices = ("100", "90", "90", "99", "99", "99", "99")
    said = [rates(desk.tick(price, time_us=at * SECOND_US)) for at, price in enumerate(prices)]
    assert said == [[], [("changed", "0", "0.1")], [], [], [], [], [("changed", "0.1", "0")]]


def test_a_tick_that_comes_again_changes_nothing_though_it_changed_the_rate() -> None:
    """The change is judged by the tick that made it, so a repetition finds nothing left to do."""
    desk = Desk(volatility=LAST_CHANGE | {"notice_us": 0})
    desk.deposit("ann", "100")
    desk.tick("100", time_us=SECOND_US)
    desk.buy("ann", "10", "100", margin="100", time_us=SECOND_US)
    said = desk.tick("95", time_us=2 * SECOND_US)
    assert told(said) == ["requirement_changed"]
    said = desk.tick("104.5", time_us=3 * SECOND_US)
    assert rates(said) == [("changed", "0.05", "0.1")]
    digest = desk.fold.digest()
    assert desk.tick("104.5", time_us=3 * SECOND_US) == []
    assert desk.fold.digest() == digest


def test_everything_measured_and_announced_is_in_the_digest_and_in_a_snapshot() -> None:
    """With a rise announced, and with a fall that holds, a restored engine has the same digest and goes on alike; two
    engines that measured something else differ.
    """
    digests = set()
    for last in ("97", "96.9", "90", "105"):
        desk = Desk(volatility=LAST_CHANGE | {"hold_us": 3 * SECOND_US, "notice_us": 2 * SECOND_US})
        for at, price in enumerate(("100", "90", "90", "90", "90", last)):
            desk.tick(price, time_us=at * SECOND_US)
        i8_snapshot_is_the_state(desk.fold)
        copy = FoldEngine()
        copy.fold = restore(snapshot(desk.fold), Settings())
        digests.add(copy.fold.digest())
        again = {"type": "tick", "instrument": "X", "price": last, "time_us": 7 * SECOND_US}
        said = desk.tick(last, time_us=7 * SECOND_US)
        assert told(said) == ["requirement_changed"]
        assert rates(copy.apply(json.dumps(again).encode())) == rates(said)
        assert copy.fold.digest() == desk.fold.digest()
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", 1),
        ("variance", 1),
        ("boundary_us", 1),
        ("fall", (1, 2)),
        ("rises", [Rise(9 * SECOND_US, 1, "X|v1|1")]),
    ],
)
def test_whatever_is_measured_alone_makes_another_digest(field: str, value: object) -> None:
    """Two engines that differ in one measured value will decide differently some day, and their digests differ now."""
    desk = Desk(volatility=LAST_CHANGE)
    desk.tick("100", time_us=SECOND_US)
    digest = desk.fold.digest()
    setattr(desk.book.sampling, field, value)
    desk.book.dirty = True
    assert desk.fold.digest() != digest


def test_the_rate_in_force_is_in_the_digest() -> None:
    """Everything else alike, another rate is another state."""
    desk = Desk(volatility=LAST_CHANGE)
    digest = desk.fold.digest()
    desk.book.rules, desk.book.dirty = desk.book.rules.at_rate(1), True
    assert desk.fold.digest() != digest


# ---------------------------------------------------------------------------------------------- index, explanations


def test_who_waits_for_the_way_back_up_is_found_when_the_rate_falls() -> None:
    """Called by the rate at 8 per cent, ann recovers when it falls to what the market asks for, at the same price."""
    desk = Desk(volatility=LAST_CHANGE | {"hold_us": 2 * SECOND_US}, margin_call_levels=["2"])
    desk.deposit("ann", "100")
    desk.tick("100", time_us=SECOND_US)
    desk.buy("ann", "1", "100", margin="22", time_us=SECOND_US)
    desk.tick("92", time_us=2 * SECOND_US)
    said = [told(desk.tick("92", time_us=at * SECOND_US)) for at in (3, 4, 5)]
    assert said == [["requirement_changed", "called"], [], ["requirement_changed", "recovered"]]
    assert desk.position("ann")["maintenance_rate"] == "0.05"


KINDS = ("tick", "tick", "tick", "tick", "funding", "add_margin", "remove_margin", "trade")
acts = st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(1, 60), st.booleans())


@given(
    options=st.fixed_dictionaries({
        "contract": st.sampled_from(["linear", "inverse"]),
        "tier_mode": st.sampled_from(["marginal", "whole"]),
        "maintenance": st.sampled_from([{"basis": "mark"}, {"basis": "mark"}, {"basis": "entry"}]),
        "tiers": st.sampled_from([tiers(("0", "0.05")), tiers(("0", "0.02"), ("300", "0.3"), ("900", "0.6"))]),
    }),
    stated=st.fixed_dictionaries({
        "multiplier": st.sampled_from(["0.5", "2"]),
        "lambda": st.sampled_from(["0", "0.7"]),
        "notice_us": st.sampled_from([0, 1, 3 * SECOND_US]),
        "hold_us": st.sampled_from([0, 4 * SECOND_US]),
        "floor": st.sampled_from(["0", "0.08"]),
    }),
    acts=st.lists(acts, min_size=10, max_size=40),
)  # fmt: skip
def test_the_index_finds_whom_a_scan_finds(options: Json, stated: Json, acts: list[tuple[str, int, int, bool]]) -> None:
    """At rates at which three times the requirement grows faster than a position, for both sides, through rises, falls,
    leaps of price and funding, everybody stands after every step where a scan of all positions says.
    """
    desk = Desk(
        volatility=LAST_CHANGE | stated, margin_call_levels=["3", "1.5"], recover="0.1", price_tick="0.1", **options
    )
    desk.tick("20", time_us=SECOND_US)
    worth = 1 if options["contract"] == "linear" else 400
    for number in range(6):
        desk.deposit(f"a{number}", "9000")
        fill = desk.buy if number % 2 else desk.sell
        fill(f"a{number}", str((5 + 9 * number) * worth), "20", margin=str(80 * (number + 1)))
    for at, (kind, number, amount, up) in enumerate(acts, 2):
        account, time_us = f"a{number}", at * SECOND_US
        match kind:
            case "tick":
                desk.tick(str(amount * (20 if number == 5 else 1)), time_us=time_us)
            case "funding":
                desk.funding(("" if up else "-") + str(amount), price="0.05", time_us=time_us)
            case "trade":
                (desk.buy if up else desk.sell)(account, str(amount * worth), "20", time_us=time_us)
            case _:
                desk.command(kind, account, amount=str(amount * 5), time_us=time_us)


def test_an_explanation_names_the_line_of_volatility() -> None:
    """8 per cent bind, not the tier's 5: maintenance, key and liquidation price are those of that line."""
    desk = Desk(volatility=LAST_CHANGE | {"notice_us": 0})
    desk.deposit("ann", "100")
    desk.tick("100", time_us=SECOND_US)
    desk.buy("ann", "1", "100", margin="22", time_us=SECOND_US)
    desk.tick("92", time_us=2 * SECOND_US)
    steps = {step.name: step for step in explain_position(desk.bucket("ann")).steps}
    assert steps["maintenance, line of volatility"].numbers == "max(0, 92 * 0.08 - 0)"
    assert steps["liquidation price, on the line of volatility"].published == "84"
    assert desk.position("ann")["liquidation_price"] == "84"


def test_between_two_lines_the_one_that_the_price_was_rounded_from_is_explained() -> None:
    """Just where the line of volatility stops to bind, the price is solved on that of the tier beyond the tick."""
    desk = Desk(volatility=LAST_CHANGE | {"floor": "0.05"}, tiers=tiers(("0", "0.01"), ("800", "0.2")))
    desk.deposit("ann", "1000")
    desk.tick("120", time_us=SECOND_US)
    for margin in range(190, 260):
        desk.buy("ann", "10", "100", margin=str(margin), time_us=SECOND_US)
        explained = [step for step in explain_position(desk.bucket("ann")).steps if step.name.startswith("liquidation")]
        assert [step.published for step in explained] == [desk.position("ann")["liquidation_price"]]
        desk.sell("ann", "10", "100", time_us=SECOND_US)


def test_settlement_forgets_what_was_measured() -> None:
    """A settled instrument has nothing to announce, and its snapshot says so."""
    desk = Desk(volatility=LAST_CHANGE)
    desk.tick("100", time_us=SECOND_US)
    desk.tick("90", time_us=2 * SECOND_US)
    desk.play("settlement", instrument="X", price="90", time_us=4 * SECOND_US)
    assert desk.book.sampling is None
    i8_snapshot_is_the_state(desk.fold)
