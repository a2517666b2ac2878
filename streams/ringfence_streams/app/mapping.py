"""Foreign fills: a file says where ours are in somebody else's records, and nothing is programmed.

A mapping is a TOML file; docs/guide/faust-app.md has it field by field.  It turns one foreign record into any number of
our fills, each item of it either mapped or laid aside with a code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DecimalException
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from ringfence_schemas.inputs import Fill, encode_input
from ringfence_schemas.reading import check

Scalar = str | int | bool
_EXACT: Final = Context(prec=200)
"""Digits beyond any number that is in range, so that nothing is ever rounded."""
_REQUIRED: Final = ("account", "instrument", "side", "quantity", "price", "time_us")
_DECIMALS: Final = frozenset({"quantity", "price", "fee", "margin"})
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_decode = msgspec.json.Decoder(float_hook=str).decode
"""Numbers with a fraction keep their text: none passes through a binary float."""


class MappingRefused(Exception):
    """A mapping that cannot be used.

    `code`: `mapping_unreadable`, `mapping_malformed`, `mapping_incomplete` or `mapping_contradictory`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ItemRefused(Exception):
    """One item of a foreign record that gives no fill; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the value of one of our fields comes from: exactly one of `path`, `record` and `constant`."""

    path: str | None = None
    """Names joined by dots, from the item; after `$.` from the whole record."""
    record: Literal["key", "timestamp", "topic", "partition", "offset"] | None = None
    """Something of the record itself; its timestamp is in milliseconds."""
    constant: str | None = None
    map: dict[str, str] | None = None
    """Their value -> ours; a value that is not there is refused."""
    sign: bool = False
    """For `side`: `buy` when the number is positive, `sell` when it is negative."""
    absolute: bool = False
    """The number without its sign."""
    negate: bool = False
    """The number with the other sign, for instance where a fee paid is negative."""
    decimals: int = 0
    """The number is an integer with so many decimals: 8 for satoshi."""
    unit: Literal["s", "ms", "us", "ns", "rfc3339"] | None = None
    """For `time_us`: the unit of the number, or text with a UTC offset."""
    optional: bool = False
    """Whether the value may be absent or null; our field is left out then."""


class Where(Struct, frozen=True, forbid_unknown_fields=True):
    """Which items are fills at all; the others are passed over."""

    path: str
    values: list[str]


class FillMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"items_": "items"}):
    """One foreign topic."""

    name: str
    """Names the mapping in metrics and in the ids made of coordinates."""
    topic: str
    """Name of the foreign topic on the cluster, as it is."""
    dead_letters: str | None = None
    """Where records go that cannot be mapped; by default the topic with `.dlq`."""
    items_: str | None = None
    """Path of the list of items in a record that carries several."""
    where: Where | None = None
    fields: dict[str, Source]
    """Our field of a fill -> where its value comes from."""

    @property
    def dead_letter_topic(self) -> str:
        """Name of the topic for records that cannot be mapped."""
        return self.dead_letters or f"{self.topic}.dlq"


class ForeignRecord(NamedTuple):
    """One foreign record."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one item became: a fill, or the reason why not."""

    item: int
    """Its place in the record, from 0."""
    account: str
    fill: bytes | None
    """Our input, encoded; None when it was refused."""
    refused: ItemRefused | None = None


def read_mapping(path: str | Path) -> FillMapping:
    """Read and check a mapping.  Raises MappingRefused."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        mapping = msgspec.convert(tomllib.loads(text), FillMapping)
    except OSError as error:
        raise MappingRefused("mapping_unreadable", f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise MappingRefused("mapping_malformed", f"{path}: {error}") from error
    _check_fields(mapping.fields, str(path))
    return mapping


def _check_fields(fields: Mapping[str, Source], where: str) -> None:
    ours = {field.name for field in msgspec.structs.fields(Fill)}
    for name, source in fields.items():
        place = f"{where}: fields.{name}"
        if name not in ours:
            raise MappingRefused("mapping_malformed", f"{place}: a fill has no such field; it has {sorted(ours)}")
        if sum(given is not None for given in (source.path, source.record, source.constant)) != 1:
            raise MappingRefused("mapping_contradictory", f"{place}: give exactly one of path, record and constant")
        if source.sign and name != "side":
            raise MappingRefused("mapping_contradictory", f"{place}: sign is for side alone")
        if (source.absolute or source.negate or source.decimals) and name not in _DECIMALS:
            raise MappingRefused("mapping_contradictory", f"{place}: absolute, negate and decimals are for numbers")
        if (source.unit is not None) != (name == "time_us" and source.record is None):
            raise MappingRefused("mapping_contradictory", f"{place}: time_us has a unit, and nothing else has")
        if source.optional and name in _REQUIRED:
            raise MappingRefused("mapping_contradictory", f"{place}: a fill must have it")
    if missing := [name for name in _REQUIRED if name not in fields]:
        raise MappingRefused("mapping_incomplete", f"{where}: no source for {', '.join(missing)}")


def map_record(mapping: FillMapping, record: ForeignRecord) -> Iterator[Mapped]:
    """Yield what every item of a record becomes, in order.

    Raises ItemRefused when the record as a whole cannot be read: `no_value`, `not_json`, `no_items`.
    """
    if record.value is None:
        raise ItemRefused("no_value", "the record has no value")
    try:
        whole = _decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ItemRefused("not_json", str(error)) from error
    for index, item in enumerate(_items(mapping, whole)):
        try:
            if mapping.where is None or _text(_at(mapping.where.path, item, whole)) in mapping.where.values:
                fill = _fill(mapping, record, item, whole, index)
                yield Mapped(index, fill.account, encode_input(fill))
        except ItemRefused as refused:
            yield Mapped(index, "", None, refused)


def _items(mapping: FillMapping, whole: Any) -> Sequence[Any]:
    if mapping.items_ is None:
        return [whole]
    items = _at(mapping.items_, whole, whole)
    if not isinstance(items, list):
        raise ItemRefused("no_items", f"there is no list at {mapping.items_}")
    return items


def _fill(mapping: FillMapping, record: ForeignRecord, item: Any, whole: Any, index: int) -> Fill:
    values: dict[str, Any] = {}
    for name, source in mapping.fields.items():
        value = _value(source, record, item, whole)
        if value is None or value == "":
            if not source.optional:
                raise ItemRefused("missing_value", f"{name}: there is nothing at {source.path or source.record}")
            continue
        values[name] = _converted(name, source, value)
    # The coordinates of the record never change, so mapping it again gives the same id, and the engine the same state.
    values.setdefault("fill_id", f"{mapping.name}-{record.partition}-{record.offset}-{index}")
    try:
        fill = msgspec.convert(values, Fill)
    except msgspec.ValidationError as error:
        raise ItemRefused("wrong_type", str(error)) from error
    if (refused := check(fill)) is not None:
        raise ItemRefused(refused.code, refused.message)
    return fill


def _value(source: Source, record: ForeignRecord, item: Any, whole: Any) -> Any:
    match source:
        case Source(constant=str() as constant):
            return constant
        case Source(path=str() as path):
            return _at(path, item, whole)
        case Source(record="key"):
            return (record.key or b"").decode("utf-8", "replace")
        case Source(record="timestamp"):
            return record.timestamp_ms * 1_000
        case _:
            assert source.record is not None, "one of the three is given"
            return str(getattr(record, source.record))


def _at(path: str, item: Any, whole: Any) -> Any:
    """The value at a path; None where there is nothing."""
    names = path.split(".")
    value = item
    if names[0] == "$":
        names, value = names[1:], whole
    for name in names:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _converted(name: str, source: Source, value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ItemRefused("wrong_type", f"{name}: {source.path} holds an object or a list")
    text = _text(value)
    if source.map is not None:
        if text not in source.map:
            raise ItemRefused("not_mapped", f"{name}: the mapping has no {text!r}")
        text = source.map[text]
    if name == "time_us":
        return value if source.record else _time_us(text, source.unit)
    if name in _DECIMALS:
        return _decimal(name, source, text)
    if source.sign:
        return "sell" if _number(name, text) < 0 else "buy"
    return text


def _number(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except DecimalException as error:
        raise ItemRefused("bad_number", f"{name}: {text!r} is no number") from error
    if not number.is_finite():
        raise ItemRefused("bad_number", f"{name}: {text!r} is no number")
    if abs(number.adjusted()) > _EXACT.prec // 4 or len(number.as_tuple().digits) > _EXACT.prec // 4:
        raise ItemRefused("out_of_range", f"{name}: {text[:40]!r} has too many digits")
    return number


def _decimal(name: str, source: Source, text: str) -> str:
    number = _number(name, text)
    if source.absolute:
        number = number.copy_abs()
    if source.negate and number:
        number = number.copy_negate()
    return format(number.scaleb(-source.decimals, _EXACT), "f")


def _time_us(text: str, unit: str | None) -> int:
    """Microseconds since the epoch; what is finer is cut off, so that it is never in the future."""
    if unit == "rfc3339":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ItemRefused("bad_time", f"time_us: {text!r} is no RFC 3339 time") from error
        if moment.tzinfo is None:
            raise ItemRefused("bad_time", f"time_us: {text!r} has no UTC offset")
        return (moment - _EPOCH) // timedelta(microseconds=1)
    assert unit is not None, "a time that is no record's has a unit"
    return int(_number("time_us", text).scaleb(6, _EXACT) // _PER_SECOND[unit])
