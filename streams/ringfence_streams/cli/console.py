"""What a command says besides its output: on stderr, as text for people or as JSON lines for machines."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from ringfence_streams.cli.problems import Problem

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PATIENCE_S = 1.0
"""Nothing shorter than this shows its progress."""


class Console:
    """Where a command speaks to its user; one for the process."""

    def __init__(self) -> None:
        self.json = False
        """Whether to write JSON lines."""

    def say(self, message: str, *, level: str = "info", **fields: object) -> None:
        """Write one line: the message, or a JSON object with the message and the fields."""
        if self.json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = orjson.dumps({"time": now, "level": level, "message": message, **fields}, default=str).decode()
        else:
            line = f"ringfence: {message}"
        print(line, file=sys.stderr, flush=True)

    def problem(self, problem: Problem) -> None:
        """Say what is wrong and what to do."""
        if self.json:
            self.say(problem.message, level="error", code=problem.code, remedy=problem.remedy)
        else:
            self.say(f"{problem.code}: {problem.message}\n{' ' * len('ringfence: ')}{problem.remedy}")

    @contextmanager
    def logging(self, name: str, level: int) -> Iterator[None]:
        """Write what a library logs as lines of this console."""
        logger, handler = logging.getLogger(name), _Handler(self, level)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def progress(self, what: str, total: int | None = None) -> Progress:
        """Progress of something that may take long; a context manager."""
        return Progress(what, total, shown=sys.stderr.isatty() and not self.json)


class _Handler(logging.Handler):
    """Passes log records on to a console."""

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._console.say(record.getMessage(), level=record.levelname.lower(), logger=record.name)


class Progress:
    """How far something is: on a terminal only, and only once it has taken a second."""

    def __init__(self, what: str, total: int | None, *, shown: bool) -> None:
        self._what = what
        self._total = total
        self._shown = shown
        self._started = time.monotonic()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, completed: int, note: str = "", total: int | None = None) -> None:
        """So much of the total is done; `note` stands behind the bar.  A `total` replaces the one given before."""
        self._total = self._total if total is None else total
        if not self._shown or time.monotonic() - self._started < PATIENCE_S:
            return
        if self._bar is None:
            self._bar = _bar(with_total=self._total is not None)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, note=note)
        assert self._task is not None
        self._bar.update(self._task, completed=completed, total=self._total, note=note)


def _bar(*, with_total: bool) -> RichProgress:
    from rich.console import Console as RichConsole  # noqa: PLC0415 -- half of the start-up time of a short command
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 -- as above
    from rich.progress import Progress as RichProgress  # noqa: PLC0415 -- as above

    bar: list[Any] = [BarColumn(), TextColumn("{task.percentage:>3.0f}%")] if with_total else [SpinnerColumn()]
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        *bar,
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    return RichProgress(*columns, console=RichConsole(stderr=True), transient=True)


def counted(count: int, noun: str) -> str:
    """A number of things, in words: 1 line, 2 lines."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


console = Console()
"""The console of this process."""
