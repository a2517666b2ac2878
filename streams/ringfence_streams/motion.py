"""Settings of the motion: how fast and how safely, never what.  Results do not depend on any of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """How a shard moves.  Times are microseconds."""

    batch_inputs: int = 1_000
    """A frame holds at most so many inputs."""
    batch_bytes: int = 500_000
    """A frame is closed once its inputs have so many bytes; with the largest input it must fit into one record (F4)."""
    input_bytes: int = 400_000
    """A larger input is not journalled: it is refused as `too_large`, by hash and size (F4)."""
    in_flight: int = 4
    """So many frames may await their acknowledgement (W3)."""
    unacknowledged_outcomes: int = 10_000
    """Publishing waits for acknowledgements beyond this."""
    heartbeat_us: int = 1_000_000
    """An idle owner writes a heartbeat frame this often."""
    lease_us: int = 3_000_000
    """A follower takes over when the head has not moved for so long; for liveness, never for safety (T1)."""
    poll_us: int = 250_000
    """A shard that does not own looks this often whether it may."""
    stalled_us: int = 10_000_000
    """Without an acknowledgement for so long the shard reports itself stalled, and keeps waiting (W9)."""
    snapshot_inputs: int = 1_000_000
    """A snapshot follows after so many inputs: as many are folded again, at most, when an owner was killed."""
    snapshot_every: int = 20_000
    """A snapshot follows after so many frames, however few inputs they hold."""
    snapshot_rest: int = 19
    """After a snapshot none is taken for so many times as long as it took, so large states do not stop the shard."""
    hint_us: int = 5_000_000
    """At most so often the source offsets are told to monitors of lag."""
    max_clock_step_us: int = 86_400_000_000
    """A take-over refuses when the wall clock is further ahead of the journal's than this."""
    stand_by: bool = True
    """Whether to follow while another process owns the shard; otherwise that stops with `shard_owned`."""
