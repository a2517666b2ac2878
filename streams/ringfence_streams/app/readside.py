"""The read side: tables, the agents that fill them, alerts, queries, and the metrics of all that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import faust
from aiokafka import TopicPartition
from faust.types import TP

from ringfence_schemas.outcomes import Decision
from ringfence_schemas.subscriber import Reading
from ringfence_streams.app.adapter import ForeignFills
from ringfence_streams.app.agents import DEAD_LETTERS, Projector
from ringfence_streams.app.alerts import Courier
from ringfence_streams.app.mapping import read_mapping
from ringfence_streams.app.metrics import Ends
from ringfence_streams.app.outbox import Outbox
from ringfence_streams.app.projections import PROJECTED, Projections, Tables
from ringfence_streams.app.settings import NodeSettings
from ringfence_streams.app.tables import ShardTable
from ringfence_streams.kafka.connection import Connection

_MINIMUM_FOR_TWO: Final = 3
"""With so many replicas two must have a record before it is acknowledged."""


class ReadSide:
    """Everything that follows the outputs, at least once."""

    def __init__(
        self, app: faust.App, settings: NodeSettings, connection: Connection, *, shards: int, replication: int
    ) -> None:
        self._app: Any = app  # its consumer is ours, and has more than Faust's
        self._connection = connection
        self._configs = {"min.insync.replicas": "2" if replication >= _MINIMUM_FOR_TWO else "1"}
        self._shards, self._replication = shards, replication
        self._readings: Counter[tuple[str, str]] = Counter()
        self.positions = self._table("positions")
        self.wallets = self._table("wallets")
        self.calls = self._table("calls")
        self.liquidations = self._table("liquidations")
        self.instruments = self._table("instruments")
        self.outbox = Outbox(connection)
        self.ends = Ends(connection, self._followed)
        self.courier = Courier(settings, self._table("alerts")) if settings.alert_url else None
        self._projections = Projections(
            Tables(
                self.positions, self.wallets, self.calls, self.liquidations, self.instruments, self._table("numbers")
            ),
            decided=self._decided,
            read=self._read,
        )
        self._projector = Projector(connection, self._projections, self.outbox)
        self._topics = {topic: connection.physical(topic) for topic in PROJECTED}
        self._projector.agents(app, self._topics)
        mappings = [read_mapping(path) for path in settings.mappings]
        self._foreign = ForeignFills(app, connection, self.outbox, mappings)
        self._dead_letters = app.topic(
            connection.physical(DEAD_LETTERS), partitions=shards, replicas=replication, config=self._configs
        )
        app.on_partitions_assigned.connect(self._moved)
        app.on_rebalance_complete.connect(self._recovered)

    async def declare(self) -> None:
        """Create the topic of dead letters, unless it is there."""
        await self._dead_letters.declare()

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """What the metrics are made of."""
        for name, table in (
            ("ringfence_open_positions", self.positions),
            ("ringfence_open_calls", self.calls),
            ("ringfence_liquidations_in_flight", self.liquidations),
        ):
            for shard, shelf in table.shelves.items():
                yield name, (str(shard),), len(shelf.rows)
        for (topic, reading), count in self._readings.items():
            yield "ringfence_read_records", (topic, reading), count
        for topic, count in self._projector.dead_letters.items():
            yield "ringfence_read_dead_letters", (topic,), count
        for tp, end in self.ends.offsets.items():
            topic = self._connection.logical(tp.topic) or tp.topic
            finished = self._app.consumer.next_offset(TP(tp.topic, tp.partition))
            yield "ringfence_read_lag_records", (topic, str(tp.partition)), max(0, end - finished)
        yield from self._foreign.samples()
        if self.courier is not None:
            yield "ringfence_alerts_pending", (), self.courier.pending
            for result, count in self.courier.sent.items():
                yield "ringfence_alerts", (result,), count

    def _followed(self) -> Iterable[TopicPartition]:
        consumer = self._app.consumer
        return [TopicPartition(*tp) for tp in consumer.assignment() if not consumer.is_changelog(tp)]

    def _table(self, name: str) -> ShardTable:
        table = ShardTable(
            self._app,
            name=name,
            partitions=self._shards,
            key_type=bytes,
            value_type=bytes,
            extra_topic_configs=self._configs,
            beacon=self._app.tables.beacon,
        )
        table.changelog_topic.replicas = self._replication
        self._app.tables.add(table)
        return table

    def _decided(self, partition: int, decision: Decision) -> None:
        if self.courier is not None:
            self.courier.decided(partition, decision)

    def _read(self, topic: str, partition: int, reading: Reading) -> None:
        self._readings[topic, reading.value] += 1
        if reading in {Reading.AFTER_GAP, Reading.CONTRADICTED}:
            self._app.log.error("Output %s/%d: %s (C1, C3)", topic, partition, reading.value)

    async def _moved(self, *_: object, **__: object) -> None:
        self._projections.forget()

    async def _recovered(self, *_: object, **__: object) -> None:
        if self.courier is not None:
            self.courier.recovered()
