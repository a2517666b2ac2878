"""The broker as an experiment sees it: topics of its own, records in, records out.

Everything here is kafka-python, so what a contender wrote is read by a client that it does not use.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

READ_TIMEOUT_MS: Final = 1_000

Isolation = Literal["read_committed", "read_uncommitted"]


class Row(NamedTuple):
    """A record, without what no experiment looks at."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


class Cluster:
    """A broker, and the names that one experiment uses on it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix

    def name(self, topic: str) -> str:
        """The topic's name on the broker."""
        return f"{self.prefix}{topic}"

    def create(self, topics: Iterable[str]) -> None:
        """Create topics of one partition each, which keep everything."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics(
                {
                    self.name(topic): {
                        "num_partitions": 1,
                        "replication_factor": 1,
                        "configs": {"retention.ms": "-1"},
                    }
                    for topic in topics
                }
            )
        finally:
            admin.close()

    def remove(self) -> None:
        """Delete every topic that the experiment made, or that a contender made for it."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics([topic for topic in admin.list_topics() if topic.startswith(self.prefix)])
        finally:
            admin.close()

    def append(self, topic: str, records: Iterable[tuple[bytes | None, bytes]], per_second: int | None = None) -> None:
        """Append keys and values in order, as fast as it goes or so many a second, until all are acknowledged."""
        begin = time.monotonic()
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5)
        try:
            for number, (key, value) in enumerate(records):
                if per_second:
                    time.sleep(max(0, begin + number / per_second - time.monotonic()))
                producer.send(self.name(topic), key=key, value=value, partition=0)
            producer.flush()
        finally:
            producer.close()

    def end(self, topic: str, isolation: Isolation = "read_uncommitted") -> int:
        """The offset after the last record that a reader of this isolation can see, or could not yet."""
        with self._reader(topic, isolation) as (reader, partition):
            return int(reader.end_offsets([partition])[partition])

    def read(self, topic: str, isolation: Isolation) -> list[Row]:
        """Every record from the first to the present end."""
        return list(self._read(topic, isolation))

    def _read(self, topic: str, isolation: Isolation) -> Iterator[Row]:
        with self._reader(topic, isolation) as (reader, partition):
            end = reader.end_offsets([partition])[partition]
            reader.seek_to_beginning(partition)
            while reader.position(partition) < end:
                for records in reader.poll(READ_TIMEOUT_MS).values():
                    for record in records:
                        yield Row(record.key, record.value, dict(record.headers))

    @contextmanager
    def _reader(self, topic: str, isolation: Isolation) -> Iterator[tuple[KafkaConsumer, TopicPartition]]:
        reader = KafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=None, enable_auto_commit=False, isolation_level=isolation
        )
        partition = TopicPartition(self.name(topic), 0)
        reader.assign([partition])
        try:
            yield reader, partition
        finally:
            reader.close()
