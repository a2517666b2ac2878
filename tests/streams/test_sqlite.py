"""Claims about the log in one file: what only a file can do, and what only a file can suffer (A11)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ringfence_schemas.frames import Settings, decode_frame
from ringfence_schemas.topics import JOURNAL, LIQUIDATIONS, POSITIONS, TICKS, VIEW_TOPICS
from ringfence_streams.engine import Engine
from ringfence_streams.errors import LogError, LogUnsuitable
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Message
from ringfence_streams.sqlite import SqliteLog
from tests.streams.counting import CountingReplicas
from tests.streams.world import audit

MOTION = MotionSettings(batch_inputs=5, snapshot_every=3, snapshot_rest=0, stand_by=False)
STAND_BY = MotionSettings(batch_inputs=5, heartbeat_us=1_000)


def ticks(count: int, first: int = 0) -> list[Message]:
    """Inputs of a hundred bytes."""
    return [Message(TICKS, "X", f"{'abc'[n % 3]} {n}".ljust(100).encode(), n) for n in range(first, first + count)]


def engine(log: SqliteLog, motion: MotionSettings = MOTION) -> Engine:
    """An engine that counts."""
    return Engine(log, [Settings()], CountingReplicas(), motion=motion)


async def drained(path: Path, written: int) -> None:
    """Open the file anew, fold what is left, and assert all guarantees."""
    log = SqliteLog(path)
    last = engine(log)
    await last.drain()
    await last.release()
    await audit(log, Settings(), written)
    await log.close()


def fill_the_disk(log: SqliteLog) -> None:
    """No page more may be allocated: SQLite answers as it does on a full disk."""
    pages = log.store.connection.execute("PRAGMA page_count").fetchone()[0]
    log.store.connection.execute(f"PRAGMA max_page_count = {pages}")


def make_read_only(log: SqliteLog) -> None:
    """Every write is refused as on a file system that was mounted read-only."""
    log.store.connection.execute("PRAGMA query_only = ON")


@pytest.mark.parametrize(("happening", "code"), [(fill_the_disk, "log_full"), (make_read_only, "log_read_only")])
def test_a_file_that_cannot_be_written_stops_the_engine_cleanly(
    happening: Callable[[SqliteLog], None], code: str, tmp_path: Path
) -> None:
    """A11: nothing half-written is ever read as whole; once the file can be written again the engine goes on."""

    async def action() -> None:
        path = tmp_path / "log.db"
        log = SqliteLog(path)
        running = engine(log)
        await log.publish(ticks(20))
        await running.drain()
        await log.publish(ticks(300, 20))
        end = await log.journal_bounds(0)
        happening(log)
        with pytest.raises(LogError) as stopped:
            await running.run()
        assert stopped.value.code == code
        stuck = (await log.journal_bounds(0)).end
        assert end.end <= stuck < end.end + 60, "some inputs are still to be folded"
        await log.close()
        await drained(path, 320)

    asyncio.run(action())


def test_a_file_that_another_program_holds_stops_the_engine_after_a_while(tmp_path: Path) -> None:
    """The engine waits for the busy timeout, then says that the log is busy; nothing was written."""

    async def action() -> None:
        path = tmp_path / "log.db"
        log = SqliteLog(path, busy_timeout_ms=20)
        await log.publish(ticks(5))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogError) as stopped:
                await engine(log).run()
            assert stopped.value.code == "log_busy"
            other.execute("ROLLBACK")
        await log.close()
        await drained(path, 5)

    asyncio.run(action())


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Neither another database nor another file nor a newer format is taken for a log."""
    database, text, newer = tmp_path / "other.db", tmp_path / "text", tmp_path / "newer.db"
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE mine (x)")
    text.write_text("not a database at all, but long enough to be looked at as one" * 30)
    asyncio.run(SqliteLog(newer).close())
    with closing(sqlite3.connect(newer)) as file:
        file.execute("PRAGMA user_version = 99")
    for path, complaint in ((database, "something else"), (text, "not a database"), (newer, "format 99")):
        with pytest.raises(LogUnsuitable, match=complaint):
            SqliteLog(path)
    with pytest.raises(LogError) as stopped:
        SqliteLog(tmp_path / "no folder" / "log.db")
    assert stopped.value.code == "log_unavailable"


def test_the_standing_by_engine_takes_over_when_the_owner_goes(tmp_path: Path) -> None:
    """T1 on one host: the operating system says whether the owner lives, so nobody waits for a lease."""

    async def action() -> None:
        path = tmp_path / "log.db"
        first_log, second_log = SqliteLog(path), SqliteLog(path)
        first, second = engine(first_log), engine(second_log, STAND_BY)
        await first_log.publish(ticks(10))
        await first.drain()
        waiting = asyncio.ensure_future(second.run())
        await asyncio.sleep(0.02)
        assert second.shards[0].mode.value == "following"
        await first_log.close()  # as a kill would: without a release frame
        await second_log.publish(ticks(10, 10))
        while second.shards[0].progress.inputs < 10:  # noqa: ASYNC110 -- progress is a number, for people to watch
            await asyncio.sleep(0.002)
        second.stop()
        await waiting
        assert (await audit(second_log, Settings(), 20)).state.head.epoch == 2
        await second_log.close()

    asyncio.run(action())


def test_other_commands_publish_and_read_beside_the_engine(tmp_path: Path) -> None:
    """One engine per shard, any number of other connections: their inputs are folded in the order of appending."""

    async def action() -> None:
        path = tmp_path / "log.db"
        log, beside = SqliteLog(path), SqliteLog(path)
        running = engine(log, STAND_BY)
        task = asyncio.ensure_future(running.run())
        for part in range(10):
            await beside.publish(ticks(7, 7 * part))
            await asyncio.sleep(0.002)
            await beside.read(LIQUIDATIONS, 0, 0, 100)
        while running.shards[0].progress.inputs < 70:  # noqa: ASYNC110 -- progress is a number, for people to watch
            await asyncio.sleep(0.002)
        running.stop()
        await task
        await audit(beside, Settings(), 70)
        await log.close()
        await beside.close()

    asyncio.run(action())


def test_an_idle_engine_under_clock_events_writes_nothing(tmp_path: Path) -> None:
    """In one file a lock shows that the owner lives, so heartbeat frames are for timers only."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        running = engine(log, STAND_BY)
        task = asyncio.ensure_future(running.run())
        await asyncio.sleep(0.05)
        running.stop()
        await task
        kinds = [decode_frame(record.value or b"").kind for record in await log.read(JOURNAL, 0, 0, 100)]
        assert kinds == ["epoch", "release"]
        await log.close()

    asyncio.run(action())


def test_a_number_that_stands_already_is_never_overwritten(tmp_path: Path) -> None:
    """V4 in one file: a decision under a number that somebody else has written stops the engine."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        await log.publish(ticks(1))
        log.store.connection.execute(
            "INSERT INTO decisions VALUES ('liquidations', 0, 0, 0, 'X', 'forged', NULL, x'00')"
        )
        with pytest.raises(LogError) as stopped:
            await engine(log).drain()
        assert stopped.value.code == "outputs_diverged"
        assert (await log.journal_bounds(0)).end == 1, "the epoch frame alone"
        await log.close()

    asyncio.run(action())


def test_views_keep_one_row_for_each_key(tmp_path: Path) -> None:
    """Compaction happens at once: the row of a key moves to the end of its topic with every publication."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        await log.publish(ticks(60))
        running = engine(log)
        await running.drain()
        rows = await log.read(POSITIONS, 0, 0, 1_000)
        assert sorted(record.key or b"" for record in rows) == [b"a", b"b", b"c"]
        assert rows[-1].offset + 1 == (await log.bounds(POSITIONS, 0)).end > 3
        for topic in VIEW_TOPICS:
            assert all(dict(r.headers)["version"] for r in await log.read(topic, 0, 0, 10))
        await log.close()

    asyncio.run(action())


def test_a_missing_journal_row_is_noticed(tmp_path: Path) -> None:
    """A10: offsets are dense in a file, so a row that is gone from the middle is named."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        await log.publish(ticks(20))
        await engine(log).drain()
        log.store.connection.execute("DELETE FROM journal WHERE offset = 2")
        with pytest.raises(LogError, match="offset 2 is missing") as stopped:
            await log.read(JOURNAL, 0, 0, 10)
        assert stopped.value.code == "journal_damaged"
        await log.close()

    asyncio.run(action())


def test_a_deleted_input_stops_an_engine_that_needs_its_place(tmp_path: Path) -> None:
    """The append number of the last input read is where the order goes on; without it nothing is read twice."""

    async def action() -> None:
        path = tmp_path / "log.db"
        log = SqliteLog(path)
        await log.publish(ticks(20))
        await engine(log).drain()
        await log.publish(ticks(5, 20))
        log.store.connection.execute("DELETE FROM inputs WHERE offset < 20")
        await log.resign(0)
        with pytest.raises(LogUnsuitable, match="was deleted"):
            await engine(log).drain()
        await log.close()

    asyncio.run(action())


def test_ranges_of_frames_meet_across_a_hole_in_a_source(tmp_path: Path) -> None:
    """F1: ranges are half-open and adjacent, so a hole in a source looks unlike a frame that is missing."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        await log.publish(ticks(4))
        running = engine(log)
        await running.drain()
        await log.publish(ticks(4, 4))
        log.store.connection.execute("DELETE FROM inputs WHERE offset IN (4, 6)")
        await running.drain()
        frames = [decode_frame(record.value or b"") for record in await log.read(JOURNAL, 0, 1, 10)]
        assert [(read.start, read.end) for frame in frames for read in frame.positions] == [(0, 4), (4, 8)]
        assert [item.offset_delta for item in frames[-1].inputs] == [1, 3]
        await log.close()

    asyncio.run(action())


def test_only_input_topics_are_published_to(tmp_path: Path) -> None:
    """What the engine decides cannot be written by anybody else through the log's own door."""

    async def action() -> None:
        log = SqliteLog(tmp_path / "log.db")
        with pytest.raises(LogUnsuitable, match="not an input topic"):
            await log.publish([Message(LIQUIDATIONS, "alice", b"{}", 1)])
        await log.close()

    asyncio.run(action())
