"""Claims about what only the Kafka log has: the owners' group, producer sessions, snapshots in chunks, hints."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import FILLS, JOURNAL, TICKS
from ringfence_streams.broker import Outgoing, SendFailed
from ringfence_streams.engine import Engine
from ringfence_streams.kafka.administration import Administration, Member
from ringfence_streams.kafka.broker import KafkaBroker
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.cursor import SHARDS
from ringfence_streams.kafka.group import OWNERS
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.kafka.snapshots import KafkaSnapshots, Manifest
from ringfence_streams.kafka.specs import SNAPSHOTS, specs
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Record
from tests.streams.adapters import messages
from tests.streams.counting import CountingReplicas

Action = Callable[[KafkaBroker], Awaitable[None]]


@pytest.fixture
def connection(kafka: str, prefix: str) -> Connection:
    """Topics of the test's own, for four shards."""
    connection = Connection(kafka, prefix)
    with Administration(connection) as administration:
        administration.create(specs(4), replication=1)
    return connection


def on_broker(connection: Connection, action: Action) -> None:
    """Do something as one process."""

    async def process() -> None:
        broker = KafkaBroker(connection)
        try:
            await action(broker)
        finally:
            await broker.close()

    asyncio.run(process())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to become true; the test's own limit of time ends it if it never does."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 -- nothing tells when a group has agreed
            await asyncio.sleep(0.05)


def members(connection: Connection) -> list[Member]:
    """The processes in the owners' group, as the broker says."""
    with Administration(connection) as administration:
        return administration.members(connection.group(OWNERS))


async def shards_of(broker: KafkaBroker) -> set[int]:
    """The shards assigned to a process."""
    return {shard for shard in range(4) if await broker.assigned(shard)}


def test_every_shard_belongs_to_one_process_and_moves_when_processes_come_and_go(connection: Connection) -> None:
    """T1: the owners' group spreads four shards over one, two and again one process; nobody has to wait for a session
    to expire when a process leaves orderly.
    """

    async def action(first: KafkaBroker) -> None:
        async def alone() -> bool:
            return await shards_of(first) == {0, 1, 2, 3}

        await until(alone)
        second = KafkaBroker(connection)

        async def shared() -> bool:
            mine, theirs = await shards_of(first), await shards_of(second)
            return len(mine) == len(theirs) == 2 and mine | theirs == {0, 1, 2, 3}

        await until(shared)
        await second.close()
        assert len(await asyncio.to_thread(members, connection)) == 1, "gone at once, not when its session expires"
        await until(alone)

    on_broker(connection, action)


def test_a_cancelled_session_sends_nothing_more(connection: Connection) -> None:
    """W7: what is queued fails, nothing is flushed, and whoever sends afterwards is told."""

    async def action(broker: KafkaBroker) -> None:
        producer = broker.producer()
        (first,) = producer.send(JOURNAL, 0, [Outgoing(b"0", b"first")])
        assert await first.acknowledgement == 0
        queued = [producer.send(JOURNAL, 0, [Outgoing(b"0", bytes(100_000))])[0] for _ in range(50)]
        await producer.cancel()
        (late,) = producer.send(JOURNAL, 0, [Outgoing(b"0", b"late")])
        with pytest.raises(SendFailed):
            await late.acknowledgement
        results = await asyncio.gather(*(each.acknowledgement for each in queued), return_exceptions=True)
        assert all(isinstance(result, SendFailed) for result in results)
        await asyncio.sleep(0.2)
        assert (await broker.bounds(JOURNAL, 0)).end < 51

    on_broker(connection, action)


def test_records_sent_together_are_acknowledged_together(connection: Connection) -> None:
    """Batches are cut where the limit of the broker is near; the offsets of a batch are dense."""

    async def action(broker: KafkaBroker) -> None:
        records = [Outgoing(b"key", bytes(200_000), (("name", b"value"),), 5_000_000) for _ in range(7)]
        appends = broker.producer().send(FILLS, 1, records)
        assert [append.records for append in appends] == [2, 2, 2, 1]
        assert [await append.acknowledgement for append in appends] == [0, 2, 4, 6]
        (record,) = await broker.read(FILLS, 1, 3, 1)
        assert (record.offset, record.timestamp_us, record.headers) == (3, 5_000_000, (("name", b"value"),))

    on_broker(connection, action)


def test_a_record_that_the_broker_does_not_take_needs_a_person(connection: Connection) -> None:
    """Beyond the topic's limit trying again does not help: the shard stops and names the topic."""

    async def action(broker: KafkaBroker) -> None:
        (append,) = broker.producer().send(JOURNAL, 0, [Outgoing(b"0", os.urandom(9_000_000))])
        with pytest.raises(Exception, match=r"log_unsuitable.*journal"):
            await append.acknowledgement

    on_broker(connection, action)


def test_two_generations_of_snapshots_are_kept_and_an_unreleased_one_is_not_seen(connection: Connection) -> None:
    """P5: a snapshot is there from its manifest on; the third generation deletes the first, chunk by chunk."""

    async def action(broker: KafkaBroker) -> None:
        snapshots = KafkaSnapshots(broker)
        for seq in (1, 2, 3):
            await snapshots.write(2, seq, os.urandom(1_100_000) + bytes([seq]))
            await snapshots.release(2, seq)
        await snapshots.write(2, 4, b"unreleased")
        assert [data[-1] async for data in KafkaSnapshots(broker).released(2)] == [3, 2]
        assert [data async for data in KafkaSnapshots(broker).released(1)] == []
        records: list[Record] = []
        while found := await broker.read(SNAPSHOTS, 2, len(records), 100):
            records += found
        deleted = {record.key for record in records if record.value is None}
        assert len(deleted) == 4, "the manifest of the first generation and its three chunks"
        await snapshots.close()

    on_broker(connection, action)


def test_a_snapshot_that_lost_a_chunk_is_passed_over(connection: Connection) -> None:
    """A9: what is left of it is refused by its reader, the one before it is still whole."""

    async def action(broker: KafkaBroker) -> None:
        snapshots = KafkaSnapshots(broker)
        await snapshots.write(0, 1, b"whole")
        await snapshots.release(0, 1)
        end = (await broker.bounds(SNAPSHOTS, 0)).end
        lost = msgspec.msgpack.encode(Manifest(2, "lost", 2, end))
        records = [Outgoing(b"chunk-lost-0", b"the first of two"), Outgoing(b"manifest-lost", lost)]
        (append,) = broker.producer().send(SNAPSHOTS, 0, records)
        await append.acknowledgement
        assert [data async for data in KafkaSnapshots(broker).released(0)] == [b"", b"whole"]
        await snapshots.close()

    on_broker(connection, action)


def test_monitors_of_lag_see_how_far_the_engine_has_read(kafka: str, connection: Connection) -> None:
    """A hint, never the truth: the offsets committed to the group of the shards are those of the last frame."""

    async def action() -> None:
        log = KafkaLog(connection, range(4))
        motion = MotionSettings(lease_us=0, hint_us=0)
        running = Engine(
            log, [Settings(shard=shard, shards=4) for shard in range(4)], CountingReplicas(), motion=motion
        )
        await log.publish(messages(40))
        working = asyncio.ensure_future(running.run())
        consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=connection.group(SHARDS), enable_auto_commit=False)
        place = TopicPartition(connection.physical(TICKS), 0)

        async def told() -> bool:
            return bool(await asyncio.to_thread(consumer.committed, place) == 14)

        await until(told)
        running.stop()
        await working
        consumer.close()
        await log.close()

    asyncio.run(action())
