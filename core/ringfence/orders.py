"""The heaps of the trigger index: an order holds the buckets that wait for one line, the earliest to fire first.

`LeastOrders` are those for the line that volatility adds, notional * rate without an amount, whatever the tier: its
key is c / |q|, so another rate moves the thresholds of these few orders and touches no bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from ringfence.contracts import UNBOUNDED
from ringfence.scales import ONE, PRICE_ONE

if TYPE_CHECKING:
    from ringfence.rules import Rules
    from ringfence.state import Bucket
    from ringfence.tiers import SideTiers

SLOT_BITS: Final = 32
KEY_SCALE: Final = ONE * PRICE_ONE
"""threshold = (V * slope + sign * F * PRICE_ONE) / KEY_SCALE, in decimals."""
SLACK: Final = 2
"""Entries fire so many units before their key: one because keys are rounded down, one because an inverse V is."""


class Order:
    """The buckets of one side whose next change of level lies on one line; the earliest to fire stands first."""

    __slots__ = ("amount", "heap", "least", "lines", "live", "most", "ratio", "sign", "slope")

    def __init__(
        self,
        slope: int,
        sign: int,
        amount: int,
        bounds: tuple[int, int] = (0, 0),
        lines: list[Order] | None = None,
        ratio: int = 0,
    ) -> None:
        self.ratio = ratio
        """r under basis `entry`, where its maintenance stands with the key; 0 under basis `mark`."""
        self.slope = slope
        """Of the threshold in V, in price units."""
        self.sign = sign
        self.amount = amount
        """r * cum, money."""
        self.least, self.most = bounds
        """The line binds at the trigger price while c + r*cum - q*F lies between these, money."""
        self.heap: list[int] = []
        """(rounded key << SLOT_BITS) | slot."""
        self.live = 0
        self.lines = lines
        """All tiers of the same side and level, this one among them."""

    def threshold(self, value: int, funding_index: int) -> int:
        """Return the greatest key that has fired at this V, in decimals."""
        return (value * self.slope + self.sign * funding_index * PRICE_ONE) // KEY_SCALE

    def insert(self, entry: int) -> bool:
        """Add an entry and return whether it now stands first."""
        heappush(self.heap, entry)
        self.live += 1
        return self.heap[0] == entry

    def until(self, limit: int) -> Iterator[int]:
        """Give the entries below a limit and leave them in: so many steps as there are, twice over."""
        heap, places = self.heap, [0]
        for place in places:
            if place < len(heap) and heap[place] < limit:
                yield heap[place]
                places += (2 * place + 1, 2 * place + 2)


def bounds_of(tiers: SideTiers, tier: int, slope: int, sign: int) -> tuple[int, int]:
    """Between which c + r*cum - q*F a line binds at the trigger price; outermost tiers have no end."""
    ends = [tiers.floors[tier] * slope // PRICE_ONE if tier else UNBOUNDED * sign]
    last = tier + 1 == len(tiers.floors)
    ends.append(-UNBOUNDED * sign if last else tiers.floors[tier + 1] * slope // PRICE_ONE)
    return min(ends), max(ends)


def binding(lines: list[Order], bucket: Bucket, funding_index: int) -> int:
    """Return the line that binds at the trigger price of the bucket under this funding index; the last when none
    states a limit.
    """
    shift = bucket.cash - bucket.size * funding_index
    for tier, order in enumerate(lines):
        if order.least <= shift + order.amount <= order.most:
            return tier
    return len(lines) - 1


class Least(NamedTuple):
    """An order of the line of volatility."""

    order: Order
    side: int
    """1 for longs, -1 for shorts."""
    ratio: int
    turn: int
    """-1 where the line is read backwards, for the way back up."""

    def slope_under(self, rules: Rules) -> int:
        """Return the slope of its threshold at the rate of these rules."""
        contract, rate = rules.contract.sign, rules.side(self.side).least_rate
        return self.turn * contract * (self.ratio * rate - self.side * contract * PRICE_ONE)


class LeastOrders:
    """The orders of the line of volatility of one instrument, both sides, every level."""

    __slots__ = ("all", "down", "up")

    def __init__(self, rules: Rules, down: list[int], up: list[int]) -> None:
        self.all: list[Least] = []
        self.down = tuple([self._order(rules, side, ratio, 1) for ratio in down] for side in (1, -1))
        """down[side][place], as in the index: towards each level, liquidation last."""
        self.up = tuple([self._order(rules, side, ratio, -1) for ratio in up] for side in (1, -1))

    def _order(self, rules: Rules, side: int, ratio: int, turn: int) -> Order:
        least = Least(Order(0, turn * side, 0), side, ratio, turn)
        least.order.slope = least.slope_under(rules)
        self.all.append(least)
        return least.order

    def reprice(self, rules: Rules) -> None:
        """Move the thresholds to the rate of these rules."""
        for least in self.all:
            least.order.slope = least.slope_under(rules)

    def reached(self, rules: Rules, value: int, funding_index: int) -> Iterator[tuple[Order, int]]:
        """Give the entries that would have fired on the way down at this V, at the rate of these rules."""
        for least in self.all:
            if least.turn > 0:
                order = least.order
                threshold = Order(least.slope_under(rules), order.sign, 0).threshold(value, funding_index)
                for entry in order.until((threshold + SLACK) << SLOT_BITS):
                    yield order, entry
