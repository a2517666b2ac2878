"""Engines as processes of their own, and what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos.cluster import Topics
from tests.chaos.watching import Watch

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90

Line = dict[str, Any]


class Engine:
    """A running process that says things as JSON lines, on either output."""

    def __init__(self, *command: str) -> None:
        self.lines: list[Line] = []
        self.texts: list[str] = []
        """What it said that is no JSON."""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that it can be ended with everything that it has started
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns the time at which it was sent."""
        now = time.time()
        os.kill(self._process.pid, number)
        return now

    def kill(self) -> float:
        """kill -9."""
        assert self.alive, self.said()
        at = self.signal(signal.SIGKILL)
        self._process.wait()
        return at

    def terminate(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, and wait; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; returns the exit status."""
        status = self._process.wait(timeout_s)
        self._reading.join(5)
        return status

    def until(self, claim: Callable[[Line], bool], what: str, *, since: int = 0, timeout_s: float = PATIENCE_S) -> Line:
        """Wait until it says something that makes the claim true; `since`: lines before this one do not count."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for line in self.lines[since:]:
                    if claim(line):
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout_s} s: {what}\n{self.said()}"
                assert self.alive or self._reading.is_alive(), f"it ended before {what}\n{self.said()}"
                self._changed.wait(min(left, 1))

    def owns(self, shard: int = 0, *, since: int = 0, timeout_s: float = PATIENCE_S) -> Line:
        """Wait until it says that it owns a shard."""
        told = f"Shard {shard}: owned from seq"
        return self.until(
            lambda line: (line.get("state") == "owner" and line.get("shard") == shard) or told in line.get("log", ""),
            f"it owns shard {shard}",
            since=since,
            timeout_s=timeout_s,
        )

    def said(self) -> str:
        """The end of what it said."""
        return "\n".join([json.dumps(line) for line in self.lines[-15:]] + self.texts[-15:])

    def heard(self, text: str) -> int:
        """How many lines hold a text."""
        return sum(text in json.dumps(line) for line in list(self.lines))

    def close(self) -> None:
        """End it whatever it is doing, and those that it has started: they hold its outputs open."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reading.join(5)
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                try:
                    self.lines.append({"heard": time.time(), **json.loads(text)})
                except ValueError:
                    self.texts.append(text.decode(errors="replace").rstrip())
                self._changed.notify_all()


@contextmanager
def engine(topics: Topics, *mode: str, bootstrap: str | None = None) -> Iterator[Engine]:
    """An engine of tests.chaos.engine_process; it does not outlive the block."""
    started = Engine("tests.chaos.engine_process", topics.address(bootstrap), *(mode or ("run",)))
    try:
        yield started
    finally:
        started.close()


@contextmanager
def ringfence(topics: Topics, command: str, *options: str, bootstrap: str | None = None) -> Iterator[Engine]:
    """The command line over the topics; it does not outlive the block."""
    log = topics.address(bootstrap)
    started = Engine("ringfence_streams.cli", "--json-logs", command, "--log", log, *options)
    try:
        yield started
    finally:
        started.close()


def finish(topics: Topics) -> None:
    """One engine does what is left and stops orderly."""
    with engine(topics) as last, Watch(topics) as watch:
        last.owns()
        watch.caught_up()
        assert last.terminate() == 0, last.said()
