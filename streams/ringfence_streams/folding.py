"""One way to fold a frame, for the owner that writes it and for every reader after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.chain import Head
from ringfence.replica import Replica as CoreReplica
from ringfence.snapshot import SnapshotUnreadable
from ringfence_schemas.frames import (
    FRAME_VERSION,
    NO_DIGEST,
    Frame,
    FrameDamaged,
    FrameInput,
    FrameKind,
    Opening,
    Published,
    Settings,
    SourceRange,
    decode_frame,
    encode_frame,
    frame_hash,
)
from ringfence_streams.errors import JournalDamaged, SettingsConflict, SnapshotRefused
from ringfence_streams.port import Entry, FrameOutcomes, OutcomeRecord, Record, Replica


class CoreReplicas:
    """Makes replicas of the margin engine."""

    def new(self, settings: Settings) -> Replica:
        """An empty state."""
        return CoreReplica(settings)

    def restore(self, data: bytes, settings: Settings) -> Replica:
        """The state of a snapshot.  Raises SnapshotRefused."""
        try:
            return CoreReplica.restore(data, settings)
        except SnapshotUnreadable as error:
            raise SnapshotRefused(str(error)) from error


@dataclass(frozen=True, slots=True)
class NoOutcomes:
    """What an epoch frame and a release frame give: they belong to ownership and fold nothing."""

    state_digest: bytes
    records: Sequence[OutcomeRecord] = ()
    count: int = 0
    digest: bytes = NO_DIGEST


def fold(
    replica: Replica,
    kind: FrameKind,
    seq: int,
    clock_us: int,
    positions: Sequence[SourceRange],
    inputs: Sequence[FrameInput],
) -> FrameOutcomes:
    """Fold what a frame of this kind carries."""
    if kind in {"epoch", "release"}:
        return NoOutcomes(replica.digest())
    return replica.fold_inputs(seq, clock_us, positions, inputs)


def make_entry(
    head: Head,
    outcomes: FrameOutcomes,
    *,
    kind: FrameKind,
    clock_us: int = 0,
    inputs: Sequence[FrameInput] = (),
    positions: Sequence[SourceRange] = (),
    published: Sequence[Published] = (),
    opening: Opening | None = None,
) -> Entry:
    """The frame that extends `head` with what was folded (F1)."""
    frame = Frame(
        version=FRAME_VERSION,
        kind=kind,
        epoch=head.epoch + (kind == "epoch"),
        seq=head.seq + 1,
        prev=head.hash,
        clock_us=clock_us,
        inputs=list(inputs),
        positions=list(positions),
        published=list(published),
        outcome_count=outcomes.count,
        outcome_digest=outcomes.digest,
        state_digest=outcomes.state_digest,
        opening=opening,
    )
    value = encode_frame(frame)
    return Entry(frame, value, frame_hash(value), outcomes.records)


def read_frame(record: Record) -> Frame:
    """The frame of a journal record.  Raises JournalDamaged, naming the offset."""
    try:
        return decode_frame(record.value or b"")
    except FrameDamaged as error:
        raise JournalDamaged(f"Journal of shard {record.partition}, offset {record.offset}: {error}") from error


def check_settings(held: Settings, found: Settings) -> None:
    """A journal belongs to one shard of a fixed number of shards.  Raises SettingsConflict."""
    if (found.shard, found.shards) != (held.shard, held.shards):
        raise SettingsConflict(
            f"The journal is that of shard {found.shard} of {found.shards}, not of shard {held.shard} of {held.shards}"
        )
