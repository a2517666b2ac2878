"""Remembered ids: their weight, and what finding and adding one costs."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TypeAlias

from benchmarks.figures import Figure, Scale
from benchmarks.inputs import FIRST_US, STEP_US
from benchmarks.memory import resident_bytes
from benchmarks.timing import Reading, Samples, Stopwatch
from ringfence.identities import Identities
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Remembered ids: a tag, a content hash and a time each"
BATCH = 10_000
LATER_RUNS = 10

Record: TypeAlias = tuple[bytes, bytes, int]


def measure(scale: Scale, seed: int) -> list[Figure]:
    """The store of the engine beside a dictionary of Python objects with the same content."""
    ids, batch = scale.ids, min(BATCH, scale.ids)
    tune_garbage_collection()
    start = resident_bytes()
    store, adding, finding = _fill_store(ids, batch, seed)
    stored = (resident_bytes() - start) / ids
    start = resident_bytes()
    peer = {
        tag: (content, time_us) for run in range(ids // batch) for tag, content, time_us in _records(seed, run, batch)
    }
    kept = (resident_bytes() - start) / len(peer)
    runs = len(adding.spans)
    assert store.count == len(peer)
    forgetting, later = _forget(store, ids, batch, seed)
    return [
        Figure(f"{ids:,} ids, resident", Reading(stored), "B each", 1),
        Figure("peer: a dictionary", Reading(kept), "B each", 1),
        Figure("adding one", adding.microseconds().times(1_000), "ns", runs),
        Figure("finding one", finding.microseconds().times(1_000), "ns", runs),
        Figure(f"the longest pause: a minute of {forgetting.items:,} ids is forgotten", _pause(forgetting), "ms", 1),
        Figure("adding one after that", later.microseconds().times(1_000), "ns", len(later.spans)),
    ]


def _fill_store(ids: int, batch: int, seed: int) -> tuple[Identities, Samples, Samples]:
    store, adding, finding = Identities(), Samples(batch), Samples(batch)
    for run in range(ids // batch):
        records = _records(seed, run, batch)
        adding.run(partial(_add, store, records))
        finding.run(partial(_find, store, records))
    return store, adding, finding


def _forget(store: Identities, ids: int, batch: int, seed: int) -> tuple[Samples, Samples]:
    """Let the first minute leave the window, then go on adding."""
    before = store.count
    stopwatch = Stopwatch()
    store.forget(store.oldest_us)
    forgetting = Samples(before - store.count, [stopwatch.span()])
    later = Samples(batch)
    for run in range(ids // batch, ids // batch + LATER_RUNS):
        records = _records(seed, run, batch)
        later.run(partial(_add, store, records))
    return forgetting, later


def _pause(forgetting: Samples) -> Reading:
    """The whole of it, in milliseconds."""
    return forgetting.microseconds().times(forgetting.items / 1_000)


def _add(store: Identities, records: list[Record]) -> None:
    for tag, content, time_us in records:
        store.add(store.place_of(tag), tag, content, time_us)


def _find(store: Identities, records: list[Record]) -> None:
    for tag, _, _ in records:
        store.find(store.place_of(tag), tag, 0)


def _records(seed: int, run: int, count: int) -> list[Record]:
    """Tags and hashes look like chance, so chance stands for them."""
    random = Random(seed + run)
    first_us = FIRST_US + run * count * STEP_US
    return [(random.randbytes(16), random.randbytes(16), first_us + number * STEP_US) for number in range(count)]
