"""Metrics of a node, for Prometheus: one table of names, read from docs and from the collector alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ringfence_streams.app.reports import LATENCY_BOUNDS_US, ShardReport, SourcePosition
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.shard import Mode

logger = logging.getLogger(__name__)

_LOOK_S: Final = 2.0

Kind = Literal["gauge", "counter", "histogram"]


class Name(NamedTuple):
    """One metric: what it is, its labels, and what it says."""

    kind: Kind
    labels: tuple[str, ...]
    meaning: str


NAMES: Final[Mapping[str, Name]] = {
    "ringfence_shard_mode": Name("gauge", ("shard", "mode"), "1 for the mode the shard is in, 0 for the others"),
    "ringfence_shard_stalled": Name("gauge", ("shard",), "1 while an acknowledgement of the journal is overdue (W9)"),
    "ringfence_shard_head_seq": Name("gauge", ("shard",), "seq of the last frame known to be on the chain"),
    "ringfence_shard_published_seq": Name("gauge", ("shard",), "seq up to which every outcome is acknowledged (P5)"),
    "ringfence_shard_stood_down": Name("counter", ("shard",), "ownerships lost (W5-W7, P3)"),
    "ringfence_frames": Name("counter", ("shard", "kind"), "frames committed"),
    "ringfence_inputs": Name("counter", ("shard",), "inputs committed"),
    "ringfence_outcomes": Name("counter", ("shard", "topic"), "outcomes of committed frames"),
    "ringfence_refusals": Name("counter", ("shard", "code"), "inputs refused, by refusal code"),
    "ringfence_source_lag_records": Name("gauge", ("shard", "topic", "partition"), "records not yet on the chain"),
    "ringfence_mark_age_seconds": Name("gauge", ("shard", "instrument"), "age of the instrument's market time"),
    "ringfence_commit_latency_seconds": Name(
        "histogram", ("shard",), "from handing a frame to the log until it is on the chain"
    ),
    "ringfence_shards_restarts": Name("counter", (), "times the process of the shards was started again"),
    "ringfence_open_calls": Name("gauge", ("shard",), "margin calls open"),
    "ringfence_liquidations_in_flight": Name("gauge", ("shard",), "liquidations started and not completed"),
    "ringfence_open_positions": Name("gauge", ("shard",), "positions open"),
    "ringfence_read_records": Name("counter", ("topic", "reading"), "outputs read: new, repeated, and the alarms"),
    "ringfence_read_lag_records": Name(
        "gauge", ("topic", "partition"), "records of outputs and foreign topics that are not yet finished"
    ),
    "ringfence_read_dead_letters": Name("counter", ("topic",), "outputs that could not be projected"),
    "ringfence_alerts": Name("counter", ("result",), "attempts to alert: accepted, refused, unreachable"),
    "ringfence_alerts_pending": Name("gauge", (), "cases with an alert that is not yet accepted"),
    "ringfence_mapped_records": Name("counter", ("mapping", "result"), "foreign records: mapped, laid aside"),
}
"""Every metric.  Prometheus shows counters with the suffix `_total`."""


class Readings(Protocol):
    """What the read side tells the metrics."""

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """Name, values of the labels, and value."""
        ...


class NodeCollector(Collector):
    """Collects when Prometheus asks."""

    def __init__(self, sources: Iterable[Readings]) -> None:
        self._sources = list(sources)

    def collect(self) -> Iterable[Metric]:
        """Every metric of the table, in its order; one without a value yet has its help text alone."""
        families = {name: _family(name, metric) for name, metric in NAMES.items()}
        for source in self._sources:
            for name, labels, value in source.samples():
                families[name].add_metric(list(labels), value)
            if isinstance(source, ShardReadings):
                for report in source.reports():
                    _add_latency(families["ringfence_commit_latency_seconds"], report)
        return families.values()


def _family(name: str, metric: Name) -> Any:
    families = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}
    return families[metric.kind](name, metric.meaning, labels=metric.labels)


def _add_latency(family: HistogramMetricFamily, report: ShardReport) -> None:
    buckets, total = [], 0
    bounds = [*(str(bound_us / 1_000_000) for bound_us in LATENCY_BOUNDS_US), "+Inf"]
    for bound, count in zip(bounds, report.latency.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric([str(report.shard)], buckets, report.latency.sum_us / 1_000_000)


class Ends(Service):
    """How long partitions are, asked of the cluster every now and then."""

    def __init__(self, connection: Connection, wanted: Callable[[], Iterable[TopicPartition]], **options: Any) -> None:
        super().__init__(**options)
        self.offsets: dict[TopicPartition, int] = {}
        """The offset after the last record, by name of the topic on the cluster; empty while nobody knows."""
        self._connection = connection
        self._wanted = wanted

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            try:
                await self._look_until_it_fails()
            except (KafkaError, OSError) as error:
                logger.warning("The ends of the topics are not known: %s", error)
                self.offsets = {}
            await self.sleep(_LOOK_S)

    async def _look_until_it_fails(self) -> None:
        consumer = AIOKafkaConsumer(**self._connection.for_aiokafka(), enable_auto_commit=False)
        await consumer.start()
        try:
            while not self.should_stop:
                wanted = list(self._wanted())
                self.offsets = await consumer.end_offsets(wanted) if wanted else {}
                await self.sleep(_LOOK_S)
        finally:
            await consumer.stop()


class ShardReadings:
    """The metrics of the shards: what they reported, and how far their sources have grown since."""

    def __init__(self, connection: Connection, shards: ReportedShards) -> None:
        self.ends = Ends(connection, self._sources)
        self._connection = connection
        self._shards = shards

    def reports(self) -> list[ShardReport]:
        """The last report of every shard."""
        return self._shards.reports

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """Everything but the histogram."""
        now_s = time.time()
        yield "ringfence_shards_restarts", (), self._shards.restarts
        for report in self.reports():
            shard = str(report.shard)
            for mode in Mode:
                yield "ringfence_shard_mode", (shard, mode.value), float(report.mode == mode.value)
            yield "ringfence_shard_stalled", (shard,), float(report.stalled)
            yield "ringfence_shard_head_seq", (shard,), report.head_seq
            yield "ringfence_shard_published_seq", (shard,), report.published_seq
            yield "ringfence_shard_stood_down", (shard,), report.stood_down
            yield "ringfence_inputs", (shard,), report.inputs
            for kind, count in report.frames.items():
                yield "ringfence_frames", (shard, kind), count
            for topic, count in report.outcomes.items():
                yield "ringfence_outcomes", (shard, topic), count
            for code, count in report.refusals.items():
                yield "ringfence_refusals", (shard, code), count
            if report.mode != Mode.OWNING:
                continue
            for position in report.positions:
                end = self.ends.offsets.get(self._name(position))
                if end is not None:
                    labels = (shard, position.topic, str(position.partition))
                    yield "ringfence_source_lag_records", labels, max(0, end - position.next_offset)
            for instrument, time_us in report.market_times_us.items():
                yield "ringfence_mark_age_seconds", (shard, instrument), now_s - time_us / 1_000_000

    def _sources(self) -> Iterable[TopicPartition]:
        return {self._name(position) for report in self.reports() for position in report.positions}

    def _name(self, position: SourcePosition) -> TopicPartition:
        return TopicPartition(self._connection.physical(position.topic), position.partition)


class ReportedShards(Protocol):
    """Where the reports come from."""

    reports: list[ShardReport]
    restarts: int
