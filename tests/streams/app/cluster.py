"""Topics on a real cluster, written and read with kafka-python: the worker under test uses another client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from ringfence_schemas.outcomes import Outcome, encode
from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import INPUT_TOPIC, key_of
from ringfence_streams.envelope import standard_headers
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import Connection, connection_of
from ringfence_streams.kafka.specs import specs

Json = dict[str, Any]
PATIENCE_S = 90.0


def eventually(found: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is true, and return it."""
    end_s = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < end_s, f"not in {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.05)
    return value


class Topics:
    """Every topic of the engine under one prefix."""

    def __init__(self, bootstrap: str, prefix: str, *, shards: int) -> None:
        self.bootstrap = bootstrap
        self.address = f"kafka://{bootstrap}?prefix={prefix}"
        self.shards = shards
        self.connection: Connection = connection_of(self.address, {})
        with Administration(self.connection) as administration:
            administration.create(specs(shards), replication=1)
        self._producer = KafkaProducer(bootstrap_servers=bootstrap)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._foreign: list[str] = []

    def close(self) -> None:
        """Delete the topics: other tests share the cluster."""
        mine = [name for name in self._admin.list_topics() if name.startswith(self.connection.prefix)]
        self._admin.delete_topics(mine)
        self._admin.close()
        self._consumer.close()
        self._producer.close()

    def foreign(self, name: str, partitions: int) -> str:
        """Make a topic that is none of ours, under the test's prefix all the same; returns its name.

        It keeps its records: those of a test bear times of 1970, which a broker's first look at retention would remove.
        """
        self._foreign.append(self.connection.prefix + name)
        self._admin.create_topics([NewTopic(self._foreign[-1], partitions, 1, topic_configs={"retention.ms": "-1"})])
        return self._foreign[-1]

    def publish(self, facts: Iterable[Json], timestamp_ms: int | None = None) -> None:
        """Publish inputs as any producer would: by key, with Kafka's default partitioner."""
        for fact in facts:
            event = decode_input(json.dumps(fact).encode())
            self.send(INPUT_TOPIC[type(event)], json.dumps(fact).encode(), key_of(event), timestamp_ms=timestamp_ms)
        self._producer.flush()

    def say(self, shard: int, topic: str, place: int, outcome: Outcome | bytes | None, key: str) -> None:
        """Publish an outcome as a shard would: in its own partition, with its number or version."""
        value = outcome if outcome is None or isinstance(outcome, bytes) else encode(outcome)
        headers = standard_headers(shard, topic, key, "outcome", 0, place)
        self.send(topic, value, key, partition=shard, headers=list(headers))
        self._producer.flush()

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: str | None = None,
        *,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Append one record; a topic of ours goes by its logical name."""
        name = topic if topic in self._foreign else self.connection.physical(topic)
        self._producer.send(
            name,
            value=value,
            key=key.encode() if key is not None else None,
            partition=partition,
            headers=headers or [],
            timestamp_ms=timestamp_ms,
        )

    def flush(self) -> None:
        """Wait until everything sent is there."""
        self._producer.flush()

    def read(self, topic: str) -> list[Any]:
        """Every record of a topic, partition by partition."""
        name = topic if topic in self._foreign else self.connection.physical(topic)
        consumer = self._consumer
        partitions = [TopicPartition(name, partition) for partition in consumer.partitions_for_topic(name) or ()]
        ends: Mapping[Any, int] = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        records: list[Any] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for found in consumer.poll(timeout_ms=200).values():
                records += found
        return sorted(records, key=lambda record: (record.partition, record.offset))
