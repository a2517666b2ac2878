"""The Kafka log: `BrokerLog` over a cluster, with snapshots in a topic of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ringfence_schemas.frames import Settings
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.kafka.broker import KafkaBroker
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.snapshots import KafkaSnapshots
from ringfence_streams.kafka.suitability import check_start
from ringfence_streams.motion import MotionSettings


class KafkaLog(BrokerLog):
    """Sources, journal, outputs and snapshots on a Kafka cluster."""

    def __init__(self, connection: Connection, shards: Collection[int] | None = None) -> None:
        """`shards`: those that this process runs whatever the owners' group says; None: those the group assigns."""
        broker = KafkaBroker(connection, shards)
        self._connection = connection
        self._kafka_snapshots = KafkaSnapshots(broker)
        self._checking = asyncio.Lock()
        self._suits = False
        super().__init__(broker, self._kafka_snapshots)

    async def check(self, settings: Settings) -> None:
        """Partitions, and once a process everything else about the topics.  Raises LogUnsuitable, LogUnavailable."""
        await super().check(settings)
        async with self._checking:
            if not self._suits:
                await asyncio.to_thread(check_start, self._connection, settings, MotionSettings())
                self._suits = True

    async def close(self) -> None:
        """End every session, leave the owners' group."""
        await self._kafka_snapshots.close()
        await super().close()
