"""The parts of the crash example that need no engine: the bar-to-tick rule, the generated accounts, who reacts how."""

import random
from decimal import Decimal
from itertools import pairwise

import pytest

from examples.crash.accounts import Plan, Strategy, Trader, count_by_strategy, generate
from examples.crash.desk import Desk
from examples.crash.executor import Executor
from examples.crash.market import HOUR_US, INSTRUMENTS, MINUTE_US, Bar, Minute, NoPrices, read_minutes
from examples.crash.outbox import Outbox
from examples.crash.requirement import follow
from examples.crash.traders import Crowd
from examples.crash.venue import opening, real_tiers
from ringfence_schemas.inputs import AddMargin, Deposit, Fill, Input, LiquidationReport
from ringfence_schemas.outcomes import (
    Cause,
    LiquidationCompleted,
    LiquidationOrder,
    MarginCall,
    RequirementAnnounced,
    RequirementChanged,
    Wallet,
)
from ringfence_schemas.reading import check

CRASH_US = 1_770_336_000_000_000
"""2026-02-06 00:00 UTC."""
QUIET = Bar("100", "100", "100", "100")


def desk_at(bar: Bar) -> Desk:
    """A desk that sees this bar for every instrument."""
    desk = Desk()
    desk.see_minute(Minute(CRASH_US, (bar,) * len(INSTRUMENTS)))
    return desk


def order(number: int) -> LiquidationOrder:
    """An order to sell 10 DOT above 90."""
    return LiquidationOrder(
        id=f"0-liquidations-{number}",
        time_us=CRASH_US,
        cause=Cause(line=1),
        account=f"A{number}",
        instrument="DOT-USDT-PERP",
        parameters=1,
        liquidation_id=f"A{number}|DOT-USDT-PERP|l1",
        step=1,
        side="sell",
        quantity="10",
        limit_price="90",
        deadline_us=CRASH_US + 90_000_000,
    )


def call(account: str, equity: str, maintenance_margin: str) -> MarginCall:
    """A margin call that has just been opened on a DOT position."""
    return MarginCall(
        id="0-margin-calls-1",
        time_us=CRASH_US,
        cause=Cause(line=1),
        account=account,
        instrument="DOT-USDT-PERP",
        parameters=1,
        equity=equity,
        maintenance_margin=maintenance_margin,
        mark_price="100",
        margin_ratio="1.5",
        tier=1,
        status="called",
        case_id=f"{account}|DOT-USDT-PERP|c1",
        level="2",
        previous_level=None,
        margin_shortfall="5",
        liquidation_price="90",
        distance_percent="10",
    )


def test_a_bar_that_closes_up_or_unchanged_visits_its_low_first() -> None:
    """Open 10, high 14, low 8, close 12 becomes 10, 8, 14, 12; and so does a close of exactly 10 visit 8 first."""
    assert Bar("10", "14", "8", "12").path() == ("10", "8", "14", "12")
    assert Bar("10", "14", "8", "10").path() == ("10", "8", "14", "10")


def test_a_bar_that_closes_down_visits_its_high_first() -> None:
    """Open 10, high 14, low 8, close 9 becomes 10, 14, 8, 9."""
    assert Bar("10", "14", "8", "9").path() == ("10", "14", "8", "9")


def test_the_four_ticks_of_a_minute_come_at_0_20_40_and_59_seconds_with_all_instruments() -> None:
    """The minute at 00:19 on 6 February gives four packed ticks whose first prices are the opens of the four files."""
    (minute,) = read_minutes(CRASH_US + 19 * MINUTE_US, CRASH_US + 20 * MINUTE_US)
    ticks = minute.ticks()
    assert [(tick.time_us - minute.open_us) // 1_000_000 for tick in ticks] == [0, 20, 40, 59]
    assert [name for name, _ in ticks[0].prices] == list(INSTRUMENTS)
    assert [price for _, price in ticks[0].prices] == [bar.open for bar in minute.bars]
    assert [price for _, price in ticks[3].prices] == [bar.close for bar in minute.bars]
    assert [check(tick) for tick in ticks] == [None] * 4


def test_the_window_has_every_minute_of_the_four_days_once() -> None:
    """The four files share 7,200 minutes, one after the other, and every price is a valid input."""
    minutes = read_minutes(0, 2 * CRASH_US)
    assert len(minutes) == 7_200
    assert {later.open_us - early.open_us for early, later in pairwise(minutes)} == {MINUTE_US}


def test_a_window_without_prices_is_refused() -> None:
    """Before the data begins there is nothing to run on; the text says from when to when there is."""
    with pytest.raises(NoPrices, match="2026-02-03 00:00 to 2026-02-07 23:59"):
        read_minutes(0, MINUTE_US)


def test_the_venue_opens_with_valid_inputs_and_the_brackets_of_the_file() -> None:
    """Asset, four instruments, four fund seeds: nine inputs, each of which passes the contract's own check."""
    inputs = opening(CRASH_US)
    assert len(inputs) == 9
    assert [check(event) for event in inputs] == [None] * 9
    assert real_tiers()["LTC-USDT-PERP"][1].maintenance_amount == "50.0"


def test_the_same_seed_generates_the_same_accounts() -> None:
    """Seed 7 twice gives equal accounts, seed 8 others; 1,000 accounts split by the published shares."""
    assert generate(7, 1_000, 120) == generate(7, 1_000, 120) != generate(8, 1_000, 120)
    counts = count_by_strategy(generate(7, 1_000, 120))
    assert counts[Strategy.TOPS_UP] == 240
    assert counts[Strategy.MAKES_MARKETS] == 10
    assert sum(counts.values()) == 1_000


def test_no_generated_position_exceeds_the_leverage_of_its_bracket() -> None:
    """For each of 5,000 accounts' plans the bracket of its notional allows its leverage."""
    tiers = real_tiers()
    for trader in generate(3, 5_000, 120):
        for plan in trader.plans:
            bracket = [tier for tier in tiers[plan.instrument] if Decimal(tier.floor) <= plan.notional][-1]
            assert plan.leverage <= Decimal(bracket.max_leverage or 0)


def worked(orders: list[LiquidationOrder], close: str) -> list[list[Input]]:
    """What the executor answers to each order when the minute closes at ``close``."""
    desk, outbox, answers = desk_at(Bar(close, close, close, close)), Outbox(), []
    executor = Executor(random.Random(5))
    for one in orders:
        executor.work([one], desk, outbox)
        executor.forget(_completed(one))
        answers.append(outbox.take())
    return answers


def _completed(done: LiquidationOrder) -> LiquidationCompleted:
    return LiquidationCompleted(
        id="0-liquidations-2",
        time_us=CRASH_US,
        cause=done.cause,
        account=done.account,
        instrument=done.instrument,
        parameters=1,
        liquidation_id=done.liquidation_id,
        result="closed",
        collateral="10",
        loss="10",
        fees="0",
        residual="0",
        residual_to=None,
        shortfall="0",
        covered_by=None,
        contained=True,
        wallet_before="0",
        wallet_after="0",
    )


def test_the_executor_fills_most_orders_and_fails_on_some() -> None:
    """Of 400 orders most are sold whole below the close, some in part; some are rejected, unfilled or not answered."""
    answers = worked([order(number) for number in range(400)], "100")
    fills = [one for answer in answers for one in answer if isinstance(one, Fill)]
    reports = [one.result for answer in answers for one in answer if isinstance(one, LiquidationReport)]
    assert sum(fill.quantity == "10" for fill in fills) > 260
    assert 30 < sum(Decimal(fill.quantity) < 10 for fill in fills) < 90
    assert {fill.side for fill in fills} == {"sell"}
    assert all(Decimal(fill.price) < 100 and fill.liquidation_id for fill in fills)
    assert set(reports) == {"rejected", "unfilled"}
    assert any(not answer for answer in answers)


def test_beyond_its_limit_seven_in_ten_orders_stay_unfilled() -> None:
    """At 80, below the limit of 90, about 280 of 400 orders are reported `unfilled`, beside the usual few."""
    answers = worked([order(number) for number in range(400)], "80")
    unfilled = sum(isinstance(one, LiquidationReport) and one.result == "unfilled" for a in answers for one in a)
    assert 260 < unfilled < 310


def test_the_rest_of_a_partly_filled_order_follows_in_the_next_minute() -> None:
    """What the first minute leaves of an order is sold in the next: the two fills add up to its 10 contracts."""
    desk, outbox, executor = desk_at(QUIET), Outbox(), Executor(random.Random(5))
    executor.work([order(number) for number in range(100)], desk, outbox)
    first = {one.account: Decimal(one.quantity) for one in outbox.take() if isinstance(one, Fill)}
    partly = {account: quantity for account, quantity in first.items() if quantity < 10}
    executor.work([], desk, outbox)
    rest = {one.account: Decimal(one.quantity) for one in outbox.take() if isinstance(one, Fill)}
    assert partly
    assert {account: partly[account] + rest[account] for account in partly} == dict.fromkeys(partly, Decimal(10))
    assert rest.keys() == partly.keys()


def test_who_tops_up_brings_the_ratio_back_to_ten() -> None:
    """Equity 15 on maintenance 10 needs 85 more; with 100 in its wallet the account adds that and deposits nothing."""
    trader = Trader("A1", Strategy.TOPS_UP, Decimal(100), (Plan("DOT-USDT-PERP", True, 10, Decimal(20), 0),))
    desk, outbox, crowd = desk_at(QUIET), Outbox(), Crowd([trader], random.Random(1))
    desk.see_wallet(Wallet(account="A1", asset="USDT", balance="100"))
    crowd.answer([call("A1", "15", "10")], desk, outbox)
    (answer,) = outbox.take()
    assert isinstance(answer, AddMargin)
    assert Decimal(answer.amount) == 85
    assert crowd.topped_up == {("A1", "DOT-USDT-PERP")}


def test_who_holds_does_nothing_when_called() -> None:
    """However often a holder is called, no input follows."""
    trader = Trader("A1", Strategy.HOLDS, Decimal(100), ())
    desk, outbox, crowd = desk_at(QUIET), Outbox(), Crowd([trader], random.Random(2))
    for _ in range(50):
        crowd.answer([call("A1", "15", "10")], desk, outbox)
    assert outbox.take() == []


def test_an_account_brings_its_deposit_before_its_first_trade() -> None:
    """In its entry minute it deposits 100 USDT, chooses 20x and buys 20 times its margin of 10 at about 100."""
    trader = Trader("A1", Strategy.HOLDS, Decimal(100), (Plan("DOT-USDT-PERP", True, 20, Decimal(10), 3),))
    desk, outbox, crowd = desk_at(QUIET), Outbox(), Crowd([trader], random.Random(2))
    crowd.act(2, desk, outbox)
    assert outbox.take() == []
    crowd.act(3, desk, outbox)
    deposit, leverage, fill = outbox.take()
    assert isinstance(deposit, Deposit)
    assert isinstance(fill, Fill)
    assert (deposit.amount, fill.side, fill.quantity) == ("100", "buy", "1.9")
    assert [check(one) for one in (deposit, leverage, fill)] == [None] * 3


def test_the_requirement_is_announced_before_it_rises_and_holds_before_it_falls() -> None:
    """Over the crash of AVAX every rise comes a quarter of an hour after its announcement, in whole per cents
    that never leave the floor of stress nor the cap; the greatest is in force within the hour of the crash.
    """
    said = follow(read_minutes(CRASH_US - 12 * HOUR_US, CRASH_US + 12 * HOUR_US))
    announced = {each.announcement: each for each in said if isinstance(each, RequirementAnnounced)}
    changed = [each for each in said if isinstance(each, RequirementChanged)]
    risen = [each for each in changed if each.announcement]
    assert len(risen) == len(announced) > 3
    for each in risen:
        before = announced[each.announcement or ""]
        assert (each.new_rate, each.cause.due_us) == (before.new_rate, before.time_us + 15 * MINUTE_US)
    rates = [Decimal(each.new_rate or 0) for each in changed]
    assert all(Decimal("0.04") <= rate <= Decimal("0.25") and rate % Decimal("0.01") == 0 for rate in rates)
    greatest = max(changed, key=lambda each: Decimal(each.new_rate or 0))
    assert 19 * MINUTE_US < greatest.time_us - CRASH_US < HOUR_US
