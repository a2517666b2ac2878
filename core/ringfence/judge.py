"""Judging: who must be called, who must be liquidated.  Facts are recorded before, decisions are recorded here.

The last tick judges.  A market event judges the buckets whose triggers fired, in order of account id; an account's
own event judges its own bucket.
"""

from __future__ import annotations

from ringfence import calls, liquidation, margin
from ringfence.shard_state import State
from ringfence.state import Book, Bucket


def sweep(state: State, book: Book) -> None:
    """Judge every bucket whose trigger fired at the present mark, then find the new safe interval."""
    mark = book.mark
    if mark is None:
        book.index.low = book.index.high = 0
        return
    for bucket in sorted(book.index.fired(mark, book.funding_index), key=account_name):
        judge(state, bucket, mark)
        if bucket.slot >= 0:
            book.index.place(bucket)
    book.index.settle(book.funding_index)


def account_name(bucket: Bucket) -> str:
    """Return what buckets are put in order by."""
    return bucket.account.name


def judge(state: State, bucket: Bucket, mark: int) -> None:
    """Judge one open bucket exactly: liquidation before call."""
    rules = bucket.book.rules
    standing = margin.standing(bucket, mark)
    if margin.liquidatable(rules, standing) and not (rules.halted or bucket.book.stale):
        liquidation.start(state, bucket, standing)
    elif rules.call_levels or bucket.level:
        calls.judge_level(state, bucket, standing)


def judge_own(state: State, bucket: Bucket) -> None:
    """Judge a bucket after its account's own event, and watch it anew."""
    if not bucket.size or bucket.liquidation:
        return
    book = bucket.book
    book.index.place(bucket)
    mark = book.mark
    if mark is None or book.index.low < mark < book.index.high:
        return
    if not book.changed:
        sweep(state, book)
        return
    level = bucket.level
    judge(state, bucket, mark)
    if bucket.level != level and bucket.slot >= 0:
        book.index.place(bucket)
