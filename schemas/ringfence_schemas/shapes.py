"""The shape of every input, read once from the annotations of its struct, down to the leaves of nested parts.

`sound` tells, fast, whether a value that already has the right Python type is acceptable.  `read` is the patient way:
it takes one JSON value, still raw, accepts a JSON number for a decimal by its text as it stands, and reports every
fault it meets to `Findings`, which keeps the first in order of precedence.  So the fault reported does not depend on
the order of fields.
"""

import re
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.inspect import (
    BoolType,
    Field,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StructType,
    TupleType,
    Type,
    UnionType,
    type_info,
)

from ringfence_schemas.codes import PRECEDENCE
from ringfence_schemas.kinds import Kind

_INTEGER = re.compile(rb"-?[0-9]+")
_LONGEST_INTEGER = 40
_LONGEST_SHOWN = 40
_LONGEST_CHARACTER = 4

read_members = msgspec.json.Decoder(dict[str, Raw]).decode
read_string = msgspec.json.Decoder(str).decode
_read_items = msgspec.json.Decoder(list[Raw]).decode


Built = TypeVar("Built", bound=Struct)


class Findings:
    """The faults of one input, of which only the first in order of precedence is kept.

    `shapely` turns False at a fault of shape: a value that has no place in the struct at all.
    """

    __slots__ = ("code", "message", "shapely")

    def __init__(self) -> None:
        self.code: str | None = None
        self.message = ""
        self.shapely = True

    def report(self, code: str, path: str, raw: bytes | None, expects: str) -> None:
        """Note that the value at `path`, absent when `raw` is None, is not what it should be."""
        if self.code is None or PRECEDENCE[code] < PRECEDENCE[self.code]:
            self.code = code
            self.message = f"`{path}` is {'missing' if raw is None else shown(raw)}; send {expects}"

    def misshapen(self, code: str, path: str, raw: bytes | None, expects: str) -> None:
        """Note a fault of shape."""
        self.shapely = False
        self.report(code, path, raw, expects)


def shown(raw: bytes) -> str:
    """Return the beginning of a JSON text for a message, in printable ASCII."""
    text = raw[: _LONGEST_CHARACTER * (_LONGEST_SHOWN + 1)].decode(errors="ignore")
    # Not `isprintable`: what that says of other scripts depends on the version of Python.
    said = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text[:_LONGEST_SHOWN])
    return said if len(text) <= _LONGEST_SHOWN else said + "..."


class Shape(Protocol):
    """What one value must be; `expects` says it in words."""

    expects: str

    def sound(self, value: Any) -> bool:
        """Tell whether a value of the right Python type is acceptable; may raise `DecimalRefused` when it is not."""
        ...

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        """Return the value of a JSON text, with a finding when it is not sound; None and a finding when misshapen."""
        ...


class Leaf:
    """A text, a decimal or an integer, judged by its kind."""

    def __init__(self, kind: Kind, *, integer: bool) -> None:
        self.expects = kind.expects
        self.sound = kind.sound
        self._refusal = kind.refusal
        self._value_of = _integer_of if integer else _numeral_of if kind.numeral else _text_of

    def read(self, raw: bytes, path: str, findings: Findings) -> str | int | None:
        """Return the text, or the integer."""
        value = self._value_of(raw)
        if value is None:
            findings.misshapen("wrong_type", path, raw, self.expects)
        elif code := self._refusal(value):
            findings.report(code, path, raw, self.expects)
        return value


def _text_of(raw: bytes) -> str | None:
    return read_string(raw) if raw.startswith(b'"') else None


def _numeral_of(raw: bytes) -> str | None:
    return raw.decode() if raw[0] in b"-0123456789" else _text_of(raw)


def _integer_of(raw: bytes) -> int | None:
    # Cut off so that no length of digits can be costly: what is left is still far out of range.
    return int(raw[:_LONGEST_INTEGER]) if _INTEGER.fullmatch(raw) else None


class Choice:
    """One of a few JSON constants."""

    def __init__(self, values: tuple[bool | int | str | None, ...]) -> None:
        self._values = {msgspec.json.encode(value): value for value in values}
        self.expects = " or ".join(text.decode() for text in self._values)

    def sound(self, value: Any) -> bool:
        """Tell whether it is one of them."""
        return value in self._values.values()

    def read(self, raw: bytes, path: str, findings: Findings) -> bool | int | str | None:
        """Return the constant."""
        constant = msgspec.json.encode(read_string(raw)) if raw.startswith(b'"') else raw
        if constant not in self._values:
            findings.misshapen("wrong_type", path, raw, self.expects)
        return self._values.get(constant)


class Sequence:
    """A list of values of one shape."""

    expects = "a list"

    def __init__(self, item: Shape) -> None:
        self._item = item

    def sound(self, value: list[Any]) -> bool:
        """Tell whether every item is."""
        return all(map(self._item.sound, value))

    def read(self, raw: bytes, path: str, findings: Findings) -> list[Any] | None:
        """Return the items."""
        if not raw.startswith(b"["):
            findings.misshapen("wrong_type", path, raw, self.expects)
            return None
        return [self._item.read(bytes(item), f"{path}[{i}]", findings) for i, item in enumerate(_read_items(raw))]


class Table:
    """A list of rows, each a list of as many values as there are columns."""

    expects = "a list"

    def __init__(self, columns: tuple[Shape, ...]) -> None:
        self._columns = columns
        self._row = f"a list of {len(columns)}"

    def sound(self, value: list[tuple[Any, ...]]) -> bool:
        """Tell whether every value of every column is."""
        for shape, column in zip(self._columns, zip(*value, strict=True), strict=False):
            if not all(map(shape.sound, column)):
                return False
        return True

    def read(self, raw: bytes, path: str, findings: Findings) -> list[tuple[Any, ...] | None] | None:
        """Return the rows."""
        if not raw.startswith(b"["):
            findings.misshapen("wrong_type", path, raw, self.expects)
            return None
        return [self._read_row(bytes(row), f"{path}[{i}]", findings) for i, row in enumerate(_read_items(raw))]

    def _read_row(self, raw: bytes, path: str, findings: Findings) -> tuple[Any, ...] | None:
        values = _read_items(raw) if raw.startswith(b"[") else []
        if len(values) != len(self._columns):
            findings.misshapen("wrong_type", path, raw, self._row)
            return None
        pairs = enumerate(zip(self._columns, values, strict=True))
        return tuple(shape.read(bytes(value), f"{path}[{i}]", findings) for i, (shape, value) in pairs)


class Record(Generic[Built]):
    """A struct: an input, or a part of one."""

    expects = "an object"

    def __init__(self, struct: type[Built], fields: tuple[Field, ...]) -> None:
        self._struct = struct
        self._fields = tuple((field, _shape(_present(field.type))) for field in fields)
        self._sounds = tuple((attrgetter(field.name), shape.sound) for field, shape in self._fields)

    def sound(self, value: Struct) -> bool:
        """Tell whether every field that is present is."""
        for member, sound in self._sounds:  # noqa: SIM110 -- a plain loop: it runs for every field of every input
            if (item := member(value)) is not None and not sound(item):
                return False
        return True

    def read(self, raw: bytes, path: str, findings: Findings) -> Built | None:
        """Return the struct."""
        if not raw.startswith(b"{"):
            findings.misshapen("wrong_type", path, raw, self.expects)
            return None
        return self.build(read_members(raw), f"{path}.", findings)

    def build(self, members: dict[str, Raw], prefix: str, findings: Findings) -> Built:
        """Return the struct of these members; of no use when a fault of shape was found."""
        values: dict[str, Any] = {}
        for field, shape in self._fields:
            raw = bytes(members.get(field.encode_name, b"null"))
            path = prefix + field.encode_name
            if raw != b"null":
                values[field.name] = shape.read(raw, path, findings)
            elif field.required:
                findings.misshapen("missing_field", path, None, shape.expects)
                values[field.name] = None
        return self._struct(**values)


def record(struct: type[Built]) -> Record[Built]:
    """Return the shape of a struct."""
    return Record(struct, cast("StructType", type_info(struct)).fields)


def _present(annotation: Type) -> Type:
    """Return the annotation of an optional field without its None."""
    if isinstance(annotation, UnionType):
        (annotation,) = (option for option in annotation.types if not isinstance(option, NoneType))
    return annotation


def _shape(annotation: Type) -> Shape:
    match annotation:
        case Metadata(type=inner, extra={"kind": Kind() as kind}):
            return Leaf(kind, integer=isinstance(inner, IntType))
        case BoolType():
            return Choice((True, False))
        case LiteralType(values=values):
            return Choice(values)
        case ListType(item_type=TupleType(item_types=columns)):
            return Table(tuple(map(_shape, columns)))
        case ListType(item_type=item):
            return Sequence(_shape(item))
        case StructType(cls=struct, fields=fields):
            return Record(struct, fields)
        case _:
            raise TypeError(f"no shape for {annotation}")
