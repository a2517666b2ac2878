"""Claims about the shard loop itself: who may own a shard and when, the clock in the frames, and what a frame holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from ringfence_schemas.frames import Frame, Settings, content_hash, decode_frame
from ringfence_schemas.topics import FILLS, JOURNAL, POSITIONS, TICKS
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.engine import Engine
from ringfence_streams.errors import ClockStep, JournalDamaged, LogError, ShardOwned
from ringfence_streams.memory import MemoryBroker
from ringfence_streams.merge import MergingReader
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Record, Replica, Source
from ringfence_streams.shard import Mode, Shard
from tests.streams.counting import Counted, CountingReplica, CountingReplicas
from tests.streams.node import Node
from tests.streams.world import MOTION, Machine, World


def frames(world: World) -> list[Frame]:
    """Every frame in the journal."""
    return [decode_frame(record.value or b"") for record in world.broker.partition(JOURNAL, 0).records]


async def pass_time(world: World, duration_us: int, until: Callable[[], bool] = lambda: False) -> None:
    """Let time pass over a network that delivers at once."""
    end_us = world.clock.now_us + duration_us
    while world.clock.now_us < end_us and not until():
        await world.settle()
        while waiting := world.broker.waiting():
            world.deliver(waiting[0])
            await world.settle()
        world.clock.advance(100)


async def owning(world: World) -> Machine:
    """A machine that owns the shard and has folded everything."""
    machine = world.start()
    await pass_time(world, 10**6, until=lambda: world.folded() == world.written and machine.shard.mode is Mode.OWNING)
    return machine


def test_a_live_owner_is_never_deposed() -> None:
    """T1: heartbeat frames keep the head moving, so a follower waits for ever; nothing flips to and fro (A5)."""

    async def action() -> None:
        world = World()
        await owning(world)
        follower = world.start()
        await pass_time(world, 30 * MOTION.lease_us)
        assert follower.shard.mode is Mode.FOLLOWING
        assert {frame.epoch for frame in frames(world)} == {1}
        assert sum(frame.kind == "heartbeat" for frame in frames(world)) > 60
        await world.finish()
        await world.audit()

    asyncio.run(action())


def test_a_follower_takes_over_after_the_lease_and_not_before() -> None:
    """T1: once the owner is dead the head stands still; after the lease, lengthened by chance, the follower owns."""

    async def action() -> None:
        world = World()
        owner = await owning(world)
        follower = world.start()
        await pass_time(world, MOTION.lease_us)
        owner.crash()
        died_us = world.clock.now_us
        await pass_time(world, 10 * MOTION.lease_us, until=lambda: follower.shard.mode is Mode.OWNING)
        assert follower.shard.mode is Mode.OWNING
        waited_us = world.clock.now_us - died_us
        assert MOTION.lease_us - MOTION.heartbeat_us <= waited_us <= 1.5 * MOTION.lease_us + 2 * MOTION.heartbeat_us

    asyncio.run(action())


def test_after_a_release_frame_the_next_owner_starts_at_once() -> None:
    """T1: an orderly end needs no lease."""

    async def action() -> None:
        world = World()
        owner = await owning(world)
        follower = world.start()
        await pass_time(world, MOTION.heartbeat_us)
        owner.shard.stop()
        stopped_us = world.clock.now_us
        await pass_time(world, 10 * MOTION.lease_us, until=lambda: follower.shard.mode is Mode.OWNING)
        assert world.clock.now_us - stopped_us <= 2 * MOTION.heartbeat_us

    asyncio.run(action())


def test_a_process_without_the_assignment_follows_only() -> None:
    """T1: the owners' group says who may take a shard over; without it even a released chain is left alone."""

    async def action() -> None:
        world = World()
        machine = world.start()
        machine.client.may_own = False
        await pass_time(world, 10 * MOTION.lease_us)
        assert machine.shard.mode is Mode.FOLLOWING
        assert frames(world) == []

    asyncio.run(action())


def test_of_two_owners_started_at_once_one_owns_and_the_other_follows() -> None:
    """A5: both claim the same head; the log decides, the loser stands down and waits."""

    async def action() -> None:
        world = World()
        both = [world.start(), world.start()]
        await world.settle()
        assert len(world.broker.waiting()) == 2, "both have claimed"
        await pass_time(world, 20 * MOTION.lease_us)
        assert sorted(machine.shard.mode for machine in both) == [Mode.FOLLOWING, Mode.OWNING]
        assert sum(machine.shard.progress.stood_down for machine in both) == 1
        assert {frame.epoch for frame in frames(world)} == {1}

    asyncio.run(action())


def test_a_paused_owner_finds_its_successor_and_stops_itself() -> None:
    """A4: what it had under way is dead for every reader; its inputs are folded by the successor, once."""

    async def action() -> None:
        world = World()
        owner = await owning(world)
        successor = world.start()
        await pass_time(world, MOTION.heartbeat_us)
        world.write(9)
        await world.settle()
        owner.client.pause()
        await pass_time(world, 10 * MOTION.lease_us, until=lambda: successor.shard.mode is Mode.OWNING)
        world.write(9)
        await pass_time(world, MOTION.lease_us)
        owner.client.resume()
        await pass_time(world, MOTION.lease_us)
        assert (owner.shard.mode, successor.shard.mode) == (Mode.FOLLOWING, Mode.OWNING)
        assert owner.shard.progress.stood_down == 1
        await world.finish()
        await world.audit()

    asyncio.run(action())


def test_an_owner_without_acknowledgements_says_so_and_keeps_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """W9: a stalled broker is reported, the ownership is kept, and the frame commits when the answer comes."""

    async def action() -> None:
        world = World()
        owner = await owning(world)
        world.write(9)
        for _ in range(30):
            await world.settle()
            world.clock.advance(MOTION.stalled_us // 10)
        assert owner.shard.stalled
        assert caplog.text.count("stalled") == 1
        await pass_time(world, 10 * MOTION.heartbeat_us)
        assert world.owner() is owner
        assert not world.machines[0].shard.stalled
        await world.finish()
        assert (await world.audit()).state.head.epoch == 1

    asyncio.run(action())


def test_a_shard_that_must_not_stand_by_says_who_owns() -> None:
    """A5: with `stand_by` off the second process ends with an error instead of waiting."""

    async def action() -> None:
        world = World(motion=MotionSettings(stand_by=False))
        await owning(world)
        second = world.start()
        await pass_time(world, MOTION.heartbeat_us)
        assert isinstance(second.error(), ShardOwned)

    asyncio.run(action())


@pytest.mark.parametrize("jump_us", [3_600_000_000, -3_600_000_000])
def test_the_clock_in_the_frames_does_not_jump_with_the_machine_s(jump_us: int) -> None:
    """A12: a frame's clock is the first wall clock plus monotonic time, so an hour either way does nothing."""

    async def action() -> None:
        world = World(settings=Settings(clock="wall"))
        await owning(world)
        await pass_time(world, 3 * MOTION.heartbeat_us)
        world.clock.wall_offset_us += jump_us
        await pass_time(world, 3 * MOTION.heartbeat_us)
        clocks = [frame.clock_us for frame in frames(world) if frame.kind == "heartbeat"]
        steps = [after - before for before, after in pairwise(clocks)]
        assert len(steps) >= 4
        assert all(0 < step < 3 * MOTION.heartbeat_us for step in steps)

    asyncio.run(action())


def test_a_take_over_under_a_clock_that_went_back_goes_on_from_the_journal_s() -> None:
    """A12: engine time never goes back; a slow clock only stands still until it would be later again."""

    async def action() -> None:
        world = World(settings=Settings(clock="wall"))
        first = await owning(world)
        await pass_time(world, 5 * MOTION.heartbeat_us)
        first.shard.stop()
        await pass_time(world, MOTION.heartbeat_us)
        world.clock.wall_offset_us -= 3_600_000_000
        await owning(world)
        await pass_time(world, 5 * MOTION.heartbeat_us)
        clocks = [frame.clock_us for frame in frames(world) if frame.kind == "heartbeat"]
        assert clocks == sorted(clocks)
        assert len(set(clocks)) == len(clocks)

    asyncio.run(action())


def test_a_take_over_under_a_clock_far_ahead_waits_for_a_person() -> None:
    """A12: a clock a week ahead would fire every timer, so the engine refuses and writes nothing."""

    async def action() -> None:
        world = World(settings=Settings(clock="wall"))
        first = await owning(world)
        await pass_time(world, 5 * MOTION.heartbeat_us)
        first.shard.stop()
        await pass_time(world, MOTION.heartbeat_us)
        before = len(frames(world))
        world.clock.wall_offset_us += 7 * 86_400_000_000
        second = world.start()
        await pass_time(world, MOTION.heartbeat_us)
        assert isinstance(second.error(), ClockStep)
        assert len(frames(world)) == before

    asyncio.run(action())


def test_under_clock_events_no_frame_carries_a_clock() -> None:
    """Historical inputs alone move time."""

    async def action() -> None:
        world = World()
        world.write(5)
        await owning(world)
        await pass_time(world, 5 * MOTION.heartbeat_us)
        assert {frame.clock_us for frame in frames(world)} == {0}

    asyncio.run(action())


def test_an_input_too_large_for_a_frame_is_journalled_by_hash_and_size() -> None:
    """F4: the record is named by its coordinates, its bytes stay where they are, and the shard goes on."""

    async def action() -> None:
        node = Node()
        large = bytes(1_001)
        partition = node.broker.partition(TICKS, 0)
        for value in (b"small", large, b"also small"):
            partition.records.append(Record(TICKS, 0, partition.end, 1, b"X", value))
        await node.shard(MotionSettings(input_bytes=1_000)).step()
        batch = decode_frame(node.records(JOURNAL)[1].value or b"")
        assert [item.omitted_bytes for item in batch.inputs] == [0, 1_001, 0]
        assert batch.inputs[1].data == content_hash(large)
        assert (batch.inputs[1].offset_delta, batch.positions[0].start) == (1, 0)

    asyncio.run(action())


def test_frames_hold_what_was_read_from_each_source() -> None:
    """F1: per source the half-open range, and offset and hash of the last record; ranges follow each other."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("abc")
        await shard.step()
        batches = [decode_frame(record.value or b"") for record in node.records(JOURNAL)[1:]]
        ranges = [(p.start, p.end, p.last_offset) for frame in batches for p in frame.positions]
        assert ranges == [(0, 2, 1), (2, 3, 2)]
        assert batches[-1].positions[0].last_hash == content_hash(node.records(TICKS)[-1].value or b"")

    asyncio.run(action())


def test_sources_are_merged_by_time_then_rank_then_partition_then_offset() -> None:
    """A reader never passes a source that has unread records, however many there are."""

    async def action() -> None:
        broker = MemoryBroker()
        broker.create(TICKS, 2)
        broker.create(FILLS, 1)
        sources = [Source(FILLS, 0), Source(TICKS, 1), Source(TICKS, 0)]
        for number in range(1_500):
            source = sources[number % 7 % 3]
            partition = broker.partition(*source)
            partition.records.append(Record(*source, partition.end, number // 5, b"", b""))
        reader = MergingReader(broker.client().feed(dict.fromkeys(sources)), sources)
        merged: list[Record] = []
        while batch := await reader.read(100, 10**6):
            merged += batch
        rank = {TICKS: 0, FILLS: 1}
        order = [(r.timestamp_us, rank[r.topic], r.partition, r.offset) for r in merged]
        assert order == sorted(order)
        assert len(order) == 1_500

    asyncio.run(action())


class BrokenReplica(CountingReplica):
    """A fold with a mistake."""

    def fold_inputs(self, *_: object) -> Counted:
        """Fail."""
        raise ZeroDivisionError


class BrokenReplicas(CountingReplicas):
    """Makes them."""

    def new(self, settings: Settings) -> Replica:
        """Nothing counted."""
        return BrokenReplica(settings)


def test_a_fold_that_fails_stops_the_shard_before_anything_wrong_is_journalled() -> None:
    """A programmer's error is raised, not journalled; the ownership ends without a frame for it."""

    async def action() -> None:
        node = Node()
        await node.write("abc")
        for _ in range(2):  # the second time too: the working state of the first was dropped
            shard = Shard(node.log(), Settings(), BrokenReplicas(), motion=MotionSettings(lease_us=0))
            with pytest.raises(ZeroDivisionError):
                await shard.run()
            with pytest.raises(ZeroDivisionError):
                await shard.step()
        assert {decode_frame(r.value or b"").kind for r in node.records(JOURNAL)} == {"epoch"}
        assert node.records(POSITIONS) == []
        sound = node.shard()
        await sound.step()
        await node.audit()

    asyncio.run(action())


def test_a_step_that_loses_the_ownership_says_who_has_it() -> None:
    """A closed loop never waits: where a zombie finds its successor, the step ends with `shard_owned`."""

    async def action() -> None:
        node = Node()
        zombie = node.shard(MotionSettings(lease_us=10**12))
        await node.write("ab")
        await zombie.step()
        successor = node.shard()
        await successor.step()
        await node.write("cd")
        with pytest.raises(ShardOwned):
            await zombie.step()
        assert zombie.progress.stood_down == 1
        await successor.step()
        await node.audit()

    asyncio.run(action())


def test_a_zombie_that_is_asked_to_stop_leaves_no_release_frame(caplog: pytest.LogCaptureFixture) -> None:
    """The release frame of an owner that was replaced is not on the chain; it says so and stops."""

    async def action() -> None:
        node = Node()
        zombie = node.shard()
        await node.write("ab")
        await zombie.step()
        successor = node.shard()
        await successor.step()
        await zombie.release()
        assert zombie.mode is Mode.STOPPED
        assert "ownership lost at its end" in caplog.text
        await node.write("cd")
        assert await successor.step() == 2
        await node.audit()

    asyncio.run(action())


def test_an_error_of_one_shard_stops_the_others_orderly() -> None:
    """The engine ends as a whole: the sound shard writes its release frame, then the error is raised."""

    async def action() -> None:
        broker = MemoryBroker()
        broker.create_all(2)
        broker.partition(JOURNAL, 1).records.append(Record(JOURNAL, 1, 0, 0, b"1", b"no frame"))
        log = BrokerLog(broker.client(), Node().snapshots)
        engine = Engine(log, [Settings(shard=shard, shards=2) for shard in range(2)], CountingReplicas())
        started = []
        with pytest.raises(JournalDamaged, match="shard 1, offset 0"):
            await engine.run(started=lambda: started.append(True))
        assert started == [True]
        kinds = [decode_frame(record.value or b"").kind for record in broker.partition(JOURNAL, 0).records]
        assert kinds == ["epoch", "release"]

    asyncio.run(action())


def test_a_topic_that_is_missing_is_named() -> None:
    """The start refuses a broker on which a topic was forgotten."""

    async def action() -> None:
        broker = MemoryBroker()
        broker.create(JOURNAL, 1)
        log = BrokerLog(broker.client(), Node().snapshots)
        with pytest.raises(LogError, match="does not exist") as stopped:
            await Shard(log, Settings(), CountingReplicas()).run()
        assert stopped.value.code == "log_unsuitable"

    asyncio.run(action())
