"""Deleveraging: whom to ask, and for how much, when a loss is left that no fund covers.

Who profits from the other side is asked to close at the price at which the loser had nothing left: then the venue gets
back what the loss exceeded the bucket by.  A request asks, and changes nothing; fills that answer it are fills.  Only
what this shard sees is ranked.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from ringfence import figures, margin
from ringfence.scales import ONE, ceil_divide
from ringfence.shard_state import State
from ringfence.state import Bucket
from ringfence_schemas.outcomes import DeleverageRequested, UncoveredLoss


class Closed(NamedTuple):
    """A position that is gone and left less than nothing."""

    size: int
    """Signed."""
    cost: int
    """What it had to be worth for its equity to be zero, money."""
    shortfall: int
    uncovered: int
    """What the fund paid, and the part of it that the fund did not have, in units of the asset."""


def request(state: State, bucket: Bucket, closed: Closed, loss: UncoveredLoss) -> None:
    """Ask for the uncovered share of a closed position, the highest rank first, until it is covered or nobody is left.

    Nobody is asked without a mark, which ranks; when no price on the grid would have saved the bucket; or when the mark
    is no worse for its side than that price: then closing there would cost the venue more, not less.
    """
    rules, mark = bucket.book.rules, bucket.book.mark
    point = rules.contract.bankruptcy_point(closed.size, closed.cost, rules.price_tick)
    if point is None or mark is None or closed.size * (point * rules.price_tick - mark) <= 0:
        return
    price = point * rules.price_tick
    left = _uncovered_size(bucket, closed)
    for rank, other in enumerate(_ranked(bucket, closed.size, mark, price), 1):
        size = min(left, abs(other.size))
        left -= size
        score_of = score(other)
        state.record_of(
            DeleverageRequested,
            other,
            uncovered_loss=loss.id,
            liquidation_id=bucket.liquidation_id,
            rank=rank,
            score=(str(score_of.numerator), str(score_of.denominator)),
            side="buy" if closed.size > 0 else "sell",
            quantity=figures.quantity(size, rules),
            price=figures.price(price),
            remaining=figures.quantity(left, rules),
            **figures.judgement(other),
        )
        if not left:
            return


def _uncovered_size(bucket: Bucket, closed: Closed) -> int:
    """The share of the position that nobody paid for, rounded up to the quantity step, at most the position."""
    rules, size = bucket.book.rules, abs(closed.size)
    step = rules.size_of(rules.quantity_step)
    share = ceil_divide(size * closed.uncovered, closed.shortfall)
    return min(size, ceil_divide(share, step) * step)


def _ranked(bucket: Bucket, size: int, mark: int, price: int) -> list[Bucket]:
    """The buckets of the other side that profit at the mark and can bear this price, the highest score first."""
    found = [
        other
        for other in bucket.book.buckets.values()
        if other.size * size < 0
        and other.liquidation is None
        and other.size * (mark - other.entry_price * ONE) > 0
        and margin.equity_at(other, price)[0] >= 0
    ]
    return sorted(found, key=lambda other: (-score(other), other.account.name))


def score(bucket: Bucket) -> Fraction:
    """Profit fraction x effective leverage, exactly: q * (V(P) - V(E)) / N(E) * N(P) / equity.

    Fractions are compared by cross-multiplying integers.
    """
    contract, mark = bucket.book.rules.contract, bucket.book.mark or 0
    worth, per = contract.worth(bucket.size, mark)
    paid, per_paid = contract.worth(bucket.size, bucket.entry_price * ONE)
    equity, _ = margin.equity_at(bucket, mark)
    return Fraction((worth * per_paid - paid * per) * abs(worth), per * abs(paid) * equity)
