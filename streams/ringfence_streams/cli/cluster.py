"""From an address to a Kafka cluster, for commands that work on one and on nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence_streams.cli.problems import Problem
from ringfence_streams.errors import LogError

if TYPE_CHECKING:
    from ringfence_streams.kafka.connection import Connection

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--log", envvar="RINGFENCE_LOG", metavar="L", help="The cluster: kafka://HOST:PORT.", show_default=False
    ),
]


@contextmanager
def connected(address: str | None) -> Iterator[Connection]:
    """The connection that an address describes; errors inside the block end the command with status 2.

    Raises Problem.
    """
    if not (address or "").startswith("kafka:"):
        named = f"{address!r} is no Kafka cluster" if address else "No cluster is named"
        raise Problem("no_cluster", named, "Add --log kafka://HOST:PORT, or set RINGFENCE_LOG")
    try:
        import kafka.admin  # noqa: F401, PLC0415 -- only who uses Kafka needs it

        from ringfence_streams.kafka import connection  # noqa: PLC0415 -- the same
    except ModuleNotFoundError as error:
        remedy = "Install the extra: pip install 'ringfence[kafka]'"
        raise Problem("extra_missing", f"Kafka needs libraries that are not installed: {error}", remedy) from error
    try:
        yield connection.connection_of(address or "", os.environ)
    except LogError as error:
        raise Problem(error.code, error.message, error.remedy) from error
