"""Remembered ids: their weight, and what finding and adding one costs."""

from __future__ import annotations

from random import Random

from benchmarks.figures import Figure, Scale
from benchmarks.inputs import FIRST_US, STEP_US
from benchmarks.memory import resident_bytes
from benchmarks.timing import Reading, Samples
from ringfence.identities import Identities
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Remembered ids: a tag, a content hash and a time each"
BATCH = 10_000


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
    return [
        Figure(f"{ids:,} ids, resident", Reading(stored), "B each", 1),
        Figure("peer: a dictionary", Reading(kept), "B each", 1),
        Figure("adding one", adding.microseconds().times(1_000), "ns", runs),
        Figure("finding one", finding.microseconds().times(1_000), "ns", runs),
    ]


def _fill_store(ids: int, batch: int, seed: int) -> tuple[Identities, Samples, Samples]:
    store, adding, finding = Identities(), Samples(batch), Samples(batch)
    for run in range(ids // batch):
        records = _records(seed, run, batch)

        def add(records: list[tuple[bytes, bytes, int]] = records) -> None:
            for tag, content, time_us in records:
                store.add(store.place_of(tag), tag, content, time_us)

        def find(records: list[tuple[bytes, bytes, int]] = records) -> None:
            for tag, _, _ in records:
                store.find(store.place_of(tag), tag, 0)

        adding.run(add)
        finding.run(find)
    return store, adding, finding


def _records(seed: int, run: int, count: int) -> list[tuple[bytes, bytes, int]]:
    """Tags and hashes look like chance, so chance stands for them."""
    random = Random(seed + run)
    first_us = FIRST_US + run * count * STEP_US
    return [(random.randbytes(16), random.randbytes(16), first_us + number * STEP_US) for number in range(count)]
