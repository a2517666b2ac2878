"""Reading a cluster with kafka-python: another client than the engine's, so that an auditor does not share its faults.

Nothing here writes, joins a group or commits an offset.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, OffsetOutOfRangeError

from ringfence_streams.broker import Feed, Producer, Topic
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.errors import JournalDamaged, LogReadOnly, LogUnavailable, LogUnsuitable, RecordsLost
from ringfence_streams.kafka.administration import Administration, told
from ringfence_streams.kafka.admission import TIMEOUT_MS, reach
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.snapshots import KafkaSnapshots
from ringfence_streams.kafka.specs import ROLES
from ringfence_streams.port import Bounds, Record, Source

_FETCH_BYTES: Final = 4 * 1024 * 1024
_FETCH_WAIT_MS: Final = 10
"""A fetch at the end of a partition keeps the next one waiting for so long."""
_POLL_MS: Final = 100
"""After so long it is looked whether the end was reached without any record."""
_PATIENCE_S: Final = 30.0


@dataclass(slots=True)
class _Ahead:
    """What was fetched of a partition and not yet asked for."""

    start: int
    """The offset it goes on at: that of its first record, or one in a gap before it."""
    end: int
    """The offset to be fetched next."""
    records: deque[Record]


class SynchronousReader:
    """Reads partitions at any offset; a context manager.

    One partition is fetched at a time.  What was fetched ahead of the others is kept, so several can be read in turns.
    Every method raises LogUnavailable.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with told(connection.bootstrap):
            reach(connection)
            self._consumer = KafkaConsumer(
                **connection.for_kafka_python(),
                client_id="ringfence-reader",
                bootstrap_timeout_ms=TIMEOUT_MS,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",  # R2
                isolation_level="read_uncommitted",
                allow_auto_create_topics=False,
                check_crcs=True,
                max_partition_fetch_bytes=_FETCH_BYTES,
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                retry_backoff_ms=_FETCH_WAIT_MS,  # a client without anything to wait for sleeps for so long
            )
        self._fetching: tuple[TopicPartition | None, int] = None, 0
        """The partition that the consumer fetches, and its position there."""
        self._ahead: dict[Source, _Ahead] = {}
        self._end: dict[Source, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bounds(self, source: Source) -> Bounds:
        """The offsets that a partition holds now.  Raises LogUnsuitable when there is no such partition."""
        partition = self._partition(source)
        with told(self._connection.bootstrap):
            if partition.partition not in (self._consumer.partitions_for_topic(partition.topic) or ()):
                raise LogUnsuitable(f"There is no partition {partition.partition} of topic {partition.topic}")
            begin = self._consumer.beginning_offsets([partition])[partition]
            end = self._consumer.end_offsets([partition])[partition]
        self._end[source] = end
        return Bounds(begin, end)

    def read(self, source: Source, offset: int, records: int) -> list[Record]:
        """The next records from an offset on, at most so many; empty at the end.

        Raises RecordsLost when the partition does not hold the offset, and JournalDamaged for a wrong checksum.
        """
        ahead = self._ahead.get(source)
        if ahead is None or ahead.start != offset or not ahead.records:
            if offset >= self._end.get(source, 0):
                bounds = self.bounds(source)
                if not bounds.begin <= offset <= bounds.end:
                    raise _lost(source, offset, bounds)
            ahead = self._ahead[source] = self._fetch(source, offset)
        found = [ahead.records.popleft() for _ in range(min(records, len(ahead.records)))]
        ahead.start = found[-1].offset + 1 if found else ahead.end
        return found

    def last(self, source: Source, records: int) -> list[Record]:
        """The records of a partition's last so many offsets."""
        bounds = self.bounds(source)
        offset = max(bounds.begin, bounds.end - records)
        found: list[Record] = []
        while chunk := self.read(source, offset, records):
            found += chunk
            offset = chunk[-1].offset + 1
        return found

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def _fetch(self, source: Source, offset: int) -> _Ahead:
        """Fetch until something is there, or nothing is left before the end."""
        partition = self._partition(source)
        deadline = time.monotonic() + _PATIENCE_S
        ahead = _Ahead(offset, offset, deque())
        while not ahead.records and ahead.end < self._end[source]:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{source.topic}/{source.partition}@{ahead.end} does not arrive")
            ahead.records += self._poll(source, partition, ahead.end)
            # A compacted partition has gaps that are passed unseen, also at its end.
            ahead.end = self._consumer.position(partition)
            self._fetching = partition, ahead.end
        return ahead

    def _poll(self, source: Source, partition: TopicPartition, offset: int) -> list[Record]:
        if self._fetching != (partition, offset):
            self._consumer.assign([partition])
            self._consumer.seek(partition, offset)
        try:
            with told(self._connection.bootstrap, OffsetOutOfRangeError, CorruptRecordError):
                polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_FETCH_BYTES)
        except OffsetOutOfRangeError as error:
            raise _lost(source, offset, self.bounds(source)) from error
        except CorruptRecordError as error:
            where = f"{source.topic}/{source.partition}@{offset}"
            raise JournalDamaged(f"Record {where} or one after it: its checksum does not fit") from error
        return [record_of(source, record) for record in polled.get(partition, ())]

    def _partition(self, source: Source) -> TopicPartition:
        return TopicPartition(self._connection.physical(source.topic), source.partition)


class SynchronousBroker:
    """The reading half of the broker port.  Its methods do not wait for each other: they block."""

    def __init__(self, connection: Connection) -> None:
        self._administration = Administration(connection)
        self._reader = SynchronousReader(connection)

    async def describe(self) -> Mapping[str, Topic]:
        """Every topic of ours that exists."""
        topics = self._administration.topics(ROLES, configs=False)
        return {name: Topic(topic.identity, len(topic.partitions)) for name, topic in topics.items()}

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        return self._reader.bounds(Source(topic, partition))

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records.  Raises RecordsLost outside the log (R2) and JournalDamaged for a wrong checksum."""
        return self._reader.read(Source(topic, partition), offset, records)

    async def assigned(self, shard: int) -> bool:  # noqa: ARG002 -- true of every shard
        """Never: an auditor takes no shard over."""
        return False

    def producer(self) -> Producer:
        """Raises LogReadOnly."""
        raise LogReadOnly("An auditor's connection writes nothing")

    def feed(self, positions: Mapping[Source, int | None]) -> Feed:  # noqa: ARG002 -- refused for all
        """Raises LogReadOnly: reading sources forward is for one who writes frames."""
        raise LogReadOnly("An auditor's connection folds no inputs of its own")

    async def close(self) -> None:
        """Give back the connections."""
        self._reader.close()
        self._administration.close()


def open_for_reading(connection: Connection) -> BrokerLog:
    """The log of a cluster, for those who only read it: `verify`, `tail`, `status`, `doctor`.

    Raises LogUnavailable.
    """
    broker = SynchronousBroker(connection)
    return BrokerLog(broker, KafkaSnapshots(broker))


def record_of(source: Source, record: Any) -> Record:
    """A record of kafka-python as ours."""
    return Record(
        source.topic,
        source.partition,
        record.offset,
        record.timestamp * 1_000,
        record.key,
        record.value,
        tuple((name, value or b"") for name, value in record.headers),
    )


def _lost(source: Source, offset: int, bounds: Bounds) -> RecordsLost:
    return RecordsLost(f"{source.topic}/{source.partition} holds {bounds.begin} to {bounds.end}, not {offset}")
