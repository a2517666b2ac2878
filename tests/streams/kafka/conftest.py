"""A log on the shared broker for each test, and what the tests do to it behind the engine's back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from ringfence_streams.kafka.connection import Connection
from tests.streams.command import Called, Folder, call
from tests.streams.kafka.foreign_reader import ForeignReader


class KafkaFolder(Folder):
    """A log of a test's own on a cluster."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[bytes], bootstrap: str, prefix: str) -> None:
        super().__init__(path, capture)
        self.connection = Connection(bootstrap, prefix)
        self.log = f"kafka://{bootstrap}?prefix={prefix}"
        self.foreign = ForeignReader(bootstrap, prefix)
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self.producer = KafkaProducer(bootstrap_servers=bootstrap)

    def topics(self, command: str, *arguments: str, status: int = 0) -> Called:
        """Run a command over the topics, and claim its exit status."""
        called = call(self.capture, "topics", command, "--log", self.log, *arguments)
        assert called.status == status, called
        return called

    def configure(self, topic: str, **configs: str) -> None:
        """Change settings of a topic; dots in their names are written as underscores."""
        changes = {name.replace("_", "."): value for name, value in configs.items()}
        resource = ConfigResource(ConfigResourceType.TOPIC, self.connection.physical(topic), changes)
        answer = self.admin.alter_configs([resource])
        assert answer == {"topic": {resource.name: "OK"}}

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([self.connection.physical(topic)])

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """What retention does: the partition begins at this offset."""
        self.admin.delete_records({TopicPartition(self.connection.physical(topic), partition): before})

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, bytes] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Append a record, whoever else writes there."""
        sent = self.producer.send(
            self.connection.physical(topic),
            value,
            key,
            list((headers or {}).items()),
            partition,
            timestamp_ms,
        )
        sent.get(10)

    def close(self) -> None:
        """Give back the connections."""
        self.producer.close()
        self.admin.close()


@pytest.fixture
def on_kafka(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], kafka: str, prefix: str
) -> Iterator[KafkaFolder]:
    """A log of the test's own; its topics are not made yet."""
    folder = KafkaFolder(tmp_path, capfdbinary, kafka, prefix)
    yield folder
    folder.close()
