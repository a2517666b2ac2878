"""Reading and writing JSON lines in large pieces, without ever keeping a reader of the output waiting."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Annotated, Final, NamedTuple

import typer

from ringfence_streams.cli.console import console
from ringfence_streams.cli.problems import Problem

CHUNK_BYTES: Final = 1 << 18

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE|-", help="File of JSON lines; - is standard input.", show_default=False)
]

_COMMENT: Final = ord("#")


class Chunk(NamedTuple):
    """Consecutive whole lines, without their ends."""

    first: int
    """Number of the first line, from 1."""
    lines: list[bytes]


@dataclass(slots=True)
class Lines:
    """A stream of lines, read as its bytes arrive: a chunk never waits for more than its first byte."""

    stream: BufferedReader
    name: str
    size_bytes: int | None
    """Size of the stream, where it is known."""
    read_bytes: int = 0

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the lines in chunks.  Raises Problem when the stream cannot be read.

        Holds one chunk and one unfinished line, however long the stream is.
        """
        first, unfinished = 1, []
        while data := self._read():
            lines = data.split(b"\n")
            unfinished.append(lines[0])
            if len(lines) == 1:
                continue
            lines[0] = b"".join(unfinished)
            unfinished = [lines.pop()]
            yield Chunk(first, lines)
            first += len(lines)
        last = b"".join(unfinished)
        if last:
            yield Chunk(first, [last])

    def _read(self) -> bytes:
        try:
            data = self.stream.read1(CHUNK_BYTES)
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        self.read_bytes += len(data)
        return data


def silent(line: bytes) -> bool:
    """Whether a line says nothing: blank, or a comment."""
    return not line or line[0] == _COMMENT or line.isspace()


@contextmanager
def opened_lines(path: str) -> Iterator[Lines]:
    """Open a file, or standard input for "-".  Raises Problem when it cannot be read."""
    if path == "-" and (sys.stdin is None or sys.stdin.closed):
        raise Problem("input_unreadable", "Standard input is closed", "Name a file, or send lines to it")
    if path == "-" and sys.stdin.isatty():
        console.say("reading JSON lines from the terminal; Ctrl-D ends them")
    source = sys.stdin.fileno() if path == "-" else path
    try:
        stream = open(source, "rb", closefd=path != "-")  # noqa: SIM115 -- closed below, and "-" is no path
    except OSError as error:
        raise _unreadable(path, error) from error
    with stream:
        yield Lines(stream, "standard input" if path == "-" else path, _size_bytes(stream.fileno()))


def _size_bytes(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _unreadable(name: str, error: Exception) -> Problem:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Problem(
        "input_unreadable", f"{name}: {reason}", "Name a file that this user may read, or - for standard input"
    )


def write_out(data: bytes) -> None:
    """Write to standard output and let its reader have it now.

    Raises BrokenPipeError when nobody reads any more, Problem when it cannot be written.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Problem(
            "output_unwritable", f"Standard output: {error.strerror}", "Make room, or send the output elsewhere"
        ) from error
