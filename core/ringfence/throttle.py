"""The throttle: how much notional liquidations may order in an interval, and who goes first when that is not enough.

Intervals are those of engine time since zero.  Each shard has a share of its own, so no shard waits for another.
"""

from __future__ import annotations

from fractions import Fraction

from ringfence import margin
from ringfence.rules import ThrottleRules
from ringfence.scales import ceil_divide
from ringfence.shard_state import State
from ringfence.state import Book, Bucket


def takes(state: State, book: Book, size: int) -> bool:
    """Whether an order of this size may go out now; if so its notional at the mark counts, rounded up to units.

    The first of an interval always may: an order greater than the share goes alone.
    """
    rules, plan, mark = book.rules, book.rules.liquidation.throttle, book.mark
    if plan is None:
        return True
    assert mark is not None
    worth, per = rules.contract.worth(size, mark)
    notional = ceil_divide(abs(worth), per * rules.quantum)
    began_us = state.time_us - state.time_us % plan.interval_us
    if book.ordered_from_us != began_us:
        book.ordered_from_us, book.ordered = began_us, 0
    share = plan.share(state.settings.shard, state.settings.shards)
    if book.ordered and book.ordered + notional > share:
        return False
    book.ordered += notional
    return True


def next_interval_us(state: State, plan: ThrottleRules) -> int:
    """Return when the next interval begins."""
    return state.time_us - state.time_us % plan.interval_us + plan.interval_us


def in_order_of_urgency(book: Book) -> list[Bucket]:
    """Return the buckets that wait: one that was passed over, then the least margin ratio, then by account id.

    Where nothing is to be maintained the ratio is below every other with no equity left, above every other with some.
    """
    return sorted(book.waiting, key=_urgency)


def _urgency(bucket: Bucket) -> tuple[bool, int, Fraction, str]:
    run, mark = bucket.liquidation, bucket.book.mark
    assert run is not None and mark is not None
    equity, maintenance, _ = margin.standing(bucket, mark)
    if maintenance:
        return not run.passed_over, 0, Fraction(equity, maintenance), bucket.account.name
    return not run.passed_over, 1 if equity > 0 else -1, Fraction(0), bucket.account.name
