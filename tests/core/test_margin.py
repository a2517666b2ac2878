"""Prices and sizes that are solved, against the walks that define them, over grids small enough to walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence import figures, margin, solutions
from ringfence.rules import build_rules
from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE
from ringfence.state import Account, Asset, Book, Bucket
from ringfence_schemas.decimals import decimal_text, units
from ringfence_schemas.inputs import Fees, Instrument, Liquidation, Maintenance, Tier, Volatility

GRID = 10**16
"""A price tick so coarse that prices below 10^18 have 99 grid points."""

TABLES = [
    [("0", "0.1")],
    [("0", "0")],
    [("0", "0.05"), ("20", "0.4"), ("50", "0.9")],
    [("0", "0.5")],
    [("0", "0.25"), ("30", "0.5")],
    [("0", "0.02"), ("10", "0.5"), ("40", "0.95")],
]
"""Tiers whose floors lie among the notionals of the test: some steep already under the mildest ratio."""

JUMPS: list[list[tuple[str, ...]]] = [
    [("0", "0.1"), ("20", "0.4"), ("50", "0.05"), ("80", "0.9")],
    [("0", "0.5"), ("30", "0.1")],
    [("0", "0"), ("15", "0.3")],
]
"""Tiers of mode `whole`, where maintenance leaps up or down at a floor."""

AMOUNTS: list[list[tuple[str, ...]]] = [
    [("0", "0.1", "5"), ("20", "0.4", "2")],
    [("0", "0.5", "0"), ("30", "0.5", "30"), ("60", "0.9", "1")],
    [("0", "0.05", "100")],
]
"""Tiers of mode `given`: amounts that are too small, too great, and so great that nothing is to be held."""

RATIOS = ["1", "1.5", "2", "4", "20"]


@dataclass(frozen=True)
class Case:
    """A bucket of so many contracts, in units of the grid: notional and cash are of the size of the floors."""

    table: Sequence[tuple[str, ...]]
    size: int
    cash: str
    funding: str = "0"
    mark: str | None = "50"
    tick: int = GRID
    fees: str = "0"
    target: str = "1.1"
    contract: Literal["linear", "inverse"] = "linear"
    mode: Literal["marginal", "whole", "given"] = "marginal"
    basis: Literal["mark", "entry"] = "mark"
    ratio: str = "1"
    trigger: Literal["at_or_below", "below"] = "at_or_below"
    volatility: str = "0"
    """The rate of volatility in force."""

    def bucket(self) -> Bucket:
        """The bucket.  One linear contract is worth its price in grid units; one inverse contract 90 over that."""
        rows = [
            Tier(floor=floor, maintenance_rate=rate, maintenance_amount=amount[0] if amount else None)
            for floor, rate, *amount in self.table
        ]
        linear = self.contract == "linear"
        event = Instrument(
            instrument="X",
            version=1,
            contract=self.contract,
            settle_asset="USDT",
            price_tick=str(self.tick),
            quantity_step="1",
            multiplier=decimal_text(1, 16) if linear else str(90 * GRID),
            tiers=rows,
            tier_mode=self.mode,
            maintenance=Maintenance(basis=self.basis),
            margin_call_levels=[self.ratio] if self.ratio != "1" else [],
            trigger=self.trigger,
            time_us=1,
            fees=Fees(taker=self.fees),
            liquidation=Liquidation(target=self.target),
            volatility=Volatility(1, "0", "1", 1, "0.01", "0.99", 0, 0, floor=self.volatility),
        )
        book = Book(build_rules(event, 8), Asset("USDT", 8))
        book.funding_index = units[self.funding] * ONE * GRID if linear else units[self.funding] * ONE // (90 * GRID)
        book.mark = None if self.mark is None else units[self.mark] * ONE * GRID
        bucket = Bucket(Account("ann"), book)
        bucket.size = self.size * ONE * book.rules.multiplier
        bucket.cash = units[self.cash] * book.rules.quantum * 10**8 // ONE
        bucket.entry_price = 40 * GRID * ONE
        return bucket


amounts = st.integers(-6000, 6000).map(lambda number: decimal_text(number, 1))
tables = st.one_of(
    st.tuples(st.sampled_from(TABLES), st.just("marginal")),
    st.tuples(st.sampled_from(JUMPS), st.just("whole")),
    st.tuples(st.sampled_from(AMOUNTS), st.just("given")),
)
cases = st.builds(
    lambda table, **rest: Case(table=table[0], mode=table[1], **rest),
    table=tables,
    size=st.integers(-9, 9).filter(bool),
    cash=amounts,
    funding=st.sampled_from(["0", "0", "3.5", "-20"]),
    mark=st.one_of(st.none(), st.integers(30, 999).map(lambda number: decimal_text(number, 1))),
    tick=st.sampled_from([GRID, 3 * GRID]),
    fees=st.sampled_from(["0", "0.001", "0.2", "-0.01"]),
    target=st.sampled_from(["1", "1.1", "3"]),
    contract=st.sampled_from(["linear", "inverse"]),
    basis=st.sampled_from(["mark", "mark", "entry"]),
    ratio=st.sampled_from(RATIOS),
    trigger=st.sampled_from(["at_or_below", "below"]),
    volatility=st.sampled_from(["0", "0.02", "0.3", "0.95"]),
)


def value(bucket: Bucket, price: int | Fraction) -> Fraction:
    """What one unit of size is worth at a price, in price units."""
    inverse = bucket.book.rules.event.contract == "inverse"
    return -(PRICE_ONE**2) / Fraction(price) if inverse else Fraction(price)


def equity(bucket: Bucket, price: int | Fraction) -> Fraction:
    """What the bucket is worth at a price, money."""
    return bucket.cash + bucket.size * (value(bucket, price) - bucket.book.funding_index)


def maintenance(bucket: Bucket, price: int | Fraction, size: int) -> Fraction:
    """What a size of its side must hold at a price, money: in mode `marginal` the greatest of the lines, else that of
    the tier, and what volatility asks for, if that is more.
    """
    rules = bucket.book.rules
    notional = abs(size * value(bucket, bucket.entry_price * ONE if rules.entry_basis else price))
    tiers = rules.side(bucket.size)
    lines = [notional * Fraction(rate, ONE) - amount for rate, amount in zip(tiers.rates, tiers.amounts, strict=True)]
    if rules.event.tier_mode != "marginal":
        lines = [lines[sum(floor <= notional for floor in tiers.floors) - 1]]
    return max(notional * Fraction(rules.volatility_rate, ONE), *lines)


def met(bucket: Bucket, price: int, ratio: int, *, strict: bool) -> bool:
    """Whether equity <= ratio * maintenance at a price, or below it."""
    worth, required = equity(bucket, price), Fraction(ratio, ONE) * maintenance(bucket, price, bucket.size)
    return worth < required if strict else worth <= required


def walked(bucket: Bucket, ratio: int, *, strict: bool) -> int | None:
    """The trigger price by its definition: walk the grid from the mark against the position."""
    tick = bucket.book.rules.price_tick
    start = bucket.entry_price * ONE if bucket.book.mark is None else bucket.book.mark
    against = -1 if bucket.size > 0 else 1
    at = start // tick if bucket.size > 0 else -(-start // tick)
    at = min(at, (PRICE_LIMIT - 1) // tick)  # a mark beyond the last grid price begins there, as in the textbook

    def on_grid(number: int) -> bool:
        return number >= 1 and number * tick < PRICE_LIMIT

    if not met(bucket, at * tick, ratio, strict=strict):
        while on_grid(at + against):
            at += against
            if met(bucket, at * tick, ratio, strict=strict):
                return at * tick
        return None
    while on_grid(at - against) and met(bucket, (at - against) * tick, ratio, strict=strict):
        at -= against
    return at * tick


@given(case=cases)
@example(case=Case(TABLES[3], 1, "1", ratio="2"))
@example(case=Case(TABLES[3], 1, "0", ratio="2"))
@example(case=Case([("0", "0.25"), ("30", "0.5")], 1, "-30", ratio="2"))
@example(case=Case([("0", "0.25"), ("30", "0.5")], 1, "30", ratio="2"))
@example(case=Case(TABLES[3], 1, "0", trigger="below"))
@example(case=Case(TABLES[3], 1, "-1", trigger="below"))
@example(case=Case(TABLES[2], 9, "30", mark="90", ratio="20"))
@example(case=Case(TABLES[0], -1, "600"))
@example(case=Case(TABLES[0], -1, "0", mark="99.1"))
@example(case=Case(TABLES[0], 1, "1", contract="inverse"))
@example(case=Case(TABLES[0], 1, "0", contract="inverse", trigger="below"))
@example(case=Case(JUMPS[1], 1, "10", mode="whole"))
@example(case=Case(AMOUNTS[2], -1, "10", mode="given"))
def test_a_trigger_price_is_the_one_that_walking_the_grid_finds(case: Case) -> None:
    """For every contract, side, tier mode, basis, ratio and trigger the solved price is the first grid price on the
    walk from the mark against the position that meets the condition; walking back from a mark that meets it, the last
    one that does.
    """
    bucket = case.bucket()
    rules, size, mark = bucket.book.rules, bucket.size, bucket.book.mark
    start = bucket.entry_price * ONE if mark is None else mark
    required = rules.required_at_entry(size, bucket.entry_price)
    for crossing, ratio, strict in zip(
        rules.crossings(size), [*rules.call_levels, ONE], [False] * len(rules.call_levels) + [rules.strict], strict=True
    ):
        point = crossing.point(size, margin.cost(bucket), start, required)
        expected = walked(bucket, ratio, strict=strict)
        assert (None if point is None else point * rules.price_tick) == expected, ratio


@given(case=cases)
@example(case=Case(AMOUNTS[0], -3, "0", mode="given", volatility="0.02"))
@example(case=Case(AMOUNTS[0], -1, "0", mode="given"))
@example(case=Case(TABLES[2], -3, "60"))
@example(case=Case(TABLES[2], 3, "60", contract="inverse"))
@example(case=Case(JUMPS[0], -3, "60", mode="whole", basis="entry"))
def test_equity_is_maintenance_at_the_price_that_a_line_was_solved_for(case: Case) -> None:
    """Before it is rounded to the grid a liquidation price that lies on a line solves its equation, exactly."""
    bucket = case.bucket()
    for step in solutions.crossing(bucket):
        price = Fraction(step.exact) * PRICE_ONE
        if " line of " in step.name or case.basis == "entry":
            assert equity(bucket, price) == maintenance(bucket, price, bucket.size)


@given(case=cases.filter(lambda case: case.mark is not None))
def test_a_bucket_stands_where_its_numbers_say(case: Case) -> None:
    """Equity and maintenance over one denominator are those of the formulas, and the greatest part that may be taken
    out leaves collateral at maintenance and equity at the initial margin.
    """
    bucket = case.bucket()
    mark, rules = bucket.book.mark or 0, bucket.book.rules
    stands = margin.standing(bucket, mark)
    assert Fraction(stands.equity, stands.per) == equity(bucket, mark)
    assert Fraction(stands.maintenance, stands.per * ONE) == maintenance(bucket, mark, bucket.size)
    basis = bucket.entry_price * ONE if rules.entry_basis else mark
    held = equity(bucket, bucket.entry_price * ONE) - maintenance(bucket, mark, bucket.size)
    room = equity(bucket, mark) - abs(bucket.size * value(bucket, basis)) / 3
    assert margin.removable(bucket, mark, 3 * ONE) == max(0, min(held, room) // rules.quantum)


@pytest.mark.parametrize(("price", "called"), [("48", False), ("49", True), ("50", True)])
def test_in_a_steep_tier_a_long_is_called_by_a_rising_price(price: str, called: bool) -> None:
    """A long of 1 with cash of 27 has an equity of P + 27.  From a notional of 22 on it must maintain P / 2 - 5.5, four
    times that is 2 * P - 22: it is called from 49 upwards.
    """
    bucket = Case([("0", "0.25"), ("22", "0.5")], 1, "27", mark=price).bucket()
    level = units["4"]
    assert margin.breaches(margin.standing(bucket, bucket.book.mark or 0), level) == called


@given(case=cases)
def test_a_bankruptcy_price_is_the_last_one_at_which_nothing_is_missing(case: Case) -> None:
    """At the bankruptcy price equity is not negative; one grid point further against the position it is."""
    bucket = case.bucket()
    tick, price = bucket.book.rules.price_tick, figures.bankruptcy_price(bucket)
    against = -tick if bucket.size > 0 else tick
    prices = [number * tick for number in range(1, -(-PRICE_LIMIT // tick))]

    def missing(at: int) -> bool:
        return equity(bucket, at) < 0 if at or case.contract == "linear" else True  # 1 / P grows beyond every bound

    last = [at for at in prices if not missing(at) and missing(at + against)]
    assert ([] if price is None else [price]) == last


@given(case=cases.filter(lambda case: case.mark is not None))
@example(case=Case(TABLES[2], 9, "-380", mark="50", fees="0.2"))
def test_the_restoring_size_is_the_first_that_restores(case: Case) -> None:
    """Of all parts of the position, in steps, the smallest whose liquidation meets the target; None when no part
    short of the whole does.
    """
    bucket = case.bucket()
    mark = bucket.book.mark or 0
    rules, size = bucket.book.rules, abs(bucket.size)
    step, plan = rules.size_of(rules.quantity_step), rules.liquidation

    def restores(part: int) -> bool:
        left = equity(bucket, mark) - abs(part * value(bucket, mark)) * Fraction(rules.taker_fee, ONE)
        return left >= Fraction(plan.target, ONE) * maintenance(bucket, mark, size - part)

    expected = next((part for part in range(step, size, step) if restores(part)), None)
    assert margin.restoring_size(bucket, mark) == expected


def test_a_position_that_needs_nothing_has_no_margin_ratio() -> None:
    """Where nothing is to be maintained there is no ratio; where little is, there is one, rounded down."""
    assert figures.ratio(5, 0) is None
    assert figures.ratio(2, 3 * ONE) == "0.66666666"


def test_a_price_that_is_never_reached_has_no_distance() -> None:
    """Without a trigger, or without a mark, no distance is stated; from 3 to 2 it is 33.33 per cent."""
    assert figures.distance_percent(3 * PRICE_ONE, None) is None
    assert figures.distance_percent(None, 2 * PRICE_ONE) is None
    assert figures.distance_percent(3 * PRICE_ONE, 2 * PRICE_ONE) == "33.33"
