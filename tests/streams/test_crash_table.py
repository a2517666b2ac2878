"""The crash table of docs/concepts/journal.md: a process dies at each numbered point, another one repairs what it left.

The process is killed by the very call that stands at the point, so a row proves that the point was reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ringfence_schemas.topics import JOURNAL
from ringfence_streams.brokerlog import OUTPUTS
from ringfence_streams.port import Source
from tests.streams.counting import CountingReplica
from tests.streams.world import Crashed, World

Step = tuple[str, str]
Point = Callable[[list[Step]], bool]
"""Whether the last of the steps that a process took is the one it dies at."""


def appends(steps: list[Step], step: str) -> int:
    """How often a process came to this step of an append to the journal; its first append is the epoch frame."""
    return steps.count((step, JOURNAL))


def before_append(steps: list[Step]) -> bool:
    """The frame is folded and encoded; nothing was sent."""
    return steps[-1] == ("send", JOURNAL) and appends(steps, "send") > 1


def between_append_and_acknowledgement(steps: list[Step]) -> bool:
    """The frame is in the log; its writer does not know."""
    return steps[-1] == ("appended", JOURNAL) and appends(steps, "appended") > 1


def between_acknowledgement_and_publishing(steps: list[Step]) -> bool:
    """The frame is committed; none of its outcomes was sent."""
    step, topic = steps[-1]
    return step == "send" and topic in OUTPUTS and not any(s == "send" and t in OUTPUTS for s, t in since_frame(steps))


def between_two_output_topics(steps: list[Step]) -> bool:
    """One output has the frame's outcomes, the next one has not."""
    step, topic = steps[-1]
    sent = [t for s, t in since_frame(steps) if s == "send" and t in OUTPUTS]
    return step == "send" and topic in OUTPUTS and bool(sent) and topic not in sent


def before_claim(steps: list[Step]) -> bool:
    """Recovered; the epoch frame was not sent."""
    return steps[-1] == ("send", JOURNAL) and appends(steps, "send") == 1


def between_claim_and_acknowledgement(steps: list[Step]) -> bool:
    """The epoch frame is in the log; nobody knows that it owns the shard."""
    return steps[-1] == ("appended", JOURNAL) and appends(steps, "appended") == 1


def while_reading_back(steps: list[Step]) -> bool:
    """The epoch frame was acknowledged; its writer reads what lies before it."""
    return steps[-1] == ("read", JOURNAL) and appends(steps, "appended") == 1


def while_scanning_tails(steps: list[Step]) -> bool:
    """Owner, but it does not yet know what was published."""
    step, topic = steps[-1]
    return step == "bounds" and topic == OUTPUTS[-1] and appends(steps, "appended") == 1


def between_tail_scan_and_republishing(steps: list[Step]) -> bool:
    """It knows what is missing and sent none of it."""
    return steps[-1][0] == "send" and steps[-1][1] in OUTPUTS and appends(steps, "send") == 1


def while_writing_a_snapshot(steps: list[Step]) -> bool:
    """The snapshot was not written."""
    return steps[-1][0] == "write snapshot"


def between_snapshot_and_release(steps: list[Step]) -> bool:
    """The snapshot was written; no reader may see it."""
    return steps[-1][0] == "release snapshot"


def since_frame(steps: list[Step]) -> list[Step]:
    """The steps before the last one, back to the frame whose outcomes are being published."""
    reached = max((i for i, step in enumerate(steps) if step == ("appended", JOURNAL)), default=0)
    return steps[reached:-1]


class Assassin:
    """Kills the newest machine of a world when it comes to a point for the n-th time."""

    def __init__(self, world: World, point: Point, times: int) -> None:
        self.fired = False
        self._world = world
        self._point = point
        self._left = times
        self._steps: list[Step] = []
        world.broker.observe = self.observe
        world.snapshots.observe = lambda step: self.observe(step, "")

    def observe(self, step: str, topic: str) -> None:
        """A step is about to happen (an append: has just happened)."""
        self._steps.append((step, topic))
        if self.fired or not self._point(self._steps):
            return
        self._left -= 1
        if not self._left:
            self.fired = True
            self._world.machines[-1].crash()
            raise Crashed


async def die_at(world: World, point: Point, times: int) -> None:
    """Start a process and let it run until it dies at the point."""
    assassin = Assassin(world, point, times)
    world.start()
    await world.run(lambda: assassin.fired)
    await world.settle()
    assert not world.machines[-1].running


async def undisturbed() -> bytes:
    """The digest of the state after the same inputs without any fault."""
    world = World(0)
    world.write(30)
    await world.finish()
    return (await world.audit()).state.replica.digest()


FRESH = [
    before_append,
    between_append_and_acknowledgement,
    between_acknowledgement_and_publishing,
    between_two_output_topics,
    before_claim,
    between_claim_and_acknowledgement,
    while_reading_back,
    while_scanning_tails,
    while_writing_a_snapshot,
    between_snapshot_and_release,
]
ONCE_PER_PROCESS = {before_claim, between_claim_and_acknowledgement, while_reading_back, while_scanning_tails}


@pytest.mark.parametrize("late", [False, True], ids=["requests lost", "requests late"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("point", FRESH, ids=lambda point: point.__name__)
def test_a_crash_leaves_nothing_that_the_next_owner_does_not_repair(point: Point, times: int, *, late: bool) -> None:
    """Whatever the dead process had under way is lost or arrives late: same state, same outcomes, each input once."""

    async def simulate() -> None:
        world = World(times)
        world.write(30)
        await die_at(world, point, 1 if point in ONCE_PER_PROCESS else times)
        late_requests = settle_requests(world, late=late)
        world.start()
        await world.run(lambda: world.folded() == world.written)
        late_requests()
        await world.finish()
        follower = await world.audit()
        assert follower.state.replica.digest() == await undisturbed()

    asyncio.run(simulate())


@pytest.mark.parametrize("late", [False, True], ids=["requests lost", "requests late"])
@pytest.mark.parametrize("first", [between_acknowledgement_and_publishing, between_two_output_topics])
@pytest.mark.parametrize("second", [while_scanning_tails, between_tail_scan_and_republishing])
def test_a_crash_of_the_repairer_is_repaired_by_the_one_after_it(first: Point, second: Point, *, late: bool) -> None:
    """The second process dies while it republishes what the first one left out; the third one does it."""

    async def simulate() -> None:
        world = World(1)
        world.write(30)
        await die_at(world, first, 2)
        late_requests = settle_requests(world, late=late)
        await die_at(world, second, 1)
        world.start()
        await world.run(lambda: world.folded() == world.written)
        late_requests()
        await world.finish()
        follower = await world.audit()
        assert follower.state.head.epoch == 3
        replica = follower.state.replica
        assert isinstance(replica, CountingReplica)
        assert replica.digest() == await undisturbed()

    asyncio.run(simulate())


def settle_requests(world: World, *, late: bool) -> Callable[[], None]:
    """Lose what the dead process had on its way, or keep it; returns what lets it arrive."""
    held: list[tuple[int, Source]] = world.broker.waiting()
    if not late:
        for place in held:
            world.broker.lose(*place)
    queues = {place: world.broker._queues.pop(place) for place in held}

    def arrive() -> None:
        world.broker._queues.update(queues)
        for place in queues:
            while place in world.broker.waiting():
                world.broker.deliver(*place)

    return arrive
