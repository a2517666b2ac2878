"""Claims that hold over every log: the same tests for the file, for memory, and for any broker that comes later."""

from __future__ import annotations

import asyncio

import pytest

from ringfence.chain import ROOT
from ringfence_schemas.frames import Opening, Settings, SourceRange, decode_frame
from ringfence_schemas.topics import (
    FILLS,
    JOURNAL,
    LIQUIDATIONS,
    MARGIN_CALLS,
    TICKS,
)
from ringfence_streams.clock import MachineClock
from ringfence_streams.engine import Engine
from ringfence_streams.errors import JournalDamaged, LogError, LogUnsuitable, OwnershipLost, ShardOwned, SourceReplaced
from ringfence_streams.folding import fold, make_entry
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Entry, Log, Message, Source, Standing
from ringfence_streams.shard import Shard
from tests.streams.adapters import MOTION, Storage, engine, messages, with_log
from tests.streams.counting import CountingReplicas
from tests.streams.whole import whole
from tests.streams.world import audit

EMPTY = Standing(ROOT, 0, {}, {}, ())


async def commit_one(shard: Shard) -> None:
    """Let an owner commit one frame, whatever happened meanwhile."""
    assert shard._owner is not None
    await shard._owner.advance()
    await shard._owner.finish()


def epoch_entry(session: bytes) -> Entry:
    """The first frame of a chain, as a claimant of this session writes it."""
    settings = Settings()
    outcomes = fold(CountingReplicas().new(settings), "epoch", 1, 0, (), ())
    return make_entry(ROOT, outcomes, kind="epoch", opening=Opening(session, settings))


def test_inputs_read_back_as_they_were_published(storage: Storage) -> None:
    """Each topic keeps its inputs in the order of publication, with key, time, value and trace."""

    async def action(log: Log) -> None:
        traced = Message(TICKS, "X", b"1", 7_000, traceparent="00-trace-span-01")
        assert await log.publish([traced, Message(FILLS, "alice", b"2", 8_000), Message(TICKS, "Y", b"3", 9_000)]) == 3
        first, second = await log.read(TICKS, 0, 0, 10)
        assert (first.offset, first.key, first.value, first.timestamp_us) == (0, b"X", b"1", 7_000)
        assert first.headers == (("traceparent", b"00-trace-span-01"),)
        assert (second.offset, second.key, second.value, second.headers) == (1, b"Y", b"3", ())
        assert await log.bounds(TICKS, 0) == (0, 2)
        assert await log.read(TICKS, 0, 2, 10) == []
        assert {source.topic for source in await log.topics()} >= {TICKS, FILLS}

    with_log(storage, action)


def test_a_shard_reads_on_exactly_where_the_journal_says(storage: Storage) -> None:
    """A reader that starts from positions gives every later input once and none before them."""

    async def action(log: Log) -> None:
        await log.check(Settings())
        await log.publish(messages(20))
        everything = await log.reader(0, {}).read(100, 10**6)
        assert [record.timestamp_us for record in everything] == list(range(1_000, 21_000, 1_000))
        positions: dict[Source, SourceRange] = {}
        for record in everything[:7]:
            source = Source(record.topic, record.partition)
            positions[source] = SourceRange(*source, 0, record.offset + 1, record.offset, bytes(16))
        rest = log.reader(0, positions)
        assert [r.timestamp_us for r in await rest.read(100, 10**6)] == list(range(8_000, 21_000, 1_000))
        assert await rest.read(100, 10**6) == []
        await log.publish(messages(2, 21))
        await rest.wait(1_000_000)
        await rest.refresh()
        assert [r.timestamp_us for r in await rest.read(100, 10**6)] == [21_000, 22_000]

    with_log(storage, action)


def test_a_batch_ends_after_so_many_inputs_or_bytes(storage: Storage) -> None:
    """F4: a frame is bounded by number and size, yet always takes at least one input."""

    async def action(log: Log) -> None:
        await log.check(Settings())
        await log.publish(Message(TICKS, "X", bytes(10), number) for number in range(6))
        reader = log.reader(0, {})
        assert [len(await reader.read(2, 1_000)), len(await reader.read(9, 25)), len(await reader.read(9, 1))] == [
            2,
            3,
            1,
        ]

    with_log(storage, action)


def test_everything_readable_is_committed_and_published_when_a_step_returns(storage: Storage) -> None:
    """The closed loop: one input in, its frame committed, the reaction out, the next input."""

    async def action(log: Log) -> None:
        loop = engine(log)
        for number, message in enumerate(messages(9), 1):
            await log.publish([message])
            assert await loop.drain() == 1
            decisions = await whole(log, LIQUIDATIONS if number % 2 else MARGIN_CALLS, 0)
            assert len(decisions) == (number + 1) // 2
        assert await loop.drain() == 0
        await loop.release()
        await audit(log, Settings(), 9)

    with_log(storage, action)


def test_one_process_goes_on_where_the_one_before_it_stopped(storage: Storage) -> None:
    """Three processes in turn: one chain, each input once, the last snapshot in use, every outcome published."""
    for part in range(3):

        async def action(log: Log, part: int = part) -> None:
            await log.publish(messages(17, 1 + 17 * part))
            running = engine(log)
            assert await running.drain() == 17
            await running.release()

        with_log(storage, action)

    async def check(log: Log) -> None:
        follower = await audit(log, Settings(), 51)
        assert follower.state.head.epoch == 3
        assert follower.state.released
        assert len([data async for data in log.snapshots.released(0)]) == 2

    with_log(storage, check)


def test_a_process_that_was_killed_leaves_a_chain_to_go_on_from(storage: Storage) -> None:
    """Without a release frame the next owner starts all the same, from the snapshot and the frames after it."""

    async def killed(log: Log) -> None:
        await log.publish(messages(32))
        await engine(log).drain()

    async def next_one(log: Log) -> None:
        await log.publish(messages(3, 33))
        running = engine(log)
        assert await running.drain() == 3
        await running.release()
        await audit(log, Settings(), 35)

    with_log(storage, killed)
    with_log(storage, next_one)


def test_of_two_claims_on_one_head_the_first_wins(storage: Storage) -> None:
    """T2, R1: the second claimant of the same epoch is told, and nothing of it is on the chain."""

    async def action(log: Log) -> None:
        first, second = (log.ownership(0, MOTION, MachineClock()) for _ in range(2))
        assert await first.claim(epoch_entry(b"first" + bytes(11)), EMPTY) == 0
        with pytest.raises(OwnershipLost):
            await second.claim(epoch_entry(b"second" + bytes(10)), EMPTY)
        head, position = first.committed()
        assert (head.seq, position) == (1, 1)

    with_log(storage, action)


def test_a_zombie_cannot_extend_the_chain_of_its_successor(storage: Storage) -> None:
    """A4: an owner that slept through a take-over loses its ownership with its next frame, and commits nothing."""

    async def action(log: Log) -> None:
        zombie = engine(log).shards[0]
        await log.publish(messages(4))
        await zombie.step()
        await log.resign(0)
        successor = engine(log).shards[0]
        await log.publish(messages(4, 5))
        assert await successor.step() == 4
        await log.publish(messages(4, 9))
        with pytest.raises(OwnershipLost):
            await commit_one(zombie)
        assert await successor.step() == 4
        await successor.release()
        assert (await audit(log, Settings(), 12)).state.head.epoch == 2

    with_log(storage, action)


def test_what_a_log_meets_by_construction_needs_no_settling(storage: Storage) -> None:
    """Where frame and outcomes are one transaction they are committed, published and acknowledged at once."""

    async def action(log: Log) -> None:
        await log.publish(messages(3))
        shard = engine(log).shards[0]
        assert await shard.step() == 3
        await log.publish(messages(1, 4))
        storage.delay()
        assert shard._owner is not None
        await shard._owner.refresh()
        assert await shard._owner.advance()
        ownership, seq = shard._owner.ownership, shard._owner.state.head.seq
        assert (ownership.committed()[0].seq == seq) == ("W4" in storage.by_construction)
        assert (ownership.acknowledged_seq() == seq) == ("P5" in storage.by_construction)
        published = await whole(log, MARGIN_CALLS, 0)
        assert (len(published) == 2) == ("V5" in storage.by_construction)

    with_log(storage, action)


def test_the_epoch_frame_carries_everything_that_steers_the_fold(storage: Storage) -> None:
    """F2: settings in full, a session of 128 bits, the identity of every topic read."""
    settings = Settings(clock="wall", id_window_us=5, skew_us=6, engine="test", ledger=True)

    async def action(log: Log) -> None:
        running = Engine(log, [settings], CountingReplicas(), motion=MOTION)
        await running.drain()
        await running.release()
        epoch, release = [decode_frame(record.value or b"") for record in await whole(log, JOURNAL, 0)]
        assert epoch.opening is not None
        assert epoch.opening.settings == settings
        assert len(epoch.opening.session) == 16
        assert {identity.topic for identity in epoch.opening.topics} >= {JOURNAL, TICKS, FILLS}
        assert release.kind == "release"

    with_log(storage, action)


def test_a_damaged_journal_record_stops_at_its_offset(storage: Storage) -> None:
    """A10: the record is named, nothing is folded past it, nothing is written."""

    async def write(log: Log) -> None:
        await log.publish(messages(9))
        running = engine(log)
        await running.drain()
        await running.release()
        async for generation in log.snapshots.released(0):
            assert generation

    async def start(log: Log) -> None:
        end = (await log.journal_bounds(0)).end
        with pytest.raises(JournalDamaged, match=r"offset 2|@2"):
            await audit(log, Settings(), 9)
        assert (await log.journal_bounds(0)).end == end

    with_log(storage, write)
    storage.damage_journal(0, 2)
    with_log(storage, start)


def test_a_journal_that_ends_below_a_snapshot_refuses_to_start(storage: Storage) -> None:
    """A8, R3: the snapshot proves that acknowledged frames are gone."""

    async def write(log: Log) -> None:
        await log.publish(messages(30))
        await engine(log).drain()

    async def start(log: Log) -> None:
        with pytest.raises(LogError) as stopped:
            await engine(log).drain()
        assert stopped.value.code == "records_lost"

    with_log(storage, write)
    storage.lose_journal(0, 3)
    with_log(storage, start)


def test_a_source_with_other_records_than_the_journal_read_refuses_to_start(storage: Storage) -> None:
    """V6: the last record read of every source must still be the one that was journalled."""

    async def write(log: Log) -> None:
        await log.publish(messages(9))
        running = engine(log)
        await running.drain()
        await running.release()

    async def start(log: Log) -> None:
        with pytest.raises(SourceReplaced, match=f"{TICKS}/0@2"):
            await engine(log).drain()

    with_log(storage, write)
    storage.change_source(TICKS, 2)
    with_log(storage, start)


def test_a_log_made_for_another_number_of_shards_is_refused(storage: Storage) -> None:
    """Accounts would be folded by the wrong shard, so nothing is started."""

    async def action(log: Log) -> None:
        with pytest.raises(LogUnsuitable, match="shards"):
            await Shard(log, Settings(shard=0, shards=2), CountingReplicas(), motion=MOTION).step()

    with_log(storage, action)


def test_a_running_engine_stops_orderly_when_asked(storage: Storage) -> None:
    """`run` folds what comes until `stop`, writes a release frame, and the next engine starts at once."""

    async def action(log: Log) -> None:
        running = engine(log)
        task = asyncio.ensure_future(running.run())
        await log.publish(messages(10))
        while running.shards[0].progress.inputs < 10:  # noqa: ASYNC110 -- progress is a number, for people to watch
            await asyncio.sleep(0.001)
        running.stop()
        await task
        await log.publish(messages(2, 11))
        after = engine(log)
        assert await after.drain() == 2
        await after.release()
        await audit(log, Settings(), 12)

    with_log(storage, action)


def test_a_second_process_is_told_who_owns_the_shard(storage: Storage) -> None:
    """A5: without standing by, a process that finds an owner at work stops with `shard_owned`."""
    patient = MotionSettings(lease_us=10**9, stand_by=False)

    async def action(log: Log) -> None:
        first = engine(log)
        await log.publish(messages(3))
        await first.drain()
        other = storage.open()
        with pytest.raises(ShardOwned, match="owned by another process"):
            await Shard(other, Settings(), CountingReplicas(), motion=patient).step()
        await first.release()
        await other.close()

    with_log(storage, action)
