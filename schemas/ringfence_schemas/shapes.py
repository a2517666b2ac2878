"""The shape of every input, read once from the annotations of its struct: what each value must be, down to the leaves of nested parts.

`sound` asks, fast, whether a value that already has the right Python type is acceptable.  `read` is the patient way: it takes one JSON value, still
raw, accepts a JSON number for a decimal by its text as it stands, and reports every fault it meets to `Findings`, which keeps the first in order of
precedence.  So the fault reported does not depend on the order of fields.
"""

import re
from operator import attrgetter
from typing import Any, Protocol, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.inspect import BoolType, Field, IntType, ListType, LiteralType, Metadata, NoneType, StructType, TupleType, Type, UnionType, type_info

from ringfence_schemas.codes import PRECEDENCE
from ringfence_schemas.kinds import Kind

_NUMBER_STARTS = b"-0123456789"
_INTEGER = re.compile(rb"-?[0-9]+")
_LONGEST_INTEGER = 40
_LONGEST_SHOWN = 40

read_members = msgspec.json.Decoder(dict[str, Raw]).decode
_read_items = msgspec.json.Decoder(list[Raw]).decode
read_string = msgspec.json.Decoder(str).decode


class Findings:
    """The faults of one input, of which only the first in order of precedence is kept.

    `shapely` turns False when a fault is one of shape: a value that has no place in the struct at all.
    """

    __slots__ = ("code", "message", "rank", "shapely")

    def __init__(self) -> None:
        self.rank = len(PRECEDENCE)
        self.code = ""
        self.message = ""
        self.shapely = True

    def report(self, code: str, path: str, raw: bytes | None, expects: str) -> None:
        """Note that the value at `path`, absent when `raw` is None, is not what it should be."""
        if PRECEDENCE[code] < self.rank:
            self.rank = PRECEDENCE[code]
            self.code = code
            self.message = f"`{path}` is {'missing' if raw is None else shown(raw)}; send {expects}"

    def misshapen(self, code: str, path: str, raw: bytes | None, expects: str) -> None:
        """Note a fault of shape."""
        self.shapely = False
        self.report(code, path, raw, expects)


def shown(raw: bytes) -> str:
    """The beginning of a JSON text, for a message."""
    text = raw[: 4 * _LONGEST_SHOWN].decode(errors="ignore")
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


class Shape(Protocol):
    """What one value must be."""

    expects: str

    def sound(self, value: Any) -> bool:
        """Whether a value of the right Python type is acceptable."""

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        """The value of a JSON text; None, and a finding, when it has another shape.  A value of the right shape that is not sound is a finding too."""


class Leaf:
    """A text, a decimal or an integer, judged by its kind."""

    def __init__(self, kind: Kind, integer: bool) -> None:
        self.expects = kind.expects
        self.refusal = kind.refusal
        self._value_of = _integer_of if integer else _numeral_of if kind.numeral else _text_of

    def sound(self, value: Any) -> bool:
        return self.refusal(value) is None

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        value = self._value_of(raw)
        if value is None:
            findings.misshapen("wrong_type", path, raw, self.expects)
        elif code := self.refusal(value):
            findings.report(code, path, raw, self.expects)
        return value


def _text_of(raw: bytes) -> str | None:
    return read_string(raw) if raw.startswith(b'"') else None


def _numeral_of(raw: bytes) -> str | None:
    return raw.decode() if raw[0] in _NUMBER_STARTS else _text_of(raw)


def _integer_of(raw: bytes) -> int | None:
    # Cut off so that no length of digits can be costly: what is left is still far out of range.
    return int(raw[:_LONGEST_INTEGER]) if _INTEGER.fullmatch(raw) else None


class Choice:
    """One of a few JSON constants."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = {msgspec.json.encode(value): value for value in values}
        self.expects = " or ".join(f"`{text.decode()}`" for text in self._values)

    def sound(self, value: Any) -> bool:
        return True

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        text = msgspec.json.encode(read_string(raw)) if raw.startswith(b'"') else raw
        if text not in self._values:
            findings.misshapen("wrong_type", path, raw, self.expects)
        return self._values.get(text)


class Sequence:
    """A list of values of one shape."""

    def __init__(self, item: Shape) -> None:
        self.expects = "a list"
        self._item = item

    def sound(self, value: Any) -> bool:
        return all(map(self._item.sound, value))

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        if not raw.startswith(b"["):
            return findings.misshapen("wrong_type", path, raw, self.expects)
        return [self._item.read(bytes(item), f"{path}[{i}]", findings) for i, item in enumerate(_read_items(raw))]


class Row:
    """A list of a fixed number of values, each of its own shape."""

    def __init__(self, items: tuple[Shape, ...]) -> None:
        self.expects = f"a list of {len(items)}"
        self._items = items

    def sound(self, value: Any) -> bool:
        return all(shape.sound(item) for shape, item in zip(self._items, value, strict=True))

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        items = _read_items(raw) if raw.startswith(b"[") else []
        if len(items) != len(self._items):
            return findings.misshapen("wrong_type", path, raw, self.expects)
        pairs = zip(self._items, items, strict=True)
        return tuple(shape.read(bytes(item), f"{path}[{i}]", findings) for i, (shape, item) in enumerate(pairs))


class Record:
    """A struct: an input, or a part of one."""

    def __init__(self, struct: type[Struct], fields: tuple[Field, ...]) -> None:
        self.expects = "an object"
        self._struct = struct
        self._fields = tuple((field, _shape(_present(field.type))) for field in fields)
        self._values = attrgetter(*(field.name for field in fields), "__class__")
        self._sound = tuple(shape.sound for _, shape in self._fields)

    def sound(self, value: Any) -> bool:
        for sound, member in zip(self._sound, self._values(value), strict=False):
            if member is not None and not sound(member):
                return False
        return True

    def read(self, raw: bytes, path: str, findings: Findings) -> Any:
        if not raw.startswith(b"{"):
            return findings.misshapen("wrong_type", path, raw, self.expects)
        return self.build(read_members(raw), path + ".", findings)

    def build(self, members: dict[str, Raw], prefix: str, findings: Findings) -> Any:
        """The struct of these members; to be used only when nothing was found."""
        values = {}
        for field, shape in self._fields:
            raw = bytes(members.get(field.encode_name, b"null"))
            path = prefix + field.encode_name
            if raw != b"null":
                values[field.name] = shape.read(raw, path, findings)
            elif field.required:
                values[field.name] = findings.misshapen("missing_field", path, None, shape.expects)
        return self._struct(**values)


def record(struct: type[Struct]) -> Record:
    """The shape of a struct."""
    return Record(struct, cast(StructType, type_info(struct)).fields)


def _present(annotation: Type) -> Type:
    """The annotation of an optional field, without its None."""
    if isinstance(annotation, UnionType):
        (annotation,) = (option for option in annotation.types if not isinstance(option, NoneType))
    return annotation


def _shape(annotation: Type) -> Shape:
    match annotation:
        case Metadata(type=inner, extra={"kind": Kind() as kind}):
            return Leaf(kind, isinstance(inner, IntType))
        case BoolType():
            return Choice((True, False))
        case LiteralType(values=values):
            return Choice(values)
        case ListType(item_type=item):
            return Sequence(_shape(item))
        case TupleType(item_types=items):
            return Row(tuple(map(_shape, items)))
        case StructType(cls=struct, fields=fields):
            return Record(struct, fields)
        case _:
            raise TypeError(f"no shape for {annotation}")
