"""The process of the shards, started by the worker: `python -m ringfence_streams.app.node`.

Shards have a process of their own, because a thread would not do: under one interpreter lock the read side would take
its share of every millisecond.  The settings are the first line of standard input; when it ends, because the worker
stops or died, the shards finish their frame and hand over.  Reports go to standard output, and are dropped when nobody
reads them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import traceback
from typing import Final

import msgspec

from ringfence_streams.app.observation import Observation
from ringfence_streams.app.reports import Failed, Line, Report, encode_line
from ringfence_streams.app.settings import NodeSettings
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.clock import MachineClock
from ringfence_streams.engine import Engine
from ringfence_streams.errors import LogError
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.motion import MotionSettings
from ringfence_streams.shard import Mode

logger = logging.getLogger(__name__)

_REPORT_S: Final = 0.25


class Reporter:
    """Writes lines to a pipe without ever waiting for its reader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        """What is still to be written of a line that went in half."""
        os.set_blocking(descriptor, False)

    def write(self, line: Line) -> None:
        """Write a line, or drop it when the pipe is full or broken."""
        if not self._rest:
            self._rest = encode_line(line) + b"\n"
        try:
            self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._rest = b""


async def run(settings: NodeSettings, reporter: Reporter) -> None:
    """Run every shard that is assigned to this process until standard input ends.  Raises LogError."""
    log = KafkaLog(settings.connection(os.environ))
    try:
        shards = await log.shards()
        observation = Observation(range(shards), MachineClock())
        engine = Engine(
            observation.log(log),
            settings.shard_settings(shards),
            observation.replicas(CoreReplicas()),
            motion=MotionSettings(max_clock_step_us=settings.max_clock_step_us),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.stop)
        tasks = [
            asyncio.ensure_future(_stop_with_input(engine)),
            asyncio.ensure_future(_report(engine, observation, reporter)),
        ]
        try:
            await engine.run()
        finally:
            for task in tasks:
                task.cancel()
            reporter.write(_report_of(engine, observation))
    finally:
        await log.close()


async def _stop_with_input(engine: Engine) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    engine.stop()


async def _report(engine: Engine, observation: Observation, reporter: Reporter) -> None:
    owning: set[int] = set()
    while True:
        now_owning = {shard.settings.shard for shard in engine.shards if shard.mode is Mode.OWNING}
        if now_owning - owning:
            tune_garbage_collection()  # what recovery built stays
        owning = now_owning
        reporter.write(_report_of(engine, observation))
        await asyncio.sleep(_REPORT_S)


def _report_of(engine: Engine, observation: Observation) -> Report:
    return Report([observation.shards[shard.settings.shard].report(shard) for shard in engine.shards])


def main() -> int:
    """Read the settings, run, and say why it ended: 0 when it was asked to, 1 when a person must look."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s shards: %(message)s")
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=NodeSettings)
    reporter = Reporter(sys.stdout.fileno())
    try:
        asyncio.run(run(settings, reporter))
    except LogError as error:
        logger.error("%s", error)  # noqa: TRY400 -- it says what to do; a trace would not
        reporter.write(Failed(error.code, error.message, error.remedy))
        return 1
    except Exception as fault:  # noqa: BLE001 -- whatever it is, the worker shall know
        traceback.print_exc()
        reporter.write(Failed("engine_fault", f"{type(fault).__name__}: {fault}", "Report it with a copy of the log"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
