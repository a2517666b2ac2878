"""The ids of applied inputs, kept exactly as long as `id_window` asks, in about forty-five bytes each.

An id is remembered as a record of forty bytes: a 16-byte tag of (scope, id), the 16-byte hash of the content, the
`time_us`.  Records lie in buckets of a linear hash table (W. Litwin, 1980): one bucket is split per few insertions,
so the table grows without ever pausing to be rebuilt.  Whole minutes of `time_us` are forgotten together when engine
time leaves them behind: at once, by what each minute added to the count and to the digest.  Their records are swept out
later, one bucket with each id added, so the table shrinks without a pause too.

What is remembered is a function of the ids applied and of engine time alone: minutes, not the order of arrival,
decide when a record is dropped, and a record whose own time has left the window is not found even before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from struct import Struct
from typing import Final

TAG: Final = 16
RECORD: Final = 40
MINUTE_US: Final = 60_000_000
RECORDS_PER_BUCKET: Final = 12
FIRST_BUCKETS: Final = 16
NEVER: Final = 10**30

_NUMBER: Final = Struct("<Q8x").unpack
_TIME: Final = Struct("<Q").pack
_NUMBERS: Final = Struct("<Q32x").iter_unpack
_TIMES: Final = Struct("<32xQ").iter_unpack
_RECORDS: Final = Struct(f"{RECORD}s").iter_unpack


class Minute:
    """What the ids of one minute add up to."""

    __slots__ = ("count", "digest")

    def __init__(self) -> None:
        self.count = 0
        self.digest = 0


class Identities:
    """A map of tag -> (content hash, time_us) with deterministic forgetting."""

    __slots__ = (
        "_buckets",
        "_capacity",
        "_doubled",
        "_forgotten",
        "_forgotten_us",
        "_hand",
        "_minutes",
        "_order",
        "_split",
        "count",
        "digest",
        "oldest_us",
    )

    def __init__(self) -> None:
        self._buckets: list[bytes] = [b""] * FIRST_BUCKETS
        self._doubled = FIRST_BUCKETS
        """Number of buckets when the present round of splitting began."""
        self._split = 0
        """The next bucket to split in this round."""
        self._capacity = FIRST_BUCKETS * RECORDS_PER_BUCKET
        """With more records than this another bucket is split."""
        self._minutes: dict[int, Minute] = {}
        self._order: list[int] = []
        self._forgotten = 0
        """Records that are forgotten and not yet swept out: all those before `_forgotten_us`."""
        self._forgotten_us = 0
        self._hand = 0
        """The next bucket to sweep."""
        self.count = 0
        self.digest = 0
        """Sum of the content hashes of all records."""
        self.oldest_us = NEVER
        """End of the oldest minute remembered: when the horizon reaches it, `forget` has work to do."""

    def place_of(self, tag: bytes) -> int:
        """Return where `tag` is or would be, for `find` and an `add` right after it."""
        (number,) = _NUMBER(tag)
        place: int = number % self._doubled
        return place if place >= self._split else number % (2 * self._doubled)

    def find(self, place: int, tag: bytes, horizon_us: int) -> bytes | None:
        """Return the content hash remembered for `tag`; None when none has a `time_us` at or after `horizon_us`."""
        records = self._buckets[place]
        at = records.find(tag)
        while at >= 0:
            if not at % RECORD:
                time_us = int.from_bytes(records[at + 32 : at + RECORD], "little")
                if time_us >= horizon_us and time_us >= self._forgotten_us:
                    return records[at + TAG : at + 32]
            at = records.find(tag, at + 1)
        return None

    def add(self, place: int, tag: bytes, content: bytes, time_us: int) -> None:
        """Remember an applied id that `find` did not know."""
        if time_us < self._forgotten_us:  # a longer window lets in what was forgotten: nothing forgotten may be left
            while self._forgotten:
                self._sweep_next()
            self._forgotten_us = 0
        number = time_us // MINUTE_US
        minute = self._minutes.get(number) or self._begin_minute(number)
        term = int.from_bytes(content, "little")
        minute.count += 1
        minute.digest += term
        self._buckets[place] += tag + content + _TIME(time_us)
        self.digest += term
        self.count += 1
        if self._forgotten:
            self._sweep_next()
        if self.count > self._capacity:
            self._split_next()

    def forget(self, horizon_us: int) -> None:
        """Forget every minute that ends at or before `horizon_us`."""
        while self._order and (self._order[0] + 1) * MINUTE_US <= horizon_us:
            number = heappop(self._order)
            minute = self._minutes.pop(number)
            self.count -= minute.count
            self.digest -= minute.digest
            self._forgotten += minute.count
            self._forgotten_us = (number + 1) * MINUTE_US
        self.oldest_us = (self._order[0] + 1) * MINUTE_US if self._order else NEVER

    def records(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield (tag, content hash, time_us) of every record, in order of time and tag."""
        found = [
            (time_us, record)
            for records in self._buckets
            for (time_us,), (record,) in zip(_TIMES(records), _RECORDS(records), strict=True)
            if time_us >= self._forgotten_us
        ]
        for time_us, record in sorted(found):
            yield record[:TAG], record[TAG:32], time_us

    def _begin_minute(self, number: int) -> Minute:
        minute = self._minutes[number] = Minute()
        heappush(self._order, number)
        self.oldest_us = (self._order[0] + 1) * MINUTE_US
        return minute

    def _sweep_next(self) -> None:
        """Drop the forgotten records of one bucket."""
        self._hand = (self._hand + 1) % len(self._buckets)
        records, forgotten_us = self._buckets[self._hand], self._forgotten_us
        kept = [
            record
            for (time_us,), (record,) in zip(_TIMES(records), _RECORDS(records), strict=True)
            if time_us >= forgotten_us
        ]
        dropped = len(records) // RECORD - len(kept)
        if dropped:
            self._buckets[self._hand] = b"".join(kept)
            self._forgotten -= dropped

    def _split_next(self) -> None:
        """Spread one bucket over two."""
        records, bit = self._buckets[self._split], self._doubled
        stay: list[bytes] = []
        move: list[bytes] = []
        for (number,), (record,) in zip(_NUMBERS(records), _RECORDS(records), strict=True):
            (move if number & bit else stay).append(record)
        self._buckets[self._split] = b"".join(stay)
        self._buckets.append(b"".join(move))
        self._capacity += RECORDS_PER_BUCKET
        self._split += 1
        if self._split == self._doubled:
            self._doubled, self._split = 2 * self._doubled, 0
