"""Which quantities of a large position are worth trying."""

from fractions import Fraction
from itertools import pairwise
from math import ceil

from tests.core.textbook.position import Position
from tests.core.textbook.terms import Terms


def promising(position: Position, terms: Terms, mark: Fraction, steps: int) -> list[int]:
    """Step counts around every quantity at which restoring can begin, smallest first.

    Between the quantities that leave the notional on a tier's floor, what is missing is linear in
    the quantity: it can vanish only at an end, or where the line through two points crosses zero.
    """
    unit = terms.quantity_step * terms.multiplier
    price = position.entry if terms.basis == "entry" else mark
    corners = {Fraction(1), Fraction(steps)}
    for bracket in terms.brackets:
        at_floor = (abs(position.size) - bracket.floor / price) / unit
        corners.add(min(max(at_floor, Fraction(1)), Fraction(steps)))

    def missing(number: Fraction) -> Fraction:
        closed = number * unit
        rest = position.maintenance(terms, mark, abs(position.size) - closed)
        assert rest is not None
        cost = closed * mark * (terms.taker + terms.liquidation.fee_rate)
        return terms.liquidation.target * rest - position.equity(mark) + cost

    ordered = sorted(corners)
    candidates = set()
    for left, right in pairwise(ordered):
        crossing = left
        slope = missing(right) - missing(left)
        if slope < 0 and missing(left) > 0:
            crossing = left - missing(left) * (right - left) / slope
        for number in (left, right, crossing):
            candidates |= {ceil(number) + shift for shift in (-1, 0, 1)}
    return sorted(number for number in candidates if 1 <= number <= steps)
