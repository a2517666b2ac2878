"""The logs that the contract tests run against, and what each meets by construction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import DEPOSITS, FILLS, TICKS
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.engine import Engine
from ringfence_streams.memory import MemoryBroker, MemorySnapshots
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Message
from ringfence_streams.sqlite import SqliteLog
from tests.streams.counting import CountingReplicas

MOTION = MotionSettings(batch_inputs=3, snapshot_every=4, snapshot_rest=0, lease_us=0, stand_by=False)


class Storage(Protocol):
    """Something durable that one process after another, or two at once, can open."""

    by_construction: frozenset[str]
    """Rules that this log meets because it cannot do otherwise."""

    def open(self) -> Log:
        """Open it as another process would."""
        ...

    def delay(self) -> None:
        """Let nothing that is written from now on arrive, if this log has a network that could delay it."""
        ...

    def damage_journal(self, shard: int, offset: int) -> None:
        """Flip a bit of a stored record."""
        ...

    def lose_journal(self, shard: int, end: int) -> None:
        """Lose the journal's records from an offset on."""
        ...

    def change_source(self, topic: str, offset: int) -> None:
        """Replace the value of an input by another one."""
        ...


class SqliteStorage:
    """A file."""

    # One transaction holds frame, outcomes and views, and checks (seq, prev).
    by_construction = frozenset({"W3", "W4", "W5", "W6", "W8", "W9", "P2", "P3", "P4", "P5", "V4", "V5"})

    def __init__(self, folder: Path, shards: int) -> None:
        self.path = folder / "log.db"
        self._shards = shards

    def open(self) -> Log:
        """Another connection."""
        return SqliteLog(self.path, shards=self._shards, synchronous="OFF")

    def delay(self) -> None:
        """A transaction is over when it returns."""

    def damage_journal(self, shard: int, offset: int) -> None:
        """Behind SQLite's back, which keeps no checksums: the journal's own hash has to notice."""
        log = SqliteLog(self.path, shards=self._shards)
        query = "SELECT value FROM journal WHERE shard = ? AND offset = ?"
        value: bytes = log.store.connection.execute(query, (shard, offset)).fetchone()[0]
        log.store.close()
        content = bytearray(self.path.read_bytes())
        place = content.find(value)
        assert place >= 0, "the record is not in one piece"
        content[place + len(value) // 2] ^= 1
        self.path.write_bytes(content)

    def lose_journal(self, shard: int, end: int) -> None:
        """Delete the last records."""
        self._change("DELETE FROM journal WHERE shard = ? AND offset >= ?", shard, end)

    def change_source(self, topic: str, offset: int) -> None:
        """Write other bytes over an input."""
        self._change("UPDATE inputs SET value = x'00' WHERE topic = ? AND offset = ?", topic, offset)

    def _change(self, statement: str, *values: object) -> None:
        log = SqliteLog(self.path, shards=self._shards)
        changed = log.store.connection.execute(statement, values).rowcount
        log.store.close()
        assert changed, "nothing was damaged"


class MemoryStorage:
    """A broker that lives as long as the test."""

    # Appends arrive at once, but everything else is as over any broker.
    by_construction: frozenset[str] = frozenset()

    def __init__(self, _folder: Path, shards: int) -> None:
        self._broker = MemoryBroker()
        self._broker.create_all(shards)
        self._snapshots = MemorySnapshots()

    def open(self) -> Log:
        """Another client."""
        return BrokerLog(self._broker.client(), self._snapshots)

    def delay(self) -> None:
        """Appends wait for a delivery that does not come."""
        self._broker.held = True

    def damage_journal(self, shard: int, offset: int) -> None:
        """The broker's checksum will not fit."""
        self._broker.damage("journal", shard, offset)

    def lose_journal(self, shard: int, end: int) -> None:
        """Truncate the partition."""
        self._broker.truncate("journal", shard, end)

    def change_source(self, topic: str, offset: int) -> None:
        """Another record stands where one was read."""
        self._broker.damage(topic, 0, offset)
        self._broker.partition(topic, 0).damaged.clear()


Storages = Mapping[str, Callable[[Path, int], Storage]]
"""Makes every kind of storage, in a folder and for a number of shards."""


def messages(count: int, first: int = 1) -> list[Message]:
    """Inputs on several topics, a millisecond apart: a broker's clock is no finer."""
    topics = (FILLS, TICKS, DEPOSITS)
    return [
        Message(topics[number % 3], f"key {number % 4}", f"{'abc'[number % 3]} input {number}".encode(), 1_000 * number)
        for number in range(first, first + count)
    ]


def engine(log: Log, shards: int = 1) -> Engine:
    """An engine that counts."""
    settings = [Settings(shard=shard, shards=shards) for shard in range(shards)]
    return Engine(log, settings, CountingReplicas(), motion=MOTION)


def with_log(storage: Storage, action: Callable[[Log], Awaitable[None]]) -> None:
    """Open the log, do something, close it: one process."""

    async def process() -> None:
        log = storage.open()
        try:
            await action(log)
        finally:
            await log.close()

    asyncio.run(process())
