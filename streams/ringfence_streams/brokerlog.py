"""The Log port over any broker: memory for simulation and tests, Kafka in production."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from ringfence_schemas.frames import Settings, SourceRange, TopicIdentity
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import ACCOUNT_TOPICS, DEAD_LETTER_SUFFIX, INPUT_TOPICS, JOURNAL, OUTPUT_TOPICS
from ringfence_streams.broker import Broker, Outgoing, Producer, Topic
from ringfence_streams.chained import ChainedOwnership
from ringfence_streams.clock import Clock
from ringfence_streams.errors import LogUnsuitable
from ringfence_streams.merge import MergingReader
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Bounds, Message, Record, SnapshotStore, Source

OUTPUTS = (*OUTPUT_TOPICS, *(topic + DEAD_LETTER_SUFFIX for topic in INPUT_TOPICS))
"""Every topic that a shard publishes to."""

SHARDED_TOPICS = (JOURNAL, *sorted(ACCOUNT_TOPICS), *OUTPUTS)
"""Topics with one partition per shard."""


_PUBLISH_RECORDS: Final = 5_000


class BrokerLog:
    """Sources, journal and outputs are topics of a broker; snapshots live where the given store keeps them."""

    beats_when_idle = True

    def __init__(self, broker: Broker, snapshots: SnapshotStore) -> None:
        self._broker = broker
        self._snapshots = snapshots
        self._inputs: Producer | None = None
        self._topics: Mapping[str, Topic] = {}

    @property
    def snapshots(self) -> SnapshotStore:
        """Where snapshots live."""
        return self._snapshots

    async def shards(self) -> int:
        """How many shards the log has: the partitions of its journal.  Raises LogUnsuitable, LogUnavailable."""
        return await self._count(JOURNAL)

    async def check(self, settings: Settings) -> None:
        """Every topic exists, and those with a partition per shard have exactly that many.  Raises LogUnsuitable."""
        for topic in (*SHARDED_TOPICS, *INPUT_TOPICS):
            found = await self._count(topic)
            if topic in SHARDED_TOPICS and found != settings.shards:
                raise LogUnsuitable(f"Topic {topic} has {found} partitions, {settings.shards} shards need as many")

    async def identities(self) -> Sequence[TopicIdentity]:
        """The identity of the journal and of every source topic."""
        topics = await self._broker.describe()
        return [TopicIdentity(topic, topics[topic].identity) for topic in (JOURNAL, *INPUT_TOPICS) if topic in topics]

    async def journal_bounds(self, shard: int) -> Bounds:
        """The offsets that the shard's journal holds."""
        return await self._broker.bounds(JOURNAL, shard)

    async def read_journal(self, shard: int, offset: int, records: int) -> Sequence[Record]:
        """The next journal records from `offset` on."""
        return await self._broker.read(JOURNAL, shard, offset, records)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that a partition of any topic holds."""
        return await self._broker.bounds(topic, partition)

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records of any topic."""
        return await self._broker.read(topic, partition, offset, records)

    async def topics(self) -> Sequence[Source]:
        """Every topic and partition."""
        topics = await self._broker.describe()
        return [Source(name, number) for name in sorted(topics) for number in range(topics[name].partitions)]

    async def publish(self, messages: Iterable[Message]) -> int:
        """Append inputs in order, each to the partition of its key; returns how many, once all are acknowledged."""
        if self._inputs is None:
            self._inputs = self._broker.producer()
        remaining = iter(messages)
        count = 0
        while batch := list(islice(remaining, _PUBLISH_RECORDS)):
            await self._publish(self._inputs, batch)
            count += len(batch)
        return count

    async def assigned(self, shard: int) -> bool:
        """Whether the owners' group assigns the shard to this process."""
        return await self._broker.assigned(shard)

    async def eligible(self, shard: int, *, vacant: bool) -> bool:
        """T1: assigned here, and the head is a release frame or has not moved for the lease."""
        return vacant and await self._broker.assigned(shard)

    def reader(self, shard: int, positions: Mapping[Source, SourceRange]) -> MergingReader:
        """A reader of the shard's own partitions of account topics and of all partitions of the others."""
        sources = self._sources(shard)
        starts = {source: positions[source].end if source in positions else None for source in sources}
        return MergingReader(self._broker.feed(starts), sources)

    def ownership(self, shard: int, motion: MotionSettings, clock: Clock) -> ChainedOwnership:
        """A fresh ownership with producer sessions of its own (W1)."""
        return ChainedOwnership(self._broker, shard, OUTPUTS, motion, clock)

    async def resign(self, shard: int) -> None:
        """Nothing to give back: only the journal says who owns a shard."""

    async def close(self) -> None:
        """End the session of the inputs, then the broker's connections."""
        if self._inputs is not None:
            await self._inputs.cancel()
            self._inputs = None
        await self._broker.close()

    def _sources(self, shard: int) -> list[Source]:
        return [
            Source(topic, partition)
            for topic in INPUT_TOPICS
            for partition in ([shard] if topic in ACCOUNT_TOPICS else range(self._topics[topic].partitions))
        ]

    async def _publish(self, producer: Producer, messages: Sequence[Message]) -> None:
        by_partition: dict[Source, list[Outgoing]] = {}
        for message in messages:
            key = message.key.encode()
            headers = (("traceparent", message.traceparent.encode()),) if message.traceparent else ()
            source = Source(message.topic, partition_of(key, await self._count(message.topic)))
            outgoing = Outgoing(key, message.value, headers, message.timestamp_us)
            by_partition.setdefault(source, []).append(outgoing)
        sent = [append for source, outgoing in by_partition.items() for append in producer.send(*source, outgoing)]
        for append in sent:
            await append.acknowledgement

    async def _count(self, topic: str) -> int:
        if topic not in self._topics:
            self._topics = await self._broker.describe()
        if topic not in self._topics:
            raise LogUnsuitable(f"Topic {topic} does not exist")
        return self._topics[topic].partitions
