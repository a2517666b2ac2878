"""Margin arithmetic: pure functions of numbers.

Symbols are those of docs/concepts/margin.md: q signed size, P mark price, V the value of a unit, F funding index, c
bucket cash, k the rate and cum the amount of the tier.  Values are exact integers in the units of `ringfence.scales`;
*scaled* means multiplied by 10^18 once more, because a rate was applied.  What depends on a price is a fraction over
`per`, which is 1 for linear contracts.  Judging compares exact values by cross-multiplying.
"""

from __future__ import annotations

from typing import NamedTuple

from ringfence.contracts import Value
from ringfence.rules import Rules
from ringfence.scales import ONE, PRICE_ONE, ceil_divide
from ringfence.state import Bucket
from ringfence.tiers import SideTiers


class Standing(NamedTuple):
    """How a bucket stands at a price: what it is worth and what it must hold."""

    equity: int
    """Money over `per`."""
    maintenance: int
    """Scaled money over `per`."""
    per: int


def standing(bucket: Bucket, mark: int, rules: Rules | None = None) -> Standing:
    """Return equity and maintenance margin at a mark, under the rules in force or those that are asked about."""
    rules = rules or bucket.book.rules
    value = rules.value(mark, bucket.entry_price)
    required = rules.side(bucket.size).maintenance(abs(bucket.size) * value.basis, value.per)
    return Standing(equity(bucket, value), required, value.per)


def cost(bucket: Bucket) -> int:
    """q*F - c, money: what the position must be worth for its equity to be zero."""
    return bucket.size * bucket.book.funding_index - bucket.cash


def equity(bucket: Bucket, value: Value) -> int:
    """c + q*(V - F), money over `value.per`."""
    worth = bucket.book.rules.contract.sign * bucket.size * value.mark
    return (bucket.cash - bucket.size * bucket.book.funding_index) * value.per + worth


def equity_at(bucket: Bucket, price: int) -> tuple[int, int]:
    """The same at any price, money over the second number."""
    worth, per = bucket.book.rules.contract.worth(bucket.size, price)
    return (bucket.cash - bucket.size * bucket.book.funding_index) * per + worth, per


def collateral(bucket: Bucket) -> tuple[int, int]:
    """W = c + q*(V(E) - F), equity without the unrealised profit: money over the second number."""
    return equity_at(bucket, bucket.entry_price * ONE)


def initial(rules: Rules, leverage: int, notional: int, tier: int) -> tuple[int, int]:
    """max(N/L, N * the tier's initial rate) as a fraction of money; `tier` is that of the notional."""
    rate, per = rules.initial_rates[tier]
    return (notional * ONE, leverage) if ONE * per >= rate * leverage else (notional * rate, per)


def funding_drawn(bucket: Bucket, payment: int) -> int:
    """Return what the wallet pays of `payment` per unit of size (price units), in units of the asset.

    min(wallet, what is due), rounded up so that the bucket is never short of it.  Nothing is taken for a bucket that
    receives, or that is being liquidated: whatever enters that one could be lost to the fund.
    """
    book, due = bucket.book, bucket.size * payment
    if due <= 0 or bucket.liquidation:
        return 0
    return min(book.rules.units_up(due), book.asset.wallets.get(bucket.account.name, 0))


def funding_cost(bucket: Bucket, payment: int) -> int:
    """Return by how much `payment` per unit of size (price units) would lower the bucket's equity, money."""
    rules, owed = bucket.book.rules, bucket.size * payment
    return owed - funding_drawn(bucket, payment) * rules.quantum if rules.wallet_first else owed


def breaches(stands: Standing, ratio: int) -> bool:
    """equity <= ratio * maintenance."""
    return stands.equity * ONE * ONE <= ratio * stands.maintenance


def liquidatable(rules: Rules, stands: Standing) -> bool:
    """equity <= maintenance, or strictly below where the instrument's trigger says so."""
    scaled = stands.equity * ONE
    return scaled < stands.maintenance if rules.strict else scaled <= stands.maintenance


def leverage_of(bucket: Bucket) -> int:
    """The leverage chosen, else the instrument's default, as a decimal."""
    return bucket.leverage if bucket.leverage is not None else bucket.book.rules.default_leverage


def max_leverage(rules: Rules, size: int, price: int) -> int | None:
    """Return the leverage limit of the tier of N(price), None where the tier states none."""
    worth, per = rules.contract.worth(size, price)
    return rules.max_leverages[rules.long.tier_of(abs(worth), per)]


def removable(bucket: Bucket, mark: int, leverage: int) -> int:
    """Return what the account may take out of a bucket at this mark and leverage, in units: see `spare`."""
    rules = bucket.book.rules
    value = rules.value(mark, bucket.entry_price)
    notional = abs(bucket.size) * value.basis
    required = initial(rules, leverage, notional, rules.long.tier_of(notional, value.per))
    return spare(rules, collateral(bucket), standing(bucket, mark), required)


def spare(rules: Rules, held: tuple[int, int], stands: Standing, required: tuple[int, int]) -> int:
    """max(0, min(W - maintenance, equity - initial(P))), rounded down to units: unrealised profit never counts.

    W is a fraction of money; the required initial margin is one of money over the `per` of `stands`.
    """
    collected, per_entry = held
    money, per = required
    committed = (collected * ONE * stands.per - stands.maintenance * per_entry) // (
        rules.scaled_quantum * stands.per * per_entry
    )
    return max(0, min(committed, (stands.equity * per - money) // (per * stands.per * rules.quantum)))


# ----------------------------------------------------------------------------------------- how much to liquidate


def restoring_size(bucket: Bucket, mark: int) -> int | None:
    """Return the smallest multiple of the quantity step whose liquidation restores the target, None when no part of
    the position does.

    equity - N(v)*(fees.taker + fee_rate) >= target * maintenance(q - v).  Inside one tier both sides are linear in v,
    so the tiers of what is kept are looked at one by one, from the present one down.
    """
    rules, size = bucket.book.rules, abs(bucket.size)
    value, step = rules.value(mark, bucket.entry_price), rules.size_of(rules.quantity_step)
    tiers, worth = rules.side(bucket.size), equity(bucket, value)
    for tier in range(tiers.tier_of(size * value.basis, value.per), -1, -1):
        least, most = _leaving(tiers, tier, size, value)
        for gain, missing in _conditions(rules, tiers, tier, size, worth, value):
            least, most = max(least, _least(gain, missing)), min(most, _most(gain, missing, size))
        part = max(ceil_divide(least, step), 1) * step
        if part <= most and part < size:
            return part
    return None


def _leaving(tiers: SideTiers, tier: int, size: int, value: Value) -> tuple[int, int]:
    """Return the least and the greatest part v that leaves N(q - v) inside a tier."""
    least = 0
    if tier + 1 < len(tiers.floors):
        least = size - (tiers.floors[tier + 1] * value.per - 1) // value.basis
    return max(least, 0), size - ceil_divide(tiers.floors[tier] * value.per, value.basis)


def _conditions(
    rules: Rules, tiers: SideTiers, tier: int, size: int, worth: int, value: Value
) -> list[tuple[int, int]]:
    """Return (gain, missing) of the things to hold, gain * v >= missing: target times the line of a tier, that of
    volatility, and 0.
    """
    target, lines = rules.liquidation.target, [(tiers.rates[tier], tiers.amounts[tier]), (0, 0)]
    if tiers.least_rate:
        lines.append((tiers.least_rate, 0))
    charge = value.mark * (rules.taker_fee + rules.liquidation.fee_rate) * ONE
    return [
        (
            target * value.basis * rate - charge,
            target * (size * value.basis * rate - amount * ONE * value.per) - worth * PRICE_ONE,
        )
        for rate, amount in lines
    ]


def _least(gain: int, missing: int) -> int:
    """Return the least v with gain * v >= missing as far as it is a lower limit."""
    return ceil_divide(missing, gain) if gain > 0 else 0


def _most(gain: int, missing: int, size: int) -> int:
    """Return the greatest v with gain * v >= missing as far as it is an upper limit; -1 where no v is enough."""
    if gain < 0:
        return missing // gain
    return size if gain > 0 or missing <= 0 else -1
