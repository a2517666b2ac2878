"""The producer behind dead letters and mapped fills: what it was given arrives, whatever became of its session."""

from __future__ import annotations

import asyncio

from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import FILLS
from ringfence_streams.app.outbox import Letter, Outbox
from tests.streams.app.cluster import Topics


def test_letters_arrive_in_order_where_their_key_belongs(topics: Topics) -> None:
    """A key goes where murmur2 says unless a partition is given, and a session that is lost is replaced."""
    name = topics.connection.physical(FILLS)

    async def story() -> None:
        outbox = Outbox(topics.connection)
        await outbox.start()
        try:
            await outbox.send([Letter(name, b"alice", b"%d" % number) for number in range(3)])
            assert outbox._producer is not None
            await outbox._producer.stop()  # as good as fenced: it refuses everything from here on
            await outbox.send([Letter(name, b"alice", b"3"), Letter(name, b"alice", b"4", partition=0)])
        finally:
            await outbox.stop()

    asyncio.run(story())
    home = partition_of(b"alice", topics.shards)
    assert home == 1
    assert [record.value for record in topics.read(FILLS) if record.partition == home] == [b"0", b"1", b"2", b"3"]
    assert [record.value for record in topics.read(FILLS) if record.partition == 0] == [b"4"]
