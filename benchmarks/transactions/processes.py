"""Processes that an experiment starts, stops in the middle, and speaks with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def module(name: str, *arguments: str, log: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """Run ``python -m NAME`` with a line to it and from it; it does not outlive the block."""
    command: Sequence[str] = (sys.executable, "-m", name, *arguments)
    with subprocess.Popen(  # noqa: S603 -- the experiment's own programs
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Write one line to a process."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Wait for the next line of a process.  Raises RuntimeError when it has ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with status {process.wait()}")
    return line
