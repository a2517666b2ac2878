"""The journal's frames: the record that is one atomic commit, byte for byte.

A frame is a msgpack array, version first (rule F1).  Frames form a hash chain: `prev` is the hash of
the value bytes of the frame before, so nothing here may be re-encoded and compared; the bytes are the identity.
The rules (F1-F4, R1-R3, ...) are written out in docs/concepts/journal.md.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, get_args

import msgspec

FRAME_VERSION = 1
HASH_BYTES = 32
DIGEST_BYTES = 16
GENESIS = bytes(HASH_BYTES)
"""`prev` of the first frame, and the hash of the head of an empty chain."""
NO_DIGEST = bytes(DIGEST_BYTES)

Clock = Literal["events", "wall"]
FrameKind = Literal["epoch", "batch", "heartbeat", "release"]
FRAME_KINDS: tuple[str, ...] = get_args(FrameKind)


class FrameDamaged(ValueError):
    """The bytes are not a frame of a version this engine reads."""


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """Every setting that steers the fold (rule F2): same inputs, same settings, same outcomes.

    An epoch frame carries all of them; they hold until the next epoch frame.
    """

    shard: int = 0
    shards: int = 1
    clock: Clock = "events"
    id_window_us: int = 86_400_000_000
    """How long an applied id is remembered; an event older than this is `too_old`."""
    skew_us: int = 10_000_000
    """How far `time_us` may lie beyond the record's own timestamp (clock `wall` only)."""
    engine: str = ""
    """Version of the engine that wrote the epoch; informs, decides nothing."""
    ledger: bool = False
    """Whether postings are published on the topic `ledger`."""


class FrameInput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One input as it was read: enough to fold it again and to name where it came from."""

    source: int
    """Index into the frame's `positions`."""
    offset_delta: int
    """Offset of the record minus the `start` of its source's range."""
    timestamp_us: int
    """The record's own timestamp in its log."""
    data: bytes
    """The record's value; the 16-byte content hash of it when `omitted_bytes` is set."""
    traceparent: str | None = None
    omitted_bytes: int = 0
    """Size of a value too large to journal (rule F4): it is refused as `too_large`, by hash and size."""


class SourceRange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a frame read from one source: offsets `start` (inclusive) to `end` (exclusive)."""

    topic: str
    partition: int
    start: int
    end: int
    last_offset: int
    """Offset of the last record read; below `end - 1` where the log has holes."""
    last_hash: bytes
    """Content hash of that record's value, to notice a log that was replaced (rule V6)."""


class Published(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last acknowledged record of one output topic (rule F3): where a tail scan starts."""

    topic: str
    number: int
    """The dense number n of a decision; the version (frame seq) of a view."""
    offset: int


class TopicIdentity(msgspec.Struct, frozen=True, array_like=True):
    """The identity a log gave a topic when it was created: a topic created anew has another one."""

    topic: str
    identity: str


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """What an epoch frame adds (rule F2): who writes from here on, and under which settings."""

    session: bytes
    """16 random bytes: tells the frames of two claimants of one epoch apart."""
    settings: Settings
    topics: list[TopicIdentity] = []


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One record of the journal: one atomic commit.

    `kind` says what it is for: `epoch` begins an ownership, `batch` carries inputs, `heartbeat` carries none
    (it moves the clock), `release` ends an ownership.
    """

    version: int
    kind: FrameKind
    epoch: int
    seq: int
    prev: bytes
    clock_us: int
    """The writer's clock; 0 throughout under clock `events`."""
    inputs: list[FrameInput]
    """In the order they were folded."""
    positions: list[SourceRange]
    """The sources this frame read, in the order of their indices."""
    published: list[Published]
    outcome_count: int
    outcome_digest: bytes
    """Digest of this frame's outcomes, 16 bytes."""
    state_digest: bytes
    """Digest of the state after this frame, 16 bytes."""
    opening: Opening | None = None
    """Present exactly in epoch frames."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """The value bytes of a journal record."""
    return _encoder.encode(frame)


def decode_frame(value: bytes) -> Frame:
    """Read a journal record.  Raises FrameDamaged when it is not a frame of a known version."""
    try:
        frame = _decoder.decode(value)
    except ValueError as error:
        raise FrameDamaged(f"not a frame: {error}") from error
    if frame.version != FRAME_VERSION:
        raise FrameDamaged(f"frame version {frame.version}, this engine reads {FRAME_VERSION}")
    if (frame.opening is not None) != (frame.kind == "epoch"):
        raise FrameDamaged(f"frame of kind {frame.kind} {'with' if frame.opening else 'without'} an opening")
    if len(frame.prev) != HASH_BYTES:
        raise FrameDamaged(f"prev has {len(frame.prev)} bytes, not {HASH_BYTES}")
    return frame


def frame_hash(value: bytes) -> bytes:
    """BLAKE2b of a journal record's value bytes, 32 bytes: the `prev` of the frame after it."""
    return blake2b(value, digest_size=HASH_BYTES).digest()


def content_hash(data: bytes) -> bytes:
    """BLAKE2b of anything that only has to be recognised again, 16 bytes."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
