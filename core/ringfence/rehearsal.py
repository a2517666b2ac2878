"""The rehearsal of a change: whom it would call and liquidate at the present mark, were it in force now.

Nothing is decided and nothing changes.  For another rate of volatility the index finds who is concerned; any other
change of parameters is tried on every position of the instrument, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringfence import calls
from ringfence.figures import notional_up
from ringfence.margin import liquidatable, standing
from ringfence.rules import Rules
from ringfence.state import Book, Bucket

UNKNOWN = dict.fromkeys(("would_call", "would_call_notional", "would_liquidate", "would_liquidate_notional"))
"""Without a mark nothing is judged."""


def rehearse(book: Book, rules: Rules) -> dict[str, Any]:
    """Return how many positions, and how much notional at the mark, these rules would call deeper than now, and how
    many they would liquidate: the fields of an announcement.  None of them without a mark.
    """
    mark = book.mark
    if mark is None:
        return UNKNOWN
    called: list[int] = []
    liquidated: list[int] = []
    for bucket in _concerned(book, rules, mark):
        stands = standing(bucket, mark, rules)
        if liquidatable(rules, stands) and not (rules.halted or book.stale):
            liquidated.append(abs(bucket.size))
        elif calls.deeper(calls.deepest_level(rules, stands), bucket.level):
            called.append(abs(bucket.size))
    return {
        "would_call": len(called),
        "would_call_notional": notional_up(sum(called), mark, rules),
        "would_liquidate": len(liquidated),
        "would_liquidate_notional": notional_up(sum(liquidated), mark, rules),
    }


def _concerned(book: Book, rules: Rules, mark: int) -> Iterable[Bucket]:
    """Give the buckets that may be judged otherwise; those in liquidation are beyond it."""
    if rules.event is book.rules.event and not book.changed:
        return book.index.repriced(rules, mark, book.funding_index)
    return book.index.open_buckets()
