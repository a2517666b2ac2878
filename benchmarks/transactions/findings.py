"""What an experiment reports, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of a table: in which case, what was looked at, and what was seen."""

    case: str
    what: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is tried."""

    name: str
    inputs: int
    """Records that a run with kills has to turn into results."""
    kills: int
    """How often the process is killed during such a run."""
    paced_frames: int
    """Frames of one measure of latency."""
    rushed_frames: int
    """Frames of one measure of throughput."""
    transaction_timeouts_s: tuple[int, ...]
    """Transaction timeouts that a hanging transaction is tried with."""


FULL = Scale(
    name="full", inputs=30_000, kills=5, paced_frames=400, rushed_frames=1_000, transaction_timeouts_s=(10, 60)
)
QUICK = Scale(name="quick", inputs=5_000, kills=2, paced_frames=60, rushed_frames=200, transaction_timeouts_s=(5,))
SMALLEST = Scale(name="smallest", inputs=300, kills=1, paced_frames=5, rushed_frames=10, transaction_timeouts_s=(1,))
