"""A replica: the fold, moved frame by frame.  Live engine, recovery, audit and projections call the same method, so
they cannot differ.

A frame's clock moves first, then its inputs are folded in their order, then the views of everything touched are drawn
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

from ringfence import figures
from ringfence.fold import Fold
from ringfence.hashing import digest_of
from ringfence.origins import RecordOrigin
from ringfence.refusals import NO_LIMIT
from ringfence.snapshot import restore, snapshot
from ringfence.state import Bucket
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.inputs import Input
from ringfence_schemas.outcomes import Decision, Outcome, Wallet, encode
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.reading import InputRefused, decode_input
from ringfence_schemas.topics import (
    ACCOUNT_TOPICS,
    DEAD_LETTER_SUFFIX,
    INPUT_TOPIC,
    OUTCOME_TOPIC,
    POSITIONS,
    WALLETS,
    outcome_key,
)

DEAD_LETTER_TYPE: Final = "dead_letter"

Headers: TypeAlias = tuple[tuple[str, bytes], ...]
Wanted: TypeAlias = Callable[[str, str, int], bool]
"""Whether the view of (topic, key, version) is to be drawn."""


class OutcomeRecord(NamedTuple):
    """One outcome, ready to be published."""

    topic: str
    key: str
    type: str
    number: int | None
    """Dense per shard and topic, from 1; None for a view."""
    version: int | None
    """The frame's seq, for a view; None for a decision."""
    time_us: int
    value: bytes | None
    """None when the position of a view closed."""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class FrameOutcomes:
    """What folding one frame gave."""

    records: list[OutcomeRecord]
    """Decisions and dead letters in order, then the views that were wanted."""
    count: int
    """How many outcomes there are, drawn or not."""
    digest: bytes
    """Over every outcome in order, 16 bytes."""
    state_digest: bytes
    """Of the state after the frame, 16 bytes."""


class Replica:
    """The state of one shard behind its journal."""

    def __init__(self, settings: Settings, fold: Fold | None = None) -> None:
        self.fold = fold or Fold(settings)
        self.settings = settings
        self.wanted: Wanted | None = None
        """Which views to draw; None: all of them.  An audit wants those that it can compare."""

    @classmethod
    def restore(cls, data: bytes, settings: Settings) -> Replica:
        """Return the replica of a snapshot.  Raises `ringfence.snapshot.SnapshotUnreadable`."""
        return cls(settings, restore(data, settings))

    def adopt(self, settings: Settings) -> None:
        """Fold under these settings from here on: an epoch frame was accepted."""
        self.settings = settings
        self.fold.adopt(settings)

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        return snapshot(self.fold)

    def digest(self) -> bytes:
        """Return the digest of the state, 16 bytes."""
        return self.fold.digest()

    def fold_inputs(
        self, seq: int, clock_us: int, sources: Sequence[SourceRange], inputs: Sequence[FrameInput]
    ) -> FrameOutcomes:
        """Fold the inputs of frame `seq`; `sources` are the frame's positions, which the inputs refer to by index.

        Count and digest are the same whichever views are wanted: they cover the key and version of a view, whose
        content follows from the state and its digest.
        """
        fold, settings = self.fold, self.settings
        records = [_decision_record(decision) for decision in fold.advance(clock_us)]
        origins = [self._origin(source) for source in sources]
        wall = settings.clock == "wall"
        for item in inputs:
            origin, offset = origins[item.source], sources[item.source].start + item.offset_delta
            try:
                event = self._read(item, origin)
            except InputRefused as refused:
                decisions = fold.refuse(refused, origin, offset, item.data, hashed=item.omitted_bytes > 0)
                records += map(_decision_record, decisions)
                if origin.speaks and not item.omitted_bytes and refused.code != "wrong_partition":
                    records.append(self._dead_letter(origin, offset, item.data, refused))
                continue
            latest_us = item.timestamp_us + settings.skew_us if wall else NO_LIMIT
            decisions = fold.apply(event, origin, offset, latest_us)
            if decisions:
                records += map(_decision_record, decisions)
        hashed = [_hashed(record) for record in records]
        records += self._views(seq, hashed)
        return FrameOutcomes(records, len(hashed), digest_of(b"".join(hashed)), fold.digest())

    def _origin(self, source: SourceRange) -> RecordOrigin:
        speaks = source.topic in ACCOUNT_TOPICS or source.partition % self.settings.shards == self.settings.shard
        return RecordOrigin(source.topic, source.partition, speaks)

    def _read(self, item: FrameInput, origin: RecordOrigin) -> Input:
        """Decode an input and check that it may stand where it was found."""
        if item.omitted_bytes:
            raise InputRefused(
                "too_large",
                f"the input has {item.omitted_bytes} bytes; split it, or raise the limit of the journal topic",
            )
        event = decode_input(item.data)
        topic = INPUT_TOPIC[type(event)]
        if topic != origin.topic:
            raise InputRefused("unknown_type", f"this type travels on {topic}, not on {origin.topic}; publish it there")
        if self.settings.shards > 1 and topic in ACCOUNT_TOPICS:
            account: str = event.account  # type: ignore[union-attr]  # every input of an account topic has an account
            if partition_of(account.encode(), self.settings.shards) != origin.partition:
                raise InputRefused(
                    "wrong_partition",
                    f"{account} does not hash to partition {origin.partition}; use the default partitioner",
                    account=account,
                )
        return event

    def _dead_letter(self, origin: RecordOrigin, offset: int, data: bytes, refused: InputRefused) -> OutcomeRecord:
        """The original bytes of an input that cannot be read, with the reason beside them."""
        topic = origin.topic + DEAD_LETTER_SUFFIX
        headers = (
            ("__connect.errors.topic", origin.topic.encode()),
            ("__connect.errors.partition", str(origin.partition).encode()),
            ("__connect.errors.offset", str(offset).encode()),
            ("__connect.errors.exception.class.name", refused.code.encode()),
            ("__connect.errors.exception.message", refused.message.encode()),
        )
        number = self.fold.next_number(topic)
        return OutcomeRecord(
            topic,
            refused.account or refused.instrument or "",
            DEAD_LETTER_TYPE,
            number,
            None,
            self.fold.state.time_us,
            data,
            headers,
        )

    def _views(self, seq: int, hashed: list[bytes]) -> Iterable[OutcomeRecord]:
        """Draw the views touched since the last frame, in order of key; a closed position is a null."""
        state, wanted = self.fold.state, self.wanted
        for bucket in sorted(state.touched_buckets, key=_bucket_key):
            if not bucket.posted:
                continue  # an empty shell has never had a view
            key = f"{bucket.account.name}|{bucket.book.name}"
            hashed.append(b"%a|%d|%d" % (key, seq, bool(bucket.size)))
            if wanted is None or wanted(POSITIONS, key, seq):
                value = encode(figures.position(bucket)) if bucket.size else None
                yield OutcomeRecord(POSITIONS, key, "position", None, seq, state.time_us, value)
        for account, name in sorted(state.touched_wallets):
            key = f"{account}|{name}"
            hashed.append(b"%a|%d" % (key, seq))
            if wanted is None or wanted(WALLETS, key, seq):
                asset = state.assets[name]
                balance = decimal_text(asset.wallets.get(account, 0), asset.decimals)
                view = encode(Wallet(account=account, asset=name, balance=balance))
                yield OutcomeRecord(WALLETS, key, "wallet", None, seq, state.time_us, view)
        self.fold.clear_touched()


def _bucket_key(bucket: Bucket) -> tuple[str, str]:
    return bucket.account.name, bucket.book.name


def _decision_record(decision: Decision) -> OutcomeRecord:
    outcome = cast("Outcome", decision)
    number = int(decision.id.rpartition("-")[2])
    return OutcomeRecord(
        topic=OUTCOME_TOPIC[type(outcome)],
        key=outcome_key(outcome),
        type=str(type(outcome).__struct_config__.tag),
        number=number,
        version=None,
        time_us=decision.time_us,
        value=encode(outcome),
    )


def _hashed(record: OutcomeRecord) -> bytes:
    """What the digest covers of a decision or a dead letter."""
    value = record.value or b""
    return b"%a|%a|%a|%d|%b" % (record.topic, record.key, record.number, len(value), value)
