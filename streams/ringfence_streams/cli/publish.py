"""`ringfence publish`: append inputs to their topics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, BinaryIO, Final, Literal

import typer

from ringfence_schemas.reading import INPUT_STRUCTS, InputRefused, decode_input
from ringfence_schemas.topics import INPUT_TOPIC, key_of
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.lines import Chunk, FileArgument, opened_lines, silent
from ringfence_streams.cli.logs import LogOption, OpenedLog, ShardsOption, opened_log
from ringfence_streams.cli.problems import Exit, Problem
from ringfence_streams.port import Message

Timestamps = Literal["now", "events"]

_NO_KEY: Final = ""
_MILLISECOND_US: Final = 1_000


def publish(
    *,
    file: FileArgument = "-",
    log: LogOption = None,
    shards: ShardsOption = None,
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", metavar="FILE", help="Append lines that belong to no topic to this file."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Exit with status 0 even if lines belong to no topic.")
    ] = False,
    timestamps: Annotated[
        Timestamps,
        typer.Option("--timestamps", help="Stamp records with the time of writing, or with that of their events."),
    ] = "now",
) -> None:
    r"""Append JSON lines of inputs to their topics.

    The type of an input decides its topic and its key; its bytes are appended as they are.  Inputs with wrong values
    are appended too: the engine refuses them and keeps their bytes.  A line that is no JSON object, or has no known
    type, belongs to no topic: it is reported with its number, counted, and the exit status is 2.  What is published
    is durable when the next lines are read.  An absent log in a file is created.

    Over Kafka nothing but the timestamps of records orders inputs of different topics.  For a history,
    `--timestamps events` stamps each line with the time of its event, and at least a millisecond after the line
    before, so that it is folded in the order of its lines.

    ```sh
    echo '{"type": "deposit", "transfer_id": "t1", "account": "ann",' \
      '"asset": "USDT", "amount": "100", "time_us": 1}' |
      ringfence publish --log sqlite:risk.db
    ```
    """
    with opened_lines(file) as lines, opened_log(log, create=True, shards=shards) as opened, ExitStack() as files:
        kept = files.enter_context(_opened_rejects(rejects)) if rejects else None
        publishing = Publishing(opened, kept, timestamps)
        with console.progress("Publishing", lines.size_bytes) as progress:
            try:
                for chunk in lines:
                    publishing.take(chunk)
                    progress.update(lines.read_bytes, f"{publishing.published.total():,} inputs")
            finally:
                publishing.report()
    if publishing.rejected and not keep_going:
        raise Problem(
            "lines_rejected",
            f"{counted(publishing.rejected, 'line')} without a topic not published; all others were",
            f"Mend and publish them: {rejects}" if rejects else "Mend them, or keep them apart with --rejects FILE",
        )


class Publishing:
    """Publishes chunk after chunk, each in one atomic step."""

    def __init__(self, opened: OpenedLog, rejects: BinaryIO | None, timestamps: Timestamps) -> None:
        self.published: Counter[str] = Counter()
        """Inputs per topic."""
        self.rejected = 0
        self.last_line = 0
        """Everything up to this line is published or rejected."""
        self._opened = opened
        self._rejects = rejects
        self._timestamps = timestamps
        self._last_us = 0

    def take(self, chunk: Chunk) -> None:
        """Publish the lines of a chunk in order."""
        messages = list(self._messages(chunk))
        self._opened.run(self._opened.log.publish(messages))
        self.published.update(message.topic for message in messages)
        self.last_line = chunk.first + len(chunk.lines) - 1

    def report(self) -> None:
        """Say what is in the log now."""
        topics = ", ".join(f"{topic} {count}" for topic, count in sorted(self.published.items())) or "nothing"
        rejected = f", rejected {self.rejected}" if self.rejected else ""
        console.say(
            f"published {topics}{rejected}, through line {self.last_line}",
            published=self.published.total(),
            topics=self.published,
            rejected=self.rejected,
            lines=self.last_line,
        )

    def _messages(self, chunk: Chunk) -> Iterator[Message]:
        now_us = time.time_ns() // 1_000
        for number, line in enumerate(chunk.lines, chunk.first):
            if silent(line):
                continue
            try:
                event = decode_input(line)
                time_us = self._timestamp(event.time_us, now_us)
                topic, key = INPUT_TOPIC[type(event)], key_of(event)
            except InputRefused as refused:
                struct = INPUT_STRUCTS.get(refused.input_type or "")
                if struct is None:
                    self._reject(number, line, refused)
                    continue
                # Where it belongs is known, so its bytes are the engine's to refuse and to keep.
                time_us = self._timestamp(0, now_us)
                topic, key = INPUT_TOPIC[struct], refused.account or refused.instrument or _NO_KEY
            yield Message(topic, key, line.removesuffix(b"\r"), time_us)

    def _timestamp(self, event_us: int, now_us: int) -> int:
        if self._timestamps == "now":
            return now_us
        self._last_us = max(event_us, self._last_us + _MILLISECOND_US)
        return self._last_us

    def _reject(self, number: int, line: bytes, refused: InputRefused) -> None:
        self.rejected += 1
        console.say(f"line {number}: {refused}", level="error", line=number, code=refused.code)
        if self._rejects is not None:
            self._rejects.write(line + b"\n")
            self._rejects.flush()


def _opened_rejects(path: str) -> BinaryIO:
    try:
        return open(path, "ab")  # noqa: PTH123 -- closed by the command
    except OSError as error:
        remedy = "Name a file that this user may write"
        raise Problem("rejects_unwritable", f"{path}: {error.strerror}", remedy, Exit.UNUSABLE) from error
