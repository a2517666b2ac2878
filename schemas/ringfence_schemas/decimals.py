"""Exact decimals: text on the wire, integers in the engine, never a binary float.

A decimal numeral is what JSON accepts as a number, and nothing else: an optional ``-``, digits without a leading zero, an optional fraction,
an optional exponent.  Its value must be an integer multiple of 10^-18 and below 10^18 in magnitude; how it was written (``1``, ``1.0``, ``1e0``)
makes no difference.
"""

import re
from typing import Literal

DECIMALS = 18
"""Digits after the point that a decimal input may carry."""

ONE = 10**DECIMALS
"""The number one, in units of 10^-18."""

LIMIT = 10 ** (2 * DECIMALS)
"""Every decimal input is smaller than this in magnitude, in units of 10^-18: |value| < 10^18."""

_WHOLE_DIGITS = 18
_NUMERAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]+))?", re.ASCII)
_LONGEST_EXPONENT = 12


class DecimalRefused(ValueError):
    """A text that is no decimal of the contract; `code` is the refusal code."""

    def __init__(self, code: Literal["wrong_type", "out_of_range"]) -> None:
        super().__init__(code)
        self.code: Literal["wrong_type", "out_of_range"] = code


def parse_units(text: str) -> int:
    """The exact value of a decimal numeral, in units of 10^-18.

    Raises `DecimalRefused`: `wrong_type` when `text` is no numeral (a word, ``NaN``, a plus sign, a space), `out_of_range` when its value is
    10^18 or more in magnitude or has more than 18 decimals.  The work is bounded by the length of the text, whatever its exponent.
    """
    match = _NUMERAL.fullmatch(text)
    if match is None:
        raise DecimalRefused("wrong_type")
    minus, whole, fraction, exponent_sign, exponent = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return 0
    if len(exponent) > _LONGEST_EXPONENT:
        raise DecimalRefused("out_of_range")
    power = int(exponent_sign + (exponent or "0")) - len(fraction) + len(digits) - len(significant)
    if power < -DECIMALS or len(significant) + power > _WHOLE_DIGITS:
        raise DecimalRefused("out_of_range")
    return int(minus + significant) * 10 ** (DECIMALS + power)


class Units(dict[str, int]):
    """A bounded cache in front of `parse_units`: ``units[text]`` is the value in units of 10^-18, or raises `DecimalRefused`."""

    LARGEST = 2**16
    LONGEST = 64

    def __missing__(self, text: str) -> int:
        value = parse_units(text)
        if len(text) <= self.LONGEST:
            if len(self) >= self.LARGEST:
                self.clear()
            self[text] = value
        return value


units = Units()


def decimal_text(value: int, decimals: int) -> str:
    """The canonical text of ``value * 10**-decimals``: no exponent, no trailing zeros, no plus sign, ``0`` for zero."""
    if not decimals:
        return str(value)
    if value < 0:
        return "-" + decimal_text(-value, decimals)
    digits = str(value)
    if len(digits) <= decimals:
        digits = digits.zfill(decimals + 1)
    fraction = digits[-decimals:].rstrip("0")
    return f"{digits[:-decimals]}.{fraction}" if fraction else digits[:-decimals]
