"""Memory of one open position: its account, wallet, bucket, index entry, two remembered ids; views drawn."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from resource import getpagesize
from types import FunctionType, ModuleType

from benchmarks.figures import Figure, Scale, Target
from benchmarks.folding import Engine
from benchmarks.inputs import INSTRUMENT, OTHERS, Inputs
from benchmarks.timing import Reading
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Memory: one deposit and one fill each, both ids remembered, views drawn"
COUNTED_LARGEST = 100_000
"""Counting objects one by one needs memory of its own, so larger states are only weighed."""


def resident_bytes() -> int:
    """Return the resident set of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()


def measure(scale: Scale, seed: int) -> list[Figure]:
    """One state grows; it is weighed at every size."""
    inputs, engine = Inputs(seed), Engine()
    engine.prepare(inputs.market((INSTRUMENT, *OTHERS)))
    tune_garbage_collection()
    figures: list[Figure] = []
    population = inputs.population(max(scale.large))
    start, positions = resident_bytes(), 0
    for size in scale.large:
        engine.prepare(next(population) for _ in range(2 * (size - positions)))
        positions = size
        held = (resident_bytes() - start) / positions
        figures.append(
            Figure(f"{positions:,} positions, resident", Reading(held), "B each", 1, Target("at most", 1_000))
        )
        if positions <= COUNTED_LARGEST:
            counted = sum(map(sys.getsizeof, reachable(engine.fold.state))) / positions
            figures.append(Figure(f"{positions:,} positions, sum of object sizes", Reading(counted), "B each", 1))
    return figures


def reachable(root: object) -> Iterator[object]:
    """Yield every object that `root` keeps alive, once; code and types belong to the program, not to the state."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType):
            continue
        seen.add(id(thing))
        yield thing
        waiting += gc.get_referents(thing)
