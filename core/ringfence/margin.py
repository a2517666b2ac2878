"""Margin arithmetic: pure functions of numbers, for linear contracts with marginal tiers.

Symbols are those of docs/concepts/margin.md: q signed size, P mark price, F funding index, c bucket cash, k the rate
and cum the amount of the tier. Values are exact integers in the units of `ringfence.scales`; *scaled* means
multiplied by 10^18 once more, because a rate was applied. Judging compares exact values by cross-multiplying; only
the functions that return a grid price round, and each says which way.
"""

from __future__ import annotations

from ringfence.rules import Rules, SideTiers
from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE, ceil_divide
from ringfence.state import Bucket


def equity(bucket: Bucket, mark: int) -> int:
    """c + q*(P - F), money."""
    return bucket.cash + bucket.size * (mark - bucket.book.funding_index)


def collateral(bucket: Bucket) -> int:
    """W = c + q*(E - F), money: equity without the unrealised profit."""
    return bucket.cash + bucket.size * (bucket.entry_price * ONE - bucket.book.funding_index)


def maintenance(bucket: Bucket, mark: int) -> int:
    """max(0, N(P)*k - cum), scaled money."""
    size = bucket.size
    return bucket.book.rules.side(size).maintenance(abs(size) * mark)


def initial(rules: Rules, leverage: int, notional: int) -> tuple[int, int]:
    """max(N/L, N * the tier's initial rate) as a fraction of money."""
    rate, per = rules.initial_rates[rules.long.tier_of(notional)]
    by_leverage, by_tier = (notional * ONE, leverage), (notional * rate, per)
    return by_leverage if by_leverage[0] * by_tier[1] >= by_tier[0] * by_leverage[1] else by_tier


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
    required = initial(rules, leverage, abs(bucket.size) * mark)
    return spare(rules, collateral(bucket), equity(bucket, mark), maintenance(bucket, mark), required)


def spare(rules: Rules, held: int, worth: int, maintained: int, required: tuple[int, int]) -> int:
    """max(0, min(W - maintenance, equity - initial(P), W)), rounded down to units: unrealised profit never counts.

    W and equity are money, maintenance is scaled money, initial a fraction of money.
    """
    money, per = required
    least = min(
        (held * ONE - maintained) // rules.scaled_quantum,
        (worth * per - money) // (per * rules.quantum),
        held // rules.quantum,
    )
    return max(0, least)


# -------------------------------------------------------------------------------------------- prices on the grid


def trigger_price(bucket: Bucket, ratio: int, *, strict: bool = False) -> int | None:
    """Return the first grid price, walking from the mark against the position, at which equity <= ratio * maintenance.

    From a mark that already satisfies the condition the walk goes back, and the last price that still satisfies it
    counts.  None when no grid price from one tick to 10^18 is reached.  Without a mark the walk starts at the entry
    price.  Raises nothing; price units.

    Solved, not walked: in marginal mode maintenance is the greatest of the tiers' lines, so the condition holds where
    any tier's line is crossed.
    """
    rules = bucket.book.rules
    tick, top = rules.price_tick, PRICE_LIMIT // rules.price_tick
    if PRICE_LIMIT % rules.price_tick == 0:
        top -= 1
    if bucket.size < 0:
        grid = _short_crossing(rules.short, bucket, ratio, strict=strict)
        return None if grid > top else max(grid, 1) * tick
    below, above = _long_crossings(rules.long, bucket, ratio, strict=strict)
    start = bucket.book.mark if bucket.book.mark is not None else bucket.entry_price * ONE
    if start // tick >= above or below >= above - 1:
        return top * tick
    return None if below < 1 else min(below, top) * tick


def _short_crossing(tiers: SideTiers, bucket: Bucket, ratio: int, *, strict: bool) -> int:
    """Return the lowest grid number with c - |q|(P - F) <= r(k|q|P - cum): P >= (c + |q|F + r*cum) / (|q|(1 + r*k)).

    The first tier whose line is crossed before the tier ends is the one that binds.
    """
    size, tick, last = -bucket.size, bucket.book.rules.price_tick, len(tiers.rates) - 1
    fixed = (bucket.cash + size * bucket.book.funding_index) * PRICE_ONE
    for tier, (rate, amount) in enumerate(zip(tiers.rates, tiers.amounts, strict=True)):
        numerator, denominator = fixed + ratio * amount * ONE, PRICE_ONE + ratio * rate
        if tier < last and numerator < tiers.floors[tier + 1] * denominator:
            break
    step = size * denominator * tick
    return numerator // step + 1 if strict else ceil_divide(numerator, step)


def _long_crossings(tiers: SideTiers, bucket: Bucket, ratio: int, *, strict: bool) -> tuple[int, int]:
    """Return the grid numbers (highest below, lowest above) between which a long is safe.

    A line with r*k < 1 is crossed at P <= (q*F - c - r*cum) / (q(1 - r*k)), and the first tier whose line is crossed
    before the tier ends is the one that binds.  Where r*k > 1 a line is crossed from above, and where r*k = 1
    everywhere or nowhere.
    """
    tick, last = bucket.book.rules.price_tick, len(tiers.rates) - 1
    fixed = (bucket.size * bucket.book.funding_index - bucket.cash) * PRICE_ONE
    below, above, found = -1, PRICE_LIMIT, False
    steep_from = last + 1 if ratio * tiers.rates[last] < PRICE_ONE else 0
    for tier, (rate, amount) in enumerate(zip(tiers.rates, tiers.amounts, strict=True)):
        if found and tier < steep_from:
            break
        numerator, slope = fixed - ratio * amount * ONE, PRICE_ONE - ratio * rate
        denominator = bucket.size * slope * tick
        if slope > 0 and not found:
            below = ceil_divide(numerator, denominator) - 1 if strict else numerator // denominator
            found = tier < last and numerator < tiers.floors[tier + 1] * slope
        elif slope < 0:
            above = min(above, numerator // denominator + 1 if strict else ceil_divide(numerator, denominator))
        elif slope == 0 and (numerator > 0 or (numerator == 0 and not strict)):
            above = 0
    return below, above


def bankruptcy_price(bucket: Bucket) -> int | None:
    """Return the grid price at which equity is just not negative, fees ignored: a long rounds up, a short down.  None
    outside the grid.
    """
    tick = bucket.book.rules.price_tick
    zero = bucket.size * bucket.book.funding_index - bucket.cash
    grid = ceil_divide(zero, bucket.size * tick) if bucket.size > 0 else zero // (bucket.size * tick)
    return grid * tick if grid >= 1 and grid * tick < PRICE_LIMIT else None


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
    tiers, worth = rules.side(bucket.size), equity(bucket, mark)
    charge, step = rules.taker_fee + plan.fee_rate, rules.size_of(rules.quantity_step)

    def excess(part: int) -> int:
        kept = tiers.maintenance((size - part) * mark)
        return (worth * ONE - part * mark * charge) * ONE - plan.target * kept

    for tier in range(tiers.tier_of(size * mark), -1, -1):
        part = _first_crossing(worth, size, mark, charge, plan.target, tiers, tier)
        if part is None:
            continue
        part = max(ceil_divide(part, step), 1) * step
        if part < size and excess(part) >= 0:
            return part
        if part >= size:
            return None
    return None


def _first_crossing(
    worth: int, size: int, mark: int, charge: int, target: int, tiers: SideTiers, tier: int
) -> int | None:
    """Return the least part v that leaves the rest inside `tier` and meets the target on its line; rounded up to a
    unit of size.
    """
    rate, amount = tiers.rates[tier], tiers.amounts[tier]
    least = 0
    if tier + 1 < len(tiers.floors):
        least = max(0, size - tiers.floors[tier + 1] // mark)
    gain = mark * (target * rate - charge * ONE)
    missing = target * (size * mark * rate - amount * ONE) - worth * PRICE_ONE
    if gain > 0:
        return max(least, ceil_divide(missing, gain))
    return least if missing <= least * gain else None
