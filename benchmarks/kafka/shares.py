"""The profile: where the engine's processor time goes, on a load of the same kind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.contest import CLOCK
from benchmarks.kafka.load import Load
from benchmarks.kafka.ours import Engine
from benchmarks.kafka.sampled import OTHER, RECOVERY
from benchmarks.kafka.scale import Scale
from benchmarks.kafka.writing import Writer

SAMPLED: Final = (sys.executable, "-m", "benchmarks.kafka.sampled", "--json-logs")


class Share(NamedTuple):
    """One part of the program."""

    part: str
    percent: float
    """Of the processor time of the process, its start left out."""


async def shares(cluster: Cluster, folder: Path, prefix: str, scale: Scale, seed: int) -> list[Share]:
    """Fold a load under a sampler; returns the parts, the greatest first.  Raises ProgramFailed."""
    engine = Engine(cluster, f"{prefix}profile.", folder / "profile")
    await engine.create_topics()
    load = Load(seed, scale.profiled, scale.profiled)
    async with Writer(cluster.bootstrap) as writer:
        await writer.write(load.beginning, engine.names)
        await engine.command("run", "--drain", *CLOCK)
        await writer.write(load.mixed, engine.names)
    found = await engine.command("run", "--drain", *CLOCK, begun=SAMPLED)
    return of_samples(next(fields["samples"] for fields in found if "samples" in fields))


def of_samples(samples: dict[str, int]) -> list[Share]:
    """Return the parts of the running engine: imports and recovery are over before it folds."""
    running = {part: count for part, count in samples.items() if part not in {OTHER, RECOVERY}}
    total = sum(running.values())
    found = [Share(part, 100 * count / total) for part, count in running.items()]
    return sorted(found, key=lambda share: share.percent, reverse=True)
