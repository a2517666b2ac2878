"""The topics of one test on some cluster, made, read and damaged with kafka-python: nothing here is our own client."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from ringfence_streams.kafka.specs import specs


class Stored(NamedTuple):
    """One record as it stands in the log."""

    topic: str
    """Logical name."""
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.topic}/{self.partition}@{self.offset}"


Contents = dict[tuple[str, int], list[Stored]]
"""By logical topic and partition."""


@dataclass(frozen=True)
class Topics:
    """Every topic of an engine with so many shards, under a prefix of its own."""

    bootstrap: str
    prefix: str
    shards: int = 1

    def name(self, topic: str) -> str:
        """The name on the cluster."""
        return self.prefix + topic

    def address(self, bootstrap: str | None = None) -> str:
        """What `--log` takes; through another listener if one is given."""
        return f"kafka://{bootstrap or self.bootstrap}?prefix={self.prefix}"

    def without(self, address: str) -> Topics:
        """The same topics, asked for at the other brokers of the cluster."""
        others = [each for each in self.bootstrap.split(",") if each != address]
        return replace(self, bootstrap=",".join(others))

    def create(self, *, replication: int = 1) -> None:
        """Make them all."""
        self._create([spec.topic for spec in specs(self.shards)], replication)

    def create_one(self, topic: str) -> None:
        """Make one of them."""
        self._create([topic], 1)

    def _create(self, topics: Collection[str], replication: int) -> None:
        wanted = {
            self.name(spec.topic): {
                "num_partitions": spec.partitions,
                "replication_factor": replication,
                "configs": dict(spec.configs),
            }
            for spec in specs(self.shards, replication=replication)
            if spec.topic in topics
        }
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics(wanted, timeout_ms=30_000)
            admin.wait_for_topics(list(wanted))
        finally:
            admin.close()

    def delete(self) -> None:
        """Remove them all: a shared broker shall not fill up."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            found = [name for name in admin.list_topics() if name.startswith(self.prefix)]
            admin.delete_topics(found, timeout_ms=30_000)
        finally:
            admin.close()

    def read(self, *, only: str | None = None) -> Contents:
        """Everything that stands on the topics now, or on one of them; checksums are checked."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=5_000,
        )
        try:
            places = [
                TopicPartition(name, partition)
                for name in sorted(consumer.topics())
                if name.startswith(self.prefix) and only in {None, name.removeprefix(self.prefix)}
                for partition in sorted(consumer.partitions_for_topic(name) or ())
            ]
            found: Contents = {(place.topic.removeprefix(self.prefix), place.partition): [] for place in places}
            if not places:
                return found
            consumer.assign(places)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(places)
            while any(consumer.position(place) < end for place, end in ends.items()):
                for place, records in consumer.poll(timeout_ms=500).items():
                    topic = place.topic.removeprefix(self.prefix)
                    found[topic, place.partition] += [
                        Stored(topic, place.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                        for r in records
                        if r.offset < ends[place]
                    ]
            return found
        finally:
            consumer.close()

    def ends(self, topic: str) -> list[int]:
        """The end of each partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        try:
            places = [TopicPartition(self.name(topic), p) for p in range(self.partitions(topic))]
            ends = consumer.end_offsets(places)
            return [ends[place] for place in places]
        finally:
            consumer.close()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic was made with."""
        return next(spec.partitions for spec in specs(self.shards) if spec.topic == topic)
