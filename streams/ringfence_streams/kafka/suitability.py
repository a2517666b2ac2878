"""Whether the topics of a cluster suit the engine: one rule after the other, each with its reason and its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ringfence_schemas.frames import Settings
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPICS, JOURNAL
from ringfence_streams.errors import LogUnsuitable
from ringfence_streams.kafka.administration import Administration, Topic
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.findings import Finding, Severity, error, warning
from ringfence_streams.kafka.producer import BATCH_BYTES
from ringfence_streams.kafka.specs import (
    CLEANUP_POLICY,
    FOREVER_MS,
    MAX_MESSAGE_BYTES,
    MENDING_MS,
    MIN_COMPACTION_LAG,
    MIN_INSYNC_REPLICAS,
    NO_LIMIT,
    RETENTION_BYTES,
    RETENTION_MS,
    ROLES,
    SHARDED_TOPICS,
    TIMESTAMP_BEFORE,
    TIMESTAMP_TYPE,
    UNCLEAN_ELECTION,
    Role,
)
from ringfence_streams.kafka.synchronous import SynchronousReader
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Source

SAMPLED_RECORDS: Final = 20
"""So many records at the end of each partition are looked at for their keys."""

_DAY_MS: Final = 86_400_000
_INPUT_BYTES: Final = 96
"""What a frame needs for an input besides its bytes: indices, times, a traceparent of 55 characters."""
_FRAME_BYTES: Final = 64 * 1024
"""What a frame needs besides its inputs: source ranges, published numbers, digests, the batch around it."""
_DEAD_LETTER_BYTES: Final = 16 * 1024
"""What a dead letter needs besides the input: key and headers."""

_ALTER: Final = "Run `ringfence topics create --alter`, or set"


def check_start(connection: Connection, settings: Settings, motion: MotionSettings) -> None:
    """Refuse topics that an engine with these settings would give wrong results on, or stand still on.

    Raises LogUnsuitable with everything that is wrong and what to do about each, and LogUnavailable.
    """
    found = [
        finding
        for finding in check_cluster(connection, motion, shards=settings.shards)
        if finding.severity is Severity.ERROR
    ]
    if found:
        raise LogUnsuitable("; ".join(f"{f.subject}: {f.message}. {f.remedy}" for f in found))


def check_cluster(connection: Connection, motion: MotionSettings, *, shards: int | None = None) -> list[Finding]:
    """Everything about the topics of a cluster that an engine cannot work with, or should not.

    `shards`: None: as many as the journal has partitions.  Raises LogUnavailable.
    """
    with Administration(connection) as administration:
        topics = administration.topics(ROLES)
        brokers = administration.brokers()
    if shards is None:
        shards = len(topics[JOURNAL].partitions) if JOURNAL in topics else 1
    found = list(check_topics(topics, motion, shards=shards, brokers=brokers))
    sources = [Source(topic, p) for topic in sorted(ACCOUNT_TOPICS & topics.keys()) for p in range(shards)]
    if not any(finding.code == "partitions" for finding in found):
        with SynchronousReader(connection) as reader:
            samples = {source: [r.key for r in reader.last(source, SAMPLED_RECORDS)] for source in sources}
        found += check_keys(samples, shards)
    return found


def check_topics(
    topics: Mapping[str, Topic], motion: MotionSettings, *, shards: int, brokers: int
) -> Iterator[Finding]:
    """Yield what is wrong with the topics by their logical names, in order of `specs.ROLES`."""
    for name, role in ROLES.items():
        topic = topics.get(name)
        if topic is None:
            yield error("topic_missing", name, "there is no such topic", "Run `ringfence topics create`")
            continue
        yield from _partitions(topic, shards)
        yield from _cleanup(topic, role)
        yield from _retention(topic, role)
        yield from _size(topic, role, topics, motion)
        yield from _durability(topic, brokers)
        yield from _timestamps(topic, role)
        yield from _permissions(topic, role)


def check_keys(samples: Mapping[Source, Sequence[bytes | None]], shards: int) -> Iterator[Finding]:
    """Yield the topics whose keys were sent to other partitions than their own (murmur2, the default of Java).

    The engine refuses such records as `wrong_partition`.  One that strayed is a matter of its sender; when most
    did, the whole topic is partitioned in another way and nearly every input would be refused.
    """
    for topic in sorted({source.topic for source in samples}):
        keyed = [
            (source.partition, key)
            for source, keys in samples.items()
            if source.topic == topic
            for key in keys
            if key is not None
        ]
        strays = [(partition, key) for partition, key in keyed if partition_of(key, shards) != partition]
        if not strays:
            continue
        partition, key = strays[0]
        example = f"{key.decode('utf-8', 'replace')!r} on partition {partition} belongs to {partition_of(key, shards)}"
        share = f"{len(strays)} of the {len(keyed)} last records are on another partition than their key's: {example}"
        if 2 * len(strays) > len(keyed):
            yield error(
                "foreign_partitioner",
                topic,
                share,
                "Let its producers use Kafka's default partitioner (murmur2), or copy the topic into one that does",
            )
        else:
            yield warning("misplaced_keys", topic, share, "They are refused as `wrong_partition`: find their producer")


def check_health(topics: Iterable[Topic]) -> Iterator[Finding]:
    """Yield partitions that cannot be read or written now, or have fewer copies than they should."""
    for topic in topics:
        needed = int(topic.configs.get(MIN_INSYNC_REPLICAS, "1"))
        for partition in topic.partitions:
            subject = f"{topic.topic}/{partition.partition}"
            copies = f"{len(partition.in_sync)} of {len(partition.replicas)} replicas are in sync"
            if partition.leader is None:
                yield error("no_leader", subject, "no broker serves this partition", "Start the brokers that have it")
            elif len(partition.in_sync) < needed:
                remedy = "Start the brokers that are missing; what is written waits until then"
                yield error("not_enough_replicas", subject, f"{copies}, {needed} must be", remedy)
            elif len(partition.in_sync) < len(partition.replicas):
                yield warning("under_replicated", subject, copies, "Start the brokers that are missing, or wait")


def frame_bytes(motion: MotionSettings, source_bytes: int) -> int:
    """F4: the largest record that the engine may append to the journal.

    `source_bytes`: the largest record that the source topics permit.
    """
    inputs = motion.batch_bytes + min(motion.input_bytes, source_bytes)
    return inputs + motion.batch_inputs * _INPUT_BYTES + _FRAME_BYTES


# --------------------------------------------------------------------------------------------------------------- rules


def _partitions(topic: Topic, shards: int) -> Iterator[Finding]:
    """One partition per shard: the number decides which shard owns an account, so it never changes."""
    found = len(topic.partitions)
    if topic.topic not in SHARDED_TOPICS or found == shards:
        return
    yield error(
        "partitions",
        topic.topic,
        f"it has {found} partitions, the log has {shards} shards",
        "Make the topic anew while it is empty, or begin another log under another prefix with "
        "`ringfence topics create --shards`: partitions never change",
    )


def _cleanup(topic: Topic, role: Role) -> Iterator[Finding]:
    compacted = "compact" in topic.configs.get(CLEANUP_POLICY, "")
    if role in {Role.VIEWS, Role.SNAPSHOTS}:
        if not compacted:
            message = "it is not compacted, so every version of every key stays"
            yield warning("not_compacted", topic.topic, message, f"{_ALTER} {CLEANUP_POLICY} to compact")
        lag_ms = int(topic.configs.get(MIN_COMPACTION_LAG, "0"))
        if role is Role.VIEWS and compacted and lag_ms < MENDING_MS:
            message = f"{MIN_COMPACTION_LAG} is {lag_ms}: what a late writer replaced may be gone before it is mended"
            remedy = f"{_ALTER} {MIN_COMPACTION_LAG} to {MENDING_MS} or more"
            yield warning("mending_too_short", topic.topic, message, remedy)
    elif compacted:
        # Compaction keeps the last record of a key.  Frames of a shard have one key; facts and decisions of an
        # account do not replace each other.
        yield error(
            "compacted",
            topic.topic,
            "it is compacted, so records that are still needed vanish",
            f"{_ALTER} {CLEANUP_POLICY} to delete",
        )


def _retention(topic: Topic, role: Role) -> Iterator[Finding]:
    """What expires.  A journal, too, may: what is left must hold a snapshot's frame, or nothing can go on (R3)."""
    if "delete" not in topic.configs.get(CLEANUP_POLICY, "delete"):
        return
    limits = [f"{key} {topic.configs.get(key)}" for key in (RETENTION_MS, RETENTION_BYTES) if _limited(topic, key)]
    if not limits:
        return
    said = f"{' and '.join(limits)}: it does not keep its records"
    forever = f"{_ALTER} {RETENTION_MS} and {RETENTION_BYTES} to {NO_LIMIT}"
    short = _limited(topic, RETENTION_MS) and int(topic.configs[RETENTION_MS]) < _DAY_MS
    if role is Role.JOURNAL and short:
        message = f"{said}, so the frame of the last snapshot may be gone after a day of standstill, and all with it"
        yield error("journal_expires", topic.topic, message, forever)
    elif role is Role.JOURNAL:
        message = f"{said}, so it cannot be verified from its beginning, and an outage may not last longer"
        yield warning("journal_expires", topic.topic, message, forever)
    elif role is Role.INPUT and short:
        message = f"{said}, and an engine that is down for longer misses inputs"
        yield warning("inputs_expire", topic.topic, message, f"{_ALTER} {RETENTION_MS} to a day or more")
    elif role is not Role.INPUT:
        message = f"{said}, so a subscriber that comes late misses some, and none that expired can be verified"
        yield warning("outcomes_expire", topic.topic, message, forever)


def _size(topic: Topic, role: Role, topics: Mapping[str, Topic], motion: MotionSettings) -> Iterator[Finding]:
    """F4: nothing that the engine must write may be larger than its topic takes."""
    if role is Role.INPUT:
        return
    source_bytes = max(_limit(topics[name]) for name in INPUT_TOPICS if name in topics) if topics else 0
    needed = {
        Role.JOURNAL: frame_bytes(motion, source_bytes),
        Role.DEAD_LETTERS: min(motion.input_bytes, source_bytes) + _DEAD_LETTER_BYTES,
    }.get(role, 0)
    needed = max(needed, BATCH_BYTES)
    if _limit(topic) < needed:
        yield error(
            "records_too_small",
            topic.topic,
            f"{MAX_MESSAGE_BYTES} is {_limit(topic)}, a record may need {needed}",
            f"{_ALTER} {MAX_MESSAGE_BYTES} to {needed} or more",
        )


def _durability(topic: Topic, brokers: int) -> Iterator[Finding]:
    """While no acknowledged record is lost, nothing is: three copies, two of them before the acknowledgement."""
    in_sync = int(topic.configs.get(MIN_INSYNC_REPLICAS, "1"))
    copies = topic.replication
    if in_sync > copies:
        message = f"{MIN_INSYNC_REPLICAS} is {in_sync}, but there are {copies} replicas: nothing can be written"
        yield error("insync_impossible", topic.topic, message, f"Set {MIN_INSYNC_REPLICAS} to {max(1, copies - 1)}")
    if brokers > 1 and copies < min(brokers, 3):
        message = f"it has {copies} replicas: the loss of a broker may lose acknowledged records"
        yield warning("replication", topic.topic, message, "Reassign it with a replication factor of 3")
    if copies > 2 and in_sync < 2:  # noqa: PLR2004 -- one broker may fail, and another at the same time be away
        message = f"{MIN_INSYNC_REPLICAS} is {in_sync}: a record that one broker has counts as acknowledged"
        yield warning("acknowledged_alone", topic.topic, message, f"{_ALTER} {MIN_INSYNC_REPLICAS} to 2")
    if topic.configs.get(UNCLEAN_ELECTION) == "true":
        message = "a replica that lags behind may become the leader, and acknowledged records be lost"
        yield warning("unclean_election", topic.topic, message, f"{_ALTER} {UNCLEAN_ELECTION} to false")


def _timestamps(topic: Topic, role: Role) -> Iterator[Finding]:
    if role is not Role.INPUT:
        return
    if topic.configs.get(TIMESTAMP_TYPE) == "LogAppendTime":
        message = "its records carry the broker's time, so inputs of several topics merge in order of arrival"
        yield warning("timestamp_type", topic.topic, message, f"{_ALTER} {TIMESTAMP_TYPE} to CreateTime")
    elif (limit := topic.configs.get(TIMESTAMP_BEFORE, FOREVER_MS)) != FOREVER_MS:
        message = f"{TIMESTAMP_BEFORE} is {limit}: the broker refuses older inputs, such as those of a history"
        yield warning("timestamp_limit", topic.topic, message, f"{_ALTER} {TIMESTAMP_BEFORE} to {FOREVER_MS}")


def _permissions(topic: Topic, role: Role) -> Iterator[Finding]:
    if topic.operations is None:
        return
    needed = {"READ"} if role is Role.INPUT else {"READ", "WRITE"}
    if lacking := sorted(needed - topic.operations):
        message = f"this user may not {' nor '.join(lacking).lower()} it"
        yield error("not_authorized", topic.topic, message, f"Allow it: {', '.join(lacking)} on topic {topic.name}")


def _limited(topic: Topic, key: str) -> bool:
    return topic.configs.get(key, NO_LIMIT) != NO_LIMIT


def _limit(topic: Topic) -> int:
    return int(topic.configs.get(MAX_MESSAGE_BYTES, "0"))
