"""The broker port over Apache Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

from ringfence_streams.broker import Topic
from ringfence_streams.errors import LogUnavailable
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.cursor import Cursor, KafkaFeed
from ringfence_streams.kafka.group import Owners
from ringfence_streams.kafka.patience import PAUSE_S
from ringfence_streams.kafka.producer import KafkaProducer
from ringfence_streams.kafka.specs import ROLES
from ringfence_streams.port import Bounds, Record, Source

logger = logging.getLogger(__name__)


class KafkaBroker:
    """One process's connections to a cluster.  Topics have their logical names on this side."""

    def __init__(self, connection: Connection, shards: Collection[int] | None = None) -> None:
        """`shards`: those that this process runs without asking the owners' group; None: those the group assigns."""
        self.connection = connection
        self._shards = shards
        self._owners = Owners(connection)
        self._cursors: dict[int, Cursor] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._users: set[KafkaProducer | KafkaFeed] = set()
        """What has connections of its own and has not ended yet."""
        self._answered = False
        """Whether there ever was an answer: an address at which nobody is, is told at once and not waited for."""

    async def describe(self) -> Mapping[str, Topic]:
        """Every topic of ours that exists.  Raises LogUnavailable when there never was an answer."""
        while True:
            try:
                topics = await asyncio.to_thread(_described, self.connection)
            except LogUnavailable as error:
                if not self._answered:
                    raise
                logger.warning("Asking again: %s", error)
                await asyncio.sleep(PAUSE_S)
            else:
                self._answered = True
                return topics

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        async with self._lock(partition):
            return await self._cursor(partition).bounds(Source(topic, partition))

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records.  Raises RecordsLost outside the log (R2) and JournalDamaged for a wrong checksum."""
        async with self._lock(partition):
            return await self._cursor(partition).read(Source(topic, partition), offset, records)

    async def assigned(self, shard: int) -> bool:
        """T1: chosen when the process started, or assigned by the owners' group."""
        return self._owners.assigned(shard) if self._shards is None else shard in self._shards

    def producer(self) -> KafkaProducer:
        """A new session."""
        producer = KafkaProducer(self.connection, self._users.discard)
        self._users.add(producer)
        return producer

    def feed(self, positions: Mapping[Source, int | None]) -> KafkaFeed:
        """A reader of these partitions."""
        feed = KafkaFeed(self.connection, positions, self._users.discard)
        self._users.add(feed)
        return feed

    async def close(self) -> None:
        """Leave the owners' group and end every connection."""
        for user in list(self._users):
            await user.close()
        await self._owners.leave()
        await asyncio.gather(*(cursor.close() for cursor in self._cursors.values()))

    def _cursor(self, partition: int) -> Cursor:
        """One cursor for each shard: what a shard reads besides its sources, it reads one after the other."""
        return self._cursors.setdefault(partition, Cursor(self.connection, follows=False))

    def _lock(self, partition: int) -> asyncio.Lock:
        return self._locks.setdefault(partition, asyncio.Lock())


def _described(connection: Connection) -> dict[str, Topic]:
    with Administration(connection) as administration:
        topics = administration.topics(ROLES, configs=False)
    return {name: Topic(topic.identity, len(topic.partitions)) for name, topic in topics.items()}
