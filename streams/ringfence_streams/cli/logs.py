"""From an address to an open log: one opener for every scheme."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from ringfence_streams.cli.problems import Problem
from ringfence_streams.errors import LogError
from ringfence_streams.port import Log
from ringfence_streams.sqlite import SqliteLog

T = TypeVar("T")

LogOption = Annotated[
    str | None,
    typer.Option("--log", envvar="RINGFENCE_LOG", metavar="L", help="The log: sqlite:PATH.", show_default=False),
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


Opener = Callable[[str, bool, int | None], OpenedLog]
"""Takes the part after the scheme, whether to create the log, and the number of shards of a new one."""


@contextmanager
def opened_log(address: str | None, *, create: bool = False, shards: int | None = None) -> Iterator[OpenedLog]:
    """Open a log, close it at the end.  Raises Problem when the address or what it leads to cannot be used."""
    if not address:
        raise Problem("no_log", "No log is named", "Add --log sqlite:PATH, or set RINGFENCE_LOG")
    scheme, colon, rest = address.partition(":")
    opener = OPENERS.get(scheme) if colon else None
    if opener is None:
        known = ", ".join(f"{name}:" for name in OPENERS)
        remedy = f"Begin it with one of {known}; sqlite:PATH is a file"
        raise Problem("unknown_scheme", f"{address!r} is no address of a log", remedy)
    try:
        opened = opener(rest, create, shards)
    except LogError as error:
        raise Problem(error.code, error.message, error.remedy) from error
    try:
        yield opened
    finally:
        opened.close()


def _open_sqlite(path: str, create: bool, shards: int | None) -> OpenedLog:  # noqa: FBT001 -- an Opener
    if not path or path.startswith(":"):
        raise Problem(
            "bad_address", f"'sqlite:{path}' names no file", "Name one: sqlite:PATH, for example sqlite:risk.db"
        )
    if not create and not Path(path).is_file():
        raise Problem(
            "log_missing",
            f"There is no log at {path}",
            f"Check the path, or make it: ringfence publish --log sqlite:{path} inputs.jsonl",
        )
    log = SqliteLog(path, shards=shards or 1)
    return OpenedLog(log, log.shards, unbranched=True)


def _open_kafka(rest: str, create: bool, shards: int | None) -> OpenedLog:  # noqa: ARG001, FBT001 -- an Opener
    raise Problem("not_in_this_version", f"'kafka:{rest}': this version has no Kafka log", "Use --log sqlite:PATH")


OPENERS: Final[dict[str, Opener]] = {"sqlite": _open_sqlite, "kafka": _open_kafka}
"""By scheme."""
