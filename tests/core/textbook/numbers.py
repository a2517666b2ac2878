"""Exact numbers and their published text: fractions all the way, rounded only when printed."""

from fractions import Fraction
from math import ceil, floor

LIMIT = 10**18
"""Every price, and every number of an input, is below it."""


def exact(text: str | int) -> Fraction:
    """The value of a decimal as an input spells it."""
    return Fraction(text)


def down(value: Fraction, decimals: int) -> Fraction:
    """`value` at `decimals` decimals, towards minus infinity."""
    return Fraction(floor(value * 10**decimals), 10**decimals)


def up(value: Fraction, decimals: int) -> Fraction:
    """`value` at `decimals` decimals, towards plus infinity."""
    return Fraction(ceil(value * 10**decimals), 10**decimals)


def sign(value: Fraction) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


def text(value: Fraction) -> str:
    """A finite decimal in canonical form: no exponent, no trailing zeros, no plus sign.

    Raises ValueError when the decimals of `value` never end.
    """
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        raise ValueError(f"{value} has no finite decimal expansion")
    decimals = max(twos, fives)
    digits = str(abs(value.numerator) * 10**decimals // value.denominator).rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return ("-" if value < 0 else "") + whole + ("." + part if part else "")


def published_down(value: Fraction | None, decimals: int) -> str | None:
    """Money the account has, printed; None stays None."""
    return None if value is None else text(down(value, decimals))


def published_up(value: Fraction | None, decimals: int) -> str | None:
    """Money asked of the account, printed; None stays None."""
    return None if value is None else text(up(value, decimals))
