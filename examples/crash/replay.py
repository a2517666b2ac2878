"""The inputs of a finished run once more, over Apache Kafka: the same decisions must come out, byte for byte.

A broker is started on this machine; the inputs go to its topics in the order in which the run published them, one shard
folds them, its journal is folded again, and every decision is compared with the one in the run's own log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from examples.crash.terminal import shown
from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import DECISION_TOPICS
from ringfence_streams.audit import ShardAudit
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import connection_of
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.kafka.specs import specs
from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.jars import kafka_version
from ringfence_streams.localkafka.temporary import free_ports
from ringfence_streams.port import Log, Message
from ringfence_streams.sqlite import SqliteLog

READ_RECORDS = 1_000
READ_BYTES = 1 << 20
MILLISECOND_US = 1_000
"""What a broker keeps of a record's time."""


class OtherDecisions(Exception):
    """The same inputs led to other decisions; the message names the first."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was done; seconds each."""

    inputs: int
    decisions: int
    publishing_s: float
    folding_s: float
    verifying_s: float


def start_cluster(out: Path, console: Console) -> LocalCluster:
    """A broker with empty topics of one shard; its data stays in ``out`` until the next one.

    Raises LocalKafkaError and LogError.
    """
    folder = out / "crash-kafka"
    folder.mkdir(parents=True, exist_ok=True)
    left = LocalCluster(folder)
    if left.exists:
        left.delete()
    cluster = LocalCluster(folder, port=free_ports(2))
    console.print(f"\n[bold]The same inputs over Apache Kafka {kafka_version()}[/], started on this machine.")
    # While a topic is new its partitions have no leader yet; the clients say so, and try again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    cluster.start()
    with Administration(connection_of(cluster.address, {})) as administration:
        administration.create(specs(1), replication=1)
    return cluster


async def replay(run: Log, kafka: Log) -> Replayed:
    """Publish, fold and verify, then compare.  Raises OtherDecisions, Divergence, LogError."""
    began = time.monotonic()
    inputs = 0
    async for messages in inputs_of(run):
        inputs += await kafka.publish(messages)
    published = time.monotonic()
    engine = Engine(kafka, [Settings(clock="events")], CoreReplicas())
    await engine.drain()
    await engine.release()
    folded = time.monotonic()
    audit = ShardAudit(kafka, 0, 1, unbranched=False)
    await audit.run(lambda _audit: None)
    verified = time.monotonic()
    decisions = sum([await _compare(run, kafka, topic) for topic in DECISION_TOPICS])
    return Replayed(inputs, decisions, published - began, folded - published, verified - folded)


async def inputs_of(run: Log) -> AsyncIterator[list[Message]]:
    """The inputs in the order of the run, each stamped later than all before it.

    A file keeps the order itself; on Kafka topics are merged by the stamps of their records, in milliseconds.
    """
    reader, stamp_us = run.reader(0, {}), 0
    while records := await reader.read(READ_RECORDS, READ_BYTES):
        messages = []
        for record in records:
            stamp_us = max(stamp_us + MILLISECOND_US, record.timestamp_us)
            messages.append(Message(record.topic, (record.key or b"").decode(), record.value or b"", stamp_us))
        yield messages


async def _compare(run: Log, kafka: Log, topic: str) -> int:
    """How many decisions of one topic are the same in both logs.  Raises OtherDecisions unless all are."""
    offset = 0
    while True:
        ours, theirs = [
            [record.value for record in await log.read(topic, 0, offset, READ_RECORDS)] for log in (run, kafka)
        ]
        both = min(len(ours), len(theirs))
        if ours[:both] != theirs[:both] or (not both and ours != theirs):
            raise OtherDecisions(f"{topic}: another decision at offset {offset} or in the {READ_RECORDS} after it")
        if not both:
            return offset
        offset += both


async def replay_file(path: Path, cluster: LocalCluster) -> Replayed:
    """Replay the run whose log is the SQLite file ``path``."""
    run, kafka = SqliteLog(path), KafkaLog(connection_of(cluster.address, {}), shards=[0])
    try:
        return await replay(run, kafka)
    finally:
        await kafka.close()
        await run.close()


def show(console: Console, replayed: Replayed, cluster: LocalCluster) -> None:
    """What was proved, and how to look at it."""
    console.print(
        f"{replayed.inputs:,} inputs went to its topics, one shard folded them, and its journal was folded anew: "
        f"[bold]all {replayed.decisions:,} decisions are the same to the byte[/] as in the SQLite log."
    )
    console.print(
        f"Seconds: publishing {replayed.publishing_s:.1f}, folding {replayed.folding_s:.1f}, "
        f"verification {replayed.verifying_s:.1f}.\n"
    )
    console.print(f"The topics stay in {shown(cluster.folder)} until the next run replaces them. Look at them with")
    for command in (f"kafka up --dir {shown(cluster.folder)}", f"topics describe --log {cluster.address}"):
        console.print(f"  .venv/bin/ringfence {command}", highlight=False, soft_wrap=True)
