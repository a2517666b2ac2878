"""How time is taken: CPU time and wall-clock time of the same work, repeated, and the median of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

MICROSECONDS = 1_000_000


class Span(NamedTuple):
    """How long something took, in seconds."""

    cpu_s: float
    wall_s: float


class Reading(NamedTuple):
    """One measured value, by CPU time of this process and by the wall clock; the second is None where time plays no
    part.
    """

    cpu: float
    wall: float | None = None

    def times(self, factor: float) -> Reading:
        """Return the same in another unit."""
        return Reading(self.cpu * factor, self.wall * factor if self.wall is not None else None)

    def per_second(self) -> Reading:
        """Return the rate of something that takes so many microseconds."""
        return Reading(MICROSECONDS / self.cpu, MICROSECONDS / self.wall if self.wall else None)


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def span(self) -> Span:
        """Return the time since then."""
        return Span(time.process_time() - self._cpu, time.perf_counter() - self._wall)


@dataclass(slots=True)
class Samples:
    """Repeated runs of the same amount of work."""

    items: int
    """How many things one run handles."""
    spans: list[Span] = field(default_factory=list)

    def run(self, work: Callable[[], object]) -> None:
        """Take one more run."""
        stopwatch = Stopwatch()
        work()
        self.spans.append(stopwatch.span())

    def microseconds(self) -> Reading:
        """Return the median time of one thing, in microseconds."""
        return Reading(*(median(column) / self.items * MICROSECONDS for column in zip(*self.spans, strict=True)))

    def ratio_to(self, other: Samples) -> Reading:
        """Return the median ratio of run to run: pairs taken right after each other see the same machine."""
        scale = other.items / self.items
        return Reading(
            median(mine.cpu_s / theirs.cpu_s for mine, theirs in zip(self.spans, other.spans, strict=True)) * scale,
            median(mine.wall_s / theirs.wall_s for mine, theirs in zip(self.spans, other.spans, strict=True)) * scale,
        )
