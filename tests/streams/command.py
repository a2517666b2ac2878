"""The command line as a process of its own, and small streams to give it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ringfence_streams.cli.app import app

Json = dict[str, Any]

PROGRAM = (sys.executable, "-m", "ringfence_streams.cli")
SCENARIOS = Path(__file__).parent.parent / "scenarios"
LADDER = (SCENARIOS / "ladder.in.jsonl").read_bytes()
TIMEOUT_S = 60


def ringfence(
    *arguments: str, stdin: bytes = b"", status: int = 0, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end, and claim its exit status."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == status, (arguments, done.returncode, done.stderr.decode())
    return done


@contextmanager
def start(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command line, with pipes unless told otherwise; it does not outlive the block, nor the time limit."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, *arguments], **{**pipes, **options}) as process:
        limit = threading.Timer(TIMEOUT_S, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


class Called(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    stdout: bytes
    stderr: str


def call(capture: pytest.CaptureFixture[bytes], *arguments: str | Path) -> Called:
    """Run the command line inside this process: what it prints is that of a process of its own."""
    capture.readouterr()
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments], prog_name="ringfence")
    printed = capture.readouterr()
    return Called(int(ended.value.code or 0), printed.out, printed.err.decode())


class Folder:
    """A log in a folder of its own."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.path = path
        self.log = f"sqlite:{path / 'risk.db'}"
        self.capture = capture

    def call(self, command: str, *arguments: str, status: int = 0) -> Called:
        """Run a command over the log, and claim its exit status."""
        called = call(self.capture, command, "--log", self.log, *arguments)
        assert called.status == status, called
        return called

    def publish(self, stream: bytes, *arguments: str, status: int = 0) -> Called:
        """Publish a stream."""
        (self.path / "inputs.jsonl").write_bytes(stream)
        return self.call("publish", str(self.path / "inputs.jsonl"), *arguments, status=status)

    def drain(self, *arguments: str) -> Called:
        """Fold what is there."""
        return self.call("run", "--clock", "events", "--drain", *arguments)

    def tail(self, topic: str, *arguments: str) -> list[Json]:
        """What a topic holds."""
        return objects(self.call("tail", topic, *arguments).stdout)


def objects(data: bytes) -> list[Json]:
    """JSON lines as objects."""
    return [json.loads(line) for line in data.splitlines()]


def lines(*events: Json) -> bytes:
    """Objects as JSON lines."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def deposit(number: int, account: str = "ann") -> Json:
    """A deposit of one unit at second `number`."""
    return {
        "type": "deposit",
        "transfer_id": f"t{number}",
        "account": account,
        "asset": "USDT",
        "amount": "1",
        "time_us": number * 1_000_000,
    }


def eventually(claim: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait until a claim about another process is true."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
