"""The Kafka log: `BrokerLog` over a cluster, with snapshots in a topic of their own."""

from __future__ import annotations

from collections.abc import Collection

from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.kafka.broker import KafkaBroker
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.snapshots import KafkaSnapshots


class KafkaLog(BrokerLog):
    """Sources, journal, outputs and snapshots on a Kafka cluster."""

    def __init__(self, connection: Connection, shards: Collection[int] | None = None) -> None:
        """`shards`: those that this process runs whatever the owners' group says; None: those the group assigns."""
        broker = KafkaBroker(connection, shards)
        self._kafka_snapshots = KafkaSnapshots(broker)
        super().__init__(broker, self._kafka_snapshots)

    async def close(self) -> None:
        """End every session, leave the owners' group."""
        await self._kafka_snapshots.close()
        await super().close()
