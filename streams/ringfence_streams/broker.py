"""The small part of a Kafka-like broker that the journal protocol needs.

No transactions, no groups: partitions that only grow, and producer sessions that append in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from ringfence_streams.port import Bounds, Headers, Record, Source


class SendFailed(Exception):
    """An append failed, or nobody knows whether it succeeded.  The record may still arrive (W8)."""


class Producer(Protocol):
    """One producer session: what it sends to one partition arrives in order, once or not at all, possibly late."""

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        timestamp_us: int = 0,
    ) -> Awaitable[int | None]:
        """Append to an explicit partition (W3).

        The result is awaited for the offset of the acknowledgement; None when it names none.  Raises SendFailed.
        """
        ...

    async def cancel(self) -> None:
        """W7: send nothing more.  What is on its way may still arrive; nothing is flushed."""
        ...


class Broker(Protocol):
    """Topics of partitions of records."""

    async def identity(self, topic: str) -> str:
        """What tells this topic from a later one of the same name."""
        ...

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 when it does not exist."""
        ...

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        ...

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records from `offset` on; empty at the end."""
        ...

    async def wait(self, timeout_us: int) -> None:
        """Return when something may have been appended, at the latest after `timeout_us`."""
        ...

    async def assigned(self, shard: int) -> bool:
        """T1: whether the shard's journal partition is assigned to this process."""
        ...

    async def topics(self) -> Sequence[Source]:
        """Every topic and partition that exists."""
        ...

    def producer(self) -> Producer:
        """A new session."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
