"""Published numbers: exact values rounded once, at the edge, in a stated direction, and printed as canonical decimals.

Equity, collateral, profit, funding and what may be removed round down (towards minus infinity); notional, initial and
maintenance margin and shortfalls round up; the margin ratio rounds down at eight decimals.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any, Final

from ringfence import margin
from ringfence.rules import Rules
from ringfence.scales import ONE, PRICE_DECIMALS
from ringfence.state import Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text

RATIO_DECIMALS: Final = 8
RATIO_SCALE: Final = ONE * 10**RATIO_DECIMALS
PERCENT_DECIMALS: Final = 2


def money_down(money: int, rules: Rules, per: int = 1) -> str:
    """Money over `per` at the asset's decimals, towards minus infinity."""
    return decimal_text(money // (rules.quantum * per), rules.asset_decimals)


def money_up(money: int, rules: Rules, per: int = 1) -> str:
    """Money over `per` at the asset's decimals, towards plus infinity."""
    return decimal_text(-(-money // (rules.quantum * per)), rules.asset_decimals)


def notional_up(size: int, price: int, rules: Rules) -> str:
    """The notional of an unsigned size at a price, towards plus infinity."""
    worth, per = rules.contract.worth(size, price)
    return money_up(abs(worth), rules, per)


def scaled_up(scaled: int, rules: Rules, per: int = 1) -> str:
    """Scaled money over `per` at the asset's decimals, towards plus infinity."""
    return decimal_text(-(-scaled // (rules.scaled_quantum * per)), rules.asset_decimals)


@lru_cache(maxsize=2**14)
def price(value: int | None) -> str | None:
    """A price, exactly; None stays None.  Kept, because the same marks and triggers are printed again and again."""
    return None if value is None else decimal_text(value, PRICE_DECIMALS)


@lru_cache(maxsize=2**14)
def decimal(value: int) -> str:
    """A rate, a leverage or a number of contracts, exactly."""
    return decimal_text(value, DECIMALS)


def quantity(size: int, rules: Rules) -> str:
    """Contracts of a size, exactly."""
    return decimal(size // rules.multiplier)


def ratio(equity: int, maintenance: int) -> str | None:
    """equity / maintenance, rounded down at eight decimals; None when nothing is to be maintained."""
    if not maintenance:
        return None
    return decimal_text(equity * RATIO_SCALE // maintenance, RATIO_DECIMALS)


def fraction(numerator: int, denominator: int) -> tuple[str, str]:
    """An exact ratio in lowest terms."""
    common = gcd(numerator, denominator)
    return str(numerator // common), str(denominator // common)


def judgement(bucket: Bucket) -> dict[str, Any]:
    """The five numbers every judgement carries, at the present mark; None for what needs a mark or a position."""
    rules, mark = bucket.book.rules, bucket.book.mark
    if mark is None or not bucket.size:
        return {
            "equity": None,
            "maintenance_margin": None,
            "mark_price": price(mark),
            "margin_ratio": None,
            "tier": None,
        }
    value, tiers = rules.value(mark, bucket.entry_price), rules.side(bucket.size)
    equity, per = margin.equity(bucket, value), value.per
    tier = tiers.tier_of(abs(bucket.size) * value.basis, per)
    maintenance = tiers.maintenance_in(tier, abs(bucket.size) * value.basis, per)
    return {
        "equity": money_down(equity, rules, per),
        "maintenance_margin": scaled_up(maintenance, rules, per),
        "mark_price": price(mark),
        "margin_ratio": ratio(equity, maintenance),
        "tier": tier + 1,
    }


def liquidation_price(bucket: Bucket, more_cost: int = 0) -> int | None:
    """The price at which the bucket would be liquidated, in price units, had it so much less (money); without a mark
    the walk starts at the entry price.
    """
    mark, size = bucket.book.mark, bucket.size
    start = bucket.entry_price * ONE if mark is None else mark
    rules = bucket.book.rules
    cost, required = margin.cost(bucket) + more_cost, rules.required_at_entry(size, bucket.entry_price)
    point = rules.crossings(size)[-1].point(size, cost, start, required)
    return None if point is None else point * rules.price_tick


def bankruptcy_price(bucket: Bucket) -> int | None:
    """The price at which equity is just not negative, in price units."""
    rules = bucket.book.rules
    point = rules.contract.bankruptcy_point(bucket.size, margin.cost(bucket), rules.price_tick)
    return None if point is None else point * rules.price_tick


def distance_percent(mark: int | None, trigger: int | None) -> str | None:
    """100 x |mark - trigger| / mark, rounded down at two decimals."""
    if mark is None or trigger is None:
        return None
    return decimal_text(100 * 10**PERCENT_DECIMALS * abs(mark - trigger) // mark, PERCENT_DECIMALS)
