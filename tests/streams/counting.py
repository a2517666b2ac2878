"""A replica that counts: the smallest fold whose state and outcomes depend on every input, its place and its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ringfence.replica import OutcomeRecord
from ringfence_schemas.frames import FrameInput, Settings, SourceRange, content_hash
from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS, POSITIONS
from ringfence_streams.port import Replica


@dataclass(frozen=True)
class Counted:
    """What a frame gave."""

    records: Sequence[OutcomeRecord]
    count: int
    digest: bytes
    state_digest: bytes


class State(msgspec.Struct):
    """How many inputs there were, in which order, and how many decisions per topic."""

    inputs: int = 0
    clock_us: int = 0
    history: bytes = bytes(16)
    numbers: dict[str, int] = {}
    counts: dict[str, int] = {}


class CountingReplica:
    """Every input gives one decision, alternately on two topics, and touches the view of its first character."""

    def __init__(self, settings: Settings, state: State | None = None) -> None:
        self.settings = settings
        self.state = state or State()

    def adopt(self, settings: Settings) -> None:
        """Take the settings over; the counts do not depend on them."""
        self.settings = settings

    def fold_inputs(
        self, seq: int, clock_us: int, sources: Sequence[SourceRange], inputs: Sequence[FrameInput]
    ) -> Counted:
        """Count."""
        state = self.state
        state.clock_us = max(state.clock_us, clock_us)
        records = []
        touched: dict[str, None] = {}
        for item in inputs:
            source = sources[item.source]
            place = f"{source.topic}/{source.partition}@{source.start + item.offset_delta}"
            state.inputs += 1
            state.history = content_hash(state.history + place.encode() + item.data)
            topic = LIQUIDATIONS if state.inputs % 2 else MARGIN_CALLS
            number = state.numbers[topic] = state.numbers.get(topic, 0) + 1
            value = msgspec.json.encode({"number": number, "input": place, "omitted": item.omitted_bytes})
            key = item.data[:1].decode("latin-1")
            records.append(OutcomeRecord(topic, key, "counted", number, None, state.inputs, value))
            state.counts[key] = state.counts.get(key, 0) + 1
            touched[key] = None
        for key in touched:
            value = msgspec.json.encode({"count": state.counts[key]})
            records.append(OutcomeRecord(POSITIONS, key, "count", None, seq, state.inputs, value))
        digest = content_hash(msgspec.json.encode([record[:-1] for record in records]))
        return Counted(records, len(records), digest, self.digest())

    def digest(self) -> bytes:
        """Over the whole state."""
        return content_hash(self.snapshot())

    def snapshot(self) -> bytes:
        """The state as bytes."""
        return msgspec.msgpack.encode(self.state, order="sorted")


class CountingReplicas:
    """Makes counting replicas."""

    def new(self, settings: Settings) -> Replica:
        """Nothing counted."""
        return CountingReplica(settings)

    def restore(self, data: bytes, settings: Settings) -> Replica:
        """What was counted."""
        return CountingReplica(settings, msgspec.msgpack.decode(data, type=State))
