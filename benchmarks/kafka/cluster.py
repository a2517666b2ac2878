"""The broker as the benchmark sees it: topics, ends, committed offsets, and what stands on a topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

FETCH_BYTES: Final = 8 * 1024 * 1024


class Cluster:
    """A broker with a client for administration and one that reads without a group; every topic has one partition."""

    def __init__(self, bootstrap: str, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer) -> None:
        self.bootstrap = bootstrap
        self._admin = admin
        self._reader = reader

    async def create(self, topics: Iterable[str], configs: Mapping[str, str]) -> None:
        """Make topics."""
        await self._admin.create_topics([NewTopic(topic, 1, 1, topic_configs=dict(configs)) for topic in topics])

    async def remove(self, prefix: str) -> None:
        """Delete every topic whose name begins so: what the next contestant reads shall not share the disk with it."""
        if found := [topic for topic in await self._admin.list_topics() if prefix in topic]:
            await self._admin.delete_topics(found)

    async def end(self, topic: str) -> int:
        """The offset after the last record."""
        partition = TopicPartition(topic, 0)
        return int((await self._reader.end_offsets([partition]))[partition])

    async def committed(self, group: str) -> dict[str, int]:
        """The offsets that a consumer group has committed, by topic."""
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {partition.topic: offset.offset for partition, offset in offsets.items()}

    async def records(self, topic: str, begin: int = 0) -> AsyncIterator[ConsumerRecord[bytes | None, bytes | None]]:
        """Everything on a topic that is committed, from an offset to the present end."""
        # A reader of its own each time: one that stays assigned goes on asking for a topic that was deleted.
        partition, end = TopicPartition(topic, 0), await self.end(topic)
        if begin >= end:
            return
        reader = _reader(self.bootstrap)
        await reader.start()
        try:
            reader.assign([partition])
            reader.seek(partition, begin)
            while await reader.position(partition) < end:
                for found in (await reader.getmany(partition, timeout_ms=1_000)).values():
                    for record in found:
                        yield record
        finally:
            await reader.stop()


def _reader(bootstrap: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
    )


@asynccontextmanager
async def connected(bootstrap: str) -> AsyncIterator[Cluster]:
    """Connect to a broker."""
    admin, reader = AIOKafkaAdminClient(bootstrap_servers=bootstrap), _reader(bootstrap)
    await admin.start()
    try:
        await reader.start()
        try:
            yield Cluster(bootstrap, admin, reader)
        finally:
            await reader.stop()
    finally:
        await admin.close()
