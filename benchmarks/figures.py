"""What a measure reports: named figures, some with a target, and the scale it was run at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from benchmarks.timing import Reading


class Target(NamedTuple):
    """What the design asks for.  It is met or missed; nothing fails."""

    bound: Literal["at least", "at most"]
    value: float

    def met(self, reading: Reading) -> bool:
        """Tell whether a reading meets the target; CPU time decides, because other processes do not change it much."""
        return reading.cpu >= self.value if self.bound == "at least" else reading.cpu <= self.value


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    reading: Reading
    unit: str
    runs: int
    """The reading is the median of so many runs."""
    target: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    name: str
    accounts: int
    """Accounts that trade, are liquidated in one tick, or stand behind a journal."""
    fills: int
    batch: int
    """Inputs between two looks at the clock."""
    small: int
    """Open positions of the smallest state that ticks are measured on."""
    large: tuple[int, ...]
    """Open positions of the larger ones."""
    ticks: int
    crossings: int
    liquidations: int
    """How often the one tick that liquidates everybody is repeated."""
    journal: int
    """Inputs of each journal."""
    ids: int


FULL = Scale(
    name="full",
    accounts=100_000,
    fills=60_000,
    batch=2_000,
    small=1_000,
    large=(100_000, 1_000_000),
    ticks=2_000,
    crossings=200,
    liquidations=3,
    journal=40_000,
    ids=1_000_000,
)
QUICK = Scale(
    name="quick",
    accounts=5_000,
    fills=10_000,
    batch=1_000,
    small=1_000,
    large=(20_000,),
    ticks=1_000,
    crossings=50,
    liquidations=3,
    journal=10_000,
    ids=100_000,
)
SMALLEST = Scale(
    name="smallest",
    accounts=40,
    fills=100,
    batch=50,
    small=20,
    large=(40,),
    ticks=20,
    crossings=3,
    liquidations=1,
    journal=200,
    ids=500,
)
