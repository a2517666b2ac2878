"""Published numbers: exact values rounded once, at the edge, in a stated direction, and printed as canonical decimals.

Equity, collateral, profit, funding and what may be removed round down (towards minus infinity); notional, initial and
maintenance margin and shortfalls round up; the margin ratio rounds down at eight decimals.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any, Final, Literal

from ringfence import margin
from ringfence.rules import Rules
from ringfence.scales import MONEY_DECIMALS, ONE
from ringfence.state import Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text
from ringfence_schemas.outcomes import Position

RATIO_DECIMALS: Final = 8
PRICE_DECIMALS: Final = 36
PERCENT_DECIMALS: Final = 2


def money_down(money: int, rules: Rules) -> str:
    """Money at the asset's decimals, towards minus infinity."""
    return decimal_text(money // rules.quantum, rules.asset_decimals)


def money_up(money: int, rules: Rules) -> str:
    """Money at the asset's decimals, towards plus infinity."""
    return decimal_text(-(-money // rules.quantum), rules.asset_decimals)


def scaled_up(scaled: int, rules: Rules) -> str:
    """Scaled money at the asset's decimals, towards plus infinity."""
    return decimal_text(-(-scaled // rules.scaled_quantum), rules.asset_decimals)


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
    return decimal_text(equity * ONE * 10**RATIO_DECIMALS // maintenance, RATIO_DECIMALS)


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
    tiers, notional = rules.side(bucket.size), abs(bucket.size) * mark
    return _judged(rules, mark, margin.equity(bucket, mark), tiers.maintenance(notional), tiers.tier_of(notional))


def _judged(rules: Rules, mark: int, worth: int, maintained: int, tier: int) -> dict[str, Any]:
    return {
        "equity": money_down(worth, rules),
        "maintenance_margin": scaled_up(maintained, rules),
        "mark_price": price(mark),
        "margin_ratio": ratio(worth, maintained),
        "tier": tier + 1,
    }


def liquidation_price(bucket: Bucket) -> int | None:
    """The price at which the bucket would be liquidated, in price units."""
    return margin.trigger_price(bucket, ONE, strict=bucket.book.rules.strict)


def distance_percent(mark: int | None, trigger: int | None) -> str | None:
    """100 x |mark - trigger| / mark, rounded down at two decimals."""
    if mark is None or trigger is None:
        return None
    return decimal_text(100 * 10**PERCENT_DECIMALS * abs(mark - trigger) // mark, PERCENT_DECIMALS)


def status(bucket: Bucket) -> Literal["open", "called", "liquidating"]:
    """Where the bucket stands in the life of a position."""
    if bucket.liquidation:
        return "liquidating"
    return "called" if bucket.level else "open"


def position(bucket: Bucket) -> Position:
    """The view of one open position, everything a holder may want to check."""
    rules, mark, size = bucket.book.rules, bucket.book.mark, bucket.size
    held = margin.collateral(bucket)
    return Position(
        account=bucket.account.name,
        instrument=bucket.book.name,
        quantity=quantity(size, rules),
        entry_price=decimal(bucket.entry_price),
        collateral=money_down(held, rules),
        realised_pnl=decimal_text(bucket.realised * ONE // rules.quantum, rules.asset_decimals),
        funding=money_down(bucket.funding_paid - size * bucket.book.funding_index, rules),
        leverage=decimal(margin.leverage_of(bucket)),
        liquidation_price=price(liquidation_price(bucket)),
        bankruptcy_price=price(margin.bankruptcy_price(bucket)),
        margin_call_prices=[price(margin.trigger_price(bucket, level)) for level in rules.call_levels],
        status=status(bucket),
        case_id=bucket.case_id,
        liquidation_id=bucket.liquidation_id,
        sequence=bucket.account.sequence,
        hash=bucket.account.hash.hex(),
        **(dict.fromkeys(_MARKED_FIELDS) if mark is None else _marked(bucket, mark, held)),
    )


_MARKED_FIELDS: Final = (
    "mark_price",
    "notional",
    "unrealised_pnl",
    "equity",
    "initial_margin",
    "maintenance_margin",
    "maintenance_rate",
    "maintenance_amount",
    "tier",
    "margin_ratio",
    "max_removable",
)


def _marked(bucket: Bucket, mark: int, held: int) -> dict[str, Any]:
    """The fields of a position that depend on the mark; `held` is its collateral, money."""
    rules, size = bucket.book.rules, bucket.size
    tiers, notional = rules.side(size), abs(size) * mark
    tier, maintained, worth = tiers.tier_of(notional), tiers.maintenance(notional), margin.equity(bucket, mark)
    required, per = margin.initial(rules, margin.leverage_of(bucket), notional)
    return {
        **_judged(rules, mark, worth, maintained, tier),
        "notional": money_up(notional, rules),
        "unrealised_pnl": money_down(worth - held, rules),
        "initial_margin": decimal_text(-(-required // (per * rules.quantum)), rules.asset_decimals),
        "maintenance_rate": decimal(tiers.rates[tier]),
        "maintenance_amount": decimal_text(tiers.amounts[tier], MONEY_DECIMALS + rules.extra_decimals),
        "max_removable": decimal_text(
            margin.spare(rules, held, worth, maintained, (required, per)), rules.asset_decimals
        ),
    }
