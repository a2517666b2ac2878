"""One ownership at work: claim the chain, then fold and commit frame after frame until it is lost or released."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence_schemas.frames import FrameInput, FrameKind, Opening, Settings, SourceRange, content_hash
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.clock import Clock, FrameClock
from ringfence_streams.folding import fold, make_entry
from ringfence_streams.follower import Follower
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Record, Source

_TRACEPARENT_BYTES: Final = 55

Pause = Callable[[Coroutine[None, None, None]], Awaitable[None]]
"""Awaits something that may be cut short, because the shard is asked to stop."""


@dataclass(slots=True)
class Progress:
    """What a shard did in this process; for people, nothing is decided by it."""

    frames: int = 0
    inputs: int = 0
    stood_down: int = 0
    """How often an ownership was lost."""


class Owner:
    """Extends one shard's chain.  Its state runs ahead of the chain by the frames in flight (W2).

    Every method may raise OwnershipLost: then drop this object, never use its state again (W7).
    """

    def __init__(
        self,
        log: Log,
        settings: Settings,
        follower: Follower,
        motion: MotionSettings,
        clock: Clock,
        frame_clock: FrameClock | None,
        progress: Progress,
    ) -> None:
        self.state = follower.state
        self.ownership = log.ownership(settings.shard, motion, clock)
        self._progress = progress
        self._log = log
        self._settings = settings
        self._standing = follower.standing()
        self._motion = motion
        self._clock = clock
        self._frame_clock = frame_clock
        self._reader = log.reader(settings.shard, self.state.positions)
        self._journal = ""
        self._beat_us = clock.monotonic_us()
        self._hint_us = clock.monotonic_us()
        self._unsnapped = 0
        self._unsnapped_inputs = 0
        self._rested_us = 0
        """A snapshot is taken at the earliest then."""
        self._unreleased: int | None = None

    async def claim(self, session: bytes) -> None:
        """T2, then V4 and V5."""
        topics = list(await self._log.identities())
        self._journal = next(identity.identity for identity in topics if identity.topic == JOURNAL)
        opening = Opening(session, self._settings, topics)
        self.state.open(opening)
        outcomes = fold(self.state.replica, "epoch", self.state.head.seq + 1, 0, (), ())
        entry = make_entry(self.state.head, outcomes, kind="epoch", opening=opening)
        await self.ownership.claim(entry, self._standing)  # T2
        self.state.note(entry.frame, entry.head, outcomes)
        await self.ownership.publish_outstanding(self._standing)  # V4, V5

    async def refresh(self) -> None:
        """Learn what the sources hold now."""
        await self._reader.refresh()

    async def advance(self) -> bool:
        """Commit one frame of what is readable now; returns whether there was anything."""
        records = await self._reader.read(self._motion.batch_inputs, self._motion.batch_bytes)  # step 1
        if not records:
            return False
        inputs, positions = self._pack(records)
        await self._extend("batch", inputs, positions)
        return True

    async def idle(self, pause: Pause) -> None:
        """Nothing is readable: settle what is in flight, show that the owner lives, or `pause` for new inputs."""
        await self.ownership.settle()
        await self._release_snapshot()
        await self._hint()
        due_us = self._beat_us + self._motion.heartbeat_us - self._clock.monotonic_us()
        if due_us > 0:
            await pause(self._reader.wait(due_us))
        else:
            await self.beat()

    async def beat(self) -> None:
        """A heartbeat frame: it fires timers, and shows followers that the owner lives."""
        await self.ownership.inspect()  # P4
        if self._log.beats_when_idle or self._frame_clock:
            await self._extend("heartbeat", (), ())
        else:
            self._beat_us = self._clock.monotonic_us()

    async def finish(self) -> None:
        """Return when every frame is committed and every outcome acknowledged."""
        await self.ownership.drain()
        await self._release_snapshot()

    async def release(self) -> None:
        """End the ownership: everything committed and published, then a release frame."""
        await self.finish()
        await self._extend("release", (), ())
        await self.finish()

    async def abandon(self) -> None:
        """W7: write nothing more, read nothing more."""
        await self.ownership.abandon()
        await self._reader.close()

    async def _extend(self, kind: FrameKind, inputs: Sequence[FrameInput], positions: Sequence[SourceRange]) -> None:
        folds = kind != "release" and self._frame_clock is not None
        clock_us = self._frame_clock.now_us() if folds and self._frame_clock else 0
        seq = self.state.head.seq + 1
        outcomes = fold(self.state.replica, kind, seq, clock_us, positions, inputs)  # step 2
        entry = make_entry(
            self.state.head,
            outcomes,
            kind=kind,
            clock_us=clock_us,
            inputs=inputs,
            positions=positions,
            published=self.ownership.published(),  # F3
        )
        self.state.note(entry.frame, entry.head, outcomes)
        await self.ownership.commit(entry)  # steps 3 to 5
        self._beat_us = self._clock.monotonic_us()
        self._progress.frames += 1
        self._progress.inputs += len(inputs)
        self._unsnapped += 1
        self._unsnapped_inputs += len(inputs)
        await self._release_snapshot()
        if self._snapshot_due():
            await self._take_snapshot()  # step 6

    def _snapshot_due(self) -> bool:
        motion = self._motion
        enough = self._unsnapped >= motion.snapshot_every or self._unsnapped_inputs >= motion.snapshot_inputs
        return enough and self._beat_us >= self._rested_us

    async def _take_snapshot(self) -> None:
        """W2: only when nothing is in flight is the state that of the chain's head."""
        begin_us = self._clock.monotonic_us()
        await self.ownership.settle()
        head, position = self.ownership.committed()
        assert head == self.state.head, "the working state is ahead of the chain"
        data = await self._clock.aside(self.state.capture, self._journal, position)  # the state rests until it is done
        await self._log.snapshots.write(self._settings.shard, head.seq, data)
        self._unreleased = head.seq
        self._unsnapped = self._unsnapped_inputs = 0
        await self._release_snapshot()
        await self._hint()
        end_us = self._clock.monotonic_us()
        self._rested_us = end_us + (end_us - begin_us) * self._motion.snapshot_rest

    async def _hint(self) -> None:
        """Nothing is in flight: tell monitors of lag how far the sources are read.  Nobody decides anything by it."""
        now_us = self._clock.monotonic_us()
        if now_us - self._hint_us >= self._motion.hint_us:
            self._hint_us = now_us
            await self._reader.hint({source: read.end for source, read in self.state.positions.items()})

    async def _release_snapshot(self) -> None:
        """P5: a snapshot counts once every outcome up to its frame is acknowledged."""
        if self._unreleased is not None and self.ownership.acknowledged_seq() >= self._unreleased:
            await self._log.snapshots.release(self._settings.shard, self._unreleased)
            self._unreleased = None

    def _pack(self, records: Sequence[Record]) -> tuple[list[FrameInput], list[SourceRange]]:
        """F1: the inputs in the order read, and the range that each source was read through."""
        indices: dict[tuple[str, int], int] = {}
        starts: list[int] = []
        last: list[Record] = []
        inputs = []
        for record in records:
            place = (record.topic, record.partition)
            index = indices.get(place)
            if index is None:
                source = Source(*place)
                index = indices[source] = len(starts)
                held = self.state.positions.get(source)
                starts.append(held.end if held else record.offset)
                last.append(record)
            assert record.offset >= starts[index], f"{place} was read twice at offset {record.offset}"
            last[index] = record
            inputs.append(self._input(index, record.offset - starts[index], record))
        positions = [
            SourceRange(
                record.topic,
                record.partition,
                start,
                record.offset + 1,
                record.offset,
                content_hash(record.value or b""),
            )
            for start, record in zip(starts, last, strict=True)
        ]
        return inputs, positions

    def _input(self, source: int, offset_delta: int, record: Record) -> FrameInput:
        data = record.value or b""
        traceparent = None
        if record.headers:
            text = dict(record.headers).get("traceparent")
            # Anything else is none by W3C, and nothing would bound it (F4).
            if text and len(text) <= _TRACEPARENT_BYTES and text.isascii():
                traceparent = text.decode()
        if len(data) > self._motion.input_bytes:  # F4
            return FrameInput(source, offset_delta, record.timestamp_us, content_hash(data), traceparent, len(data))
        return FrameInput(source, offset_delta, record.timestamp_us, data, traceparent)
