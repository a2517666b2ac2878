"""Margin arithmetic: pure functions of numbers, for linear contracts with marginal tiers.

Symbols are those of docs/concepts/margin.md: q signed size, P mark price, F funding index, c bucket cash, k the rate
and cum the amount of the tier. Values are exact integers in the units of `ringfence.scales`; *scaled* means
multiplied by 10^18 once more, because a rate was applied. Judging compares exact values by cross-multiplying.
"""

from __future__ import annotations

from ringfence.rules import Rules, SideTiers
from ringfence.scales import ONE, PRICE_ONE, ceil_divide
from ringfence.state import Bucket


def cost(bucket: Bucket) -> int:
    """q*F - c, money: what the position must be worth for its equity to be zero."""
    return bucket.size * bucket.book.funding_index - bucket.cash


def equity(bucket: Bucket, mark: int) -> int:
    """c + q*(P - F), money."""
    return bucket.cash + bucket.size * (mark - bucket.book.funding_index)


def collateral(bucket: Bucket) -> int:
    """W = c + q*(E - F), money: equity without the unrealised profit."""
    return bucket.cash + bucket.size * (bucket.entry_price * ONE - bucket.book.funding_index)


def maintenance(bucket: Bucket, mark: int) -> int:
    """max(0, N(B)*k - cum), scaled money; B is the mark, under basis `entry` the entry price."""
    rules, size = bucket.book.rules, bucket.size
    return rules.side(size).maintenance(abs(size) * rules.basis(mark, bucket.entry_price))


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


def breaches(equity_money: int, maintenance_scaled: int, ratio: int) -> bool:
    """equity <= ratio * maintenance."""
    return equity_money * ONE * ONE <= ratio * maintenance_scaled


def liquidatable(rules: Rules, equity_money: int, maintenance_scaled: int) -> bool:
    """equity <= maintenance, or strictly below where the instrument's trigger says so."""
    scaled = equity_money * ONE
    return scaled < maintenance_scaled if rules.strict else scaled <= maintenance_scaled


def leverage_of(bucket: Bucket) -> int:
    """The leverage chosen, else the instrument's default, as a decimal."""
    return bucket.leverage if bucket.leverage is not None else bucket.book.rules.default_leverage


def max_leverage(rules: Rules, notional: int) -> int | None:
    """The leverage limit of the tier of `notional`, None where the tier states none."""
    return rules.max_leverages[rules.long.tier_of(notional)]


def removable(bucket: Bucket, mark: int, leverage: int) -> int:
    """Return what the account may take out of a bucket at this mark and leverage, in units: see `spare`."""
    rules = bucket.book.rules
    notional = abs(bucket.size) * rules.basis(mark, bucket.entry_price)
    required = initial(rules, leverage, notional, rules.long.tier_of(notional))
    return spare(rules, collateral(bucket), equity(bucket, mark), maintenance(bucket, mark), required)


def spare(rules: Rules, held: int, worth: int, maintained: int, required: tuple[int, int]) -> int:
    """max(0, min(W - maintenance, equity - initial(P))), rounded down to units: unrealised profit never counts.

    W and equity are money, maintenance is scaled money, initial a fraction of money.
    """
    money, per = required
    return max(
        0,
        min(
            (held * ONE - maintained) // rules.scaled_quantum,
            (worth * per - money) // (per * rules.quantum),
        ),
    )


# ----------------------------------------------------------------------------------------- how much to liquidate


def restoring_size(bucket: Bucket, mark: int) -> int | None:
    """Return the smallest multiple of the quantity step whose liquidation restores the target, None when no part of
    the position does.

    equity - N(v)*(fees.taker + fee_rate) >= target * maintenance(q - v).  Inside one tier both sides are linear in v,
    and the difference is concave over all, so the first crossing, rounded up to the step, is the answer or there is
    none.
    """
    rules = bucket.book.rules
    size, plan = abs(bucket.size), rules.liquidation
    tiers, worth, basis = rules.side(bucket.size), equity(bucket, mark), rules.basis(mark, bucket.entry_price)
    charge, step = rules.taker_fee + plan.fee_rate, rules.size_of(rules.quantity_step)

    def excess(part: int) -> int:
        kept = tiers.maintenance((size - part) * basis)
        return (worth * ONE - part * mark * charge) * ONE - plan.target * kept

    for tier in range(tiers.tier_of(size * basis), -1, -1):
        part = _first_crossing(worth, size, (mark, basis), charge, plan.target, tiers, tier)
        if part is None:
            continue
        part = max(ceil_divide(part, step), 1) * step
        if part < size and excess(part) >= 0:
            return part
        if part >= size:
            return None
    return None


def _first_crossing(
    worth: int, size: int, prices: tuple[int, int], charge: int, target: int, tiers: SideTiers, tier: int
) -> int | None:
    """Return the least part v that leaves the rest inside `tier` and meets the target on its line; rounded up to a
    unit of size.  `prices`: the mark, and the price that maintenance is taken at.
    """
    mark, basis = prices
    rate, amount = tiers.rates[tier], tiers.amounts[tier]
    least = 0
    if tier + 1 < len(tiers.floors):
        least = max(0, size - tiers.floors[tier + 1] // basis)
    gain = target * basis * rate - mark * charge * ONE
    missing = target * (size * basis * rate - amount * ONE) - worth * PRICE_ONE
    if gain > 0:
        return max(least, ceil_divide(missing, gain))
    return least if missing <= least * gain else None
