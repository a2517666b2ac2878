"""Prices on the grid: where a position would be called or liquidated.  Solved, not walked.

A position is worth q*V(P), and its equity is zero where that is its *cost*, q*F - c.  The line of one tier is met where

    q*V - cost = r * (k*|q|*|V| - cum).

For the common case, linear contracts whose tiers are marginal, all but size and cost follows from the parameters and is
worked out once for each version of them (`Crossing`).  For everything else the prices that meet the condition are a few
stretches of the grid, one for each tier (`Stretches`).  A *point* is the number of a price on the grid: price / tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ringfence.contracts import INVERSE, Contract
from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE, ceil_divide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence.tiers import SideTiers

Required: TypeAlias = tuple[int, int]
"""Maintenance that no price moves, as scaled money over a denominator; see `Rules.required_at_entry`."""

NO_END: Final = -(10**300)
"""Less than any cost: the last tier never ends before its line is crossed."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the equity of one side of a linear contract with marginal tiers meets r * maintenance, or falls below it.

    Maintenance is the greatest of the tiers' lines, so the condition holds where any line is crossed.  With s for the
    sign of q that is |q| * P * (1 - s*r*k) = s*cost - s*r*cum: a long is beyond a line at lower prices, a short at
    higher ones.
    """

    scale: int
    """Of costs in `lines`, with the sign of the side."""
    lines: tuple[tuple[int, int, int], ...]
    """Per tier: the cost below which its line is crossed before the tier ends; s*r*cum, and one more where the side
    rounds away from it; q * P in ticks for each unit of cost: (s - r*k) * tick.  All three scaled.
    """
    steep: tuple[tuple[int, int], ...]
    """The last two of a tier with r*k >= 1: a long crosses its line at a rising price, everywhere or nowhere."""
    ahead: int
    """A short is beyond a line from the next point on, a long from the point before it."""
    price_tick: int
    top: int
    """The last point below 10^18."""

    @classmethod
    def of(cls, tiers: SideTiers, sign: int, ratio: int, price_tick: int, *, strict: bool) -> Crossing:
        """Work out equity <= ratio * maintenance, or < if `strict`, for one side, whose sizes have this sign."""
        slopes = [sign * PRICE_ONE - ratio * rate for rate in tiers.rates]
        offsets = [sign * ratio * amount * ONE for amount in tiers.amounts]
        ends = [floor * sign * slopes[tier] + offsets[tier] for tier, floor in enumerate(tiers.floors[1:])]
        common = gcd(PRICE_ONE, *ends, *offsets, *slopes)
        back = strict == (sign > 0)
        lines = tuple(
            (end // common, offset // common + back, slope // common * price_tick)
            for end, offset, slope in zip([*ends, NO_END * common], offsets, slopes, strict=True)
        )
        gentle = len(lines) if sign < 0 else sum(slope > 0 for slope in slopes)
        steep = tuple(line[1:] for line in lines[gentle:])
        scale, top = sign * PRICE_ONE // common, _top(price_tick)
        return cls(scale, lines[:gentle], steep, int(sign < 0), price_tick, top)

    def point(self, size: int, cost: int, start: int, _required: Required) -> int | None:
        """Return the first point, walking from `start` against the position, that meets the condition.

        From a start that already meets it the walk goes back, and the last point that still meets it counts.  None when
        no grid price from one tick to 10^18 is reached.
        """
        if self.steep:
            return self._steep_point(size, cost, start)
        fixed = self.scale * cost
        for line in self.lines:  # the first line that is crossed before its tier ends is the one that binds
            if fixed < line[0]:
                break
        point = (fixed - line[1]) // (size * line[2]) + self.ahead
        if self.ahead:
            return None if point > self.top else max(point, 1)
        return None if point < 1 else min(point, self.top)

    def _steep_point(self, size: int, cost: int, start: int) -> int | None:
        """The same for a long some of whose lines are crossed from above, everywhere or nowhere."""
        fixed, below, above = self.scale * cost, -1, PRICE_LIMIT
        for end, offset, slope in self.lines:
            below = (fixed - offset) // (size * slope)
            if fixed < end:
                break
        for offset, slope in self.steep:
            if slope:
                above = min(above, ceil_divide(fixed - offset, size * slope))
            elif fixed >= offset:
                above = 0
        if start // self.price_tick >= above or below >= above - 1:
            return self.top
        return None if below < 1 else min(below, self.top)


class Band(NamedTuple):
    """One line of maintenance times r: it counts where the notional is from `floor` to below `ceiling`, money."""

    floor: int
    ceiling: int | None
    slope: int
    """r * k, in price units."""
    amount: int
    """r * cum, money in price units."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """The same for any contract, tier mode and basis: the condition holds on a few stretches of the grid."""

    bands: tuple[Band, ...]
    at_entry: int
    """r under basis `entry`, where maintenance does not move with the price; else 0."""
    inverse: bool
    strict: bool
    price_tick: int
    top: int

    @classmethod
    def of(cls, tiers: SideTiers, ratio: int, price_tick: int, contract: Contract, *, strict: bool) -> Stretches:
        """Work out equity <= ratio * maintenance, or < if `strict`, under basis `mark`."""
        ceilings = [*tiers.floors[1:], None]
        bands = [
            Band(floor, ceiling, ratio * rate, ratio * amount * ONE)
            for floor, ceiling, rate, amount in zip(tiers.floors, ceilings, tiers.rates, tiers.amounts, strict=True)
        ]
        if tiers.greatest:  # whichever line is crossed, the greatest is
            bands = [band._replace(floor=0, ceiling=None) for band in bands]
        else:  # maintenance is not below zero
            bands.append(Band(0, None, 0, 0))
        if tiers.least_rate:  # at any notional, that of volatility too
            bands.append(Band(0, None, ratio * tiers.least_rate, 0))
        return cls(tuple(bands), 0, contract.sign < 0, strict, price_tick, _top(price_tick))

    @classmethod
    def of_entry(cls, ratio: int, price_tick: int, contract: Contract, *, strict: bool) -> Stretches:
        """The same under basis `entry`."""
        return cls((), ratio, contract.sign < 0, strict, price_tick, _top(price_tick))

    def point(self, size: int, cost: int, start: int, required: Required) -> int | None:
        """Return the same point; the walk begins at the grid point of `start`, its neighbour in the direction of the
        walk if it lies between two.
        """
        tick, top = self.price_tick, self.top
        met = sorted(stretch for stretch in self._met(size, cost, required) if stretch[0] <= stretch[1])
        if size > 0:
            first = min(max(start // tick, 1), top)
            return _lower(met, first) if not _covers(met, first) else _last(met, first)
        first = min(ceil_divide(start, tick), top)
        mirrored = sorted((-high, -low) for low, high in met)
        found = _lower(mirrored, -first) if not _covers(mirrored, -first) else _last(mirrored, -first)
        return None if found is None else -found

    def _met(self, size: int, cost: int, required: Required) -> Iterator[tuple[int, int]]:
        """Give the stretch of each line, from the first to the last point; an empty one ends before it begins."""
        if self.at_entry:
            fixed, per = required
            yield self._stretch(-cost * per * PRICE_ONE - self.at_entry * fixed, size * per * PRICE_ONE)
            return
        sign = -1 if self.inverse else 1
        for band in self.bands:
            low, high = self._stretch(band.amount - cost * PRICE_ONE, size * PRICE_ONE - sign * band.slope * abs(size))
            if low <= high and (band.floor or band.ceiling is not None):
                least, most = self._within(abs(size), band)
                low, high = max(low, least), min(high, most)
            yield low, high

    def _stretch(self, constant: int, slope: int) -> tuple[int, int]:
        """Where constant + slope * V(P) <= 0, or < 0: for a linear contract slope * P <= -constant, for an inverse one
        constant * P <= slope.
        """
        left, right = (constant, slope * INVERSE) if self.inverse else (slope, -constant)
        right -= self.strict
        if left > 0:
            return 1, min(right // (left * self.price_tick), self.top)
        if left < 0:
            return max(ceil_divide(-right, -left * self.price_tick), 1), self.top
        return 1, self.top if right >= 0 else 0

    def _within(self, size: int, band: Band) -> tuple[int, int]:
        """Where the notional of an unsigned size is in the tier of a line."""
        if self.inverse:
            least = 1 if band.ceiling is None else size * INVERSE // (band.ceiling * self.price_tick) + 1
            return least, size * INVERSE // (band.floor * self.price_tick) if band.floor else self.top
        most = self.top if band.ceiling is None else ceil_divide(band.ceiling, size * self.price_tick) - 1
        return ceil_divide(band.floor, size * self.price_tick), most


Trigger: TypeAlias = Crossing | Stretches
"""What knows the price at which a bucket reaches one level."""


def _top(price_tick: int) -> int:
    return (PRICE_LIMIT - 1) // price_tick


def _covers(stretches: list[tuple[int, int]], point: int) -> bool:
    return any(low <= point <= high for low, high in stretches)


def _last(stretches: list[tuple[int, int]], point: int) -> int:
    """Return the last point, walking up from one that is covered, before one that is not."""
    for low, high in stretches:
        if low <= point + 1 <= high:
            point = high
    return point


def _lower(stretches: list[tuple[int, int]], point: int) -> int | None:
    """Return the first covered point, walking down from one that is not."""
    return max((high for _, high in stretches if high < point), default=None)
