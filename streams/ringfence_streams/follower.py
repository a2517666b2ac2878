"""A reader of one shard's journal: accepts frames (R1-R3), folds and compares them (V2).

Recovery, hot standby, replay and audit are this one class.  An owner goes on from the state that it leaves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ringfence.chain import ROOT, Head, accepts, casts_doubt, head_lost, interrupted
from ringfence_schemas.frames import (
    Frame,
    Opening,
    Published,
    Settings,
    SourceRange,
    TopicIdentity,
    frame_hash,
)
from ringfence_streams.envelope import ordinal
from ringfence_streams.errors import Diverged, RecordsLost
from ringfence_streams.folding import check_settings, fold, read_frame
from ringfence_streams.port import Entry, FrameOutcomes, Log, Record, Replica, Source, Standing
from ringfence_streams.snapshots import SNAPSHOT_VERSION, Snapshot, encode_snapshot

_READ_RECORDS = 64


@dataclass(slots=True)
class ChainState:
    """A folded state and the bookkeeping of the frames that led to it."""

    replica: Replica
    settings: Settings
    head: Head = ROOT
    clock_us: int = 0
    released: bool = True
    """Whether the head ends an ownership; an empty chain has no owner either."""
    session: bytes = b""
    positions: dict[Source, SourceRange] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)
    topics: list[TopicIdentity] = field(default_factory=list)

    def open(self, opening: Opening) -> None:
        """Take over what an epoch frame says (F2)."""
        self.replica.adopt(opening.settings)
        self.settings = opening.settings
        self.session = opening.session
        self.topics = list(opening.topics)

    def note(self, frame: Frame, head: Head, outcomes: FrameOutcomes | None) -> None:
        """Remember what a folded frame changed besides the state."""
        self.head = head
        self.released = frame.kind == "release"
        self.clock_us = max(self.clock_us, frame.clock_us)
        for source in frame.positions:
            self.positions[Source(source.topic, source.partition)] = source
        for place in frame.published:
            self.published[place.topic] = place
        for outcome in outcomes.records if outcomes else ():
            if outcome.number is not None:
                self.numbers[outcome.topic] = outcome.number

    def capture(self, journal: str, position: int) -> bytes:
        """The state as a snapshot; `position` is the offset after the head, nothing may be in flight (W2)."""
        return encode_snapshot(
            Snapshot(
                version=SNAPSHOT_VERSION,
                shard=self.settings.shard,
                journal=journal,
                settings=self.settings,
                epoch=self.head.epoch,
                seq=self.head.seq,
                hash=self.head.hash,
                head_offset=position - 1,
                position=position,
                clock_us=self.clock_us,
                positions=list(self.positions.values()),
                numbers=self.numbers,
                published=list(self.published.values()),
                topics=self.topics,
                state=self.replica.snapshot(),
            )
        )


class Follower:
    """Follows one shard's chain from a snapshot or from its beginning."""

    def __init__(self, shard: int, state: ChainState, *, position: int = 0, head_offset: int = -1) -> None:
        self.shard = shard
        self.state = state
        self.position = position
        """The next unread offset (R2)."""
        self.head_offset = head_offset
        self.frames = 0
        self.ignored = 0
        """Records that were not accepted: losers of a race, repeats, late arrivals."""
        self._unpublished: deque[tuple[Entry, dict[str, int]]] = deque()

    def standing(self) -> Standing:
        """Where an owner starts from."""
        unpublished = [entry for entry, _ in self._unpublished]
        state = self.state
        return Standing(state.head, self.position, dict(state.published), dict(state.numbers), unpublished)

    async def catch_up(self, log: Log) -> bool:
        """Read to the end of the journal; returns whether the head moved.

        Raises RecordsLost (R3), JournalDamaged, Diverged (V2) and SettingsConflict.
        """
        before = self.state.head
        bounds = await log.journal_bounds(self.shard)
        if loss := interrupted(self.position, bounds.begin, bounds.end):  # R3
            raise RecordsLost(
                f"Journal of shard {self.shard}: {loss} (position {self.position}, log {bounds.begin} to {bounds.end})"
            )
        while self.position < bounds.end:
            for record in await log.read_journal(self.shard, self.position, _READ_RECORDS):
                if self.take(record) is None:
                    await self._doubt(log, record)
                await asyncio.sleep(0)  # many frames may be there already, and others need the loop: heartbeats do
        return self.state.head != before

    def take(self, record: Record) -> FrameOutcomes | None:
        """R1, V2: read one journal record; None when it is not the next frame of the chain, else its outcomes."""
        frame = read_frame(record)
        self.position = record.offset + 1
        if not accepts(self.state.head, frame):  # R1
            self.ignored += 1
            return None
        assert record.value is not None
        outcomes = self._fold(frame, record.offset)
        head = Head(frame.epoch, frame.seq, frame_hash(record.value))
        self.state.note(frame, head, outcomes)
        self.head_offset = record.offset
        self.frames += 1
        self._remember(Entry(frame, record.value, head.hash, outcomes.records))
        return outcomes

    async def check_head(self, log: Log) -> None:
        """R3: read the head again by its offset.  Raises RecordsLost when it is gone or has other bytes."""
        if self.head_offset < 0:
            return
        bounds = await log.journal_bounds(self.shard)
        found = None
        if bounds.begin <= self.head_offset < bounds.end:
            records = await log.read_journal(self.shard, self.head_offset, 1)
            found = frame_hash(records[0].value or b"") if records[0].offset == self.head_offset else None
        if loss := head_lost(self.state.head, found):
            raise RecordsLost(
                f"Journal of shard {self.shard}: {loss} (seq {self.state.head.seq}, offset {self.head_offset})"
            )

    def _fold(self, frame: Frame, offset: int) -> FrameOutcomes:
        """Fold an accepted frame and compare the digests that it carries (V2)."""
        state = self.state
        if frame.opening:
            check_settings(state.settings, frame.opening.settings)
            state.open(frame.opening)
        outcomes = fold(state.replica, frame.kind, frame.seq, frame.clock_us, frame.positions, frame.inputs)
        for what, expected, got in (
            ("count of outcomes", frame.outcome_count, outcomes.count),
            ("digest of outcomes", frame.outcome_digest, outcomes.digest),
            ("digest of the state", frame.state_digest, outcomes.state_digest),
        ):
            if expected != got:
                raise Diverged(
                    f"Journal of shard {self.shard}: folding epoch {frame.epoch}, seq {frame.seq} at offset {offset} "
                    f"gives another {what}; engine {state.settings.engine or 'unknown'} wrote it"
                )
        return outcomes

    def _remember(self, entry: Entry) -> None:
        """Keep a frame's outcomes until the chain records that they were acknowledged (F3)."""
        if entry.outcomes:
            self._unpublished.append((entry, {outcome.topic: ordinal(outcome) for outcome in entry.outcomes}))
        published = self.state.published
        while self._unpublished:
            last = self._unpublished[0][1]
            if any(topic not in published or published[topic].number < number for topic, number in last.items()):
                return
            self._unpublished.popleft()

    async def _doubt(self, log: Log, record: Record) -> None:
        """R3: an ignored record that suggests a chain never seen here obliges to read the head again."""
        if casts_doubt(self.state.head, read_frame(record)):
            await self.check_head(log)
