"""The audit: fold a whole journal again and compare everything that was recorded or published with it.

A1  Every record extends the chain (R1), reads back as it was written, and its digests are those of the fold (V2).
A2  Every decision and dead letter stands on its topic under its number with the same key, headers and bytes, and
    nothing stands there that the chain does not say.  What retention removed from the beginning is counted.
A3  Every view stands on its topic as the frame of its version published it, and no frame published a later one.
A4  The postings of each asset sum to zero (I1).
A5  Every released snapshot is the state of the chain after its frame.
A6  Every source still is the one that the journal read (V6).

The hash chains of the accounts are recomputed with the state; they are part of its digest and of every view.

The audit reads only; it may run beside an engine.  What is published while it runs is compared as far as the journal
has been read.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from ringfence.chain import Head, casts_doubt
from ringfence.invariants import InvariantBroken, i1_postings_sum_to_zero
from ringfence.replica import Replica
from ringfence_schemas.frames import Settings, content_hash
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.brokerlog import OUTPUTS
from ringfence_streams.envelope import headers_of, is_view, published_ordinal
from ringfence_streams.errors import Diverged, JournalDamaged, LogError, RecordsLost, SnapshotRefused
from ringfence_streams.folding import CoreReplicas, read_frame
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.port import FrameOutcomes, Log, OutcomeRecord, Record
from ringfence_streams.recovery import check_sources
from ringfence_streams.snapshots import Snapshot, decode_snapshot

_READ_RECORDS: Final = 64
_READ_OUTCOMES: Final = 500
_INPUTS_PER_ACCOUNT: Final = 20
"""The ledger is summed again after so many inputs per account."""

Watcher = Callable[["ShardAudit"], None]
"""Called after every frame."""


class FramePlace(NamedTuple):
    """Where a frame stands."""

    epoch: int
    seq: int
    offset: int


class Divergence(Exception):
    """The first place where the journal, the fold and the outputs do not agree."""

    def __init__(self, shard: int, frame: FramePlace | None, code: str, what: str) -> None:
        place = "" if frame is None else f", epoch {frame.epoch}, seq {frame.seq}, journal offset {frame.offset}"
        super().__init__(f"shard {shard}{place}: {what}")
        self.shard = shard
        self.frame = frame
        """None where no frame is at fault."""
        self.code = code
        """The code of the `LogError` that an engine would stop with here."""
        self.what = what


@dataclass(slots=True)
class Findings:
    """What an audit counted."""

    frames: int = 0
    epochs: int = 0
    inputs: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    """Per topic, dead letters too."""
    views: int = 0
    """Views compared with what stands on their topics."""
    snapshots: int = 0
    expired: int = 0
    """Decisions that retention removed from their topics."""


class ShardAudit:
    """The audit of one shard."""

    def __init__(self, log: Log, shard: int, shards: int, *, unbranched: bool) -> None:
        self.findings = Findings()
        self.end = 0
        """The journal is read up to this offset."""
        self._log = log
        self._shard = shard
        self._unbranched = unbranched
        settings = Settings(shard=shard, shards=shards)
        self._replica = Replica(settings)
        self._follower = Follower(shard, ChainState(self._replica, settings))
        self._decisions: dict[str, _Decisions] = {}
        self._views = _Views(log, shard, compacted=not unbranched)
        self._snapshots: dict[int, Snapshot] = {}
        self._unchecked_inputs = 0

    @property
    def head(self) -> Head:
        """The head of the chain as far as it has been read."""
        return self._follower.state.head

    @property
    def offset(self) -> int:
        """The next unread offset of the journal."""
        return self._follower.position

    @property
    def replica(self) -> Replica:
        """The state folded so far."""
        return self._replica

    async def run(self, watch: Watcher) -> None:
        """Audit everything that the journal holds when this begins.  Raises Divergence at the first difference."""
        await self._locate(None, self._prepare)
        while self.offset < self.end:
            for record in await self._read():
                await self._locate(record.offset, partial(self._take, record))
                watch(self)
                await asyncio.sleep(0)  # a log in one file never waits; let a cancellation through
        await self._locate(self._follower.head_offset if self.end else None, self._finish)

    async def _prepare(self) -> None:
        """What is published now is on a chain that ends, at the earliest, where the journal ends now."""
        self._views.published = (await self._log.journal_bounds(self._shard)).end
        for topic, partition in await self._log.topics():
            if partition != self._shard or topic == JOURNAL:
                continue
            if is_view(topic):
                await self._views.load(topic)
            elif topic in OUTPUTS:
                self._decisions[topic] = _Decisions(self._log, topic, self._shard)
                await self._decisions[topic].begin()
        async for data in self._log.snapshots.released(self._shard):
            snapshot = decode_snapshot(data, self._shard)
            self._snapshots[snapshot.seq] = snapshot
        bounds = await self._log.journal_bounds(self._shard)
        if bounds.begin:
            raise RecordsLost(f"the journal begins at offset {bounds.begin}, so it cannot be folded from its beginning")
        self.end = bounds.end

    async def _read(self) -> Sequence[Record]:
        """The next journal records; before a damaged one those that are sound."""
        count = min(_READ_RECORDS, self.end - self.offset)
        try:
            return await self._log.read_journal(self._shard, self.offset, count)
        except (LogError, TypeError, ValueError):
            # One at a time: everything up to the damaged one is folded first, and the next read names it.
            found: list[Record] = []
            await self._locate(self.offset, partial(self._read_one, found))
            return found

    async def _read_one(self, found: list[Record]) -> None:
        try:
            found += await self._log.read_journal(self._shard, self.offset, 1)
        except (TypeError, ValueError) as error:
            raise JournalDamaged(f"the record does not read back: {error}") from error

    async def _take(self, record: Record) -> None:
        before = self.head
        outcomes = self._follower.take(record)
        if outcomes is None:
            await self._judge_stray(before, record)
            return
        frame = read_frame(record)
        findings = self.findings
        findings.frames += 1
        findings.epochs += frame.kind == "epoch"
        findings.inputs += len(frame.inputs)
        await self._compare(record.offset, outcomes)
        snapshot = self._snapshots.pop(frame.seq, None)
        if snapshot is not None:
            self._compare_snapshot(snapshot)
        self._unchecked_inputs += len(frame.inputs)
        if self._unchecked_inputs > _INPUTS_PER_ACCOUNT * len(self._replica.fold.state.accounts):
            self._check_ledger()

    async def _judge_stray(self, head: Head, record: Record) -> None:
        """A1: on a log without branches nothing but damage explains a record that does not extend the chain."""
        frame = read_frame(record)
        if casts_doubt(head, frame):
            await self._follower.check_head(self._log)  # R3
        if self._unbranched:
            raise RecordsLost(
                f"the record (epoch {frame.epoch}, seq {frame.seq}) does not extend the chain, "
                f"whose head is epoch {head.epoch}, seq {head.seq}, {head.hash.hex()[:16]}"
            )

    async def _compare(self, offset: int, outcomes: FrameOutcomes) -> None:
        for outcome in outcomes.records:
            if outcome.version is not None:
                self.findings.views += self._views.compare(outcome, offset)
                continue
            cursor = self._decisions.get(outcome.topic)
            if cursor is None:
                cursor = self._decisions[outcome.topic] = _Decisions(self._log, outcome.topic, self._shard)
            if await cursor.compare(outcome):
                self.findings.decisions[outcome.topic] += 1
            else:
                self.findings.expired += 1

    def _compare_snapshot(self, snapshot: Snapshot) -> None:
        """A5."""
        restored = CoreReplicas().restore(snapshot.state, snapshot.settings)
        if snapshot.hash != self.head.hash or restored.digest() != self._replica.digest():
            raise Diverged(f"the snapshot of seq {snapshot.seq} is not the state after that frame")
        self.findings.snapshots += 1

    def _check_ledger(self) -> None:
        """A4, so rarely that it costs each input little, whatever the number of accounts."""
        self._unchecked_inputs = 0
        i1_postings_sum_to_zero(self._replica.fold)

    async def _finish(self) -> None:
        self._check_ledger()
        for cursor in self._decisions.values():
            cursor.refuse_more()
        self._views.refuse_rest()
        await check_sources(self._log, self._follower)
        if self._snapshots:
            raise RecordsLost(f"a snapshot was taken of seq {max(self._snapshots)}, which is not on the chain")

    async def _locate(self, offset: int | None, step: Callable[[], Awaitable[None]]) -> None:
        """Say of whatever goes wrong in a step at which frame it does."""
        try:
            await step()
        except (LogError, InvariantBroken, SnapshotRefused) as error:
            code = error.code if isinstance(error, LogError) else Diverged.code
            what = error.message if isinstance(error, LogError) else str(error)
            frame = None if offset is None else await self._place(offset)
            raise Divergence(self._shard, frame, code, what) from error

    async def _place(self, offset: int) -> FramePlace:
        """The frame at an offset: in its own words where it can be read, else what must stand there."""
        try:
            frame = read_frame((await self._log.read_journal(self._shard, offset, 1))[0])
        except (LogError, IndexError, TypeError, ValueError):
            return FramePlace(self.head.epoch, self.head.seq + 1, offset)
        return FramePlace(frame.epoch, frame.seq, offset)


class _Decisions:
    """Reads one topic of decisions beside the fold (A2)."""

    def __init__(self, log: Log, topic: str, shard: int) -> None:
        self._log = log
        self._topic = topic
        self._shard = shard
        self._read: deque[Record] = deque()
        self._begin = 0
        self._offset = 0
        self._end = 0
        self._last = 0
        """Number of the last decision compared."""

    async def begin(self) -> None:
        """Remember what stands on the topic before the journal is read."""
        self._begin, self._end = await self._log.bounds(self._topic, self._shard)
        self._offset = self._begin

    async def compare(self, outcome: OutcomeRecord) -> bool:
        """Find the next decision; false when retention removed this one.  Raises Diverged when it is another one."""
        assert outcome.number is not None
        record = await self._next()
        if self._begin and not self._last and (record is None or (published_ordinal(record) or 0) > outcome.number):
            if record is not None:
                self._read.appendleft(record)
            return False
        place = f"{self._topic} number {outcome.number}"
        if record is None:
            raise Diverged(f"{place} is not published: {_text(outcome.value)}")
        self._last = outcome.number
        for what, stored, folded in (
            ("number", published_ordinal(record), outcome.number),
            ("value", record.value, outcome.value),
            ("key", record.key, outcome.key.encode()),
            ("headers", record.headers, headers_of(self._shard, outcome)),
        ):
            if stored != folded:
                shown = _text(stored), _text(folded)
                said = "other headers are" if what == "headers" else f"another {what} is"
                raise Diverged(f"{place}: {said} published: {shown[0]}; the fold gives {shown[1]}")
        return True

    def refuse_more(self) -> None:
        """Raise Diverged when the topic held more at the beginning than the chain says."""
        extra = next((record for record in self._read if record.offset < self._end), None)
        if extra is not None or self._offset < self._end:
            raise Diverged(f"{self._topic} holds more than the {self._last} decisions of the chain")

    async def _next(self) -> Record | None:
        while True:
            if not self._read:
                self._read.extend(await self._log.read(self._topic, self._shard, self._offset, _READ_OUTCOMES))
                if not self._read:
                    return None
                self._offset = self._read[-1].offset + 1
            record = self._read.popleft()
            number = published_ordinal(record)
            if number is None or number > self._last:  # C1: a crash may repeat the last few
                return record


@dataclass(slots=True)
class _Stored:
    """A view as it stands on its topic; its bytes as a hash."""

    version: int
    value: bytes
    seen: bool = False


class _Views:
    """The views as they stood when the audit began, and what the frames say about them (A3)."""

    def __init__(self, log: Log, shard: int, *, compacted: bool) -> None:
        """`compacted`: whether the null that closes a view may be gone."""
        self._log = log
        self._shard = shard
        self._compacted = compacted
        self._stored: dict[tuple[str, str], _Stored] = {}
        self._open: dict[tuple[str, str], int] = {}
        """Views that stand nowhere, with their version: right only if a later frame closes them."""
        self.published = 0
        """Every frame below this offset of the journal had been committed before the views were read."""

    async def load(self, topic: str) -> None:
        """Read a topic of views."""
        offset = (await self._log.bounds(topic, self._shard)).begin
        while records := await self._log.read(topic, self._shard, offset, _READ_OUTCOMES):
            for record in records:
                version, key = published_ordinal(record), (record.key or b"").decode("ascii", "replace")
                self._stored[topic, key] = _Stored(version or 0, _value_hash(record.value))
            offset = records[-1].offset + 1

    def compare(self, outcome: OutcomeRecord, offset: int) -> bool:
        """Compare a view that a frame publishes; returns whether it is the one that stands on its topic."""
        stored = self._stored.get((outcome.topic, outcome.key))
        place = f"view {outcome.key} on {outcome.topic}"
        assert outcome.version is not None
        if stored is None and self._compacted and offset < self.published:
            if outcome.value is None:
                self._open.pop((outcome.topic, outcome.key), None)
            else:
                self._open[outcome.topic, outcome.key] = outcome.version
            return False
        if stored is None or stored.version < outcome.version:
            if offset < self.published:
                raise Diverged(f"{place}: version {outcome.version} is not published: {_text(outcome.value)}")
            return False
        if stored.version > outcome.version:
            return False  # not drawn: a later frame must say so, see refuse_rest
        stored.seen = True
        if stored.value != _value_hash(outcome.value):
            raise Diverged(f"{place}: other bytes are published; the fold gives {_text(outcome.value)}")
        return True

    def refuse_rest(self) -> None:
        """Raise Diverged when a view stands on its topic that no frame published, or stands there no more."""
        for (topic, key), version in self._open.items():
            raise Diverged(f"view {key} on {topic}: version {version} is not published")
        for (topic, key), stored in self._stored.items():
            if not stored.seen:
                raise Diverged(f"view {key} on {topic}: no frame on the chain publishes version {stored.version}")


def _value_hash(value: bytes | None) -> bytes:
    return b"" if value is None else content_hash(value)


def _text(value: object) -> str:
    """A value for people, not too long."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 400 else f"{text[:400]}..."  # noqa: PLR2004 -- a few lines of a terminal
