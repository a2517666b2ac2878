"""Programs as they are measured: started from a command, watched from outside, ended orderly."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

ROOT: Final = Path(__file__).parents[2]
_PATH: Final = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
"""A program finds this package wherever it is started."""
PATIENCE_S: Final = 60
"""A program that is asked to end has so long."""
LOOK_S: Final = 0.05
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class ProgramFailed(Exception):
    """A program ended, or said nothing, where it should not."""


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Return when something holds.  Raises ProgramFailed, with what did not happen, after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await holds():  # noqa: ASYNC110 -- what is looked at is in another process
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise ProgramFailed(f"{what} within {timeout_s:.0f} s") from error


class Usage(NamedTuple):
    """What a process took so far."""

    cpu_s: float
    peak_bytes: int
    """The most memory that was resident at once."""


class Line(NamedTuple):
    """One object that a program printed, and when it was read."""

    fields: dict[str, Any]
    read_us: int


class Program:
    """A running process that prints lines of JSON among others; all of them are kept in a log."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._lines: asyncio.Queue[Line | None] = asyncio.Queue()
        self._used = Usage(0.0, 0)
        self._reading = asyncio.ensure_future(self._read())
        self._watching = asyncio.ensure_future(self._watch())

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def used(self) -> Usage:
        """What it has used; once it has ended, what it had used a moment before."""
        process = Path(f"/proc/{self._process.pid}")
        try:
            fields = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
            status = (process / "status").read_text(encoding="ascii").splitlines()
        except OSError:
            return self._used
        peak = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
        if peak:  # a process that has ended and was not waited for has none
            self._used = Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND, peak)
        return self._used

    async def line(self, timeout_s: float, **wanted: object) -> Line:
        """Wait for an object in which these fields have these values; None stands for any value.

        Raises ProgramFailed when the program ends before it, or after `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (line := await self._lines.get()) is not None:
                    fields = line.fields
                    if all(name in fields and value in {None, fields[name]} for name, value in wanted.items()):
                        return line
        except TimeoutError as error:
            raise ProgramFailed(f"not heard of {wanted} within {timeout_s:.0f} s:\n{self.said()}") from error
        raise ProgramFailed(f"it ended early:\n{self.said()}")

    async def finished(self, timeout_s: float) -> list[dict[str, Any]]:
        """Wait for its end; returns the objects that it printed.  Raises ProgramFailed for a status other than 0."""
        try:
            async with asyncio.timeout(timeout_s):
                status = await self._process.wait()
                await self._reading
        except TimeoutError as error:
            raise ProgramFailed(f"not finished within {timeout_s:.0f} s:\n{self.said()}") from error
        if status:
            raise ProgramFailed(f"status {status}:\n{self.said()}")
        printed = []
        while (line := self._lines.get_nowait()) is not None:
            printed.append(line.fields)
        return printed

    def said(self) -> str:
        """Return the last lines it printed."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    async def kill(self) -> None:
        """End it without a chance to say anything."""
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Ask it to end, insist after a while, and read what it still says."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        await self._reading
        self._watching.cancel()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("ab", buffering=0) as log:
            async for text in self._process.stdout:
                log.write(text)
                if text.startswith(b"{"):
                    self._lines.put_nowait(Line(orjson.loads(text), time.time_ns() // 1_000))
        self._lines.put_nowait(None)

    async def _watch(self) -> None:
        """Once it has ended nobody knows what it used."""
        while self.running:
            self.used()
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def program(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> AsyncIterator[Program]:
    """Run a command in the folder of its log; it is ended when the block is left."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": _PATH, **environment},
        cwd=log.parent,
    )
    running = Program(process, log)
    try:
        yield running
    finally:
        await running.end()
