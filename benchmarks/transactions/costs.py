"""What one transaction per frame costs against one idempotent append per frame.

A frame is one record of a journal and its outcomes on another topic.  *Append* writes the frame, waits for its
acknowledgement, which is the commit, then writes the outcomes.  *Transaction* writes frame and outcomes, adds the
source's offset, and commits.  A reader of the outcomes, with the isolation that each way needs, says when it has the
last outcome of a frame.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.transactions.cluster import Cluster, Isolation
from benchmarks.transactions.findings import Finding, Scale

TITLE: Final = "one transaction for each frame against one append for each frame"
PACE_S: Final = 0.05
"""Time between two frames where latency is measured."""
GROUP: Final = "costs"

Commit = Callable[[int], Awaitable[float]]
"""Writes the frame with a number, and its outcomes; returns when on the monotonic clock the frame was committed."""


class Shape(NamedTuple):
    """Sizes of a frame."""

    frame_bytes: int
    outcomes: int
    outcome_bytes: int

    def __str__(self) -> str:
        return f"frame of {self.frame_bytes:,} B, {self.outcomes} outcomes of {self.outcome_bytes} B"


SHAPES: Final = (Shape(1_024, 2, 512), Shape(65_536, 40, 512))


@dataclass(slots=True)
class Seen:
    """When what happened, by the number of the frame, on the monotonic clock."""

    begun: dict[int, float] = field(default_factory=dict)
    committed: dict[int, float] = field(default_factory=dict)
    read: dict[int, float] = field(default_factory=dict)


def measure(bootstrap: str, prefix: str, scale: Scale, seed: int) -> list[Finding]:
    """Measure both ways for every shape; chance is not involved."""
    del seed
    found = []
    for number, shape in enumerate(SHAPES):
        for name in WAYS:
            cluster = Cluster(bootstrap, f"{prefix}costs{number}.{name}.")
            cluster.create(("inputs", "journal", "outcomes"))
            try:
                found += asyncio.run(_measure(cluster, shape, scale, name))
            finally:
                cluster.remove()
    return found


@asynccontextmanager
async def appending(cluster: Cluster, shape: Shape) -> AsyncIterator[Commit]:
    """Commit by one append; the outcomes follow."""
    async with AsyncExitStack() as stack:
        journal, outcomes = [
            await stack.enter_async_context(
                AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, enable_idempotence=True, acks="all")
            )
            for _ in range(2)
        ]

        async def commit(number: int) -> float:
            await journal.send_and_wait(cluster.name("journal"), bytes(shape.frame_bytes), partition=0)
            committed = time.monotonic()
            await _send_outcomes(outcomes, cluster, shape, number)
            return committed

        yield commit
        await outcomes.flush()


@asynccontextmanager
async def transacting(cluster: Cluster, shape: Shape) -> AsyncIterator[Commit]:
    """Commit by a transaction over journal, outcomes and the offset of the source."""
    source = TopicPartition(cluster.name("inputs"), 0)
    async with AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap, transactional_id=cluster.name(GROUP), acks="all", retry_backoff_ms=5
    ) as producer:

        async def commit(number: int) -> float:
            async with producer.transaction():
                await producer.send(cluster.name("journal"), bytes(shape.frame_bytes), partition=0)
                await _send_outcomes(producer, cluster, shape, number)
                await producer.send_offsets_to_transaction({source: number}, cluster.name(GROUP))
            return time.monotonic()

        yield commit


Way = Callable[[Cluster, Shape], AbstractAsyncContextManager[Commit]]

WAYS: Final[dict[str, tuple[Way, Isolation]]] = {
    "append": (appending, "read_uncommitted"),
    "transaction": (transacting, "read_committed"),
}


async def _send_outcomes(producer: AIOKafkaProducer, cluster: Cluster, shape: Shape, number: int) -> None:
    value = b"%d " % number
    for _ in range(shape.outcomes):
        await producer.send(cluster.name("outcomes"), value.ljust(shape.outcome_bytes, b"."), partition=0)


async def _measure(cluster: Cluster, shape: Shape, scale: Scale, name: str) -> list[Finding]:
    way, isolation = WAYS[name]
    seen = Seen()
    consumer = AIOKafkaConsumer(
        cluster.name("outcomes"),
        bootstrap_servers=cluster.bootstrap,
        isolation_level=isolation,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    paced = range(scale.paced_frames)
    rushed = range(paced.stop, paced.stop + scale.rushed_frames)
    async with consumer, way(cluster, shape) as commit:
        reading = asyncio.create_task(_read(consumer, seen, rushed.stop * shape.outcomes))
        for number in paced:
            await _write(commit, number, seen)
            await asyncio.sleep(PACE_S)
        for number in rushed:
            await _write(commit, number, seen)
        await reading
    rush_s = seen.read[rushed[-1]] - seen.begun[rushed[0]]
    return [
        Finding(f"{name}: {shape}", "frame committed", _spread(seen.begun, seen.committed, paced)),
        Finding("", "its last outcome read", _spread(seen.begun, seen.read, paced)),
        Finding("", "frames one after the other, until all outcomes are read", f"{len(rushed) / rush_s:,.0f}/s"),
    ]


async def _write(commit: Commit, number: int, seen: Seen) -> None:
    seen.begun[number] = time.monotonic()
    seen.committed[number] = await commit(number)


async def _read(consumer: AIOKafkaConsumer, seen: Seen, outcomes: int) -> None:
    """Note when each frame was read as far as it was, until so many outcomes are read."""
    while outcomes:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            now = time.monotonic()
            outcomes -= len(records)
            for record in records:
                seen.read[int(record.value.split(b" ", 1)[0])] = now


def _spread(begin: dict[int, float], end: dict[int, float], frames: range) -> str:
    times = sorted(1_000 * (end[number] - begin[number]) for number in frames)
    return f"p50 {statistics.median(times):.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms"
