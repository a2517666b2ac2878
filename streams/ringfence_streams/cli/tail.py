"""`ringfence tail`: print a topic as JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from ringfence_schemas.topics import INPUT_TOPICS, JOURNAL
from ringfence_streams.brokerlog import OUTPUTS, SHARDED_TOPICS
from ringfence_streams.cli.console import counted
from ringfence_streams.cli.frames import envelope_of, line_of
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.logs import LogOption, opened_log
from ringfence_streams.cli.problems import Problem
from ringfence_streams.port import Log, Record, Source

TOPICS: Final = (*INPUT_TOPICS, *OUTPUTS, JOURNAL)
_READ_RECORDS: Final = 500
_POLL_S: Final = 0.1


def tail(
    *,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help=f"One of {', '.join(TOPICS)}.", show_default=False)],
    log: LogOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until interrupted.")] = False,
    start: Annotated[
        str,
        typer.Option("--from", metavar="OFFSET", help="begin, end, an offset, or -N: the last N of each partition."),
    ] = "begin",
    partition: Annotated[
        int | None, typer.Option("--partition", min=0, metavar="P", help="Only this partition.", show_default="all")
    ] = None,
    envelope: Annotated[
        bool, typer.Option("--envelope", help="Print offset, key and headers around every value.")
    ] = False,
) -> None:
    """Print a topic as JSON lines.

    The value of each record is printed as it was published.  A frame of the `journal` is printed with its inputs
    readable.  What is not one line of JSON (a dead letter, the null that closes a position) is printed with its
    offset, key and headers, as every record is with `--envelope`.

    ```sh
    ringfence tail --log sqlite:risk.db wallets
    ```
    """
    if topic not in TOPICS:
        raise Problem("unknown_topic", f"There is no topic {topic!r}", f"Use one of {', '.join(TOPICS)}")
    with opened_log(log) as opened:
        count = opened.run(_partitions(opened.log, topic, opened.shards))
        if partition is not None and partition >= count:
            raise Problem("no_such_partition", f"{topic} has {counted(count, 'partition')}", "Partitions count from 0")
        sources = [Source(topic, p) for p in (range(count) if partition is None else [partition])]
        opened.run(_print(opened.log, sources, start, follow=follow, render=envelope_of if envelope else line_of))


async def _partitions(log: Log, topic: str, shards: int) -> int:
    """One for each shard; of an input that every shard reads whole, as many as there are."""
    if topic in SHARDED_TOPICS:
        return shards
    return max((source.partition + 1 for source in await log.topics() if source.topic == topic), default=1)


async def _print(
    log: Log, sources: Sequence[Source], start: str, *, follow: bool, render: Callable[[Record], bytes]
) -> None:
    offsets = {source: await _first(log, source, start) for source in sources}
    while True:
        found = False
        for source in sources:
            records = await log.read(*source, offsets[source], _READ_RECORDS)
            if records:
                found = True
                offsets[source] = records[-1].offset + 1
                write_out(b"".join(map(render, records)))
        if not found and not follow:
            return
        await asyncio.sleep(0 if found else _POLL_S)


async def _first(log: Log, source: Source, start: str) -> int:
    begin, end = await log.bounds(*source)
    if start == "begin":
        return begin
    if start == "end":
        return end
    try:
        offset = int(start)
    except ValueError:
        raise Problem("bad_offset", f"--from {start!r} is no offset", "Give begin, end, a number, or -N") from None
    return max(begin, end + offset) if offset < 0 else max(begin, offset)
