"""Exact decimals: text on the wire, integers in the engine, never a binary float.

A decimal numeral is what JSON accepts as a number, and nothing else: an optional ``-``, digits without a needless
leading zero, an optional fraction, an optional exponent.  Its value must be an integer multiple of 10^-18 and below
10^18 in magnitude; how it was written (``1``, ``1.0``, ``1e0``) makes no difference.
"""

import re
from collections.abc import Callable
from typing import Literal, TypeVar

DECIMALS = 18
"""Digits after the point that a decimal input may carry."""

ONE: int = 10**DECIMALS
"""The number one, in units of 10^-18."""

LIMIT: int = ONE * ONE
"""Every decimal input is smaller than this in magnitude, in units of 10^-18: |value| < 10^18."""

_WHOLE_DIGITS = 18
_NUMERAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
_LONGEST_EXPONENT = 12

Value = TypeVar("Value")


class DecimalRefused(ValueError):
    """A text that is no decimal of the contract; `code` is the refusal code."""

    def __init__(self, code: Literal["wrong_type", "out_of_range"]) -> None:
        super().__init__(code)
        self.code: Literal["wrong_type", "out_of_range"] = code


def parse_units(text: str) -> int:
    """Return the exact value of a decimal numeral, in units of 10^-18.

    Raises `DecimalRefused`: `wrong_type` when `text` is no numeral (a word, ``NaN``, a plus sign, a space),
    `out_of_range` when its value is 10^18 or more in magnitude or has more than 18 decimals.  The work is bounded by
    the length of the text, whatever its exponent.
    """
    match = _NUMERAL.fullmatch(text)
    if match is None:
        raise DecimalRefused("wrong_type")
    minus, whole, fraction, exponent_sign, exponent = match.groups("")
    if not exponent and len(whole) <= _WHOLE_DIGITS and len(fraction) <= DECIMALS:
        return int(minus + whole + fraction.ljust(DECIMALS, "0"))
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return 0
    exponent = exponent.lstrip("0") or "0"
    if len(exponent) > _LONGEST_EXPONENT:
        raise DecimalRefused("out_of_range")
    power = int(exponent_sign + exponent) - len(fraction) + len(digits) - len(significant)
    if power < -DECIMALS or len(significant) + power > _WHOLE_DIGITS:
        raise DecimalRefused("out_of_range")
    return int(minus + significant + "0" * (DECIMALS + power))


class Cache(dict[str, Value]):
    """A function of a text behind a bounded table: ``cache[text]`` costs one look-up, or else one call."""

    LARGEST = 2**16
    """Entries; one more empties the table."""

    LONGEST = 64
    """Characters of a text worth keeping."""

    def __init__(self, function: Callable[[str], Value]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, text: str) -> Value:
        value = self._function(text)
        if len(text) <= self.LONGEST:
            if len(self) >= self.LARGEST:
                self.clear()
            self[text] = value
        return value


units = Cache(parse_units)
"""``units[text]`` is the value of a decimal numeral in units of 10^-18, or raises as `parse_units` does."""


def decimal_text(value: int, decimals: int) -> str:
    """Return the canonical text of ``value * 10**-decimals`` (`decimals` >= 0).

    Canonical: no exponent, no trailing zeros, no plus sign, ``0`` for zero.
    """
    if value <= 0:
        return "-" + decimal_text(-value, decimals) if value else "0"
    digits = str(value)
    point = len(digits) - decimals
    if point <= 0:
        digits, point = digits.zfill(decimals + 1), 1
    fraction = digits[point:].rstrip("0")
    return f"{digits[:point]}.{fraction}" if fraction else digits[:point]


numerals = Cache(lambda text: decimal_text(units[text], DECIMALS))
"""``numerals[text]`` is the canonical text of the same value, or raises as `parse_units` does."""
