"""Prices and sizes that are solved, against the walks that define them, over grids small enough to walk."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence import figures, margin
from ringfence.grid import Crossing
from ringfence.rules import build_rules
from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE
from ringfence.state import Account, Asset, Book, Bucket
from ringfence_schemas.decimals import decimal_text, units
from ringfence_schemas.inputs import Fees, Instrument, Liquidation, Tier

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

RATIOS = ["1", "1.5", "2", "4", "20"]


@dataclass(frozen=True)
class Case:
    """A bucket of so many units, in units of the grid: notional and cash are of the size of the floors."""

    table: list[tuple[str, str]]
    size: int
    cash: str
    funding: str = "0"
    mark: str | None = "50"
    tick: int = GRID
    fees: str = "0"
    target: str = "1.1"

    def bucket(self) -> Bucket:
        """The bucket, in an instrument whose multiplier makes one contract worth its price in grid units."""
        rows = [Tier(floor=floor, maintenance_rate=rate) for floor, rate in self.table]
        event = Instrument(
            instrument="X",
            version=1,
            contract="linear",
            settle_asset="USDT",
            price_tick=str(self.tick),
            quantity_step="1",
            multiplier=decimal_text(1, 16),
            tiers=rows,
            time_us=1,
            fees=Fees(taker=self.fees),
            liquidation=Liquidation(target=self.target),
        )
        book = Book(build_rules(event, 8), Asset("USDT", 8))
        book.funding_index = units[self.funding] * ONE * GRID
        book.mark = None if self.mark is None else units[self.mark] * ONE * GRID
        bucket = Bucket(Account("ann"), book)
        bucket.size = self.size * ONE * book.rules.multiplier
        bucket.cash = units[self.cash] * book.rules.quantum * 10**8 // ONE
        bucket.entry_price = 40 * ONE * GRID
        return bucket


amounts = st.integers(-6000, 6000).map(lambda number: decimal_text(number, 1))
cases = st.builds(
    Case,
    table=st.sampled_from(TABLES),
    size=st.integers(-9, 9).filter(bool),
    cash=amounts,
    funding=st.sampled_from(["0", "0", "3.5", "-20"]),
    mark=st.one_of(st.none(), st.integers(30, 999).map(lambda number: decimal_text(number, 1))),
    tick=st.sampled_from([GRID, 3 * GRID]),
    fees=st.sampled_from(["0", "0.001", "0.2"]),
    target=st.sampled_from(["1", "1.1", "3"]),
)


def met(bucket: Bucket, price: int, ratio: int, *, strict: bool) -> bool:
    """Whether equity <= ratio * maintenance at a price, or below it."""
    rules, size = bucket.book.rules, Fraction(bucket.size)
    equity = bucket.cash + size * (price - bucket.book.funding_index)
    notional, tiers = abs(bucket.size) * price, rules.side(bucket.size)
    lines = [notional * Fraction(rate, ONE) - amount for rate, amount in zip(tiers.rates, tiers.amounts, strict=True)]
    required = Fraction(ratio, ONE) * max(Fraction(0), *lines)
    return equity < required if strict else equity <= required


def walked(bucket: Bucket, ratio: int, *, strict: bool) -> int | None:
    """The trigger price by its definition: walk the grid from the mark against the position."""
    tick = bucket.book.rules.price_tick
    start = bucket.entry_price * ONE if bucket.book.mark is None else bucket.book.mark
    against = -1 if bucket.size > 0 else 1
    at = start // tick if bucket.size > 0 else -(-start // tick)
    at = min(at, (PRICE_LIMIT - 1) // tick)  # a mark beyond the last grid price begins there, as in the textbook

    def on_grid(number: int) -> bool:
        return number >= 1 and number * tick < PRICE_LIMIT

    if not on_grid(at) or not met(bucket, at * tick, ratio, strict=strict):
        while on_grid(at + against):
            at += against
            if met(bucket, at * tick, ratio, strict=strict):
                return at * tick
        return None
    while on_grid(at - against) and met(bucket, (at - against) * tick, ratio, strict=strict):
        at -= against
    return at * tick


@given(case=cases, ratio=st.sampled_from(RATIOS), strict=st.booleans())
@example(case=Case(TABLES[3], 1, "1"), ratio="2", strict=False)
@example(case=Case(TABLES[3], 1, "0"), ratio="2", strict=False)
@example(case=Case(TABLES[3], 1, "0"), ratio="2", strict=True)
@example(case=Case(TABLES[3], 1, "-1"), ratio="2", strict=True)
@example(case=Case(TABLES[2], 9, "30", mark="90"), ratio="20", strict=False)
@example(case=Case(TABLES[0], -1, "600"), ratio="1", strict=False)
@example(case=Case(TABLES[0], -1, "0", mark="99.1"), ratio="1", strict=False)
def test_a_trigger_price_is_the_one_that_walking_the_grid_finds(case: Case, ratio: str, strict: bool) -> None:
    """For every side, tier, ratio and trigger the solved price is the first grid price on the walk from the mark
    against the position that meets the condition; walking back from a mark that meets it, the last one that does.
    """
    bucket = case.bucket()
    expected = walked(bucket, units[ratio], strict=strict)
    rules, size, mark = bucket.book.rules, bucket.size, bucket.book.mark
    start = bucket.entry_price * ONE if mark is None else mark
    sign = 1 if size > 0 else -1
    crossing = Crossing.of(rules.side(size), sign, units[ratio], rules.price_tick, strict=strict)
    point = crossing.point(size, margin.cost(bucket), start, 0)
    assert (None if point is None else point * rules.price_tick) == expected


@pytest.mark.parametrize(("price", "called"), [("48", False), ("49", True), ("50", True)])
def test_in_a_steep_tier_a_long_is_called_by_a_rising_price(price: str, called: bool) -> None:
    """A long of 1 with cash of 27 has an equity of P + 27.  From a notional of 22 on it must maintain P / 2 - 5.5, four
    times that is 2 * P - 22: it is called from 49 upwards.
    """
    bucket = Case([("0", "0.25"), ("22", "0.5")], 1, "27", mark=price).bucket()
    level = units["4"]
    equity = margin.equity(bucket, bucket.book.mark or 0)
    assert margin.breaches(equity, margin.maintenance(bucket, bucket.book.mark or 0), level) == called


@given(case=cases)
def test_a_bankruptcy_price_is_the_last_one_at_which_nothing_is_missing(case: Case) -> None:
    """At the bankruptcy price equity is not negative; one grid point further against the position it is."""
    bucket = case.bucket()
    tick, price = bucket.book.rules.price_tick, figures.bankruptcy_price(bucket)
    against = -tick if bucket.size > 0 else tick
    prices = [number * tick for number in range(1, -(-PRICE_LIMIT // tick))]
    last = [at for at in prices if margin.equity(bucket, at) >= 0 > margin.equity(bucket, at + against)]
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
        left = Fraction(margin.equity(bucket, mark)) - part * mark * Fraction(rules.taker_fee, ONE)
        kept = rules.side(bucket.size).maintenance((size - part) * mark)
        return left >= Fraction(plan.target, ONE) * Fraction(kept, ONE)

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
