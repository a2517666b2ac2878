"""Exact numbers as text, as they stand in a formula."""

from __future__ import annotations

from math import gcd
from typing import Final

from ringfence.rules import Rules
from ringfence.scales import MONEY_DECIMALS, PRICE_DECIMALS
from ringfence.state import Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text

OVER: Final = {1: "*", -1: "/"}
"""How a notional follows from a price: linear, inverse."""


def worth_at(price: str, size: str, index: str, cash: str, rules: Rules) -> str:
    """c + q * (V - F)."""
    if rules.contract.sign > 0:
        return f"{cash} + {size} * ({price} - {index})"
    return f"{cash} - {size} * (1 / {price} + {index})"


def whole(text: str) -> str:
    """A number as one operand."""
    return f"({text})" if "/" in text else text


def fixed(bucket: Bucket) -> tuple[str, str, str, str]:
    """q, |q|, c and F: what no price changes."""
    rules = bucket.book.rules
    decimals = DECIMALS + rules.extra_decimals
    return (
        decimal_text(bucket.size, decimals),
        decimal_text(abs(bucket.size), decimals),
        money(bucket.cash, rules),
        decimal_text(bucket.book.funding_index, PRICE_DECIMALS),
    )


def money_decimals(rules: Rules) -> int:
    """The decimals that money of an instrument has."""
    return MONEY_DECIMALS + rules.extra_decimals


def money(amount: int, rules: Rules) -> str:
    """Money, exactly."""
    return decimal_text(amount, money_decimals(rules))


def quotient(numerator: int, denominator: int, decimals: int) -> str:
    """numerator / denominator * 10^-decimals, exactly: a decimal if one ends, else a fraction in lowest terms."""
    denominator *= 10**decimals
    common = gcd(numerator, denominator) if denominator > 0 else -gcd(numerator, denominator)
    numerator, denominator = numerator // common, denominator // common
    longest = denominator.bit_length()  # no number has more factors of two or five than bits
    if 10**longest % denominator == 0:
        return decimal_text(numerator * 10**longest // denominator, longest)
    return f"{numerator}/{denominator}"


def rounded(direction: str, rules: Rules) -> str:
    """How a published amount was rounded."""
    return f"{direction} at {rules.asset_decimals} decimals"
