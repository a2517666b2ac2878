"""What a run found: figures with targets, as a table for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.figures import Target
from benchmarks.kafka.contest import Result
from benchmarks.kafka.latency import Latency
from benchmarks.kafka.recovery import Recovery
from benchmarks.kafka.shares import Share
from benchmarks.timing import Reading

OURS: Final = "ours"
RATE_TARGET: Final = Target("at least", 100_000)
RATIO_TARGETS: Final = {
    "quix": Target("at least", 2),
    "faust": Target("at least", 20),
    "kafka-streams-rocksdb": Target("at least", 1),
}
"""How much faster than a peer the engine is to be."""
P50_TARGET: Final = Target("at most", 15)
P99_TARGET: Final = Target("at most", 60)

HEADS: Final = ("", "measured", "target", "")


class Figure(NamedTuple):
    """One line of the report."""

    what: str
    value: float | None
    """None where there is only something to say."""
    unit: str
    target: Target | None = None

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty without one."""
        if self.target is None or self.value is None:
            return ""
        return "met" if self.target.met(Reading(self.value)) else "missed"

    def cells(self) -> tuple[str, str, str, str]:
        """Return the columns of its line."""
        measured = self.unit if self.value is None else f"{shown(self.value)} {self.unit}"
        target = "" if self.target is None else f"{self.target.bound} {shown(self.target.value)} {self.unit}"
        return self.what, measured, target, self.verdict


def shown(value: float) -> str:
    """Return a number with three significant digits or all of its integer ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 -- three digits before the point


def of_result(result: Result) -> list[Figure]:
    """Throughput, what it took, and how the state was checked."""
    return [
        Figure(
            f"{result.title}: {result.settings}",
            result.rate,
            "inputs/s",
            RATE_TARGET if result.contestant == OURS else None,
        ),
        Figure("processor time of the process", result.cpu_s / result.inputs * 1e6, "us an input"),
        Figure("its memory at most", result.peak_bytes / 2**20, "MiB"),
        *(
            [Figure("journal", result.journal_bytes / result.inputs, "bytes an input")]
            if result.journal_bytes is not None
            else []
        ),
        Figure("state", None, result.state),
    ]


def ratios(results: Sequence[Result]) -> list[Figure]:
    """How much faster the engine is than each peer."""
    rates = {result.contestant: result.rate for result in results}
    if OURS not in rates:
        return []
    return [
        Figure(
            f"Ringfence to {result.title}",
            rates[OURS] / result.rate,
            "x",
            RATIO_TARGETS.get(result.contestant),
        )
        for result in results
        if result.contestant != OURS
    ]


def of_shares(found: Sequence[Share]) -> list[Figure]:
    """Where the time goes."""
    return [Figure(f"Ringfence: {share.part}", share.percent, "% of its processor time") for share in found]


WAY: Final = ("from the tick to its frame", "from there to the call", "from there to the subscriber")
"""Parts of the wait for a margin call."""


def of_latency(found: Latency) -> list[Figure]:
    """Percentiles of the wait for a margin call."""
    what = f"tick to margin call at a subscriber, {found.sent:,.0f} inputs/s besides, {found.calls} calls"
    return [
        Figure(f"{what}: median", found.p50_ms, "ms", P50_TARGET),
        Figure("99 of 100 within", found.p99_ms, "ms", P99_TARGET),
        Figure("the longest", found.greatest_ms, "ms"),
        *(
            Figure(f"median of the way {part}", part_ms, "ms")
            for part, part_ms in zip(WAY, found.parts_ms, strict=True)
        ),
        Figure("load asked for", found.asked, "inputs/s"),
    ]


def of_recovery(found: Recovery) -> list[Figure]:
    """How long nobody owned the shard."""
    what = f"{found.positions:,} open positions, {found.tail:,} inputs since the last start"
    return [
        Figure(f"{what}: killed, started again, owner after", found.killed_s, "s"),
        Figure("ended orderly, started again, owner after", found.released_s, "s"),
        Figure("memory of the recovered process", found.peak_bytes / 2**20, "MiB"),
    ]


def table(title: str, figures: Iterable[Figure]) -> Table:
    """Return the figures for a terminal."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for head, justify in zip(HEADS, ("left", "right", "left", "left"), strict=True):
        made.add_column(head, overflow="fold", justify="right" if justify == "right" else "left")
    for figure in figures:
        made.add_row(*figure.cells())
    return made


def markdown(figures: Iterable[Figure]) -> str:
    """Return the figures as a page of the documentation shows them."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    lines += [f"| {' | '.join(figure.cells())} |" for figure in figures]
    return "\n".join(lines) + "\n"


def document(figures: Iterable[Figure]) -> list[dict[str, object]]:
    """Return the figures as JSON."""
    return [
        {
            "what": figure.what,
            "value": figure.value,
            "unit": figure.unit,
            "target": None if figure.target is None else figure.target._asdict(),
            "verdict": figure.verdict or None,
        }
        for figure in figures
    ]
