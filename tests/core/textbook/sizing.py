"""Which quantities of a large position are worth trying."""

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from tests.core.textbook.position import Position
from tests.core.textbook.terms import Terms


def promising(position: Position, terms: Terms, mark: Fraction, steps: int) -> list[int]:
    """Step counts around every quantity at which restoring can begin, smallest first.

    Between the quantities that leave the notional where maintenance changes its course, what is missing is linear in
    the quantity: it can vanish only at an end, or where the line through two points crosses zero.
    """
    unit = terms.quantity_step * terms.multiplier
    price = position.entry if terms.basis == "entry" else mark
    corners = {1, steps}
    for notional in terms.edges(position.side):
        kept = notional * price if terms.inverse else notional / price
        at_edge = floor((abs(position.size) - kept) / unit)
        corners |= {min(max(at_edge + shift, 1), steps) for shift in (-1, 0, 1)}

    def missing(number: int | Fraction) -> Fraction:
        closed = number * unit
        rest = position.maintenance(terms, mark, abs(position.size) - closed)
        assert rest is not None
        cost = position.count(closed, mark) * (terms.taker + terms.liquidation.fee_rate)
        return terms.liquidation.target * rest - position.equity(mark) + cost

    ordered = sorted(corners)
    candidates = set()
    crossing: int | Fraction
    for left, right in pairwise(ordered):
        crossing = left
        slope = missing(right) - missing(left)
        if slope < 0 and missing(left) > 0:
            crossing = left - missing(left) * (right - left) / slope
        for number in (left, right, crossing):
            candidates |= {ceil(number) + shift for shift in (-1, 0, 1)}
    return sorted(number for number in candidates if 1 <= number <= steps)
