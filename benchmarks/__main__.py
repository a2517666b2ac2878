"""``python -m benchmarks``: run the measures one after the other, each in a process of its own, and print a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks import fills, frames, identities, journal, liquidations, markets, memory, ticks, volatility
from benchmarks.conditions import conditions, loaded
from benchmarks.figures import FULL, QUICK, Figure, Scale
from benchmarks.timing import Stopwatch

WIDTH: Final = 120
"""Columns of the table where the output is not a terminal."""


class Measure(NamedTuple):
    """One kind of figures."""

    title: str
    run: Callable[[Scale, int], list[Figure]]


MEASURES: Final = {
    "fills": Measure(fills.TITLE, fills.measure),
    "frames": Measure(frames.TITLE, frames.measure),
    "ticks": Measure(ticks.TITLE, ticks.measure),
    "markets": Measure(markets.TITLE, markets.measure),
    "volatility": Measure(volatility.TITLE, volatility.measure),
    "liquidations": Measure(liquidations.TITLE, liquidations.measure),
    "journal": Measure(journal.TITLE, journal.measure),
    "memory": Measure(memory.TITLE, memory.measure),
    "identities": Measure(identities.TITLE, identities.measure),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for."""
    options = _options(arguments)
    scale = QUICK if options.quick else FULL
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    stated = conditions(scale.name, options.seed)
    for name, value in stated.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    console.print("medians are of CPU time where time is measured; beside them those of the wall clock", soft_wrap=True)
    measured = {}
    for name in options.only or MEASURES:
        stopwatch = Stopwatch()
        found = measured[name] = in_own_process(MEASURES[name].run, scale, options.seed)
        console.print(_table(MEASURES[name].title, found))
        console.print(f"took {stopwatch.span().wall_s:.0f} s, load average {loaded()}")
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(_document(stated, measured), option=orjson.OPT_INDENT_2) + b"\n")


def in_own_process(run: Callable[[Scale, int], list[Figure]], scale: Scale, seed: int) -> list[Figure]:
    """Run a measure where no other one has left memory, caches or a tuned collector behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run, scale, seed).result()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Ringfence on this machine.")
    parser.add_argument("--only", action="append", choices=MEASURES, help="run this measure; may be repeated")
    parser.add_argument("--quick", action="store_true", help="smaller states and fewer runs: half a minute")
    parser.add_argument("--seed", type=int, default=1, help="seed of the made-up inputs (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and their conditions there too")
    return parser.parse_args(arguments)


def _table(title: str, found: list[Figure]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("figure", overflow="fold")
    for column in ("median", "by the clock", "unit", "runs", "target", ""):
        table.add_column(column, justify="left" if column in ("unit", "target", "") else "right")
    for figure in found:
        target = figure.target
        table.add_row(
            figure.what,
            shown(figure.reading.cpu),
            "" if figure.reading.wall is None else shown(figure.reading.wall),
            figure.unit,
            str(figure.runs),
            "" if target is None else f"{target.bound} {shown(target.value)}",
            "" if target is None else verdict(figure),
        )
    return table


def shown(value: float) -> str:
    """Return a number with three significant digits or all of its integer ones."""
    if value >= 100:  # noqa: PLR2004 -- three digits before the point
        return f"{value:,.0f}"
    return f"{value:.3g}"


def verdict(figure: Figure) -> str:
    """Say whether a figure's target is met."""
    assert figure.target is not None
    return "met" if figure.target.met(figure.reading) else "missed"


def _document(stated: dict[str, str], measured: dict[str, list[Figure]]) -> dict[str, object]:
    return {
        "conditions": stated,
        "figures": [
            {
                "measure": name,
                "what": figure.what,
                "cpu": figure.reading.cpu,
                "wall": figure.reading.wall,
                "unit": figure.unit,
                "runs": figure.runs,
                "target": None if figure.target is None else figure.target._asdict(),
                "verdict": None if figure.target is None else verdict(figure),
            }
            for name, found in measured.items()
            for figure in found
        ],
    }


if __name__ == "__main__":
    main()
