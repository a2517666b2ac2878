"""Python's collector of cycles, tuned for a process that keeps a large state and makes no cycles."""

from __future__ import annotations

import gc

_THRESHOLDS = (200_000, 20, 1_000)


def tune_garbage_collection() -> None:
    """Leave what exists now out of every collection, and collect rarely.

    A full collection visits every bucket of the state and finds nothing.  Reference counting goes on as ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
