"""``python -m benchmarks.transactions``: run the experiments one after the other and print what was seen."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.conditions import conditions, loaded
from benchmarks.transactions import costs, hanging, kills, zombies
from benchmarks.transactions.findings import FULL, QUICK, Finding, Scale
from ringfence_streams.localkafka.jars import kafka_version
from ringfence_streams.localkafka.temporary import temporary_cluster

WIDTH: Final = 140
"""Columns of the tables where the output is not a terminal."""
CLIENTS: Final = ("aiokafka", "faust-streaming", "kafka-python")


class Experiment(NamedTuple):
    """One kind of findings."""

    title: str
    measure: Callable[[str, str, Scale, int], list[Finding]]


EXPERIMENTS: Final = {
    "kills": Experiment(kills.TITLE, kills.measure),
    "zombies": Experiment(zombies.TITLE, zombies.measure),
    "costs": Experiment(costs.TITLE, costs.measure),
    "hanging": Experiment(hanging.TITLE, hanging.measure),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Try what was asked for."""
    options = _options(arguments)
    scale = QUICK if options.quick else FULL
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    # What the clients complain about while their brokers, peers and sessions are taken away is what is tried here.
    for name in ("aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _broker(options.bootstrap) as (bootstrap, broker):
        stated = {
            **conditions(scale.name, options.seed),
            "broker": broker,
            "clients": ", ".join(f"{name} {version(name)}" for name in CLIENTS),
        }
        for name, value in stated.items():
            console.print(f"{name}: {value}", soft_wrap=True)
        seen = {}
        for name in options.only or EXPERIMENTS:
            began = time.monotonic()
            seen[name] = EXPERIMENTS[name].measure(bootstrap, f"transactions-{time.time_ns()}.", scale, options.seed)
            console.print(_table(EXPERIMENTS[name].title, seen[name]))
            console.print(f"took {time.monotonic() - began:.0f} s, load average {loaded()}")
    if options.json is not None:
        found = {name: [finding._asdict() for finding in findings] for name, findings in seen.items()}
        document = {"conditions": stated, "findings": found}
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


@contextmanager
def _broker(bootstrap: str | None) -> Iterator[tuple[str, str]]:
    """The address of a broker, and what it is."""
    if bootstrap is not None:
        yield bootstrap, f"at {bootstrap}, not started here"
        return
    with temporary_cluster() as cluster:
        yield cluster.bootstrap, f"Apache Kafka {kafka_version()}, one node, started here"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transactions", description="Try Kafka transactions from Python on a real broker."
    )
    parser.add_argument("--only", action="append", choices=EXPERIMENTS, help="run this experiment; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer inputs, kills and frames: some three minutes")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments of the kills (default 1)")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="use this broker instead of starting one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings and their conditions there too")
    return parser.parse_args(arguments)


def _table(title: str, found: Sequence[Finding]) -> Table:
    table = Table("case", "what was looked at", "what was seen", title=title, title_justify="left", title_style="bold")
    for finding in found:
        table.add_row(*finding, end_section=False)
    return table


if __name__ == "__main__":
    main()
