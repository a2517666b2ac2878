"""Finding in a journal what has to be explained: a decision at its moment, or a position as it stands.

The journal is folded again from its beginning, one input after the other, and every frame's state digest is compared,
so what is explained is what the chain says, whoever published what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ringfence.chain import ROOT, Head, accepts
from ringfence.explain import Explanation, explain_decision, explain_position
from ringfence.replica import Replica
from ringfence.state import Book, Bucket
from ringfence_schemas.frames import Frame, FrameInput, Settings, frame_hash
from ringfence_schemas.outcomes import Decision
from ringfence_streams.errors import Diverged, RecordsLost
from ringfence_streams.folding import check_settings, fold, read_frame
from ringfence_streams.port import Log

_READ_RECORDS: Final = 64


@dataclass(frozen=True, slots=True)
class InputPlace:
    """One input of the journal: where it stands on its topic, where on the chain, and what it says."""

    topic: str
    partition: int
    offset: int
    seq: int
    """Of the frame that holds it."""
    timestamp_us: int
    data: bytes
    """Its bytes; their hash when it was too large to keep."""


@dataclass(frozen=True, slots=True)
class ExplainedDecision:
    """A decision, the input that was being folded when it was made, and its numbers."""

    decision: Decision
    cause: InputPlace | None
    """None when a clock alone let a timer fire."""
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Trail:
    """Which input last changed what a position depends on; None where none did."""

    bucket: InputPlace | None = None
    """Its size, its cash or the leverage chosen."""
    mark: InputPlace | None = None
    funding: InputPlace | None = None
    parameters: InputPlace | None = None


@dataclass(frozen=True, slots=True)
class ExplainedPosition:
    """A position as the chain leaves it, and how it came there."""

    account: str
    instrument: str
    head: Head
    explanation: Explanation
    trail: Trail


async def decision_of(log: Log, shard: int, shards: int, decision_id: str) -> ExplainedDecision | None:
    """Explain one decision; None when no frame on the chain makes one with this id.

    Raises RecordsLost, JournalDamaged, SettingsConflict and Diverged.
    """
    refold = _Refold(log, shard, shards)
    found: list[tuple[Decision, Explanation]] = []

    def look(decision: Decision) -> None:
        if decision.id == decision_id:
            account, instrument = (getattr(decision, name, None) for name in ("account", "instrument"))
            found.append((decision, explain_decision(decision, refold.bucket(account, instrument))))

    refold.replica.fold.state.witness = look
    async for place in refold.inputs():
        if found:
            return ExplainedDecision(found[0][0], place, found[0][1])
    return None


async def position_of(log: Log, shard: int, shards: int, account: str, instrument: str) -> ExplainedPosition | None:
    """Explain a position at the end of the journal; None when the account never had anything in the instrument.

    Raises RecordsLost, JournalDamaged, SettingsConflict and Diverged.
    """
    refold = _Refold(log, shard, shards)
    trail, before = Trail(), _Dependencies()
    async for place in refold.inputs():
        now = _Dependencies.of(refold.book(instrument), refold.bucket(account, instrument))
        changed = {name: place for name in before._fields if getattr(now, name) != getattr(before, name)}
        trail, before = replace(trail, **changed), now
    bucket = refold.bucket(account, instrument)
    if bucket is None:
        return None
    return ExplainedPosition(account, instrument, refold.head, explain_position(bucket), trail)


class _Dependencies(NamedTuple):
    """What a position's figures depend on."""

    bucket: tuple[int, int, int | None] = (0, 0, None)
    mark: int | None = None
    funding: int = 0
    parameters: int | None = None

    @classmethod
    def of(cls, book: Book | None, bucket: Bucket | None) -> _Dependencies:
        if book is None:
            return cls()
        held = (bucket.size, bucket.cash, bucket.leverage) if bucket else (0, 0, None)
        return cls(held, book.mark, book.funding_index, book.rules.version)


class _Refold:
    """A chain folded again, input by input."""

    def __init__(self, log: Log, shard: int, shards: int) -> None:
        self.replica = Replica(Settings(shard=shard, shards=shards))
        self.head = ROOT
        self._log = log
        self._shard = shard

    def book(self, instrument: str | None) -> Book | None:
        """The instrument as it stands now, if there is such a one."""
        return self.replica.fold.state.books.get(instrument or "")

    def bucket(self, account: str | None, instrument: str | None) -> Bucket | None:
        """The bucket as it stands now, if there is one."""
        book = self.book(instrument)
        return book.buckets.get(account or "") if book else None

    async def inputs(self) -> AsyncIterator[InputPlace | None]:
        """Yield each input once it is folded, and None once the clock of its frame alone has moved time."""
        bounds = await self._log.journal_bounds(self._shard)
        if bounds.begin:
            raise RecordsLost(f"Journal of shard {self._shard}: it begins at {bounds.begin}, so it cannot be folded")
        offset = 0
        while offset < bounds.end:
            for record in await self._log.read_journal(self._shard, offset, _READ_RECORDS):
                offset = record.offset + 1
                frame = read_frame(record)
                if not accepts(self.head, frame):  # R1
                    continue
                self.head = Head(frame.epoch, frame.seq, frame_hash(record.value or b""))
                for place in self._fold(frame):
                    yield place
                if self.replica.digest() != frame.state_digest:  # V2
                    raise Diverged(f"Journal of shard {self._shard}: folding seq {frame.seq} gives another state")
                await asyncio.sleep(0)

    def _fold(self, frame: Frame) -> Iterator[InputPlace | None]:
        if frame.opening is not None:
            check_settings(self.replica.settings, frame.opening.settings)
            self.replica.adopt(frame.opening.settings)
        runs: list[tuple[FrameInput, ...]] = [(), *((item,) for item in frame.inputs)]
        for items in runs:
            fold(self.replica, frame.kind, frame.seq, frame.clock_us, frame.positions, items)
            yield _place(frame, *items) if items else None


def _place(frame: Frame, item: FrameInput) -> InputPlace:
    source = frame.positions[item.source]
    offset = source.start + item.offset_delta
    return InputPlace(source.topic, source.partition, offset, frame.seq, item.timestamp_us, item.data)
