"""`ringfence run`: the engine, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer

from ringfence_schemas.frames import Clock, Settings
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.durations import duration_us
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.logs import EVERY_SHARD, LogOption, ShardsOption, opened_log
from ringfence_streams.cli.problems import Exit, Problem
from ringfence_streams.engine import Engine
from ringfence_streams.errors import LogError
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.motion import MotionSettings
from ringfence_streams.shard import Mode, Shard

_LIBRARY: Final = "ringfence_streams"
_LOOK_S: Final = 0.05
_STATES: Final = {Mode.FOLLOWING: "following", Mode.OWNING: "owner", Mode.STOPPED: "stopped"}


def run(
    *,
    log: LogOption = None,
    clock: Annotated[
        Clock, typer.Option("--clock", help="wall: this machine's clock moves time; events: the inputs alone do.")
    ] = "wall",
    shards: ShardsOption = None,
    shard: Annotated[
        list[int] | None,
        typer.Option("--shard", min=0, metavar="P", help="Run only this shard; may be repeated.", show_default="all"),
    ] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="Publish the postings of the ledger.")] = False,
    id_window: Annotated[
        str, typer.Option("--id-window", metavar="TIME", help="An applied id is remembered for so long.")
    ] = "24h",
    max_skew: Annotated[
        str, typer.Option("--max-skew", metavar="TIME", help="An input may be so far ahead of its record.")
    ] = "10s",
    max_clock_step: Annotated[
        str, typer.Option("--max-clock-step", metavar="TIME", help="At a start the clock may be so far ahead.")
    ] = "24h",
    snapshot_inputs: Annotated[
        int, typer.Option("--snapshot-inputs", min=1, metavar="N", help="Inputs between two snapshots of a shard.")
    ] = MotionSettings.snapshot_inputs,
    stand_by: Annotated[
        bool, typer.Option("--stand-by/--no-stand-by", help="Follow while another process owns a shard, or end.")
    ] = True,
    drain: Annotated[bool, typer.Option("--drain", help="Fold what is there, release the shards, and end.")] = False,
) -> None:
    """Run the engine over a log until SIGTERM or Ctrl-C.

    Inputs are folded as they are published.  What follows from them stands on the output topics: see `ringfence tail`.
    To stop, the engine finishes its frame and writes a release frame, so the next one starts at once.  After a kill
    or a power cut just start again: nothing is lost and nothing is decided twice.  Each change of a shard's state
    (following, owner, stalled, stopped) is one line on stderr.  An absent log is created.

    ```sh
    ringfence run --log sqlite:risk.db --clock events --drain
    ```
    """
    motion = MotionSettings(
        max_clock_step_us=duration_us("--max-clock-step", max_clock_step),
        snapshot_inputs=snapshot_inputs,
        stand_by=stand_by,
    )
    common = Settings(
        clock=clock,
        id_window_us=duration_us("--id-window", id_window),
        skew_us=duration_us("--max-skew", max_skew),
        engine=f"ringfence {version('ringfence')}",
        ledger=ledger,
    )
    owned = shard or (EVERY_SHARD if drain else None)
    with opened_log(log, create=True, shards=shards, owned=owned) as opened:
        settings = list(_settings(common, shards or opened.shards, shard))
        engine = Engine(opened.log, settings, CoreReplicas(), motion=motion)
        try:
            opened.run(_drained(engine) if drain else _running(engine))
        except (LogError, KeyboardInterrupt):
            raise
        except Exception as fault:
            traceback.print_exc()
            raise _fault(fault) from fault


def _settings(common: Settings, shards: int, chosen: Sequence[int] | None) -> Iterator[Settings]:
    """Yield the settings of every chosen shard.  Raises Problem when there is no such shard."""
    if chosen and max(chosen) >= shards:
        message = f"--shard {max(chosen)}: the log has {counted(shards, 'shard')}"
        raise Problem("no_such_shard", message, "Shards count from 0")
    for shard in sorted(set(chosen or range(shards))):
        yield msgspec.structs.replace(common, shard=shard, shards=shards)


async def _running(engine: Engine) -> None:
    """Run until a signal."""
    loop = asyncio.get_running_loop()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # Not by the loop: a log in one file keeps it busy while there is anything to fold.
        engine.stop()
        loop.call_soon_threadsafe(lambda: None)

    with _states_told(engine.shards) as look, _signals(stop):
        looking = asyncio.ensure_future(_looking(look))
        try:
            await engine.run()
        finally:
            looking.cancel()


async def _drained(engine: Engine) -> None:
    """Fold what is there.  A signal ends it as a kill would, at the last whole frame."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _states_told(engine.shards), _signals(stop):
        await engine.drain()
        await engine.release()


async def _looking(look: Callable[[], None]) -> None:
    while True:
        look()
        await asyncio.sleep(_LOOK_S)


@contextmanager
def _states_told(shards: Sequence[Shard]) -> Iterator[Callable[[], None]]:
    """Tell every change of a shard's state; yields what looks for one.  Warnings of the library are told too."""
    told: dict[int, Mode] = {}

    def look() -> None:
        for shard in shards:
            number, mode = shard.settings.shard, shard.mode
            if told.get(number) is mode:
                continue
            told[number] = mode
            if mode is Mode.OWNING:
                tune_garbage_collection()  # what recovery built stays
            done = f" after {counted(shard.progress.inputs, 'input')}" if mode is Mode.STOPPED else ""
            console.say(f"shard {number}: {_STATES[mode]}{done}", shard=number, state=_STATES[mode])

    logger, watcher = logging.getLogger(_LIBRARY), _Watcher(look)
    logger.setLevel(logging.INFO)
    with console.logging(_LIBRARY, logging.WARNING):
        logger.addHandler(watcher)
        look()
        try:
            yield look
        finally:
            logger.removeHandler(watcher)
            look()


class _Watcher(logging.Handler):
    """Looks whenever the library logs anything: it does so when states change."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 -- only that there is one matters
        """Look."""
        self._look()


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that ask a process to end."""
    previous = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _fault(fault: Exception) -> Problem:
    return Problem(
        "engine_fault",
        f"{type(fault).__name__}: {fault}",
        "The engine stopped before it journalled anything wrong: please report it with a copy of the log",
        Exit.FAILED,
    )
