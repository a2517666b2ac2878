"""Recovery: how long a shard with many open positions has no owner after its process was killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.inputs import INSTRUMENT, OTHERS, Inputs
from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.load import outgoing
from benchmarks.kafka.ours import Engine
from benchmarks.kafka.programs import until
from benchmarks.kafka.scale import Scale
from benchmarks.kafka.writing import Writer
from ringfence_schemas.frames import decode_frame
from ringfence_schemas.topics import JOURNAL

CLOCK: Final = ("--clock", "events")
TIMEOUT_S: Final = 600


class Recovery(NamedTuple):
    """What it took."""

    positions: int
    tail: int
    """Inputs since the end of the process before the one that was killed."""
    killed_s: float
    """From the start of a process, right after the kill, until it owns the shard."""
    released_s: float
    """The same after the owner had ended orderly."""
    peak_bytes: int
    """The most memory that the recovered process had."""


async def recovery(cluster: Cluster, folder: Path, prefix: str, scale: Scale, seed: int) -> Recovery:
    """Open positions, let a snapshot of them be taken, fold some more, kill; then start twice.

    Raises ProgramFailed when a process ends or is not heard of.
    """
    engine, inputs = Engine(cluster, f"{prefix}recovery.", folder / "recovery"), Inputs(seed)
    await engine.create_topics()
    async with Writer(cluster.bootstrap) as writer:
        await writer.write(map(outgoing, inputs.market((INSTRUMENT, *OTHERS))), engine.names)
        await writer.write(map(outgoing, inputs.population(scale.positions)), engine.names)
        await engine.command("run", "--drain", "--snapshot-inputs", str(scale.positions // 2), *CLOCK)
        begin = await cluster.end(engine.name(JOURNAL))
        await writer.write(map(outgoing, inputs.mixed(scale.tail, scale.positions, 0.5)), engine.names)
    async with engine.run(*CLOCK) as running:
        await running.line(TIMEOUT_S, state="owner")
        await _folded(engine, begin, scale.tail)
        await running.kill()
    killed_s, _ = await _started(engine)
    released_s, peak_bytes = await _started(engine)
    return Recovery(scale.positions, scale.tail, killed_s, released_s, peak_bytes)


async def _folded(engine: Engine, begin: int, inputs: int) -> None:
    """Return when the journal holds so many inputs from an offset on."""
    counts: dict[int, int] = {}

    async def holds() -> bool:
        start = max(counts, default=begin - 1) + 1
        async for record in engine.cluster.records(engine.name(JOURNAL), start):
            counts[record.offset] = len(decode_frame(record.value or b"").inputs)
        return sum(counts.values()) >= inputs

    await until(holds, TIMEOUT_S, f"{inputs} inputs were not journalled")


async def _started(engine: Engine) -> tuple[float, int]:
    """How long a process takes until it owns the shard, in seconds, and its memory; it ends orderly."""
    started_us = time.time_ns() // 1_000
    async with engine.run(*CLOCK) as running:
        owning = await running.line(TIMEOUT_S, state="owner")
        return (owning.read_us - started_us) / 1e6, running.used().peak_bytes
