"""Throughput: every contestant in turn folds the same topics, from its first input until everything is committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.contestants import Peer, Task
from benchmarks.kafka.load import Book, Load, books
from benchmarks.kafka.ours import Engine
from benchmarks.kafka.programs import ProgramFailed, program, until
from benchmarks.kafka.writing import Writer
from ringfence_schemas.topics import FILLS, JOURNAL, TICKS
from ringfence_streams.kafka.specs import CONFIGS, Role

START_S: Final = 120
"""A contestant reads its first input within so long."""
END_S: Final = 400
CLOCK: Final = ("--clock", "events")
"""The load has times of its own, the same in every run."""


class Result(NamedTuple):
    """What one contestant did."""

    contestant: str
    title: str
    settings: str
    inputs: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    state: str
    """How its final state was checked."""
    journal_bytes: int | None = None

    @property
    def rate(self) -> float:
        """Inputs a second."""
        return self.inputs / self.seconds


@dataclass(frozen=True)
class Course:
    """The topics with the load, and what it adds up to."""

    cluster: Cluster
    folder: Path
    """For state and logs of this run."""
    built: Path
    """For what is built once and kept."""
    prefix: str
    kafka: str
    """Version of the broker."""
    names: Mapping[str, str]
    beginning: int
    """Inputs before those that are measured."""
    mixed: int
    counts: Mapping[str, int]
    books: Mapping[str, Book]


async def laid_out(
    cluster: Cluster, folder: Path, built: Path, prefix: str, kafka: str, load: Load
) -> tuple[Course, Engine]:
    """Write the beginning of the load, let our engine fold it, then write what is measured.

    Peers know no wallets, so what happens before the first fill is not part of the comparison.
    """
    counts = load.counts()
    names = {topic: f"{prefix}load.{topic}" for topic in counts}
    await cluster.create(names.values(), CONFIGS[Role.INPUT])
    engine = Engine(cluster, f"{prefix}ours.", folder / "ours", names)
    await engine.create_topics()
    async with Writer(cluster.bootstrap) as writer:
        await writer.write(load.beginning, names)
        await engine.command("run", "--drain", *CLOCK)
        await writer.write(load.mixed, names)
    for topic, count in counts.items():
        if await cluster.end(names[topic]) != count:
            raise ProgramFailed(f"{names[topic]} does not hold the {count} inputs that were written")
    sizes = len(load.beginning), len(load.mixed)
    return Course(cluster, folder, built, prefix, kafka, names, *sizes, counts, books(load.mixed)), engine


async def ours(course: Course, engine: Engine) -> Result:
    """Ringfence: from the moment it owns its shard until everything is committed, published and acknowledged."""
    begin = await course.cluster.end(engine.name(JOURNAL))
    async with engine.run("--drain", *CLOCK) as running:
        started = await running.line(START_S, state="owner")
        before = running.used()
        ended = await running.line(END_S, state="stopped")
        used = running.used()
    digest = await engine.check(course.books, course.beginning + course.mixed)
    return Result(
        "ours",
        "Ringfence",
        "the full margin job, journal and every output, one shard in one process",
        course.mixed,
        (ended.read_us - started.read_us) / 1e6,
        used.cpu_s - before.cpu_s,
        used.peak_bytes,
        f"journal verified, positions equal to the load's sums, state {digest[:12]}",
        await engine.journal_bytes(begin),
    )


async def theirs(course: Course, name: str, peer: Peer) -> Result:
    """A peer: from its first input until the offsets of all inputs are committed.  Raises LeftOut, ProgramFailed."""
    fills, ticks = course.names[FILLS], course.names[TICKS]
    inputs = {fills: course.counts[FILLS], ticks: course.counts[TICKS]}
    folder = course.folder / name
    folder.mkdir()
    task = Task(course.cluster.bootstrap, course.prefix + name, fills, ticks, sum(inputs.values()), folder)
    command = [*await asyncio.to_thread(peer.prepare, course.built, course.kafka), *peer.arguments(task)]
    async with program(command, folder / "log", {}) as running:
        started = await running.line(START_S, started_us=None)
        started_us, before = int(started.fields["started_us"]), running.used()
        await _committed(course.cluster, task.application, inputs)
        seconds, used = time.time() - started_us / 1e6, running.used()
    changelog = peer.changelog.format(application=task.application, fills=fills)
    found = dict([entry async for entry in _entries(course.cluster, changelog, peer)])
    require_sums(found, course.books)
    await course.cluster.remove(task.application)
    return Result(
        name,
        peer.title,
        peer.settings,
        task.inputs,
        seconds,
        used.cpu_s - before.cpu_s,
        used.peak_bytes,
        f"changelog equal to the load's sums of {len(found):,} accounts",
    )


def require_sums(found: Mapping[str, Book], wanted: Mapping[str, Book]) -> None:
    """Raise ProgramFailed unless a contestant's accounts add up to what the load does."""
    if wrong := [account for account in found.keys() | wanted.keys() if found.get(account) != wanted.get(account)]:
        raise ProgramFailed(f"{len(wrong):,} accounts differ from the sums of the load, {min(wrong)} among them")


async def _committed(cluster: Cluster, group: str, inputs: Mapping[str, int]) -> None:
    """Return when a group has committed all inputs.  Raises ProgramFailed after a while."""

    async def holds() -> bool:
        return inputs.items() <= (await cluster.committed(group)).items()

    await until(holds, END_S, f"{group} has not committed all inputs")


async def _entries(cluster: Cluster, changelog: str, peer: Peer) -> AsyncIterator[tuple[str, Book]]:
    async for record in cluster.records(changelog):
        if record.key is not None and record.value is not None:
            yield peer.entry(record.key, record.value)
