"""One isolated position, kept as a textbook keeps it: size, average entry price, collateral.

Realised profit and funding are settled into the collateral at once, and fees are taken from it;
nothing here is in a frame of funding index zero, and nothing is a sum of fills.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from tests.core.textbook.numbers import LIMIT, down, sign, up
from tests.core.textbook.terms import Terms

ENTRY_DECIMALS = 18
ONE = Fraction(1)


@dataclass
class Position:
    """A bucket with an open position; `size` is signed, in base units."""

    account: str
    instrument: str
    size: Fraction = Fraction(0)
    entry: Fraction = Fraction(0)
    collateral: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)
    put_in: Fraction = Fraction(0)
    taken_out: Fraction = Fraction(0)
    level: Fraction | None = None
    case_id: str | None = None
    liquidation: "Liquidation | None" = None

    @property
    def side(self) -> int:
        """1 for a long, -1 for a short."""
        return sign(self.size)

    def increase(self, size: Fraction, price: Fraction) -> None:
        """Add to the position (or open it) at `price`: the entry price becomes the average."""
        cost = self.size * self.entry + size * price
        self.size += size
        rounded = down if self.size > 0 else up
        self.entry = rounded(cost / self.size, ENTRY_DECIMALS)
        # What rounding the entry price adds to the cost is taken off again: equity does not move.
        self.collateral += self.size * self.entry - cost

    def reduce(self, size: Fraction, price: Fraction) -> None:
        """Close part of the position (`size` has the other sign), or all of it, at `price`."""
        profit = -size * (price - self.entry)
        self.size += size
        self.realised += profit
        self.collateral += profit

    def settle_funding(self, per_unit: Fraction) -> Fraction:
        """Pay (or receive) a funding payment per unit of size; returns what was received."""
        received = -self.size * per_unit
        self.funding += received
        self.collateral += received
        return received

    def put(self, amount: Fraction) -> None:
        """Commit collateral from outside."""
        self.collateral += amount
        self.put_in += amount

    def take(self, amount: Fraction) -> None:
        """Release collateral to the outside."""
        self.collateral -= amount
        self.taken_out += amount

    def unrealised(self, price: Fraction) -> Fraction:
        """Profit not yet settled, at `price`."""
        return self.size * (price - self.entry)

    def equity(self, price: Fraction) -> Fraction:
        """What the bucket would be worth if it were closed at `price` without fees."""
        return self.collateral + self.unrealised(price)

    def notional(self, terms: Terms, mark: Fraction | None) -> Fraction | None:
        """The notional that requirements are taken from; None without the mark it needs."""
        price = self.entry if terms.basis == "entry" else mark
        return None if price is None else abs(self.size) * price

    def maintenance(self, terms: Terms, mark: Fraction | None, size: Fraction | None = None) -> Fraction | None:
        """Maintenance margin of the position, or of `size` of it."""
        price = self.entry if terms.basis == "entry" else mark
        if price is None:
            return None
        return terms.maintenance(abs(self.size if size is None else size) * price, self.side)

    def initial(self, terms: Terms, mark: Fraction | None, leverage: Fraction) -> Fraction | None:
        """Initial margin of the position."""
        notional = self.notional(terms, mark)
        return None if notional is None else terms.initial(notional, leverage)

    def max_removable(self, terms: Terms, mark: Fraction | None, leverage: Fraction) -> Fraction | None:
        """Greatest amount that may be released: never unrealised profit, never below a margin."""
        maintenance = self.maintenance(terms, mark)
        initial = self.initial(terms, mark, leverage)
        if mark is None or maintenance is None or initial is None:
            return None
        room = min(self.collateral - maintenance, self.equity(mark) - initial, self.collateral)
        return max(Fraction(0), room)

    def breached(self, terms: Terms, price: Fraction) -> bool:
        """Whether the liquidation condition holds at `price`."""
        return self.under(terms, price, Fraction(1), strict=terms.trigger == "below")

    def under(self, terms: Terms, price: Fraction, ratio: Fraction, *, strict: bool = False) -> bool:
        """Whether equity is at or below `ratio` times maintenance at `price` (below if `strict`)."""
        gap = self.gap(terms, price, ratio)
        return gap < 0 or (gap == 0 and not strict)

    def deepest(self, terms: Terms, mark: Fraction, factor: Fraction = ONE, *, strict: bool = False) -> Fraction | None:
        """The deepest call level that the position is under, levels taken `factor` times; None if none."""
        reached = [level for level in terms.levels if self.under(terms, mark, level * factor, strict=strict)]
        return min(reached, default=None)

    def gap(self, terms: Terms, price: Fraction, ratio: Fraction) -> Fraction:
        """Equity above `ratio` times maintenance at `price`."""
        maintenance = self.maintenance(terms, price)
        assert maintenance is not None
        return self.equity(price) - ratio * maintenance

    def bankruptcy_price(self, terms: Terms) -> Fraction | None:
        """Grid price at which closing without fees leaves nothing, never less than nothing."""
        exact_price = self.entry - self.collateral / self.size
        steps = exact_price / terms.price_tick
        price = (ceil(steps) if self.size > 0 else floor(steps)) * terms.price_tick
        return price if terms.price_tick <= price < LIMIT else None

    def liquidation_price(self, terms: Terms, mark: Fraction | None) -> Fraction | None:
        """First price of the grid, walking against the position, that liquidates it."""
        return self.walk(terms, mark, Fraction(1), strict=terms.trigger == "below")

    def margin_call_prices(self, terms: Terms, mark: Fraction | None) -> list[Fraction | None]:
        """First price of the grid, walking against the position, that reaches each call level."""
        return [self.walk(terms, mark, level, strict=False) for level in terms.levels]

    def walk(self, terms: Terms, mark: Fraction | None, ratio: Fraction, *, strict: bool) -> Fraction | None:
        """Walk the grid from the mark (the entry price without one), by margin.md section 3.

        Equity less a multiple of maintenance is concave in the price, so the walk can run in
        doubling strides and then halve the last one.
        """
        tick = terms.price_tick
        last = ceil(LIMIT / tick) - 1
        start = (self.entry if mark is None else mark) / tick
        against = -self.side
        first = min(max(floor(start) if self.side > 0 else ceil(start), 1), last)

        def satisfied(index: int) -> bool:
            return self.under(terms, index * tick, ratio, strict=strict)

        def gap(index: int) -> Fraction:
            return self.gap(terms, index * tick, ratio)

        if start < 1 and self.side > 0 and not self.under(terms, start * tick, ratio, strict=strict):
            return None
        if not satisfied(first):
            end = 1 if against < 0 else last
            if not satisfied(end):
                return None
            return first_change(first, end, lambda index: not satisfied(index))[1] * tick
        end = summit(first, last, gap) if self.side > 0 else 1
        if satisfied(end):
            return (last if self.side > 0 else 1) * tick
        return first_change(first, end, satisfied)[0] * tick


@dataclass
class Liquidation:
    """A liquidation in progress: the step of its ladder and what its order still lacks."""

    identifier: str
    step: int = 0
    quantity: Fraction = Fraction(0)
    filled: Fraction = Fraction(0)
    deadline_us: int = 0
    fees: Fraction = Fraction(0)
    waiting: bool = False
    """Its next order has not been published yet, because of the throttle."""
    whole: bool = False
    passed_over: bool = False

    @property
    def remaining(self) -> Fraction:
        """What the order still lacks, in contracts."""
        return max(self.quantity - self.filled, Fraction(0))


def first_change(start: int, end: int, holds: Callable[[int], bool]) -> tuple[int, int]:
    """Neighbours between which `holds` stops, walking from `start` (holds) to `end` (does not)."""
    step = 1 if end > start else -1
    stride, reached = step, start
    while abs(end - reached) > abs(stride) and holds(reached + stride):
        reached += stride
        stride *= 2
    beyond = reached + stride if abs(end - reached) > abs(stride) else end
    while abs(beyond - reached) > 1:
        middle = (reached + beyond) // 2
        if holds(middle):
            reached = middle
        else:
            beyond = middle
    return reached, beyond


def summit(start: int, end: int, height: Callable[[int], Fraction]) -> int:
    """Where a concave function of the grid is highest between `start` and `end`."""
    while start < end:
        middle = (start + end) // 2
        if height(middle + 1) > height(middle):
            start = middle + 1
        else:
            end = middle
    return start
