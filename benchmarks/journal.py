"""The embedded log: appending frames to a real file, and folding the journal again from it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Scale, Target
from benchmarks.inputs import FIRST_US, Inputs
from benchmarks.timing import Reading, Samples, Stopwatch
from ringfence.replica import Replica
from ringfence_schemas.frames import Settings
from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import INPUT_TOPIC, key_of
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas, read_frame
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.port import Entry, Message, Record
from ringfence_streams.sqlite import SqliteLog, SqliteOwnership

TITLE = "Journal: SQLite, synchronous = FULL, one frame for up to 1,000 inputs"
MIXES = ((0.0, "ticks alone"), (0.02, "49 ticks to a fill"), (0.1, "9 ticks to a fill"), (1.0, "fills alone"))


def measure(scale: Scale, seed: int) -> list[Figure]:
    """Journals of several mixes: how fast they are written, and how fast they are folded again."""
    figures: list[Figure] = []
    for share, mix in MIXES:
        with TemporaryDirectory() as folder:
            figures += asyncio.run(_measured(Path(folder), scale, seed, share, mix))
    return figures


async def _measured(folder: Path, scale: Scale, seed: int, share: float, mix: str) -> list[Figure]:
    inputs, accounts, log = Inputs(seed), scale.accounts // 10, SqliteLog(folder / "log.sqlite")
    await log.publish(_messages(inputs.market()))
    await log.publish(_messages(line for account in range(accounts) for line in _beginning(inputs, account)))
    engine = Engine(log, [Settings()], CoreReplicas())
    await engine.drain()
    start = (await log.journal_bounds(0)).end
    await log.publish(_messages(inputs.mixed(scale.journal, accounts, share)))
    tune_garbage_collection()
    whole = Samples(scale.journal)
    stopwatch = Stopwatch()
    await engine.drain()
    whole.spans.append(stopwatch.span())
    await engine.release()
    repetition = await _repeated(log, folder, start)
    await log.close()
    each = repetition.outcomes / scale.journal
    return [
        Figure(f"{mix}: replayed", *_of_inputs(repetition.replaying), Target("at least", 200_000)),
        Figure(f"{mix}: read, folded and appended", *_of_inputs(whole)),
        Figure(f"{mix}: appended, {each:.2f} outcomes each", *_of_inputs(repetition.appending)),
        Figure("in frames", *_of_frames(repetition.appending)),
        Figure("peer: the bytes of the frame, one INSERT", *_of_frames(repetition.inserting)),
    ]


def _of_frames(samples: Samples) -> tuple[Reading, str, int]:
    return samples.microseconds().times(samples.items).per_second(), "frames/s", len(samples.spans)


def _of_inputs(samples: Samples) -> tuple[Reading, str, int]:
    return samples.microseconds().per_second(), "inputs/s", len(samples.spans)


def _beginning(inputs: Inputs, account: int) -> tuple[bytes, bytes]:
    """A wallet and a position."""
    return inputs.deposit(account), inputs.opening(account)


def _messages(lines: Iterable[bytes]) -> Iterator[Message]:
    for line in lines:
        event = decode_input(line)
        yield Message(INPUT_TOPIC[type(event)], key_of(event), line, FIRST_US)


@dataclass(slots=True)
class Repetition:
    """A journal, frame by frame: folded again, appended to another log, and its bytes merely inserted; full frames
    count.
    """

    replaying: Samples
    appending: Samples
    inserting: Samples
    outcomes: int = 0


async def _repeated(log: SqliteLog, folder: Path, start: int) -> Repetition:
    """Fold a journal, and append what comes of it to an empty log; that draws every view.

    Frames before `start` lead to the state; each one after it is a run.
    """
    follower = Follower(0, ChainState(Replica(Settings()), Settings()))
    copy = SqliteLog(folder / "copy.sqlite")
    ownership, peer = SqliteOwnership(copy.store, 0), _PlainTable(folder / "peer.sqlite")
    result = Repetition(await _replayed(log, start), Samples(0), Samples(0))
    first = await log.read_journal(0, 0, 1)
    await ownership.claim(_entry(first[0], follower), Follower(0, follower.state).standing())
    while follower.position < (await log.journal_bounds(0)).end:
        (record,) = await log.read_journal(0, follower.position, 1)
        entry = _entry(record, follower)
        stopwatch = Stopwatch()
        await ownership.commit(entry)
        appended = stopwatch.span()
        stopwatch = Stopwatch()
        peer.insert(entry.frame.seq, entry.value)
        inserted = stopwatch.span()
        inputs = len(entry.frame.inputs)
        if record.offset < start or not inputs:
            continue
        result.outcomes += len(entry.outcomes)
        for samples, span in (
            (result.appending, appended),
            (result.inserting, inserted),
        ):
            samples.items = samples.items or inputs
            if inputs == samples.items:
                samples.spans.append(span)
    peer.close()
    await copy.close()
    return result


async def _replayed(log: SqliteLog, start: int) -> Samples:
    """Fold a journal as an audit does: decode, R1, fold, digests compared; no view drawn, as if a later one stood
    there.
    """
    samples = Samples(0)
    follower = Follower(0, ChainState(Replica(Settings()), Settings()))
    while follower.position < (await log.journal_bounds(0)).end:
        stopwatch = Stopwatch()
        (record,) = await log.read_journal(0, follower.position, 1)
        follower.take(record)
        span = stopwatch.span()
        inputs = len(read_frame(record).inputs)
        if record.offset >= start and inputs:
            samples.items = samples.items or inputs
            if inputs == samples.items:
                samples.spans.append(span)
    return samples


def _entry(record: Record, follower: Follower) -> Entry:
    """Take a journal record as a follower does; what it gives is what its writer committed."""
    outcomes = follower.take(record)
    assert outcomes is not None
    assert record.value is not None
    return Entry(read_frame(record), record.value, follower.state.head.hash, outcomes.records)


class _PlainTable:
    """The least that the same durability costs here: one row and one transaction for each frame."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE frames (seq INTEGER PRIMARY KEY, value BLOB)")

    def insert(self, seq: int, value: bytes) -> None:
        """One row, durable."""
        self._connection.execute("INSERT INTO frames VALUES (?, ?)", (seq, value))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
