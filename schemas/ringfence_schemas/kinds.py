"""The kinds of value that inputs carry: what each accepts, in code and in JSON Schema, stated once.

A kind is attached to a field by its annotation.  The structs themselves check only that a decimal is text and a time an
integer, so that decoding stays fast; `ringfence_schemas.reading.check` applies the kinds.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from ringfence_schemas.decimals import Cache, DecimalRefused, units

INTEGER_LIMIT = 10**18
"""Every integer input is smaller than this in magnitude."""


def valid_long_identifier(text: str, longest: int = 160) -> bool:
    """Tell whether `text` can be an id made by the engine: 1-160 bytes of printable ASCII without space."""
    return 0 < len(text) <= longest and text.isascii() and text.isprintable() and " " not in text


def valid_identifier(text: str) -> bool:
    """Tell whether `text` can be an id made by a sender: 1-128 bytes of printable ASCII without space and ``|``."""
    return "|" not in text and valid_long_identifier(text, 128)


def valid_name(text: str) -> bool:
    """Tell whether `text` can name an account, asset, instrument or source: as an id, of 1-48 bytes."""
    return "|" not in text and valid_long_identifier(text, 48)


_valid_names = Cache(valid_name)


class Kind(NamedTuple):
    """What a value of a field must be.

    `expects` says it in words.  `sound` tells whether a value of the right Python type is acceptable, or raises
    `DecimalRefused`; `code` is the refusal code of one that is not.  A `numeral` is kept as text and may also be sent
    as a JSON number.
    """

    expects: str
    sound: Callable[[Any], bool]
    code: str
    numeral: bool = False

    def refusal(self, value: Any) -> str | None:
        """Return the refusal code of a value of the right Python type, None when it is acceptable."""
        try:
            return None if self.sound(value) else self.code
        except DecimalRefused as refused:
            return refused.code


def _text(expects: str, sound: Callable[[str], bool], longest: int, alphabet: str) -> Meta:
    kind = Kind(expects, sound, "bad_id")
    schema = {"pattern": f"^[{alphabet}]+$", "minLength": 1, "maxLength": longest}
    return Meta(description=expects, extra={"kind": kind}, extra_json_schema=schema)


def _decimal(expects: str, sound: Callable[[str], bool], minus: str, **bounds: int) -> Meta:
    kind = Kind(expects, sound, "not_positive", numeral=True)
    numeral = rf"^{minus}(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
    schema = {"pattern": numeral, "exclusiveMaximum": INTEGER_LIMIT, **bounds}
    return Meta(description=expects, extra={"kind": kind}, extra_json_schema=schema)


def _integer(expects: str, low: int, high: int) -> Meta:
    kind = Kind(expects, lambda value: low <= value <= high, "out_of_range")
    return Meta(description=expects, extra={"kind": kind}, extra_json_schema={"minimum": low, "maximum": high})


def _is_positive(text: str) -> bool:
    return units[text] > 0


def _is_not_negative(text: str) -> bool:
    return units[text] >= 0


def _is_decimal(text: str) -> bool:
    return units[text] is not None


_PLAIN = "!-{}~"
_GREATEST = INTEGER_LIMIT - 1

Name = Annotated[
    str, _text("a name of 1-48 bytes of printable ASCII without space and `|`", _valid_names.__getitem__, 48, _PLAIN)
]
Identifier = Annotated[
    str, _text("an id of 1-128 bytes of printable ASCII without space and `|`", valid_identifier, 128, _PLAIN)
]
LongIdentifier = Annotated[
    str, _text("an id of 1-160 bytes of printable ASCII without space", valid_long_identifier, 160, "!-~")
]

PositiveDecimal = Annotated[
    str,
    _decimal("a decimal above 0, below 10^18, with at most 18 decimals", _is_positive, "", exclusiveMinimum=0),
]
NonNegativeDecimal = Annotated[
    str,
    _decimal("a decimal of 0 or more, below 10^18, with at most 18 decimals", _is_not_negative, "-?", minimum=0),
]
SignedDecimal = Annotated[
    str,
    _decimal(
        "a decimal of any sign, below 10^18 in magnitude, with at most 18 decimals",
        _is_decimal,
        "-?",
        exclusiveMinimum=-INTEGER_LIMIT,
    ),
]

CanonicalDecimal = Annotated[
    str,
    Meta(
        description="a decimal without exponent, plus sign or trailing zeros",
        extra_json_schema={"pattern": r"^(0|-?(0\.[0-9]*[1-9]|[1-9][0-9]*(\.[0-9]*[1-9])?))$"},
    ),
]
"""What outcomes carry; inputs are not so strict."""

Integer = Annotated[int, _integer("an integer below 10^18 in magnitude", -_GREATEST, _GREATEST)]
Count = Annotated[int, _integer("an integer of 0 or more, below 10^18", 0, _GREATEST)]
AssetDecimals = Annotated[int, _integer("an integer from 0 to 18", 0, 18)]
TimeMicroseconds = Annotated[
    int, _integer("microseconds since the epoch, an integer of 0 or more, below 10^18", 0, _GREATEST)
]
DurationMicroseconds = Annotated[int, _integer("microseconds, an integer of 0 or more, below 10^18", 0, _GREATEST)]
