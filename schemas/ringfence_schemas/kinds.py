"""The kinds of value that inputs carry: what each accepts, in code and in JSON Schema, stated once.

A kind is attached to a field by its annotation.  The structs themselves check only that a decimal is text and a time an integer, so that
decoding stays fast; `ringfence_schemas.reading.check` applies the kinds.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from ringfence_schemas.decimals import DecimalRefused, units

INTEGER_LIMIT = 10**18
"""Every integer input is smaller than this in magnitude."""

_NUMERAL = r"(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def valid_name(text: str) -> bool:
    """Whether `text` can name an account, asset, instrument or source: 1-48 bytes of printable ASCII without space and ``|``."""
    return 0 < len(text) <= 48 and text.isascii() and text.isprintable() and " " not in text and "|" not in text


def valid_identifier(text: str) -> bool:
    """Whether `text` can be an id given by a sender: 1-128 bytes of printable ASCII without space and ``|``."""
    return 0 < len(text) <= 128 and text.isascii() and text.isprintable() and " " not in text and "|" not in text


def valid_long_identifier(text: str) -> bool:
    """Whether `text` can be an id given by the engine (a case or a liquidation): 1-160 bytes of printable ASCII without space."""
    return 0 < len(text) <= 160 and text.isascii() and text.isprintable() and " " not in text


class Kind(NamedTuple):
    """What a value of a field must be: `expects` says it in words, `refusal` names the refusal code of a value of the right Python type."""

    expects: str
    refusal: Callable[[Any], str | None]
    numeral: bool = False


def _signed(text: str) -> str | None:
    try:
        units[text]
    except DecimalRefused as refused:
        return refused.code
    return None


def _non_negative(text: str) -> str | None:
    try:
        return None if units[text] >= 0 else "not_positive"
    except DecimalRefused as refused:
        return refused.code


def _positive(text: str) -> str | None:
    try:
        return None if units[text] > 0 else "not_positive"
    except DecimalRefused as refused:
        return refused.code


def _integer(low: int, high: int) -> Callable[[int], str | None]:
    return lambda value: None if low <= value <= high else "out_of_range"


def _text(valid: Callable[[str], bool]) -> Callable[[str], str | None]:
    return lambda text: None if valid(text) else "bad_id"


def _text_field(words: str, valid: Callable[[str], bool], longest: int, alphabet: str) -> Meta:
    schema = {"pattern": f"^[{alphabet}]+$", "minLength": 1, "maxLength": longest}
    return Meta(description=words, extra={"kind": Kind(words, _text(valid))}, extra_json_schema=schema)


def _decimal_field(words: str, refusal: Callable[[str], str | None], pattern: str, **bounds: int) -> Meta:
    schema = {"type": ["string", "number"], "pattern": pattern + _NUMERAL, **bounds}
    return Meta(description=words, extra={"kind": Kind(words, refusal, numeral=True)}, extra_json_schema=schema)


def _integer_field(words: str, low: int, high: int) -> Meta:
    schema = {"minimum": low, "maximum": high}
    return Meta(description=words, extra={"kind": Kind(words, _integer(low, high))}, extra_json_schema=schema)


_PLAIN = r"!-{}~"
_GREATEST = INTEGER_LIMIT - 1

Name = Annotated[str, _text_field("a name of 1-48 bytes of printable ASCII without space and `|`", valid_name, 48, _PLAIN)]
Identifier = Annotated[str, _text_field("an id of 1-128 bytes of printable ASCII without space and `|`", valid_identifier, 128, _PLAIN)]
LongIdentifier = Annotated[str, _text_field("an id of 1-160 bytes of printable ASCII without space", valid_long_identifier, 160, "!-~")]

PositiveDecimal = Annotated[
    str,
    _decimal_field("a decimal greater than zero, below 10^18, with at most 18 decimals", _positive, "^", exclusiveMinimum=0, exclusiveMaximum=INTEGER_LIMIT),
]
NonNegativeDecimal = Annotated[
    str,
    _decimal_field("a decimal not below zero, below 10^18, with at most 18 decimals", _non_negative, "^-?", minimum=0, exclusiveMaximum=INTEGER_LIMIT),
]
SignedDecimal = Annotated[
    str,
    _decimal_field(
        "a decimal of any sign, below 10^18 in magnitude, with at most 18 decimals", _signed, "^-?", exclusiveMinimum=-INTEGER_LIMIT, exclusiveMaximum=INTEGER_LIMIT
    ),
]

Integer = Annotated[int, _integer_field("an integer below 10^18 in magnitude", -_GREATEST, _GREATEST)]
Count = Annotated[int, _integer_field("an integer from 0 to 10^18 - 1", 0, _GREATEST)]
AssetDecimals = Annotated[int, _integer_field("an integer from 0 to 18", 0, 18)]
TimeMicroseconds = Annotated[int, _integer_field("microseconds since the epoch, an integer from 0 to 10^18 - 1", 0, _GREATEST)]
DurationMicroseconds = Annotated[int, _integer_field("a duration in microseconds, an integer from 0 to 10^18 - 1", 0, _GREATEST)]
