"""From outputs to tables: what each record of an output changes.

A record is applied at least once, and the same once more changes nothing: views are skipped by version, decisions by
number (C1-C3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec
import orjson

from ringfence_schemas.outcomes import (
    Decision,
    InstrumentChanged,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationProgress,
    LiquidationStarted,
    MarginCall,
    Outcome,
    Position,
    RequirementAnnounced,
    RequirementChanged,
    Wallet,
)
from ringfence_schemas.subscriber import Reading, Stream, SubscriberReader, parse_decision_id
from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS, POSITIONS, RISK_PARAMETERS, WALLETS

PROJECTED: Final = (POSITIONS, WALLETS, MARGIN_CALLS, LIQUIDATIONS, RISK_PARAMETERS)
"""The outputs that are projected."""

_decode_view = msgspec.json.Decoder(Position | Wallet).decode
_decode_decision = msgspec.json.Decoder(Outcome).decode


class Unreadable(Exception):
    """A record that is not what its topic promises; it goes to the dead letters."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class OutputRecord(NamedTuple):
    """One record of an output, by the logical name of its topic."""

    topic: str
    partition: int
    key: str
    value: bytes | None
    headers: Mapping[str, bytes]


class Rows(Protocol):
    """A table of rows, addressed by partition and key."""

    def find(self, partition: int, key: str) -> bytes | None:
        """A row, None when there is none."""
        ...

    def put(self, partition: int, key: str, value: bytes) -> None:
        """Add or replace a row."""
        ...

    def drop(self, partition: int, key: str) -> None:
        """Remove a row, if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Tables:
    """What the outputs are projected into."""

    positions: Rows
    """`account|instrument` -> version of the view, a space, the view."""
    wallets: Rows
    """`account|asset` -> the same."""
    calls: Rows
    """`account|instrument` -> the last decision of an open margin call."""
    liquidations: Rows
    """Liquidation id -> the decisions of a liquidation in flight: started, order, progress."""
    instruments: Rows
    """Instrument -> the last decisions about it: changed, announced, requirement."""
    numbers: Rows
    """Topic -> the last number read (C1)."""


class Projections:
    """Applies records to the tables."""

    def __init__(
        self,
        tables: Tables,
        *,
        decided: Callable[[int, Decision], None],
        read: Callable[[str, int, Reading], None],
    ) -> None:
        self._tables = tables
        self._decided = decided
        """Told every new decision with its partition."""
        self._read = read
        """Told topic, partition and what the record is to a subscriber."""
        self._views_read: dict[int, SubscriberReader] = {}
        self._decisions_read: dict[Stream, SubscriberReader] = {}
        self._views = {POSITIONS: tables.positions, WALLETS: tables.wallets}

    def forget(self) -> None:
        """Partitions moved: what was read is what the recovered tables say."""
        self._views_read.clear()
        self._decisions_read.clear()

    def apply(self, record: OutputRecord) -> None:
        """Change the tables as the record says.  Raises Unreadable."""
        reading = self._view(record) if record.topic in self._views else self._decision(record)
        self._read(record.topic, record.partition, reading)

    def _view(self, record: OutputRecord) -> Reading:
        table = self._views[record.topic]
        text = record.headers.get("version", b"")
        if not text.isdigit():
            raise Unreadable("no_version", "the record has no header `version`")
        version = int(text)
        held = table.find(record.partition, record.key)
        newest = int(held.partition(b" ")[0]) if held else 0
        if version <= newest:  # C2 across a restart; the reader has it within one
            return Reading.REPEATED
        if record.value is not None:
            _decoded(_decode_view, record.value)
        reader = self._views_read.setdefault(record.partition, SubscriberReader())
        reading = reader.view(record.topic, record.key, version)
        if reading is Reading.NEW:
            if record.value is None:
                table.drop(record.partition, record.key)
            else:
                table.put(record.partition, record.key, text + b" " + record.value)
        return reading

    def _decision(self, record: OutputRecord) -> Reading:
        identifier = record.headers.get("ce_id", b"").decode("ascii", "replace")
        if record.value is None:
            raise Unreadable("no_value", "a decision has a value")
        try:
            stream, number = parse_decision_id(identifier)
        except ValueError as error:
            raise Unreadable("no_id", str(error)) from error
        if stream != Stream(record.partition, record.topic):
            raise Unreadable("wrong_stream", f"{identifier} stands on partition {record.partition} of {record.topic}")
        outcome = _decoded(_decode_decision, record.value)
        if not isinstance(outcome, Decision):
            raise Unreadable("malformed", "a view stands among the decisions")
        reading = self._decisions(stream, number).decision(identifier, record.value)
        if reading in {Reading.NEW, Reading.AFTER_GAP}:
            self._project(record.partition, outcome, record.value)
            self._decided(record.partition, outcome)
            self._tables.numbers.put(record.partition, record.topic, str(number).encode())
        return reading

    def _decisions(self, stream: Stream, number: int) -> SubscriberReader:
        """The reader of one stream; a new one goes on where `number` leads.

        A number in the table says only that nothing before it is missing.  The rows that it stood for may not have
        reached their changelogs before a kill, so what comes again after a restart is applied again.
        """
        reader = self._decisions_read.get(stream)
        if reader is None:
            held = self._tables.numbers.find(stream.shard, stream.topic)
            last = min(int(held) if held else 0, number - 1)
            reader = self._decisions_read[stream] = SubscriberReader({stream: last})
        return reader

    def _project(self, partition: int, decision: Decision, value: bytes) -> None:
        tables = self._tables
        match decision:
            case MarginCall(status="recovered" | "closed"):
                tables.calls.drop(partition, f"{decision.account}|{decision.instrument}")
            case MarginCall():
                tables.calls.put(partition, f"{decision.account}|{decision.instrument}", value)
            case LiquidationStarted():
                _set(tables.liquidations, partition, decision.liquidation_id, "started", value)
            case LiquidationOrder():
                _set(tables.liquidations, partition, decision.liquidation_id, "order", value)
            case LiquidationProgress():
                _set(tables.liquidations, partition, decision.liquidation_id, "progress", value)
            case LiquidationCompleted():
                tables.liquidations.drop(partition, decision.liquidation_id)
            case InstrumentChanged():
                _set(tables.instruments, partition, decision.instrument, "changed", value)
            case RequirementAnnounced():
                _set(tables.instruments, partition, decision.instrument, "announced", value)
            case RequirementChanged():
                _set(tables.instruments, partition, decision.instrument, "requirement", value)
            case _:
                pass  # nothing is open because of it


def _set(table: Rows, partition: int, key: str, name: str, value: bytes) -> None:
    """Set one member of a row that is a JSON object."""
    held = table.find(partition, key)
    row = orjson.loads(held) if held else {}
    row[name] = orjson.loads(value)
    table.put(partition, key, orjson.dumps(row))


def _decoded(decode: Callable[[bytes], Outcome], value: bytes) -> Outcome:
    try:
        return decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable("malformed", str(error)) from error
