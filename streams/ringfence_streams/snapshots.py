"""Snapshots: a state with the chain it belongs to, checked by a checksum and by its lineage (V1)."""

from __future__ import annotations

import msgspec

from ringfence_schemas.frames import (
    DIGEST_BYTES,
    Published,
    Settings,
    SourceRange,
    TopicIdentity,
    content_hash,
)
from ringfence_streams.errors import SnapshotRefused

SNAPSHOT_VERSION = 1
GENERATIONS = 2
"""So many snapshots are kept: the newest may turn out to be unreadable."""


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The state after one frame, and where that frame stands."""

    version: int
    shard: int
    journal: str
    """Identity of the journal it was taken over."""
    settings: Settings
    epoch: int
    seq: int
    hash: bytes
    head_offset: int
    position: int
    """The next unread offset of the journal."""
    clock_us: int
    positions: list[SourceRange]
    numbers: dict[str, int]
    published: list[Published]
    topics: list[TopicIdentity]
    state: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A checksum of 16 bytes, then the snapshot."""
    body = _encoder.encode(snapshot)
    return content_hash(body) + body


def decode_snapshot(data: bytes, shard: int) -> Snapshot:
    """Read a snapshot.  Raises SnapshotRefused when it is damaged, of a newer version, or not this shard's."""
    checksum, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if content_hash(body) != checksum:
        raise SnapshotRefused("its checksum does not fit: it is truncated or damaged")
    version = _version(body)
    if version != SNAPSHOT_VERSION:
        raise SnapshotRefused(f"it has version {version}, this engine reads {SNAPSHOT_VERSION}")
    snapshot = _decoder.decode(body)
    if snapshot.shard != shard:
        raise SnapshotRefused(f"it belongs to shard {snapshot.shard}, not {shard}")
    return snapshot


def _version(body: bytes) -> int:
    """The first element, whatever a newer version has after it."""
    fields = msgspec.msgpack.decode(body, type=list[msgspec.Raw])
    return msgspec.msgpack.decode(fields[0], type=int)
