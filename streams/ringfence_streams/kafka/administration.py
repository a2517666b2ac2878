"""Topics as a cluster has them: created, described, altered.  kafka-python, for everything that is not the engine's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    CoordinatorNotAvailableError,
    InvalidConfigurationError,
    InvalidReplicationFactorError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from ringfence_streams.errors import LogUnavailable, LogUnsuitable
from ringfence_streams.kafka.admission import TIMEOUT_MS, reach
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.specs import MAX_MESSAGE_BYTES, TopicSpec

_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a topic; brokers by their ids."""

    partition: int
    leader: int | None
    """None when no broker serves it."""
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    """Replicas that have every acknowledged record."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it stands on the cluster."""

    topic: str
    """Its logical name."""
    name: str
    """Its name on the cluster."""
    identity: str
    """The cluster's id of it: a topic created anew has another one.  Empty before Kafka 2.8."""
    partitions: tuple[Partition, ...]
    configs: Mapping[str, str]
    operations: frozenset[str] | None
    """What this user may do with it; None when the cluster does not tell."""

    @property
    def replication(self) -> int:
        """Copies of each record, in the partition that has fewest."""
        return min(len(partition.replicas) for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class Creation:
    """What became of one topic."""

    spec: TopicSpec
    name: str
    result: str
    """`created`, `altered`, `there`: as it should be, or `differs`."""
    differences: Mapping[str, tuple[str, str]]
    """Setting -> its value there, and that of the specification."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process in a consumer group."""

    client: str
    host: str
    partitions: tuple[int, ...]
    """Partitions of the journal assigned to it."""


class Administration:
    """A connection for administration; a context manager.  Every method raises LogUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with told(connection.bootstrap):
            reach(connection)
            self._client = KafkaAdminClient(
                **connection.for_kafka_python(),
                client_id="ringfence-administration",
                request_timeout_ms=TIMEOUT_MS,
                bootstrap_timeout_ms=TIMEOUT_MS,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        with self._told():
            return sum(not broker.get("is_fenced") for broker in self._client.describe_cluster()["brokers"])

    def topics(self, topics: Iterable[str], *, configs: bool = True) -> dict[str, Topic]:
        """Those of the topics that exist, by their logical names.  Without `configs` none are asked for."""
        names = {self._connection.physical(topic): topic for topic in topics}
        with self._told():
            found = [topic for topic in self._client.describe_topics(list(names)) if not _missing(topic)]
            held = self._configs([topic["name"] for topic in found]) if configs and found else {}
        return {
            names[topic["name"]]: _topic(names[topic["name"]], topic, held.get(topic["name"], {})) for topic in found
        }

    def records(self, topics: Iterable[Topic]) -> dict[str, int]:
        """How many offsets each topic holds, by logical name: its records, and the gaps that compaction left."""
        partitions = {
            TopicPartition(topic.name, partition.partition): topic.topic
            for topic in topics
            for partition in topic.partitions
        }
        with self._told():
            begin = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
            end = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        held: Counter[str] = Counter()
        for partition, topic in partitions.items():
            held[topic] += end[partition].offset - begin[partition].offset
        return held

    def create(self, specs: Sequence[TopicSpec], *, replication: int, alter: bool = False) -> list[Creation]:
        """Make the topics that are missing, and compare those that are there.

        `alter`: give those that are there the settings of the specification too; partitions never change.
        Raises LogUnsuitable when the cluster refuses a topic.
        """
        there = self.topics(spec.topic for spec in specs)
        missing = [spec for spec in specs if spec.topic not in there]
        if missing:
            self._make(missing, replication)
        return [
            self._compared(spec, there[spec.topic], alter=alter)
            if spec.topic in there
            else Creation(spec, self._connection.physical(spec.topic), "created", {})
            for spec in specs
        ]

    def members(self, group: str) -> list[Member]:
        """The processes in a consumer group, and which partitions of any topic are assigned to each."""
        deadline = time.monotonic() + TIMEOUT_MS / 1_000
        with self._told():
            while True:
                try:
                    described = self._client.describe_groups([group])[group]
                    break
                except CoordinatorNotAvailableError:  # a new cluster makes its topic of groups when first asked
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_PAUSE_S)
        return [
            Member(
                member["client_id"],
                member["client_host"].removeprefix("/"),
                tuple(sorted(_assigned(member["member_assignment"]))),
            )
            for member in described["members"]
        ]

    def _make(self, specs: Sequence[TopicSpec], replication: int) -> None:
        wanted = {
            self._connection.physical(spec.topic): {
                "num_partitions": spec.partitions,
                "replication_factor": replication,
                "configs": dict(spec.configs),
            }
            for spec in specs
        }
        with self._told():
            made = self._client.create_topics(wanted, raise_errors=False)["topics"]
            for topic in made:
                error = for_code(topic["error_code"])
                if topic["error_code"] and error is not TopicAlreadyExistsError:  # somebody else was faster
                    said = topic.get("error_message") or error.__name__
                    if error in {InvalidConfigurationError, InvalidReplicationFactorError, PolicyViolationError}:
                        raise LogUnsuitable(f"The cluster does not make topic {topic['name']}: {said}")
                    raise error(f"topic {topic['name']}: {said}")
            self._client.wait_for_topics(list(wanted))

    def _compared(self, spec: TopicSpec, topic: Topic, *, alter: bool) -> Creation:
        differences = dict(differing(spec, topic))
        result = "differs" if differences else "there"
        if alter and differences.keys() - {PARTITIONS}:
            self._alter(topic, {key: wanted for key, (_, wanted) in differences.items() if key != PARTITIONS})
            result = "differs" if PARTITIONS in differences else "altered"
        return Creation(spec, topic.name, result, differences)

    def _alter(self, topic: Topic, configs: Mapping[str, str]) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(configs))
        with self._told():
            answer = self._client.alter_configs([resource])["topic"][topic.name]
        if answer != "OK":
            raise LogUnsuitable(f"The cluster does not alter topic {topic.name}: {answer}")

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        described = self._client.describe_configs(resources, config_filter="all").get("topic", {})
        return {
            name: {key: config["value"] for key, config in configs.items() if config["value"] is not None}
            for name, configs in described.items()
        }

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told(self._connection.bootstrap):
            yield


PARTITIONS: Final = "partitions"
"""Stands beside the names of settings where a topic is compared with its specification."""


def differing(spec: TopicSpec, topic: Topic) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what a topic has otherwise than its specification: the setting, what is there, what is wanted."""
    if len(topic.partitions) != spec.partitions:
        yield PARTITIONS, (str(len(topic.partitions)), str(spec.partitions))
    for key, wanted in spec.configs.items():
        held = topic.configs.get(key, wanted)  # a broker may be too old to know the setting
        enough = key == MAX_MESSAGE_BYTES and int(held) >= int(wanted)
        if held != wanted and not enough:
            yield key, (held, wanted)


def _missing(topic: Mapping[str, Any]) -> bool:
    """Whether the cluster has no such topic.  Raises KafkaError when it does not say."""
    error = for_code(topic["error_code"])
    if topic["error_code"] and error is not UnknownTopicOrPartitionError:
        raise error(f"topic {topic['name']}")
    return bool(topic["error_code"])


def _topic(logical: str, topic: Mapping[str, Any], configs: Mapping[str, str]) -> Topic:
    partitions = sorted(topic["partitions"], key=lambda partition: int(partition["partition_index"]))
    operations = topic.get("authorized_operations")
    return Topic(
        logical,
        topic["name"],
        str(topic.get("topic_id") or ""),
        tuple(
            Partition(
                partition["partition_index"],
                partition["leader_id"] if partition["leader_id"] >= 0 else None,
                tuple(partition["replica_nodes"]),
                tuple(partition["isr_nodes"]),
            )
            for partition in partitions
        ),
        configs,
        None if operations is None else frozenset(map(str, operations)),
    )


def _assigned(assignment: Any) -> Iterator[int]:
    """Yield the partitions of an assignment, which is empty while a group rebalances."""
    topics = assignment.get("assigned_partitions", ()) if isinstance(assignment, Mapping) else ()
    for topic in topics:
        yield from topic["partitions"]


@contextmanager
def told(bootstrap: str, *judged: type[KafkaError]) -> Iterator[None]:
    """Turn what kafka-python raises into LogUnavailable, but for errors that the caller judges itself."""
    try:
        yield
    except judged:
        raise
    except AuthorizationError as error:
        raise LogUnavailable(f"The cluster at {bootstrap} does not let this user: {error}") from error
    except (KafkaError, OSError) as error:
        raise LogUnavailable(f"The cluster at {bootstrap} does not answer: {error}") from error
