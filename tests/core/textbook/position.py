"""One isolated position, kept as a textbook keeps it: size, average entry price, collateral.

Realised profit and funding are settled into the collateral at once, and fees are taken from it;
nothing here is in a frame of funding index zero, and nothing is a sum of fills.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from tests.core.textbook.numbers import LIMIT, down, sign, up
from tests.core.textbook.terms import Terms

ENTRY_DECIMALS = 18
REALISED_DECIMALS = 36
ONE = Fraction(1)


@dataclass
class Position:
    """A bucket with an open position; `size` is signed, in base units, of an inverse contract in quote units."""

    account: str
    instrument: str
    inverse: bool = False
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
    fees: Fraction = Fraction(0)
    """What the bucket ever paid as fees."""
    drawn: Fraction = Fraction(0)
    """What funding ever took from the wallet."""
    transferred: Fraction = Fraction(0)
    """What its holder ever put in, less what the holder took out, fills apart."""
    told: "Told | None" = None
    """What stood at its last view."""

    @property
    def side(self) -> int:
        """1 for a long, -1 for a short."""
        return sign(self.size)

    def value(self, price: Fraction) -> Fraction:
        """What one unit of size is worth at `price`, in the settlement asset."""
        return -1 / price if self.inverse else price

    def count(self, size: Fraction, price: Fraction) -> Fraction:
        """The notional of `size` at `price`."""
        return abs(size * self.value(price))

    def increase(self, size: Fraction, price: Fraction, cost: Fraction) -> None:
        """Add to the position (or open it) at `price` for `cost`: the entry price becomes the average.

        Of an inverse contract it is the harmonic one: the average of what the units are worth.
        """
        held = self.size * self.value(self.entry) if self.size else Fraction(0)
        self.size += size
        average = (held + size * self.value(price)) / self.size
        rounded = down if self.size > 0 else up
        self.entry = rounded(-1 / average if self.inverse else average, ENTRY_DECIMALS)
        # What rounding adds to the cost is taken off again: equity moves only by what the cost itself was rounded.
        self.collateral += self.size * self.value(self.entry) - held - cost

    def reduce(self, size: Fraction, price: Fraction, cost: Fraction) -> None:
        """Close part of the position (`size` has the other sign), or all of it, at `price` for `cost`."""
        profit = -size * (self.value(price) - self.value(self.entry))
        self.size += size
        self.realised += down(profit, REALISED_DECIMALS) if self.inverse else profit
        self.collateral += size * self.value(self.entry) - cost

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
        return self.size * (self.value(price) - self.value(self.entry))

    def equity(self, price: Fraction) -> Fraction:
        """What the bucket would be worth if it were closed at `price` without fees."""
        return self.collateral + self.unrealised(price)

    def notional(self, terms: Terms, mark: Fraction | None) -> Fraction | None:
        """The notional that requirements are taken from; None without the mark it needs."""
        price = self.entry if terms.basis == "entry" else mark
        return None if price is None else self.count(self.size, price)

    def maintenance(self, terms: Terms, mark: Fraction | None, size: Fraction | None = None) -> Fraction | None:
        """Maintenance margin of the position, or of `size` of it."""
        price = self.entry if terms.basis == "entry" else mark
        if price is None:
            return None
        return terms.maintenance(self.count(self.size if size is None else size, price), self.side)

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
        worth = self.value(self.entry) - self.collateral / self.size
        if self.inverse and worth >= 0:
            return None
        steps = (-1 / worth if self.inverse else worth) / terms.price_tick
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

        The grid is cut where the requirement changes its course.  Between two cuts equity less a multiple of it only
        rises or only falls, so a piece is walked by looking at its ends and halving what lies between.
        """
        tick = terms.price_tick
        last = ceil(LIMIT / tick) - 1
        start = (self.entry if mark is None else mark) / tick
        first = min(max(floor(start) if self.side > 0 else ceil(start), 1), last)

        def satisfied(index: int) -> bool:
            return self.under(terms, index * tick, ratio, strict=strict)

        cuts = {1, last + 1}
        if terms.basis == "mark":
            for notional in terms.edges(self.side):
                price = abs(self.size) / notional if self.inverse else notional / abs(self.size)
                cuts |= {floor(price / tick) + shift for shift in (0, 1, 2)}
        ordered = sorted(cut for cut in cuts if 1 <= cut <= last + 1)
        pieces = [(left, right - 1) for left, right in pairwise(ordered)]
        back = satisfied(first)
        falling = (self.side > 0) != back
        found = first if back else None
        for piece in sorted(pieces, reverse=falling):
            near, far = reversed(piece) if falling else piece
            if (near - first) * (1 if falling else -1) > 0:
                near = first
            if (far - near) * (1 if falling else -1) > 0:
                continue
            if not back and satisfied(near):
                return near * tick
            if not back and satisfied(far):
                return first_change(near, far, lambda index: not satisfied(index))[1] * tick
            if back and not satisfied(near):
                break
            if back and not satisfied(far):
                return first_change(near, far, satisfied)[0] * tick
            found = far if back else None
        return None if found is None else found * tick


@dataclass
class Told:
    """What stood at a view."""

    price: str | None
    position: Position
    funding_index: Fraction
    version: int
    rate: Fraction | None


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
