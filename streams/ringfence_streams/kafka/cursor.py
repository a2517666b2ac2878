"""Reading one partition forward, with a consumer of its own.

aiokafka asks a broker for nothing more while any partition on it has records that nobody took yet, so partitions that
are read at different paces do not share a consumer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import ConsumerRecord

from ringfence_streams.errors import JournalDamaged, LogUnavailable, RecordsLost
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.patience import patiently
from ringfence_streams.port import Bounds, Record, Source

SHARDS: Final = "shards"
"""The group to which source offsets are committed as a hint: it has no members and assigns nothing."""
FETCH_BYTES: Final = 4 * 1024 * 1024
"""A consumer reads ahead about so far."""
_BACKOFF_MS: Final = 20
"""aiokafka sleeps so long also when it only has to learn of a topic for the first time."""
_LONGEST_WAIT_MS: Final = 1_000
_REQUEST_TIMEOUT_MS: Final = 15_000
"""A broker that is silent for so long is asked no more until the cluster has been asked who leads now."""
_READ_RECORDS: Final = 2_000


class Cursor:
    """Reads a partition forward; going on where the last read ended costs least.

    One that `follows` keeps a request open at the broker, so that a new record comes at once.  One that does not asks
    anew every time, and is free at once to read something else.
    """

    def __init__(self, connection: Connection, *, follows: bool) -> None:
        self._connection = connection
        self._follows = follows
        self._consumer: AIOKafkaConsumer | None = None
        self._source: Source | None = None
        self._partition: TopicPartition | None = None
        self._resume = 0
        """After the last record that was given out."""
        self._next = -1
        """The next offset that will be fetched; what lies between holds no records (compaction)."""
        self._paused = False
        self._end = 0
        """Records up to here are known to exist."""

    async def bounds(self, source: Source) -> Bounds:
        """The offsets that a partition holds now."""
        consumer = await self._started()
        partition = TopicPartition(self._connection.physical(source.topic), source.partition)
        begin = await patiently(lambda: consumer.beginning_offsets([partition]))
        end = await patiently(lambda: consumer.end_offsets([partition]))
        return Bounds(begin[partition], end[partition])

    async def read(self, source: Source, offset: int, records: int) -> Sequence[Record]:
        """The next records from an offset on; empty when none is known to be there.

        Raises RecordsLost when the partition does not hold that offset, and JournalDamaged for a wrong checksum.
        """
        try:
            return await self._read(source, offset, records)
        except JournalDamaged:
            self._source = None  # aiokafka would go on after the damage
            if records == 1:
                raise
            return await self.read(source, offset, 1)  # what stands before the damage is sound

    async def _read(self, source: Source, offset: int, records: int) -> list[Record]:
        consumer = await self._started()
        if source != self._source or not self._resume <= offset <= self._next:
            await self._seek(consumer, source, offset)
        elif not self._follows and self._next >= self._end:
            self._end = (await self.bounds(source)).end
        if self._paused and self._next < self._end:
            self._paused = False
            consumer.resume(self._partition)
        found: list[Record] = []
        while not found and (self._follows or self._next < self._end):
            found = await self._take(consumer, records, wait=self._next < self._end)
            if self._next >= self._end:
                break
        if not self._follows and not self._paused and self._next >= self._end:
            self._paused = True
            consumer.pause(self._partition)
        return found

    async def wait(self, timeout_us: int) -> Sequence[Record]:
        """What the last partition read has next, waiting for it; empty after `timeout_us`."""
        consumer = await self._started()
        return await self._take(consumer, None, wait=True, timeout_ms=max(1, timeout_us // 1_000))

    async def refresh(self) -> None:
        """Learn where the partition that is read ends now."""
        if self._source is not None:
            self._end = (await self.bounds(self._source)).end

    async def hint(self, offset: int) -> None:
        """Commit an offset to the group of the shards, for monitors of lag alone."""
        if self._consumer is not None and self._partition is not None:
            with suppress(KafkaError):
                await self._consumer.commit({self._partition: offset})

    @property
    def unread(self) -> bool:
        """Whether records are known to be there that were not read yet."""
        return self._next < self._end

    async def close(self) -> None:
        """End the consumer."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _seek(self, consumer: AIOKafkaConsumer, source: Source, offset: int) -> None:
        bounds = await self.bounds(source)
        if not bounds.begin <= offset <= bounds.end:
            raise RecordsLost(f"{source.topic}/{source.partition} holds {bounds.begin} to {bounds.end}, not {offset}")
        self._source, self._end = source, bounds.end
        self._resume = self._next = offset
        self._paused = False
        self._partition = TopicPartition(self._connection.physical(source.topic), source.partition)
        consumer.assign([self._partition])
        consumer.seek(self._partition, offset)

    async def _take(
        self, consumer: AIOKafkaConsumer, records: int | None, *, wait: bool, timeout_ms: int = _LONGEST_WAIT_MS
    ) -> list[Record]:
        assert self._source is not None
        source = self._source
        try:
            fetched = await consumer.getmany(
                self._partition, timeout_ms=timeout_ms if wait else 0, max_records=records or _READ_RECORDS
            )
        except OffsetOutOfRangeError as error:
            raise RecordsLost(f"{source.topic}/{source.partition} does not hold offset {self._next}") from error
        except CorruptRecordException as error:
            where = f"Record {source.topic}/{source.partition}@{self._next}"
            raise JournalDamaged(f"{where}: its checksum does not fit") from error
        except TopicAuthorizationFailedError as error:
            raise LogUnavailable(f"Topic {source.topic} may not be read: {error!r}") from error
        found = [record_of(source, record) for batch in fetched.values() for record in batch]
        self._end = max(self._end, consumer.highwater(self._partition) or 0)
        if found:
            self._resume = found[-1].offset + 1
        self._next = await consumer.position(self._partition)
        return found

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._connection.for_aiokafka(),
                group_id=self._connection.group(SHARDS) if self._follows else None,
                enable_auto_commit=False,
                auto_offset_reset="none",  # R2
                isolation_level="read_uncommitted",
                check_crcs=True,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                retry_backoff_ms=_BACKOFF_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            self._consumer = consumer
            await patiently(consumer.start)
        return self._consumer


def record_of(source: Source, record: ConsumerRecord) -> Record:
    """One of aiokafka's records as the port has them; a broker's timestamps have milliseconds."""
    return Record(
        source.topic,
        source.partition,
        record.offset,
        record.timestamp * 1_000,
        record.key,
        record.value,
        tuple(record.headers),
    )


class KafkaFeed:
    """Several partitions, each read forward by a cursor of its own."""

    def __init__(
        self,
        connection: Connection,
        positions: Mapping[Source, int | None],
        ended: Callable[[KafkaFeed], None] = lambda _: None,
    ) -> None:
        """`ended`: called when its consumers have ended."""
        self._tell_ended = ended
        self._cursors = {source: Cursor(connection, follows=True) for source in positions}
        self._next = dict(positions)
        self._ahead: dict[Source, deque[Record]] = {source: deque() for source in positions}
        self._waits: dict[Source, asyncio.Future[Sequence[Record]]] = {}
        self._hinting: asyncio.Future[list[None]] | None = None

    async def read(self, source: Source, records: int) -> Sequence[Record]:
        """The next records of one source; empty only when none is known to be unread."""
        if self._cursors[source].unread and source in self._waits:
            await asyncio.wait([self._waits[source]])
        self._collect(source)
        ahead = self._ahead[source]
        if ahead:
            return [ahead.popleft() for _ in range(min(records, len(ahead)))]
        if source in self._waits:
            return ()
        position = self._next[source]
        cursor = self._cursors[source]
        if position is None:
            position = (await cursor.bounds(source)).begin
        found = await cursor.read(source, position, records)
        self._next[source] = found[-1].offset + 1 if found else position
        return found

    async def wait(self, timeout_us: int) -> None:
        """Return when something can be read, at the latest after `timeout_us`."""
        for source, cursor in self._cursors.items():
            if source not in self._waits:
                self._waits[source] = asyncio.ensure_future(cursor.wait(timeout_us))
        await asyncio.wait(self._waits.values(), return_when=asyncio.FIRST_COMPLETED)

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Tell monitors of lag, unless the last time is still on its way."""
        if self._hinting is None or self._hinting.done():
            hints = [self._cursors[source].hint(offset) for source, offset in offsets.items()]
            self._hinting = asyncio.gather(*hints)

    async def refresh(self) -> None:
        """Learn where every source ends now."""
        await asyncio.gather(*(cursor.refresh() for cursor in self._cursors.values()))

    async def close(self) -> None:
        """End every consumer."""
        pending: list[asyncio.Future[Any]] = [*self._waits.values(), *([self._hinting] if self._hinting else [])]
        for waiting in pending:
            waiting.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.gather(*(cursor.close() for cursor in self._cursors.values()))
        self._tell_ended(self)

    def _collect(self, source: Source) -> None:
        """Take over what waiting for a source brought."""
        waiting = self._waits.get(source)
        if waiting is not None and waiting.done():
            del self._waits[source]
            if found := waiting.result():
                self._ahead[source].extend(found)
                self._next[source] = found[-1].offset + 1
