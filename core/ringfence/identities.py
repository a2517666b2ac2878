"""The ids of applied inputs, kept exactly as long as `id_window` asks, in about sixty bytes each.

An id is remembered as a record of forty bytes: a 16-byte tag of (scope, id), the 16-byte hash of the content, the
`time_us`.  Records lie in buckets of a linear hash table (W. Litwin, 1980): one bucket is split per few insertions,
so the table grows without ever pausing to be rebuilt.  A second list keeps the tags of each minute of `time_us`, so
that whole minutes are forgotten together when engine time leaves them behind.

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


class Identities:
    """A map of tag -> (content hash, time_us) with deterministic forgetting."""

    __slots__ = ("_buckets", "_capacity", "_doubled", "_minutes", "_order", "_split", "count", "digest", "oldest_us")

    def __init__(self) -> None:
        self._buckets: list[bytes] = [b""] * FIRST_BUCKETS
        self._doubled = FIRST_BUCKETS
        """Number of buckets when the present round of splitting began."""
        self._split = 0
        """The next bucket to split in this round."""
        self._capacity = FIRST_BUCKETS * RECORDS_PER_BUCKET
        """With more records than this another bucket is split."""
        self._minutes: dict[int, bytearray] = {}
        self._order: list[int] = []
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
            if not at % RECORD and int.from_bytes(records[at + 32 : at + RECORD], "little") >= horizon_us:
                return records[at + TAG : at + 32]
            at = records.find(tag, at + 1)
        return None

    def add(self, place: int, tag: bytes, content: bytes, time_us: int) -> None:
        """Remember an applied id that `find` did not know."""
        minute = time_us // MINUTE_US
        if minute in self._minutes:
            self._minutes[minute] += tag
        else:
            self._minutes[minute] = bytearray(tag)
            heappush(self._order, minute)
            self.oldest_us = (self._order[0] + 1) * MINUTE_US
        self._buckets[place] += tag + content + _TIME(time_us)
        self.digest += int.from_bytes(content, "little")
        self.count += 1
        if self.count > self._capacity:
            self._split_next()

    def forget(self, horizon_us: int) -> None:
        """Drop every minute that ends at or before `horizon_us`."""
        while self._order and (self._order[0] + 1) * MINUTE_US <= horizon_us:
            minute = heappop(self._order)
            tags = bytes(self._minutes.pop(minute))
            for at in range(0, len(tags), TAG):
                self._drop(tags[at : at + TAG], minute)
        self.oldest_us = (self._order[0] + 1) * MINUTE_US if self._order else NEVER

    def records(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield (tag, content hash, time_us) of every record, in order of time and tag."""
        for minute in sorted(self._minutes):
            tags = bytes(self._minutes[minute])
            names = dict.fromkeys(tags[at : at + TAG] for at in range(0, len(tags), TAG))
            found = [record for tag in names for record in self._records_of(tag, minute)]
            for record in sorted(found, key=lambda record: (record[32:][::-1], record)):
                yield record[:TAG], record[TAG:32], int.from_bytes(record[32:], "little")

    def _records_of(self, tag: bytes, minute: int) -> Iterator[bytes]:
        """Yield the records of a tag in this minute: two, where an id expired and was used again before it ended."""
        records = self._buckets[self.place_of(tag)]
        at = records.find(tag)
        while at >= 0:
            if not at % RECORD and int.from_bytes(records[at + 32 : at + RECORD], "little") // MINUTE_US == minute:
                yield records[at : at + RECORD]
            at = records.find(tag, at + 1)

    def _drop(self, tag: bytes, minute: int) -> None:
        record = next(self._records_of(tag, minute))
        where = self.place_of(tag)
        records = self._buckets[where]
        kept = [records[at : at + RECORD] for at in range(0, len(records), RECORD)]
        kept.remove(record)
        self._buckets[where] = b"".join(kept)
        self.count -= 1
        self.digest -= int.from_bytes(record[TAG:32], "little")

    def _split_next(self) -> None:
        """Spread one bucket over two."""
        records, modulus = self._buckets[self._split], 2 * self._doubled
        stay: list[bytes] = []
        move: list[bytes] = []
        for at, (number,) in enumerate(_NUMBERS(records)):
            (stay if number % modulus == self._split else move).append(records[at * RECORD : at * RECORD + RECORD])
        self._buckets[self._split] = b"".join(stay)
        self._buckets.append(b"".join(move))
        self._capacity += RECORDS_PER_BUCKET
        self._split += 1
        if self._split == self._doubled:
            self._doubled, self._split = 2 * self._doubled, 0
