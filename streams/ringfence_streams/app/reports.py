"""What the process of the shards tells the worker: committed things only (W2), as lines of JSON."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import msgspec
from msgspec import Struct, field

LATENCY_BOUNDS_US: Final = (
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
)
"""Upper bounds, inclusive, of the buckets of the commit latency; one more bucket takes the rest."""


class Latency(Struct):
    """A histogram of durations in microseconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_US) + 1))
    """How many fell into each bucket, not cumulated."""
    sum_us: int = 0

    def add(self, duration_us: int) -> None:
        """Count one duration."""
        self.counts[bisect_left(LATENCY_BOUNDS_US, duration_us)] += 1
        self.sum_us += duration_us


class SourcePosition(Struct, frozen=True):
    """How far the chain has read one partition of an input topic."""

    topic: str
    partition: int
    next_offset: int


class ShardReport(Struct, kw_only=True):
    """One shard, as far as its frames are on the chain.  Totals count since the process started."""

    shard: int
    mode: str = "following"
    stalled: bool = False
    head_seq: int = 0
    """The last frame known to be on the chain; 0 while the shard follows."""
    published_seq: int = 0
    """The last frame of which every outcome is acknowledged (P5)."""
    stood_down: int = 0
    frames: dict[str, int] = {}
    """By kind: batch, heartbeat, epoch, release."""
    inputs: int = 0
    outcomes: dict[str, int] = {}
    """By output topic."""
    refusals: dict[str, int] = {}
    """By code."""
    positions: list[SourcePosition] = []
    market_times_us: dict[str, int] = {}
    """Instrument -> the greatest `time_us` of its own inputs."""
    latency: Latency = field(default_factory=Latency)
    """From handing a frame to the log until it is known to be on the chain."""


class Report(Struct, tag="report"):
    """Every shard of the process."""

    shards: list[ShardReport]


class Failed(Struct, tag="failed"):
    """The shards stopped and a person must look; `code` and `remedy` are those of the error."""

    code: str
    message: str
    remedy: str


Line = Report | Failed

encode_line = msgspec.json.Encoder().encode
decode_line = msgspec.json.Decoder(Line).decode
