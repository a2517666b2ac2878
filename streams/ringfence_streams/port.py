"""The one port between the shard loop and a log: sources, journal, outputs and snapshots.

`SqliteLog` does all of it in one file; `BrokerLog` does it over anything that behaves like a Kafka broker.
The shard loop knows nothing else about where its records live.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from ringfence.chain import Head
from ringfence_schemas.frames import Frame, FrameInput, Published, Settings, SourceRange, TopicIdentity
from ringfence_streams.clock import Clock
from ringfence_streams.motion import MotionSettings

Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic's partition, as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Message(msgspec.Struct, frozen=True, gc=False):
    """One record on its way to an input topic."""

    topic: str
    key: str
    value: bytes
    timestamp_us: int
    traceparent: str | None = None


class Source(NamedTuple):
    """One partition of an input topic."""

    topic: str
    partition: int


class Bounds(NamedTuple):
    """The offsets a partition holds: `begin` (inclusive) to `end` (exclusive)."""

    begin: int
    end: int


class OutcomeRecord(Protocol):
    """One outcome of a frame, ready to be published."""

    @property
    def topic(self) -> str:
        """Logical name of the output topic."""
        ...

    @property
    def key(self) -> str:
        """Key of the record."""
        ...

    @property
    def type(self) -> str:
        """The outcome's `type` tag."""
        ...

    @property
    def number(self) -> int | None:
        """The dense n of a decision, counted from 1 per shard and topic; None for a view."""
        ...

    @property
    def version(self) -> int | None:
        """The `seq` of the frame for a view; None for a decision."""
        ...

    @property
    def time_us(self) -> int:
        """Engine time of the outcome."""
        ...

    @property
    def value(self) -> bytes | None:
        """The encoded outcome; None when a view closed."""
        ...

    @property
    def headers(self) -> Headers:
        """Headers beyond the standard ones: the reason of a dead letter."""
        ...


class FrameOutcomes(Protocol):
    """What folding one frame gave."""

    @property
    def records(self) -> Sequence[OutcomeRecord]:
        """The outcomes in the order they are published."""
        ...

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def digest(self) -> bytes:
        """Digest over all of them, 16 bytes."""
        ...

    @property
    def state_digest(self) -> bytes:
        """Digest of the state after the frame, 16 bytes."""
        ...


class Replica(Protocol):
    """The fold behind the journal.  Live and replay call the same method, so they cannot differ."""

    def adopt(self, settings: Settings) -> None:
        """Fold under these settings from here on: an epoch frame was accepted (F2)."""
        ...

    def fold_inputs(
        self, seq: int, clock_us: int, sources: Sequence[SourceRange], inputs: Sequence[FrameInput]
    ) -> FrameOutcomes:
        """Fold one frame's inputs; under a clock, fire the timers due by `clock_us`."""
        ...

    def digest(self) -> bytes:
        """Digest of the state, 16 bytes."""
        ...

    def snapshot(self) -> bytes:
        """The state as bytes."""
        ...


class Replicas(Protocol):
    """Makes replicas."""

    def new(self, settings: Settings) -> Replica:
        """An empty state."""
        ...

    def restore(self, data: bytes, settings: Settings) -> Replica:
        """The state that `snapshot` gave as bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame with its value bytes, their hash and its outcomes: what a writer commits and a reader finds."""

    frame: Frame
    value: bytes
    hash: bytes
    outcomes: Sequence[OutcomeRecord]

    @property
    def head(self) -> Head:
        """The head of the chain once this frame is accepted."""
        return Head(self.frame.epoch, self.frame.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a reader stands on the chain: all that an owner starts from."""

    head: Head
    position: int
    """The next unread offset of the journal (R2)."""
    published: Mapping[str, Published]
    """Per output topic the last acknowledged outcome that the chain records (F3)."""
    numbers: Mapping[str, int]
    """Per topic of decisions the last number on the chain."""
    unpublished: Sequence[Entry]
    """Frames whose outcomes the chain does not yet record as acknowledged, oldest first."""


class SourceReader(Protocol):
    """Reads the sources of one shard in the order they are to be folded."""

    async def read(self, inputs: int, size_bytes: int) -> Sequence[Record]:
        """The next records, at most so many and about so many bytes of value; empty when none is readable now."""
        ...

    async def wait(self, timeout_us: int) -> None:
        """Return when records may be readable, at the latest after `timeout_us`."""
        ...

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Tell monitors of lag how far the sources are committed, where a log has such; never waits for it."""
        ...

    async def refresh(self) -> None:
        """Learn what is there now: what was published before this call will be read before `read` gives nothing."""
        ...

    async def close(self) -> None:
        """Read no further ahead."""
        ...


class SnapshotStore(Protocol):
    """Keeps the last two generations of each shard's snapshots.  A written one counts only once it is released (P5)."""

    async def write(self, shard: int, seq: int, data: bytes) -> None:
        """Store a snapshot that no reader sees yet."""
        ...

    async def release(self, shard: int, seq: int) -> None:
        """Let readers see the snapshot of frame `seq`, and drop generations beyond the second."""
        ...

    def released(self, shard: int) -> AsyncIterator[bytes]:
        """Every released snapshot of the shard, newest first; an older one is read only when it is asked for."""
        ...


class Ownership(Protocol):
    """The right to extend one shard's chain, from a claim until it is lost or given up.

    Every method may raise OwnershipLost, after which only `abandon` may be called, and LogError.
    """

    @property
    def stalled(self) -> bool:
        """W9: whether an acknowledgement is overdue; it is still waited for."""
        ...

    async def claim(self, entry: Entry, standing: Standing) -> int:
        """T2: append the epoch frame and read back.  Returns its offset; raises OwnershipLost unless it is the head."""
        ...

    async def publish_outstanding(self, standing: Standing) -> None:
        """V4, V5: compare the tails of the outputs with the chain, publish what is missing."""
        ...

    async def commit(self, entry: Entry) -> None:
        """W3-W6, P1-P3: append the frame; its outcomes follow once it is committed.  A few may be in flight."""
        ...

    async def settle(self) -> None:
        """Return when no frame is in flight."""
        ...

    async def drain(self) -> None:
        """Return when no frame is in flight and every outcome is acknowledged."""
        ...

    def committed(self) -> tuple[Head, int]:
        """The committed head and the next expected offset of the journal."""
        ...

    def acknowledged_seq(self) -> int:
        """P5: the last frame up to which every outcome is acknowledged."""
        ...

    def published(self) -> list[Published]:
        """F3: per output topic the last acknowledged outcome."""
        ...

    async def inspect(self) -> None:
        """P4 while nothing is being published: look for records that others wrote to the views."""
        ...

    async def abandon(self) -> None:
        """W7: cancel what is not yet sent, write nothing more.  Never flushes."""
        ...


class Log(Protocol):
    """Sources, journal, outputs and snapshots of every shard."""

    @property
    def snapshots(self) -> SnapshotStore:
        """Where snapshots live."""
        ...

    @property
    def beats_when_idle(self) -> bool:
        """Whether ownership shows by heartbeat frames even when no timer needs them."""
        ...

    async def check(self, settings: Settings) -> None:
        """Refuse a log whose topics or partitions do not fit the settings: LogUnsuitable."""
        ...

    async def identities(self) -> Sequence[TopicIdentity]:
        """The identity of the journal and of every source topic."""
        ...

    async def journal_bounds(self, shard: int) -> Bounds:
        """The offsets that the shard's journal holds."""
        ...

    async def read_journal(self, shard: int, offset: int, records: int) -> Sequence[Record]:
        """The next journal records from `offset` on.  Raises JournalDamaged when one does not read back as written."""
        ...

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that a partition of any topic holds."""
        ...

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records of any topic from `offset` on; empty at its end."""
        ...

    async def topics(self) -> Sequence[Source]:
        """Every topic and partition that holds records, journal and outputs included, in order of name."""
        ...

    async def publish(self, messages: Iterable[Message]) -> int:
        """Append inputs to their topics, in order; returns how many, once they are durable."""
        ...

    async def assigned(self, shard: int) -> bool:
        """Whether the shard is this process's to run, as far as processes share shards among them."""
        ...

    async def eligible(self, shard: int, *, vacant: bool) -> bool:
        """T1: whether this process may take the shard over now.

        `vacant`: the head is a release frame, or it has not moved for the lease.
        """
        ...

    def reader(self, shard: int, positions: Mapping[Source, SourceRange]) -> SourceReader:
        """A reader of the shard's sources that goes on after `positions`."""
        ...

    def ownership(self, shard: int, motion: MotionSettings, clock: Clock) -> Ownership:
        """A fresh ownership: one producer session (W1)."""
        ...

    async def resign(self, shard: int) -> None:
        """Let another process be eligible at once; no effect where only the journal decides."""
        ...

    async def close(self) -> None:
        """Give back what the log holds.  Idempotent."""
        ...
