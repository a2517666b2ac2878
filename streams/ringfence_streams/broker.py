"""The small part of a Kafka-like broker that the journal protocol needs.

No transactions, no groups beyond "which shards are mine": partitions that only grow, producer sessions that append in
order, and readers that go forward.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ringfence_streams.port import Bounds, Headers, Record, Source


class SendFailed(Exception):
    """An append failed, or nobody knows whether it succeeded.  The record may still arrive (W8)."""


class Outgoing(NamedTuple):
    """One record to be appended."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_us: int = 0
    """0: the moment of writing."""


class Append(NamedTuple):
    """Records on their way that arrive together, in order and with nothing in between, or not at all."""

    records: int
    acknowledgement: asyncio.Future[int | None]
    """The offset of the first one; None when the acknowledgement names none.  Raises SendFailed."""


class Topic(NamedTuple):
    """A topic as the broker knows it."""

    identity: str
    """What tells it from a later one of the same name."""
    partitions: int


class Producer(Protocol):
    """One producer session: what it sends to one partition arrives in order, once or not at all, possibly late."""

    def send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> Sequence[Append]:
        """Append records to an explicit partition (W3), in as few appends as the broker's limits allow."""
        ...

    async def cancel(self) -> None:
        """W7: send nothing more.  What is on its way may still arrive; nothing is flushed."""
        ...


class Feed(Protocol):
    """Several partitions, each read forward."""

    async def read(self, source: Source, records: int) -> Sequence[Record]:
        """The next records of one source; empty only when none is known to be unread."""
        ...

    async def wait(self, timeout_us: int) -> None:
        """Return when something may be readable, at the latest after `timeout_us`."""
        ...

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Tell monitors of lag how far the sources are committed; never waits for it."""
        ...

    async def refresh(self) -> None:
        """Learn what is there now: what was appended before this call counts as known."""
        ...

    async def close(self) -> None:
        """Give back what reading ahead holds."""
        ...


class Broker(Protocol):
    """Topics of partitions of records."""

    async def describe(self) -> Mapping[str, Topic]:
        """Every topic that exists, by name."""
        ...

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        ...

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records from `offset` on; empty at the end."""
        ...

    async def assigned(self, shard: int) -> bool:
        """T1: whether the shard's journal partition is assigned to this process."""
        ...

    def producer(self) -> Producer:
        """A new session."""
        ...

    def feed(self, positions: Mapping[Source, int | None]) -> Feed:
        """A reader of these partitions from these offsets on; None: from the first record there is."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
