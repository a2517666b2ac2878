"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of one run."""

    name: str
    accounts: int
    """Accounts that trade."""
    events: int
    """Ticks and fills that every contestant folds."""
    profiled: int
    """Accounts, and ticks and fills, that are folded under the sampler."""
    calls: int
    """Ticks whose margin call is waited for."""
    call_interval_s: float
    """Time between two of them."""
    positions: int
    """Open positions of the shard that is killed."""
    tail: int
    """Inputs that follow its last snapshot and are folded again."""


FULL = Scale(
    name="full",
    accounts=100_000,
    events=300_000,
    profiled=50_000,
    calls=400,
    call_interval_s=0.05,
    positions=200_000,
    tail=50_000,
)
QUICK = Scale(
    name="quick",
    accounts=100_000,
    events=50_000,
    profiled=20_000,
    calls=100,
    call_interval_s=0.05,
    positions=20_000,
    tail=5_000,
)
SMALLEST = Scale(
    name="smallest", accounts=40, events=400, profiled=400, calls=5, call_interval_s=0.05, positions=40, tail=20
)
