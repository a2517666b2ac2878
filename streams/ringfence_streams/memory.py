"""A broker in memory: deterministic, seeded, with every fault that a network, a broker or a process can have.

Each `MemoryClient` is one process.  Every producer session has one queue per target partition; what is in a queue may
reach the broker late, twice, or, once its session is dead, never.  By default everything arrives at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPICS
from ringfence_streams.broker import Append, Outgoing, SendFailed, Topic
from ringfence_streams.brokerlog import SHARDED_TOPICS
from ringfence_streams.clock import Clock, MachineClock
from ringfence_streams.errors import JournalDamaged, LogUnsuitable, RecordsLost
from ringfence_streams.port import Bounds, Record, Source
from ringfence_streams.snapshots import GENERATIONS


@dataclass(slots=True)
class Partition:
    """The records of one partition; offsets never change."""

    begin: int = 0
    records: list[Record] = field(default_factory=list)
    damaged: set[int] = field(default_factory=set)
    """Offsets whose checksum no longer fits, as a real broker's client would find."""

    @property
    def end(self) -> int:
        """The offset that the next record will get."""
        return self.begin + len(self.records)


@dataclass(slots=True)
class Request:
    """An append on its way to the broker."""

    session: int
    record: Record
    acknowledgement: asyncio.Future[int | None]


class MemoryBroker:
    """Topics in memory.  With `network` "held", appends wait until `deliver` or `lose` is called."""

    def __init__(self, *, held: bool = False, seed: int = 0) -> None:
        self.held = held
        self.random = random.Random(seed)
        self.observe: Callable[[str, str], None] = lambda _step, _topic: None
        """Called with every step and its topic; a test raises here to crash a process at that point."""
        self.hinted: dict[Source, int] = {}
        """How far monitors of lag believe that the sources are read."""
        self._partitions: dict[Source, Partition] = {}
        self._identities: dict[str, str] = {}
        self._queues: dict[tuple[int, Source], deque[Request]] = {}
        self._dead: set[int] = set()
        self._clients: dict[int, MemoryClient] = {}
        self._sessions = 0
        self._appended = asyncio.Event()

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic, or create it anew with another identity."""
        self._identities[topic] = f"{topic}-{self.random.getrandbits(64):016x}"
        for partition in range(partitions):
            self._partitions[Source(topic, partition)] = Partition()

    def create_all(self, shards: int = 1) -> None:
        """Create every topic that an engine of so many shards needs."""
        for topic in SHARDED_TOPICS:
            self.create(topic, shards)
        for topic in INPUT_TOPICS:
            if topic not in ACCOUNT_TOPICS:
                self.create(topic, 1)

    def client(self, name: str = "client", clock: Clock | None = None) -> MemoryClient:
        """A process connected to this broker."""
        return MemoryClient(self, name, clock or MachineClock())

    def partition(self, topic: str, partition: int) -> Partition:
        """One partition's records.  Raises LogUnsuitable when it does not exist."""
        try:
            return self._partitions[Source(topic, partition)]
        except KeyError:
            raise LogUnsuitable(f"Topic {topic} has no partition {partition}") from None

    def identity(self, topic: str) -> str:
        """The identity the topic got when it was created; empty when it does not exist."""
        return self._identities.get(topic, "")

    def sources(self) -> list[Source]:
        """Every topic and partition, in order of name."""
        return sorted(self._partitions)

    def open_session(self, client: MemoryClient) -> int:
        """A new producer session of a process."""
        self._sessions += 1
        self._clients[self._sessions] = client
        return self._sessions

    def end_session(self, session: int) -> None:
        """Nothing more is accepted from this session; what it sent may still arrive, or be lost."""
        self._dead.add(session)

    def alive(self, session: int) -> bool:
        """Whether the session may still send."""
        return session not in self._dead

    def accept(self, session: int, record: Record) -> asyncio.Future[int | None]:
        """Take an append from a session into its queue; without a held network it lands at once."""
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        source = Source(record.topic, record.partition)
        self.partition(*source)
        self._queues.setdefault((session, source), deque()).append(Request(session, record, future))
        if not self.held:
            self.deliver(session, source)
        return future

    def waiting(self) -> list[tuple[int, Source]]:
        """The queues that are not empty."""
        return [place for place, queue in self._queues.items() if queue]

    def deliver(self, session: int, source: Source, *, again: bool = False, lose: bool = False) -> int:
        """The front of a queue reaches the broker; `again`: it will once more; `lose`: its acknowledgement will not."""
        queue = self._queues[session, source]
        request = queue[0] if again else queue.popleft()
        partition = self.partition(*source)
        offset = partition.end
        partition.records.append(msgspec.structs.replace(request.record, offset=offset))
        self._appended.set()
        self._appended = asyncio.Event()
        client = self._clients[session]
        if not again and not client.crashed:
            self.observe("appended", source.topic)
            client.acknowledge(request, SendFailed("timed out") if lose else offset)
        return offset

    def lose(self, session: int, source: Source) -> None:
        """Everything in the queue of a dead session is lost."""
        assert not self.alive(session), "a live session retries for ever"
        self._queues[session, source].clear()

    def truncate(self, topic: str, partition: int, end: int) -> None:
        """Lose acknowledged records from `end` on."""
        held = self.partition(topic, partition)
        del held.records[end - held.begin :]

    def retain(self, topic: str, partition: int, begin: int) -> None:
        """Drop the records before `begin`, as retention does."""
        held = self.partition(topic, partition)
        del held.records[: begin - held.begin]
        held.begin = begin

    def damage(self, topic: str, partition: int, offset: int) -> None:
        """Flip a bit of a stored record."""
        held = self.partition(topic, partition)
        record = held.records[offset - held.begin]
        value = bytearray(record.value or b"\0")
        value[len(value) // 2] ^= 1
        held.records[offset - held.begin] = msgspec.structs.replace(record, value=bytes(value))
        held.damaged.add(offset)

    async def appended(self) -> None:
        """Return after the next append."""
        await self._appended.wait()


class MemoryClient:
    """One process: the Broker port over a MemoryBroker.  It can be paused, and it can crash."""

    def __init__(self, broker: MemoryBroker, name: str, clock: Clock) -> None:
        self.broker = broker
        self.name = name
        self.crashed = False
        self.may_own = True
        """Whether the owners' group would assign shards to this process."""
        self._clock = clock
        self._running = asyncio.Event()
        self._running.set()
        self._acknowledgements: deque[tuple[Request, int | SendFailed]] = deque()
        self._sessions: list[int] = []

    def pause(self) -> None:
        """SIGSTOP: the process takes no step until `resume`; its requests still travel."""
        self._running.clear()

    def resume(self) -> None:
        """SIGCONT: acknowledgements that arrived in the meantime are seen now."""
        self._running.set()
        while self._acknowledgements:
            self._resolve(*self._acknowledgements.popleft())

    def crash(self) -> None:
        """SIGKILL: nothing that the process still tries has any effect."""
        self.crashed = True
        for session in self._sessions:
            self.broker.end_session(session)

    def acknowledge(self, request: Request, result: int | SendFailed) -> None:
        """The broker's answer arrives at the process."""
        if self._running.is_set():
            self._resolve(request, result)
        else:
            self._acknowledgements.append((request, result))

    async def describe(self) -> Mapping[str, Topic]:
        """Every topic that exists."""
        await self._step("describe", "")
        counts = Counter(source.topic for source in self.broker.sources())
        return {topic: Topic(self.broker.identity(topic), count) for topic, count in counts.items()}

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        await self._step("bounds", topic)
        held = self.broker.partition(topic, partition)
        return Bounds(held.begin, held.end)

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records; raises RecordsLost outside the log (R2) and JournalDamaged when a checksum does not fit."""
        await self._step("read", topic)
        held = self.broker.partition(topic, partition)
        if not held.begin <= offset <= held.end:
            raise RecordsLost(f"{topic}/{partition} holds {held.begin} to {held.end}, not {offset}")
        found = held.records[offset - held.begin : offset - held.begin + records]
        for record in found if held.damaged else ():
            if record.offset in held.damaged:
                raise JournalDamaged(f"Record {topic}/{partition}@{record.offset}: its checksum does not fit")
        return found

    async def wait(self, timeout_us: int) -> None:
        """Return after the next append anywhere, or when the time is over."""
        await self._step("wait", "")
        waits = [asyncio.ensure_future(self.broker.appended()), asyncio.ensure_future(self._clock.sleep(timeout_us))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()

    async def assigned(self, shard: int) -> bool:
        """Whether this process may own shards."""
        await self._step("assigned", str(shard))
        return self.may_own

    def producer(self) -> MemoryProducer:
        """A new session."""
        session = self.broker.open_session(self)
        self._sessions.append(session)
        return MemoryProducer(self, session)

    def feed(self, positions: Mapping[Source, int | None]) -> MemoryFeed:
        """A reader of these partitions."""
        return MemoryFeed(self, positions)

    async def close(self) -> None:
        """A process that ends orderly sends nothing more either."""
        for session in self._sessions:
            self.broker.end_session(session)

    async def _step(self, step: str, topic: str) -> None:
        """Every call of a process passes here: a paused one waits, a crashed one never returns."""
        await self._running.wait()
        if self.crashed:
            await asyncio.get_running_loop().create_future()
        self.broker.observe(step, topic)

    @staticmethod
    def _resolve(request: Request, result: int | SendFailed) -> None:
        if request.acknowledgement.done():
            return  # nobody waits any more
        if isinstance(result, SendFailed):
            request.acknowledgement.set_exception(result)
            request.acknowledgement.exception()  # an owner that stood down no longer asks
        else:
            request.acknowledgement.set_result(result)


class MemoryFeed:
    """Partitions that a MemoryClient reads forward."""

    def __init__(self, client: MemoryClient, positions: Mapping[Source, int | None]) -> None:
        self._client = client
        self._next = dict(positions)

    async def read(self, source: Source, records: int) -> Sequence[Record]:
        """The next records of one source."""
        position = self._next[source]
        if position is None:
            position = (await self._client.bounds(*source)).begin
        found = await self._client.read(source.topic, source.partition, position, records)
        self._next[source] = position + len(found)
        return found

    async def wait(self, timeout_us: int) -> None:
        """Return after the next append anywhere, or when the time is over."""
        await self._client.wait(timeout_us)

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Remember what a monitor would see."""
        self._client.broker.hinted.update(offsets)

    async def refresh(self) -> None:
        """Every read looks anew."""

    async def close(self) -> None:
        """Nothing is read ahead."""


class MemoryProducer:
    """One producer session of a MemoryClient."""

    def __init__(self, client: MemoryClient, session: int) -> None:
        self._client = client
        self.session = session

    def send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> Sequence[Append]:
        """Append to a partition, each record by itself, so that a fault may come between any two."""
        return [Append(1, self._accept(topic, partition, record)) for record in records]

    def _accept(self, topic: str, partition: int, record: Outgoing) -> asyncio.Future[int | None]:
        broker = self._client.broker
        if not broker.alive(self.session):
            future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            future.set_exception(SendFailed("the session has ended"))
            return future
        broker.observe("send", topic)
        key, value, headers, timestamp_us = record
        return broker.accept(self.session, Record(topic, partition, -1, timestamp_us, key, value, headers))

    async def cancel(self) -> None:
        """W7: send nothing more; what is queued may still arrive."""
        self._client.broker.end_session(self.session)


class MemorySnapshots:
    """Snapshots in memory, shared by every process of a simulation."""

    def __init__(self) -> None:
        self.written: dict[tuple[int, int], bytes] = {}
        self.visible: dict[int, list[tuple[int, bytes]]] = {}
        self.observe: Callable[[str], None] = lambda _step: None
        """Called before each step with its name; a test raises here to crash at that point."""

    async def write(self, shard: int, seq: int, data: bytes) -> None:
        """Store a snapshot that no reader sees yet."""
        self.observe("write snapshot")
        self.written[shard, seq] = data

    async def release(self, shard: int, seq: int) -> None:
        """Let readers see it; keep two generations."""
        self.observe("release snapshot")
        generations = self.visible.setdefault(shard, [])
        generations.insert(0, (seq, self.written.pop((shard, seq))))
        del generations[GENERATIONS:]

    async def released(self, shard: int) -> AsyncIterator[bytes]:
        """Newest first."""
        for _, data in self.visible.get(shard, []):
            yield data
