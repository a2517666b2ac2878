"""From bytes to inputs: decoding, validation, and the refusals of both.

Decoding establishes the shape: one JSON object, a known type, every required field, each of the right JSON type.
`check` then judges the values.  Both name the first failing code in order of precedence, whatever the order of fields.
What is accepted or refused, and every word of a refusal, depends on the bytes alone: not on the version of a library,
not on the depth of the caller's stack.
"""

import re
from collections.abc import Callable
from typing import TypedDict, get_args

import msgspec
from msgspec import Raw

from ringfence_schemas.decimals import DecimalRefused
from ringfence_schemas.inputs import (
    AddMargin,
    Deposit,
    Fill,
    FundDeposit,
    Funding,
    Input,
    LiquidationReport,
    RemoveMargin,
    SetLeverage,
    Settlement,
    Ticks,
    Withdrawal,
)
from ringfence_schemas.kinds import valid_identifier, valid_name
from ringfence_schemas.shapes import Findings, read_members, read_string, record, shown

NESTING_LIMIT = 128
"""Objects and lists may be nested this deep; no input of the contract needs more than four."""

ID_FIELD: dict[type[Input], str] = {
    FundDeposit: "transfer_id",
    Settlement: "settlement_id",
    Funding: "funding_id",
    Deposit: "transfer_id",
    Withdrawal: "transfer_id",
    Fill: "fill_id",
    LiquidationReport: "report_id",
    SetLeverage: "command_id",
    AddMargin: "command_id",
    RemoveMargin: "command_id",
}
"""The field that makes an input unique; instruments, assets and ticks have none."""

INPUT_STRUCTS: dict[str, type[Input]] = {str(struct.__struct_config__.tag): struct for struct in get_args(Input)}
"""The struct of every input, by its `type`."""

_SHAPES = {struct: record(struct) for struct in INPUT_STRUCTS.values()}
_TYPES = {struct: name for name, struct in INPUT_STRUCTS.items()}
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[{])|([\]}])', re.DOTALL)

_decode = msgspec.json.Decoder(Input).decode


class Identity(TypedDict):
    """What names an input, None where it has none."""

    input_type: str | None
    input_id: str | None
    account: str | None
    instrument: str | None


class InputRefused(Exception):
    """An input that cannot be used, for the reasons of its bytes alone.

    `code` is the refusal code and `message` says which field is wrong and what to send.  The type, id, account and
    instrument of the input are given as far as they can be read and are valid themselves.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        input_type: str | None = None,
        input_id: str | None = None,
        account: str | None = None,
        instrument: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.input_type = input_type
        self.input_id = input_id
        self.account = account
        self.instrument = instrument


def decode_input(data: bytes) -> Input:
    """Return the input that one JSON object states; its values are not yet checked (see `check`).

    Raises `InputRefused`, and nothing else, with `malformed`, `unknown_type`, `missing_field` or `wrong_type`.
    """
    try:
        event: Input = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read(data)
    if data.isascii() and (len(data) <= 2 * NESTING_LIMIT or _surely_shallow(data, event)):
        return event
    return _read(data)


def check(event: Input) -> InputRefused | None:
    """Return why the values of an input are refused, None when they are not.

    The code is `wrong_type`, `bad_id`, `out_of_range` or `not_positive`.
    """
    shape = _SHAPES[type(event)]
    try:
        if shape.sound(event):
            return None
    except DecimalRefused:
        pass
    findings = Findings()
    members = read_members(msgspec.json.encode(event))
    shape.build(members, "", findings)
    assert findings.code, "what is not sound has a fault"
    return InputRefused(findings.code, findings.message, **_identity(members, type(event)))


def identify(event: Input) -> tuple[str, str | None, str | None, str | None]:
    """Return the type, id, account and instrument of an input, None where it has none."""
    struct = type(event)
    id_field = ID_FIELD.get(struct)
    input_id = getattr(event, id_field) if id_field else None
    return _TYPES[struct], input_id, getattr(event, "account", None), getattr(event, "instrument", None)


def _surely_shallow(data: bytes, event: Input) -> bool:
    """Tell whether the brackets not accounted for are too few to nest too deeply in the fields that nobody read."""
    known = len(event.prices) if isinstance(event, Ticks) else 0
    return data.count(b"[") + data.count(b"{") - known <= NESTING_LIMIT


def _read(data: bytes) -> Input:
    """Decode patiently: say exactly what is wrong, or take JSON numbers as decimals by their text."""
    try:
        data.decode()
        _refuse_deep(data)
        return _read_object(read_members(data))
    except UnicodeDecodeError:
        raise InputRefused("malformed", "the bytes are not UTF-8; send one JSON object in UTF-8") from None
    except msgspec.ValidationError:
        raise InputRefused("malformed", "the JSON value is not an object; send one JSON object") from None
    except msgspec.DecodeError:
        raise InputRefused("malformed", "the bytes are not JSON; send one JSON object") from None


def _refuse_deep(data: bytes) -> None:
    depth = 0
    for token in _STRUCTURE.finditer(data):
        if token[1]:
            depth += 1
        elif token[2]:
            depth -= 1
        if depth > NESTING_LIMIT:
            message = f"the JSON is nested deeper than {NESTING_LIMIT}; send an object of the documented fields"
            raise InputRefused("malformed", message)


def _read_object(members: dict[str, Raw]) -> Input:
    tag = bytes(members.get("type", b"null"))
    struct = INPUT_STRUCTS.get(read_string(tag)) if tag.startswith(b'"') else None
    if struct is None:
        said = "missing" if tag == b"null" else shown(tag)
        message = f"`type` is {said}; send one of {', '.join(INPUT_STRUCTS)}"
        raise InputRefused("unknown_type", message, **_identity(members, None))
    findings = Findings()
    event = _SHAPES[struct].build(members, "", findings)
    if findings.code and not findings.shapely:
        raise InputRefused(findings.code, findings.message, **_identity(members, struct))
    return event


def _identity(members: dict[str, Raw], struct: type[Input] | None) -> Identity:
    """Return what names a refused input, only as far as it is valid itself: no refusal spreads what it refuses."""
    return {
        "input_type": _text(members, "type", valid_identifier),
        "input_id": _text(members, ID_FIELD.get(struct, "") if struct else "", valid_identifier),
        "account": _text(members, "account", valid_name),
        "instrument": _text(members, "instrument", valid_name),
    }


def _text(members: dict[str, Raw], name: str, valid: Callable[[str], bool]) -> str | None:
    raw = bytes(members.get(name, b""))
    text = read_string(raw) if raw.startswith(b'"') else ""
    return text if valid(text) else None
