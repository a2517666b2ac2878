"""A simulated world: processes, their clock and a network, moved one step at a time in a seeded order.

The shard, the ownership and the publisher are the real ones; only the broker and the clock are simulated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ringfence_schemas.frames import Settings
from ringfence_schemas.subscriber import parse_decision_id
from ringfence_schemas.topics import COMMANDS, DEPOSITS, FILLS, JOURNAL, LIQUIDATIONS, MARGIN_CALLS, POSITIONS, TICKS
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.errors import LogError
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.memory import MemoryBroker, MemorySnapshots
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Record, Source
from ringfence_streams.shard import Mode, Shard
from tests.streams.counting import CountingReplica, CountingReplicas
from tests.streams.whole import whole

MOTION = MotionSettings(
    batch_inputs=3,
    in_flight=2,
    heartbeat_us=1_000,
    poll_us=1_000,
    lease_us=3_000,
    stalled_us=50_000,
    snapshot_every=4,
    snapshot_rest=0,
)
TOPICS = (FILLS, TICKS, DEPOSITS, COMMANDS)


T = TypeVar("T")


class Crashed(BaseException):
    """The process is killed here: nothing of it may catch this."""


class SimulatedClock:
    """Time that passes only when the simulation says so."""

    def __init__(self) -> None:
        self.now_us = 0
        self.wall_offset_us = 1_700_000_000_000_000
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def monotonic_us(self) -> int:
        """Microseconds since the world began."""
        return self.now_us

    def wall_us(self) -> int:
        """What the machines believe; a test may make it jump."""
        return self.wall_offset_us + self.now_us

    async def sleep(self, duration_us: int) -> None:
        """Wait until enough time was made to pass."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_us + duration_us, future))
        await future

    async def aside(self, work: Callable[..., T], *arguments: object) -> T:
        """Nothing happens by the way in a world that moves step by step."""
        return work(*arguments)

    def advance(self, duration_us: int) -> None:
        """Let time pass."""
        self.now_us += duration_us
        for due_us, future in self._sleepers:
            if due_us <= self.now_us and not future.done():
                future.set_result(None)
        self._sleepers = [(due_us, future) for due_us, future in self._sleepers if not future.done()]


class Machine:
    """One process that runs a shard."""

    def __init__(self, world: World, name: str, settings: Settings) -> None:
        self.client = world.broker.client(name, world.clock)
        self.log = BrokerLog(self.client, world.snapshots)
        entropy = random.Random(f"{world.seed} {name}").randbytes
        self.shard = Shard(
            self.log, settings, CountingReplicas(), motion=world.motion, clock=world.clock, entropy=entropy
        )
        self.task = asyncio.ensure_future(self.shard.run())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return not self.task.done() and not self.client.crashed

    def crash(self) -> None:
        """SIGKILL."""
        self.client.crash()
        self.task.cancel()

    def error(self) -> LogError | None:
        """Why the shard stopped by itself."""
        found = self.task.exception() if self.task.done() and not self.task.cancelled() else None
        return found if isinstance(found, LogError) else None


@dataclass
class World:
    """A broker, snapshots, a clock and machines."""

    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    motion: MotionSettings = MOTION

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clock = SimulatedClock()
        self.broker = MemoryBroker(held=True, seed=self.seed)
        self.broker.create_all(self.settings.shards)
        self.snapshots = MemorySnapshots()
        self.machines: list[Machine] = []
        self.written = 0
        self.slowness = self.random.uniform(0.05, 0.7)
        """How likely time passes rather than that an append arrives."""
        self.repeats = 0
        self.lost_acknowledgements = 0

    def start(self) -> Machine:
        """Start another process."""
        machine = Machine(self, f"machine {len(self.machines)}", self.settings)
        self.machines.append(machine)
        return machine

    def write(self, count: int) -> None:
        """Append inputs to the source topics, at once."""
        for _ in range(count):
            self.written += 1
            topic = TOPICS[self.written % len(TOPICS)]
            partition = self.broker.partition(topic, 0)
            value = f"{'abc'[self.written % 3]} input {self.written}".encode()
            partition.records.append(Record(topic, 0, partition.end, self.written, b"key", value))

    async def settle(self) -> None:
        """Let every process run until it waits for something."""
        for _ in range(40):
            await asyncio.sleep(0)

    def deliver(self, place: tuple[int, Source], *, again: bool = False, lose: bool = False) -> None:
        """Let the front of a queue arrive; a crash at that very moment takes the sender with it."""
        session, source = place
        try:
            self.broker.deliver(session, source, again=again, lose=lose)
        except Crashed:
            self.sender(session).crash()

    def sender(self, session: int) -> Machine:
        """The machine of a producer session."""
        return next(machine for machine in self.machines if session in machine.client._sessions)

    async def step(self, *, faults: bool = False) -> None:
        """One thing happens, chosen by the seed: an append arrives (or worse), or time passes."""
        await self.settle()
        waiting = self.broker.waiting()
        if not waiting or self.random.random() < self.slowness:
            self.clock.advance(500)
            return
        chance = self.random.random()
        place = self.random.choice(waiting)
        alive = self.broker.alive(place[0])
        if not alive and self.random.random() < 0.3:
            self.broker.lose(*place)
        elif faults and chance < 0.04 and place[1].topic == JOURNAL:
            self.repeats += 1
            self.deliver(place, again=True)
        elif faults and chance < 0.08 and alive:
            self.lost_acknowledgements += 1
            self.deliver(place, lose=True)
        else:
            self.deliver(place)

    async def run(self, until: Callable[[], bool], *, steps: int = 6_000, faults: bool = False) -> None:
        """Go on until something is true."""
        for _ in range(steps):
            if until():
                return
            await self.step(faults=faults)
        raise AssertionError("this never happens")

    def owner(self) -> Machine | None:
        """A machine that believes to own the shard and lives."""
        return next((m for m in self.machines if m.running and m.shard.mode is Mode.OWNING), None)

    async def finish(self) -> None:
        """No more faults: one process does the rest, then stops orderly, and late appends arrive after it."""
        if not any(machine.running for machine in self.machines):
            self.start()
        await self.run(lambda: self.folded() == self.written)
        for machine in self.machines:
            machine.shard.stop()
        await self.run(lambda: not any(machine.running for machine in self.machines))
        for session, source in self.broker.waiting():
            while (session, source) in self.broker.waiting():
                self.deliver((session, source))

    def folded(self) -> int:
        """How many inputs the owner has on its chain."""
        owner = self.owner()
        if owner is None or owner.shard._owner is None:
            return 0
        state = owner.shard._owner.state.replica
        assert isinstance(state, CountingReplica)
        return state.state.inputs

    async def audit(self) -> Follower:
        """Assert everything that is guaranteed, reading the surviving topics from their beginnings."""
        return await audit(BrokerLog(self.broker.client("auditor"), self.snapshots), self.settings, self.written)


async def audit(log: Log, settings: Settings, written: int) -> Follower:
    """Refold the journal and compare it with the sources and the outputs; every guarantee of the protocol is here."""
    follower = Follower(settings.shard, ChainState(CountingReplicas().new(settings), settings))
    chain: list[Record] = []
    given: dict[tuple[str, int, str], bytes | None] = {}
    reached: dict[Source, int] = {}
    for record in await whole(log, JOURNAL, settings.shard):
        outcomes = follower.take(record)  # V2: digests are compared here
        if outcomes is None:
            continue
        chain.append(record)
        for source, read in follower.state.positions.items():
            assert read.start <= reached.get(source, 0), "inputs were left out"
            reached[source] = max(reached.get(source, 0), read.end)
        given |= {(o.topic, o.number or o.version or 0, o.key): o.value for o in outcomes.records}
    replica = follower.state.replica
    assert isinstance(replica, CountingReplica)
    assert replica.state.inputs == written == sum(reached.values()), "every input is on the chain once"
    for topic in (MARGIN_CALLS, LIQUIDATIONS):
        await _check_decisions(log, settings.shard, topic, given)
    await _check_views(log, settings.shard, given)
    return follower


async def _check_decisions(log: Log, shard: int, topic: str, given: dict[tuple[str, int, str], bytes | None]) -> None:
    """A subscriber sees every decision once, in order; whatever came twice came byte for byte."""
    last = 0
    for record in await whole(log, topic, shard):
        headers = dict(record.headers)
        number = parse_decision_id(headers["ce_id"].decode())[1]
        assert number <= last + 1, f"a gap before {number} on {topic}"
        assert given[topic, number, (record.key or b"").decode()] == record.value, "published and on the chain agree"
        last = max(last, number)
    assert last == max((number for place, number, _ in given if place == topic), default=0), "all were published"


async def _check_views(log: Log, shard: int, given: dict[tuple[str, int, str], bytes | None]) -> None:
    """After compaction every key has the view of the last frame that touched it."""
    newest: dict[str, int] = {}
    for topic, version, key in given:
        if topic == POSITIONS:
            newest[key] = max(version, newest.get(key, 0))
    compacted: dict[str, bytes | None] = {}
    for record in await whole(log, POSITIONS, shard):
        key = (record.key or b"").decode()
        version = int(dict(record.headers)["version"])
        assert given[POSITIONS, version, key] == record.value, "published and on the chain agree"
        compacted[key] = record.value
    assert compacted == {key: given[POSITIONS, version, key] for key, version in newest.items()}
