"""Reading several partitions as one sequence: by timestamp, then rank of the topic, partition and offset."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from ringfence_schemas.topics import TOPIC_RANK
from ringfence_streams.broker import Feed
from ringfence_streams.port import Record, Source

_FETCH_RECORDS = 500


class MergingReader:
    """Merges the sources of one shard, never passing a source that is known to have unread records.

    The order is a fact only once a frame has recorded it: what arrives later with an earlier timestamp comes later.
    """

    def __init__(self, feed: Feed, sources: Sequence[Source]) -> None:
        self._feed = feed
        self._fetched: dict[Source, deque[Record]] = {source: deque() for source in sources}
        self._fronts: list[tuple[int, int, int, int, Source]] = []
        self._idle = set(sources)

    async def read(self, inputs: int, size_bytes: int) -> Sequence[Record]:
        """The next records in order, at most so many and about so many bytes; empty when none is readable now."""
        for source in sorted(self._idle):
            await self._advance(source)
        batch: list[Record] = []
        size = 0
        while self._fronts and len(batch) < inputs and size < size_bytes:
            source = heappop(self._fronts)[-1]
            fetched = self._fetched[source]
            record = fetched.popleft()
            batch.append(record)
            size += len(record.value or b"")
            if fetched:
                self._line_up(source, fetched[0])
            else:
                await self._advance(source)
        return batch

    async def wait(self, timeout_us: int) -> None:
        """Return when something was appended, at the latest after `timeout_us`."""
        await self._feed.wait(timeout_us)

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Tell monitors of lag."""
        await self._feed.hint(offsets)

    async def refresh(self) -> None:
        """Learn what is there now."""
        await self._feed.refresh()

    async def close(self) -> None:
        """Read no further ahead."""
        await self._feed.close()

    async def _advance(self, source: Source) -> None:
        """Put the source's next record in line, or remember that it has none."""
        fetched = self._fetched[source]
        if not fetched:
            fetched.extend(await self._feed.read(source, _FETCH_RECORDS))
        if fetched:
            self._line_up(source, fetched[0])
            self._idle.discard(source)
        else:
            self._idle.add(source)

    def _line_up(self, source: Source, front: Record) -> None:
        rank = TOPIC_RANK.get(source.topic, len(TOPIC_RANK))
        heappush(self._fronts, (front.timestamp_us, rank, source.partition, front.offset, source))
