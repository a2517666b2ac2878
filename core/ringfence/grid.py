"""Prices on the grid: where a position would be called, liquidated or bankrupt.  Solved, not walked.

A position is worth q*P, and its equity is zero where that is its *cost*, q*F - c.  With s for the sign of q, the line
of one tier is met where

    q*P - cost = r * (k*|q|*P - cum)        that is        |q| * P * (1 - s*r*k) = s*cost - s*r*cum,

and a long is beyond it at lower prices, a short at higher ones.  All but size and cost follows from the parameters, and
is worked out once for each version of them.  Under basis `entry` maintenance does not move with the price, and there is
one line for all tiers, q*P = cost + r * maintenance.  A *point* is the number of a price on the grid: price / tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Final

from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE, ceil_divide

if TYPE_CHECKING:
    from ringfence.rules import SideTiers

NO_END: Final = -(10**300)
"""Less than any cost: the last tier never ends before its line is crossed."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the equity of one side meets r * maintenance, or falls below it.

    Maintenance is the greatest of the tiers' lines, so the condition holds where any line is crossed.
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
        scale, top = sign * PRICE_ONE // common, (PRICE_LIMIT - 1) // price_tick
        return cls(scale, lines[:gentle], steep, int(sign < 0), price_tick, top)

    def point(self, size: int, cost: int, start: int, _fixed: int) -> int | None:
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


@dataclass(frozen=True, slots=True)
class EntryCrossing:
    """The same under basis `entry`: where the equity of one side meets r * the maintenance that no price moves."""

    ratio: int
    strict: bool
    price_tick: int
    top: int
    """The last point below 10^18."""

    @classmethod
    def of(cls, ratio: int, price_tick: int, *, strict: bool) -> EntryCrossing:
        """Work out equity <= ratio * maintenance, or < if `strict`."""
        return cls(ratio, strict, price_tick, (PRICE_LIMIT - 1) // price_tick)

    def point(self, size: int, cost: int, _start: int, fixed: int) -> int | None:
        """Return the first point against the position that meets the condition, from wherever; see `Rules.fixed`."""
        met, per = cost * PRICE_ONE + self.ratio * fixed, size * PRICE_ONE * self.price_tick
        if size > 0:
            point = ceil_divide(met, per) - 1 if self.strict else met // per
            return None if point < 1 else min(point, self.top)
        point = met // per + 1 if self.strict else ceil_divide(met, per)
        return None if point > self.top else max(point, 1)


def bankruptcy_point(size: int, cost: int, price_tick: int) -> int | None:
    """Return the point at which equity is just not negative, fees ignored: a long rounds up, a short down.  None
    outside the grid.
    """
    point = -(-cost // (size * price_tick)) if size > 0 else cost // (size * price_tick)
    return point if point >= 1 and point * price_tick < PRICE_LIMIT else None
