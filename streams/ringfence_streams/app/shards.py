"""The shards of a node as a mode service: a process of their own, watched and, after a kill, started again."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any, Final

import msgspec
from mode import Service

from ringfence_streams.app.reports import Failed, Report, ShardReport, decode_line
from ringfence_streams.app.settings import NodeSettings
from ringfence_streams.errors import LogBusy, LogUnavailable

logger = logging.getLogger(__name__)

_PROGRAM: Final = "ringfence_streams.app.node"
_TRANSIENT: Final = frozenset({LogBusy.code, LogUnavailable.code})
"""What passes by itself.  After anything else a person must look, and a restart would only repeat it."""
_RESTART_S: Final = 1.0
_RESTART_LIMIT_S: Final = 30.0
_STOP_S: Final = 10.0
_STALE_S: Final = 5.0
_LONGEST_LINE: Final = 16 * 1024 * 1024


class Shards(Service):
    """Runs the process of the shards as long as the worker runs."""

    def __init__(self, settings: NodeSettings, **options: Any) -> None:
        super().__init__(**options)
        self.reports: list[ShardReport] = []
        """The last report of every shard."""
        self.failed: Failed | None = None
        """Why the shards stopped for good; None while they run or start again."""
        self.restarts = 0
        self._settings = settings
        self._reported_s = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._asked_to_stop = asyncio.Event()

    @property
    def silent(self) -> bool:
        """Whether no report came for a while."""
        return time.monotonic() - self._reported_s > _STALE_S

    def ask_to_stop(self) -> None:
        """Let the shards finish their frame and hand over, while the rest of the worker is still stopping."""
        self._asked_to_stop.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()

    async def on_stop(self) -> None:
        """Wait for the hand-over."""
        self.ask_to_stop()
        process = self._process
        if process is not None and process.returncode is None:
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                logger.warning("The shards did not stop in %.0f s and are killed", _STOP_S)
                process.kill()

    @Service.task
    async def _keep_running(self) -> None:
        pause_s = _RESTART_S
        while not self._asked_to_stop.is_set():
            began_s = time.monotonic()
            code = await self._run()
            if self._asked_to_stop.is_set():
                return
            if self.failed is not None and self.failed.code not in _TRANSIENT:
                logger.error("The shards stopped: %s: %s", self.failed.code, self.failed.message)
                return
            if time.monotonic() - began_s > _RESTART_LIMIT_S:
                pause_s = _RESTART_S
            logger.warning("The shards ended with %s and start again in %.0f s", code, pause_s)
            self.restarts += 1
            await self.sleep(pause_s)
            pause_s = min(2 * pause_s, _RESTART_LIMIT_S)

    async def _run(self) -> int | None:
        """One life of the process; returns its exit status."""
        self.failed = None
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        process.stdin.write(msgspec.json.encode(self._settings) + b"\n")
        if self._asked_to_stop.is_set():
            process.stdin.close()
        async for line in process.stdout:
            self._take(line)
        for report in self.reports:
            report.mode = "stopped"
        return await process.wait()

    def _take(self, line: bytes) -> None:
        match decode_line(line):
            case Report(shards):
                self.reports, self._reported_s = shards, time.monotonic()
            case Failed() as failed:
                self.failed = failed
