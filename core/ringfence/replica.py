"""A replica: the fold, moved frame by frame.  Live engine, recovery, audit and projections call the same method, so
they cannot differ.

A frame's clock moves first, then its inputs are folded in their order, then the views of everything touched are taken
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias, cast

from ringfence.attribution import remember
from ringfence.fills import prepare
from ringfence.fold import Fold
from ringfence.hashing import digest_of
from ringfence.origins import RecordOrigin
from ringfence.refusals import NO_LIMIT
from ringfence.snapshot import restore, snapshot
from ringfence.views import PositionView, WalletView
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.inputs import Fill, Input
from ringfence_schemas.outcomes import Decision, Outcome, encode
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


class ViewRecord(NamedTuple):
    """One view, taken and not yet drawn."""

    topic: str
    key: str
    type: str
    version: int
    """The frame's seq."""
    time_us: int
    view: PositionView | WalletView | None
    """None when the position closed."""

    @property
    def number(self) -> None:
        """Views are not numbered: a later one replaces an earlier one of the same key."""

    @property
    def value(self) -> bytes | None:
        """Draw the view."""
        return None if self.view is None else self.view.draw()

    @property
    def headers(self) -> Headers:
        """None of its own."""
        return ()


@dataclass(frozen=True, slots=True)
class FrameOutcomes:
    """What folding one frame gave."""

    records: list[OutcomeRecord | ViewRecord]
    """Decisions and dead letters in order, then views."""
    count: int
    digest: bytes
    """Over every outcome in order, 16 bytes."""
    state_digest: bytes
    """Of the state after the frame, 16 bytes."""


class Replica:
    """The state of one shard behind its journal."""

    def __init__(self, settings: Settings, fold: Fold | None = None) -> None:
        self.fold = fold or Fold(settings)
        self.settings = settings

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

        The digest covers the key and version of a view, whose content follows from the state and its digest; so a view
        that nobody looks at need never be drawn.
        """
        fold, settings = self.fold, self.settings
        records = [_decision_record(decision) for decision in fold.advance(clock_us)]
        origins = [self._origin(source) for source in sources]
        wall = settings.clock == "wall"
        # What needs no state is done for all inputs first: a short loop runs faster than a step in the course of each.
        events = [self._read(item, origins[item.source]) for item in inputs]
        prepared = [prepare(event) if type(event) is Fill else None for event in events]
        for item, event, known in zip(inputs, events, prepared, strict=True):
            origin, offset = origins[item.source], sources[item.source].start + item.offset_delta
            if isinstance(event, InputRefused):
                decisions = fold.refuse(event, origin, offset, item.data, hashed=item.omitted_bytes > 0)
                records += _caused(decisions, item)
                if origin.speaks and not item.omitted_bytes and event.code != "wrong_partition":
                    records.append(self._dead_letter(origin, offset, item, event))
                continue
            latest_us = item.timestamp_us + settings.skew_us if wall else NO_LIMIT
            decisions = fold.apply(event, origin, offset, latest_us, known)
            if decisions:
                records += _caused(decisions, item)
        hashed = [_hashed(record) for record in records]
        views = list(self._views(seq, hashed))
        return FrameOutcomes([*records, *views], len(hashed), digest_of(b"".join(hashed)), fold.digest())

    def _origin(self, source: SourceRange) -> RecordOrigin:
        speaks = source.topic in ACCOUNT_TOPICS or source.partition % self.settings.shards == self.settings.shard
        return RecordOrigin(source.topic, source.partition, speaks)

    def _read(self, item: FrameInput, origin: RecordOrigin) -> Input | InputRefused:
        """Decode an input and check that it may stand where it was found."""
        if item.omitted_bytes:
            return InputRefused(
                "too_large",
                f"the input has {item.omitted_bytes} bytes; split it, or raise the limit of the journal topic",
            )
        try:
            event = decode_input(item.data)
        except InputRefused as refused:
            return refused
        topic = INPUT_TOPIC[type(event)]
        if topic != origin.topic:
            return InputRefused(
                "unknown_type", f"this type travels on {topic}, not on {origin.topic}; publish it there"
            )
        if self.settings.shards > 1 and topic in ACCOUNT_TOPICS:
            account: str = event.account  # type: ignore[union-attr]  # every input of an account topic has an account
            if partition_of(account.encode(), self.settings.shards) != origin.partition:
                return InputRefused(
                    "wrong_partition",
                    f"{account} does not hash to partition {origin.partition}; use the default partitioner",
                    account=account,
                )
        return event

    def _dead_letter(self, origin: RecordOrigin, offset: int, item: FrameInput, refused: InputRefused) -> OutcomeRecord:
        """The original bytes of an input that cannot be read, with the reason beside them."""
        topic = origin.topic + DEAD_LETTER_SUFFIX
        headers = (
            ("__connect.errors.topic", origin.topic.encode()),
            ("__connect.errors.partition", str(origin.partition).encode()),
            ("__connect.errors.offset", str(offset).encode()),
            ("__connect.errors.exception.class.name", refused.code.encode()),
            ("__connect.errors.exception.message", refused.message.encode()),
            *_trace(item),
        )
        number = self.fold.next_number(topic)
        return OutcomeRecord(
            topic,
            refused.account or refused.instrument or "",
            DEAD_LETTER_TYPE,
            number,
            None,
            self.fold.state.time_us,
            item.data,
            headers,
        )

    def _views(self, seq: int, hashed: list[bytes]) -> Iterable[ViewRecord]:
        """Take the views touched since the last frame, in order of key; a closed position is a null."""
        state = self.fold.state
        time_us = state.time_us
        for bucket in sorted(state.touched_buckets, key=_NAMES):
            if not bucket.posted:
                continue  # an empty shell has never had a view
            key = f"{bucket.account.name}|{bucket.book.name}"
            hashed.append(f"{key!a}|{seq}|{1 if bucket.size else 0}".encode())
            view = None
            if bucket.size:
                between = remember(bucket) if bucket.book.rules.attribution else None
                view = PositionView.of(bucket, between)
            yield ViewRecord(POSITIONS, key, "position", seq, time_us, view)
        for account, name in sorted(state.touched_wallets):
            key = f"{account}|{name}"
            hashed.append(f"{key!a}|{seq}".encode())
            yield ViewRecord(WALLETS, key, "wallet", seq, time_us, WalletView.of(account, state.assets[name]))
        self.fold.clear_touched()


_NAMES: Final = attrgetter("account.name", "book.name")


def _caused(decisions: Iterable[Decision], item: FrameInput) -> Iterator[OutcomeRecord]:
    """Give the records of what an input led to; its trace goes on in them, except in what was due without it."""
    trace = _trace(item)
    for decision in decisions:
        yield _decision_record(decision, () if decision.cause.timer else trace)


def _trace(item: FrameInput) -> Headers:
    """Give the header of the trace that an input belongs to."""
    return (("traceparent", item.traceparent.encode()),) if item.traceparent else ()


def _decision_record(decision: Decision, headers: Headers = ()) -> OutcomeRecord:
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
        headers=headers,
    )


def _hashed(record: OutcomeRecord) -> bytes:
    """What the digest covers of a decision or a dead letter."""
    value = record.value or b""
    return b"%a|%a|%a|%d|%b" % (record.topic, record.key, record.number, len(value), value)
