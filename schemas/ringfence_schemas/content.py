"""The content of an input: what makes a repetition the same input and a conflict another.

All known fields count, decimals by value: `1`, `1.0` and `"1e0"` are the same content.  An absent field and a null
are the same.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.inspect import Field, ListType, Metadata, StructType, TupleType, Type, UnionType, type_info

from ringfence_schemas.decimals import DecimalRefused, numerals, units
from ringfence_schemas.inputs import Event, Fill, Input
from ringfence_schemas.kinds import Kind

Canonical = Callable[[Any], Any]

_SEPARATOR = "\x1f"
_NOTHING_RARE = (None,) * 5
_ADDED = frozenset({("Liquidation", "throttle"), ("Mark", "weights"), ("instrument", "attribution")})
"""Fields that the contract got later, left out where they are absent: so what was sent before keeps its content."""


def content_of(event: Input) -> bytes:
    """The canonical bytes of an input's content.  A text that is no decimal stands for itself, so any input has a
    content.
    """
    if type(event) is Fill:
        try:
            return _fill_content(event)
        except DecimalRefused:
            pass
    return _encode(_CONTENTS[type(event)](event))


def _fill_content(event: Fill) -> bytes:
    """The same for a sound fill, written out because fills are many."""
    rare = (event.fee, event.margin, event.fee_asset, event.order_id, event.liquidation_id)
    parts = (
        "fill",
        event.account,
        event.instrument,
        event.fill_id,
        event.side,
        numerals[event.quantity],
        numerals[event.price],
        str(event.time_us),
    )
    text = _SEPARATOR.join(parts)
    if rare != _NOTHING_RARE:
        numbers = [None if number is None else numerals[number] for number in rare[:2]]
        text = f"{text}{_SEPARATOR}{numbers}{rare[2:]}"
    return text.encode()


def _plain(value: Any) -> Any:
    return value


def _number(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return str(units[text])
    except DecimalRefused:
        return [text]


def _struct(fields: tuple[Field, ...], name: str) -> Canonical:
    members = [(field.name, _canonical(field.type)) for field in fields if (name, field.name) not in _ADDED]
    added = [(field.name, _canonical(field.type)) for field in fields if (name, field.name) in _ADDED]

    def canonical(value: Any) -> Any:
        if value is None:
            return None
        content = [name, *(part(getattr(value, member)) for member, part in members)]
        later = ((member, part(getattr(value, member))) for member, part in added)
        return content + [[member, part] for member, part in later if part is not None]

    return canonical


def _items(item: Canonical) -> Canonical:
    return lambda values: None if values is None else [item(value) for value in values]


def _row(items: tuple[Canonical, ...]) -> Canonical:
    return lambda values: [item(value) for item, value in zip(items, values, strict=True)]


def _canonical(annotation: Type) -> Canonical:
    match annotation:
        case UnionType(types=(first, *_)):
            return _canonical(first)
        case Metadata(extra={"kind": Kind(numeral=True)}):
            return _number
        case ListType(item_type=item):
            return _items(_canonical(item))
        case TupleType(item_types=items):
            return _row(tuple(map(_canonical, items)))
        case StructType(cls=struct, fields=fields):
            return _struct(fields, struct.__name__)
        case _:
            return _plain


def _content(struct: type[Struct]) -> Canonical:
    shape = type_info(struct)
    assert isinstance(shape, StructType)
    return _struct(shape.fields, str(struct.__struct_config__.tag))


_encode = msgspec.json.Encoder().encode
_CONTENTS: dict[type[Struct], Canonical] = {struct: _content(struct) for struct in Event.__subclasses__()}
