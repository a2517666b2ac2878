"""Ringfence as its users run it: the command line in a process of its own, every topic but the inputs its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.load import Book
from benchmarks.kafka.programs import Program, ProgramFailed, program
from ringfence_schemas.topics import INPUT_TOPICS, JOURNAL, POSITIONS, REFUSALS
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import CONFIG_VARIABLE, RENAME, connection_of
from ringfence_streams.kafka.specs import specs

RINGFENCE: Final = (sys.executable, "-m", "ringfence_streams.cli", "--json-logs")
TIMEOUT_S: Final = 600


class Engine:
    """A shard with a prefix of its own; its input topics may be those that others read too."""

    def __init__(self, cluster: Cluster, prefix: str, folder: Path, inputs: Mapping[str, str] | None = None) -> None:
        self.cluster = cluster
        self.prefix = prefix
        self.names = {topic: (inputs or {}).get(topic, prefix + topic) for topic in INPUT_TOPICS}
        """Input topic -> its name on the broker."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "client.properties"
        lines = (f"{RENAME}{topic}={name}\n" for topic, name in self.names.items() if name != prefix + topic)
        properties.write_text("".join(lines), encoding="utf-8")
        self._environment = {
            CONFIG_VARIABLE: str(properties),
            "RINGFENCE_LOG": f"kafka://{cluster.bootstrap}?prefix={prefix}",
        }

    async def create_topics(self) -> None:
        """Make every topic that is missing."""
        await asyncio.to_thread(self._create_topics)

    async def command(self, *arguments: str, begun: Sequence[str] = RINGFENCE) -> list[dict[str, Any]]:
        """Run one of its commands to its end; returns the objects it printed, not its log.  Raises ProgramFailed."""
        async with self._program(arguments, begun) as running:
            return [fields for fields in await running.finished(TIMEOUT_S) if "level" not in fields]

    def run(self, *arguments: str) -> AbstractAsyncContextManager[Program]:
        """Start the engine."""
        return self._program(("run", *arguments), RINGFENCE)

    def _create_topics(self) -> None:
        connection = connection_of(self._environment["RINGFENCE_LOG"], self._environment)
        with Administration(connection) as administration:
            administration.create(specs(1), replication=1)

    def _program(self, arguments: Sequence[str], begun: Sequence[str]) -> AbstractAsyncContextManager[Program]:
        log = self._folder / f"{arguments[0]}.log"
        return program([*begun, *arguments], log, self._environment)

    def name(self, topic: str) -> str:
        """The name on the broker of a topic that is its own."""
        return self.prefix + topic

    async def journal_bytes(self, begin: int) -> int:
        """How many bytes the journal's records have from an offset on."""
        return sum([len(record.value or b"") async for record in self.cluster.records(self.name(JOURNAL), begin)])

    async def positions(self) -> dict[str, int]:
        """The quantity of every open position by account, in thousandths, as a reader of the views has them."""
        found: dict[str, int] = {}
        async for record in self.cluster.records(self.name(POSITIONS)):
            account = (record.key or b"").decode().partition("|")[0]
            if record.value is None:
                found.pop(account, None)
            else:
                found[account] = int(Decimal(orjson.loads(record.value)["quantity"]) * 1000)
        return found

    async def check(self, wanted: Mapping[str, Book], inputs: int) -> str:
        """Compare its state with the load's sums, and let it fold its journal again; returns its digest.

        Raises ProgramFailed when anything differs.
        """
        if refused := await self.cluster.end(self.name(REFUSALS)):
            raise ProgramFailed(f"{refused} inputs were refused")
        differing = differences(await self.positions(), {account: book.quantity for account, book in wanted.items()})
        if differing:
            raise ProgramFailed(f"{differing} positions differ from the sums of the load")
        (verified,) = await self.command("verify", "--json")
        if verified["inputs"] != inputs:
            raise ProgramFailed(f"the journal holds {verified['inputs']} inputs of {inputs}")
        return str(verified["state"])


def differences(found: Mapping[str, int], wanted: Mapping[str, int]) -> int:
    """Count the accounts whose quantities differ; one that nets to nothing has no position."""
    accounts = found.keys() | wanted.keys()
    return sum(found.get(account, 0) != wanted.get(account, 0) for account in accounts)
