"""``python -m examples.crash``: the options, then one run."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from examples.crash.market import HOUR_US, SECOND_US, NoPrices
from examples.crash.run import Options, run
from ringfence_streams.audit import Divergence
from ringfence_streams.errors import LogError

REPOSITORY = Path(__file__).resolve().parents[2]
PLAIN_WIDTH = 140
FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%d"]


def main(
    seed: Annotated[int, typer.Option(help="Same seed, same accounts, same decisions.")] = 1,
    accounts: Annotated[int, typer.Option(min=1, help="How many accounts to generate.")] = 20_000,
    begin: Annotated[
        datetime, typer.Option("--from", formats=FORMATS, help="First minute, UTC; the data begins 2026-02-03.")
    ] = datetime(2026, 2, 5, 12),  # noqa: DTZ001 -- typer parses naive times; they are read as UTC below
    hours: Annotated[float, typer.Option(min=0.1, help="Length of the window.")] = 24,
    out: Annotated[
        Path, typer.Option(help="Directory of log and report.", show_default="out/ in the repository")
    ] = REPOSITORY / "out",
    *,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Then fold the same inputs over Apache Kafka, started and stopped here.")
    ] = False,
) -> None:
    """Four perpetuals on the real prices of a crash, with generated accounts; every decision is Ringfence's."""
    from_us = int(begin.replace(tzinfo=UTC).timestamp()) * SECOND_US
    options = Options(seed, accounts, from_us, from_us + round(hours * HOUR_US), out)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    try:
        asyncio.run(run(options, console))
        if kafka:
            _replay(options, console)
    except (LogError, Divergence, NoPrices) as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(1) from None


def _replay(options: Options, console: Console) -> None:
    from examples.crash import replay  # noqa: PLC0415 -- it needs libraries that the run alone does not
    from ringfence_streams.localkafka.errors import LocalKafkaError  # noqa: PLC0415 -- the same

    try:
        cluster = replay.start_cluster(options.out, console)
        try:
            replayed = asyncio.run(replay.replay_file(options.log, cluster))
        finally:
            cluster.stop()
    except (LocalKafkaError, replay.OtherDecisions) as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(1) from None
    replay.show(console, replayed, cluster)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
