"""Which shards are this process's: the partitions of the journal that the owners' group assigns to it (T1).

The group only spreads shards over processes; that no two extend one chain is the journal's work alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from ringfence_schemas.topics import JOURNAL
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.patience import patiently

logger = logging.getLogger(__name__)

OWNERS: Final = "owners"
SESSION_MS: Final = 10_000
"""A process that is silent for so long loses its shards."""
HEARTBEAT_MS: Final = 500
"""How soon a process learns that shards move."""
_NEVER_MS: Final = 2**31 - 1


class Owners(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is not typed
    """A member of the owners' group; it fetches nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shards: frozenset[int] = frozenset()
        self._consumer: AIOKafkaConsumer | None = None
        self._joining: asyncio.Task[None] | None = None

    def assigned(self, shard: int) -> bool:
        """Whether the last finished assignment gives the shard to this process; joins the group on first use.

        While an assignment is being worked out the last one counts: most shards stay where they are.
        """
        if self._joining is None:
            self._joining = asyncio.ensure_future(self._join())
        elif self._joining.done():
            self._joining.result()
        return shard in self._shards

    async def leave(self) -> None:
        """Leave the group: its other members take over at once."""
        if self._joining is not None and not self._joining.done():
            self._joining.cancel()
            await asyncio.wait([self._joining])
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """An assignment is being worked out: nothing changes yet."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The group has agreed."""
        partitions = list(assigned)
        if self._consumer is not None and partitions:
            self._consumer.pause(*partitions)
        self._shards = frozenset(partition.partition for partition in partitions)
        logger.info("Shards assigned to this process: %s", sorted(self._shards) or "none")

    async def _join(self) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._connection.for_aiokafka(),
            group_id=self._connection.group(OWNERS),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=_NEVER_MS,  # it fetches nothing, and that is no sign of death
        )
        self._consumer.subscribe([self._connection.physical(JOURNAL)], listener=self)
        await patiently(self._consumer.start)
