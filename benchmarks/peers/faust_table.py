"""Plain Faust: two agents, a table of positions and one of prices.

    python -m benchmarks.peers.faust_table <bootstrap> <application> <fills> <ticks> <inputs> <folder>

Prints when the first input is folded, and ends, with everything committed, after so many inputs.
"""

from __future__ import annotations

import signal
import sys

import faust

from benchmarks.peers.book import NOTHING, Program, after


def application(program: Program) -> faust.App:
    """Values as JSON, tables in memory, no web server: the fastest that Faust is with a table and no lost offset."""
    app = faust.App(
        program.application,
        broker=f"kafka://{program.bootstrap}",
        datadir=str(program.folder),
        store="memory://",
        topic_partitions=1,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.005,
        broker_commit_interval=1.0,
    )
    positions = app.Table("positions", partitions=1)
    prices = app.Table("prices", partitions=1)

    async def keep(stream: faust.StreamT[dict[str, str]]) -> None:
        async for fill in stream:
            account = fill["account"]
            positions[account] = after(positions.get(account, NOTHING), fill)
            if program.counted():
                signal.raise_signal(signal.SIGTERM)

    async def note(stream: faust.StreamT[dict[str, str]]) -> None:
        async for tick in stream:
            prices[tick["instrument"]] = tick["price"]
            if program.counted():
                signal.raise_signal(signal.SIGTERM)

    app.agent(app.topic(program.fills, value_serializer="json"))(keep)
    app.agent(app.topic(program.ticks, value_serializer="json"))(note)
    return app


if __name__ == "__main__":
    worker = faust.Worker(application(Program(*sys.argv[1:])), loglevel="WARNING", quiet=True, redirect_stdouts=False)
    worker.spinner = None  # it would write into the line that is read
    worker.execute_from_commandline()
