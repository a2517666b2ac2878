"""From an address to an open log: one opener for every scheme."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import typer

from ringfence_streams.cli.cluster import connected
from ringfence_streams.cli.console import counted
from ringfence_streams.cli.problems import Problem
from ringfence_streams.errors import LogError, LogUnsuitable
from ringfence_streams.port import Log
from ringfence_streams.sqlite import SqliteLog

T = TypeVar("T")

LogOption = Annotated[
    str | None,
    typer.Option(
        "--log",
        envvar="RINGFENCE_LOG",
        metavar="L",
        help="The log: sqlite:PATH or kafka://HOST:PORT.",
        show_default=False,
    ),
]

ShardsOption = Annotated[
    int | None,
    typer.Option("--shards", min=1, metavar="N", help="Shards of the log, fixed when it is made.", show_default="1"),
]


class OpenedLog:
    """A log with what its address and its file say about it, and the event loop that its methods run in."""

    def __init__(self, log: Log, shards: int, *, unbranched: bool) -> None:
        self.log = log
        self.shards = shards
        self.unbranched = unbranched
        """Whether every journal record is on the chain by construction: a record that does not extend it is damage."""
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._runner.run(work)

    def close(self) -> None:
        """Give back what the log holds."""
        with self._runner:
            self._runner.run(self.log.close())


EVERY_SHARD: Final = range(2**31)
"""However many shards a log has, each is one of these."""


class Wanted(NamedTuple):
    """What a command wants of a log."""

    create: bool
    """Whether to make it when it is absent."""
    shards: int | None
    """The number of shards of a new one."""
    owned: Collection[int] | None
    """The shards to run whatever other processes do; None: as they agree among them."""


Opener = Callable[[str, Wanted], OpenedLog]
"""Takes the part after the scheme."""


@contextmanager
def opened_log(
    address: str | None, *, create: bool = False, shards: int | None = None, owned: Collection[int] | None = None
) -> Iterator[OpenedLog]:
    """Open a log, close it at the end.  Raises Problem when the address or what it leads to cannot be used."""
    if not address:
        remedy = "Add --log sqlite:PATH or --log kafka://HOST:PORT, or set RINGFENCE_LOG"
        raise Problem("no_log", "No log is named", remedy)
    scheme, colon, rest = address.partition(":")
    opener = OPENERS.get(scheme) if colon else None
    if opener is None:
        known = ", ".join(f"{name}:" for name in OPENERS)
        remedy = f"Begin it with one of {known}; sqlite:PATH is a file, kafka://HOST:PORT a cluster"
        raise Problem("unknown_scheme", f"{address!r} is no address of a log", remedy)
    try:
        opened = opener(rest, Wanted(create, shards, owned))
    except LogError as error:
        raise Problem(error.code, error.message, error.remedy) from error
    try:
        yield opened
    finally:
        opened.close()


def _open_sqlite(path: str, wanted: Wanted) -> OpenedLog:
    if not path or path.startswith(":"):
        raise Problem(
            "bad_address", f"'sqlite:{path}' names no file", "Name one: sqlite:PATH, for example sqlite:risk.db"
        )
    if not wanted.create and not Path(path).is_file():
        raise Problem(
            "log_missing",
            f"There is no log at {path}",
            f"Check the path, or make it: ringfence publish --log sqlite:{path} inputs.jsonl",
        )
    log = SqliteLog(path, shards=wanted.shards or 1)
    return OpenedLog(log, log.shards, unbranched=True)


def _open_kafka(rest: str, wanted: Wanted) -> OpenedLog:
    """Who only reads does so with another client than the engine's: a fault of one is not a fault of both."""
    with connected(f"kafka:{rest}") as connection:
        from ringfence_streams.kafka import log, synchronous  # noqa: PLC0415 -- the extra may be missing

        found = log.KafkaLog(connection, wanted.owned) if wanted.create else synchronous.open_for_reading(connection)
    opened = OpenedLog(found, 0, unbranched=False)
    try:
        opened.shards = opened.run(found.shards())
    except LogUnsuitable as error:
        opened.close()
        remedy = "Check the prefix, or make the topics: ringfence topics create --shards N"
        raise Problem("log_missing", f"kafka:{rest}: {error.message}", remedy) from error
    except BaseException:
        opened.close()
        raise
    if wanted.shards not in {None, opened.shards}:
        opened.close()
        message = f"--shards {wanted.shards}: the journal has {counted(opened.shards, 'partition')}"
        raise Problem("shards_differ", message, "Leave --shards away: topics create decides it for Kafka")
    return opened


OPENERS: Final[dict[str, Opener]] = {"sqlite": _open_sqlite, "kafka": _open_kafka}
"""By scheme."""
