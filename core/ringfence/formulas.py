"""The formulas of docs/concepts/margin.md with the numbers of one bucket in them.

Each step repeats one line of that page, exactly; beside it stands what is published of it, and how that was rounded.
Each condition has its two sides as numbers, and whether it holds.  Whoever computes the printed numbers anew must come
to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ringfence import deleveraging, figures, margin
from ringfence.rules import Rules
from ringfence.scales import MONEY_DECIMALS, ONE, PRICE_DECIMALS, PRICE_LIMIT
from ringfence.state import Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text, units
from ringfence_schemas.outcomes import DeleverageRequested, LiquidationOrder, LiquidationStarted, MarginCall


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the arithmetic starts from."""

    symbol: str
    meaning: str
    value: str


@dataclass(frozen=True, slots=True)
class Step:
    """One formula, the same with numbers, and what comes out."""

    name: str
    formula: str
    numbers: str
    exact: str
    """A decimal, or a fraction in lowest terms where no decimal ends."""
    published: str | None = None
    rounding: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition with its two sides as numbers, and whether it holds."""

    name: str
    formula: str
    left: str
    relation: str
    right: str
    holds: bool


class Judged:
    """An open bucket at one price: the symbols of the formulas, exactly, and as text by their short names."""

    def __init__(self, bucket: Bucket, price: int) -> None:
        self.bucket, self.price, self.rules = bucket, price, bucket.book.rules
        rules, size = self.rules, bucket.size
        tiers = rules.side(size)
        self.sign = 1 if size > 0 else -1
        self.notional = abs(size) * price
        self.charged = abs(size) * rules.basis(price, bucket.entry_price)
        """N(B): what the requirements are taken of."""
        self.tier = tiers.tier_of(self.charged)
        self.floor = _money(tiers.floors[self.tier], rules)
        self.equity, self.maintenance = margin.equity(bucket, price), margin.maintenance(bucket, price)
        self.q, self.size, self.c, self.f = _fixed(bucket)
        self.p, self.entry = decimal_text(price, PRICE_DECIMALS), decimal_text(bucket.entry_price, DECIMALS)
        self.n = _money(self.charged, rules)
        self.e, self.m = _money(self.equity, rules), _scaled(self.maintenance, rules)
        self.k, self.cum = figures.decimal(tiers.rates[self.tier]), _money(tiers.amounts[self.tier], rules)

    @classmethod
    def now(cls, bucket: Bucket) -> Judged | None:
        """At the mark; None without one."""
        return None if bucket.book.mark is None else cls(bucket, bucket.book.mark)


def given(bucket: Bucket) -> tuple[Given, ...]:
    """What everything else is computed from."""
    book, account = bucket.book, bucket.account.name
    q, _, cash, index = _fixed(bucket)
    side = "long" if bucket.size > 0 else "short" if bucket.size else "flat"
    reach = "pays its funding, else out of reach" if book.rules.wallet_first else "out of reach"
    wallet = decimal_text(book.asset.wallets.get(account, 0), book.asset.decimals)
    return (
        Given("q", f"signed size, {side}", q),
        Given("E", "average entry price", decimal_text(bucket.entry_price, DECIMALS)),
        Given("c", f"cash of the bucket, {book.asset.name}", cash),
        Given("F", "funding index", index),
        Given("P", "mark price", figures.price(book.mark) or "none yet"),
        Given("L", "leverage", figures.decimal(margin.leverage_of(bucket))),
        Given("wallet", f"of {account}, {book.asset.name}, {reach}", wallet),
        Given("version", f"of the parameters of {book.name}", str(book.rules.version)),
    )


def judgement(now: Judged) -> tuple[Step, ...]:
    """Notional, equity, maintenance and their ratio."""
    rules = now.rules
    equity, maintained = figures.money_down(now.equity, rules), figures.scaled_up(now.maintenance, rules)
    steps = (
        Step(
            "notional",
            "N = |q| * P",
            f"{now.size} * {now.p}",
            _money(now.notional, rules),
            figures.money_up(now.notional, rules),
            _rounded("up", rules),
        ),
        Step(
            "equity",
            "c + q * (P - F)",
            f"{now.c} + {now.q} * ({now.p} - {now.f})",
            now.e,
            equity,
            _rounded("down", rules),
        ),
        Step(
            f"maintenance, tier {now.tier + 1} from {now.floor}",
            f"max(0, {_charged(now)} * k - cum)",
            f"max(0, {now.n} * {now.k} - {now.cum})",
            now.m,
            maintained,
            _rounded("up", rules),
        ),
    )
    if not now.maintenance:
        return steps
    ratio, exact = figures.ratio(now.equity, now.maintenance), _quotient(now.equity * ONE, now.maintenance, 0)
    rounding = f"down at {figures.RATIO_DECIMALS} decimals"
    return (*steps, Step("margin ratio", "equity / maintenance", f"{now.e} / {now.m}", exact, ratio, rounding))


def removable(now: Judged) -> tuple[Step, ...]:
    """Collateral, initial margin, and what may be taken out."""
    bucket, rules = now.bucket, now.rules
    held, leverage = margin.collateral(bucket), margin.leverage_of(bucket)
    money, per = margin.initial(rules, leverage, now.charged, now.tier)
    top, bottom = rules.initial_rates[now.tier]
    rate = figures.decimal(top) if bottom in {1, ONE} else f"1 / {figures.decimal(bottom)}"
    collateral, initial = _money(held, rules), _quotient(money, per, _money_decimals(rules))
    free, spare = (held * ONE - now.maintenance) * per, (now.equity * per - money) * ONE
    removable = margin.spare(rules, held, now.equity, now.maintenance, (money, per))
    return (
        Step(
            "collateral",
            "W = c + q * (E - F)",
            f"{now.c} + {now.q} * ({now.entry} - {now.f})",
            collateral,
            figures.money_down(held, rules),
            _rounded("down", rules),
        ),
        Step(
            "initial margin",
            f"max({_charged(now)} / L, {_charged(now)} * initial rate)",
            f"max({now.n} / {figures.decimal(leverage)}, {now.n} * {rate})",
            initial,
            decimal_text(-(-money // (per * rules.quantum)), rules.asset_decimals),
            _rounded("up", rules),
        ),
        Step(
            "max removable",
            "max(0, min(W - maintenance, equity - initial))",
            f"max(0, min({collateral} - {now.m}, {now.e} - {initial}))",
            _quotient(max(0, min(free, spare)), per * ONE, _money_decimals(rules)),
            decimal_text(removable, rules.asset_decimals),
            _rounded("down", rules),
        ),
    )


def level(now: Judged, level: int) -> tuple[Condition, Condition]:
    """Whether a margin call level is reached, and whether it is held."""
    ratio, recover = figures.decimal(level), figures.decimal(ONE + now.rules.recover)
    reached = margin.breaches(now.equity, now.maintenance, level)
    held = now.equity * ONE**3 < level * (ONE + now.rules.recover) * now.maintenance
    return (
        Condition(f"level {ratio} is reached", "equity <= r * maintenance", now.e, "<=", f"{ratio} * {now.m}", reached),
        Condition(
            f"level {ratio} is held",
            "equity < r * (1 + recover) * maintenance",
            now.e,
            "<",
            f"{ratio} * {recover} * {now.m}",
            held,
        ),
    )


def shortfall(call: MarginCall, now: Judged) -> Step:
    """What is missing to the level of a call."""
    missing = max(0, now.bucket.level * now.maintenance - now.equity * ONE * ONE)
    return Step(
        "margin shortfall",
        "max(0, r * maintenance - equity)",
        f"max(0, {call.level} * {now.m} - {now.e})",
        decimal_text(missing, _money_decimals(now.rules) + 2 * DECIMALS),
        call.margin_shortfall,
        _rounded("up", now.rules),
    )


def evidence(started: LiquidationStarted, now: Judged) -> tuple[Step, Step, Condition]:
    """The key of a bucket, the threshold, and that it is beyond it."""
    sign, strict = now.sign, now.rules.strict
    turn, side = ("-", "-") if sign > 0 else ("", "+")
    beside, k = (f"- {now.m}", "0") if now.rules.entry_basis else (f"+ {now.cum}", now.k)
    formula = "c - maintenance" if now.rules.entry_basis else "c + cum"
    key, threshold = (_quotient(int(top), int(bottom), 0) for top, bottom in (started.key, started.threshold))
    steps = (
        Step("key", f"{turn}({formula}) / |q|", f"{turn}({now.c} {beside}) / {now.size}", key),
        Step("threshold", f"P * (1 {side} k) - F", f"{now.p} * (1 {side} {k}) - {now.f}", threshold),
    )
    ahead = int(started.key[0]) * int(started.threshold[1]) - int(started.threshold[0]) * int(started.key[1])
    relation = (">" if sign > 0 else "<") + ("" if strict else "=")
    crossed = Condition(
        "its key is beyond the threshold",
        f"key {relation} threshold",
        key,
        relation,
        threshold,
        sign * ahead > 0 or (ahead == 0 and not strict),
    )
    return *steps, crossed


def bankruptcy(order: LiquidationOrder, now: Judged) -> Step:
    """The limit of an order: where equity is just not negative."""
    return Step(
        "bankruptcy price",
        "(q * F - c) / q",
        f"({now.q} * {now.f} - {now.c}) / {now.q}",
        _quotient(margin.cost(now.bucket), now.bucket.size, PRICE_DECIMALS),
        order.limit_price,
        f"{'up' if now.sign > 0 else 'down'} to the grid of {figures.price(now.rules.price_tick)}",
    )


def score(now: Judged) -> Step:
    """The rank of a holder who may be asked to deleverage."""
    return Step(
        "score",
        "q * (P - E) / (|q| * E) * |q| * P / equity",
        f"{now.q} * ({now.p} - {now.entry}) / ({now.size} * {now.entry}) * {now.size} * {now.p} / {now.e}",
        _quotient(*deleveraging.score(now.bucket).as_integer_ratio(), 0),
    )


def borne(asked: DeleverageRequested, now: Judged) -> Condition:
    """Whether the bucket can bear the price at which it is asked to close."""
    price = units[asked.price] * ONE
    left = f"{now.c} + {now.q} * ({asked.price} - {now.f})"
    holds = margin.equity(now.bucket, price) >= 0
    return Condition("it can bear the price", "c + q * (price - F) >= 0", left, ">=", "0", holds)


def restored(now: Judged, part: int) -> Condition:
    """Whether the target is met once a part of the position is gone."""
    rules, plan, sold = now.rules, now.rules.liquidation, part * now.price
    basis = rules.basis(now.price, now.bucket.entry_price)
    kept = rules.side(now.bucket.size).maintenance((abs(now.bucket.size) - part) * basis)
    charge = rules.taker_fee + plan.fee_rate
    return Condition(
        f"{figures.quantity(part, rules)} less restores it",
        "equity - N(v) * (taker + fee_rate) >= target * maintenance(q - v)",
        f"{now.e} - {_money(sold, rules)} * {figures.decimal(charge)}",
        ">=",
        f"{figures.decimal(plan.target)} * {_scaled(kept, rules)}",
        (now.equity * ONE - sold * charge) * ONE >= plan.target * kept,
    )


def liquidated(at: Judged, where: str) -> Condition:
    """Whether the condition of liquidation holds."""
    relation = "<" if at.rules.strict else "<="
    holds = margin.liquidatable(at.rules, at.equity, at.maintenance)
    return Condition(f"it is liquidated {where}", f"equity {relation} maintenance", at.e, relation, at.m, holds)


def crossing(bucket: Bucket) -> Step:
    """Where equity is maintenance, solved for the price."""
    return _solved(bucket, "liquidation price", bucket.cash, bucket.book.funding_index)


def crossing_after_funding(bucket: Bucket) -> tuple[Step, ...]:
    """The same if the last funding came once more: F grows, and c by what the wallet pays."""
    book, payment = bucket.book, bucket.book.funding_payment
    if payment is None:
        return ()
    drawn = bucket.size * payment - margin.funding_cost(bucket, payment)
    return (_solved(bucket, "liquidation price after funding", bucket.cash + drawn, book.funding_index + payment),)


def _solved(bucket: Bucket, name: str, cash: int, funding_index: int) -> Step:
    rules, cost = bucket.book.rules, bucket.size * funding_index - cash
    solve = _crossing_at_entry if rules.entry_basis else _crossing_of_tiers
    line, formula, numbers, exact = solve(bucket, cash, funding_index)
    price = figures.price(figures.liquidation_price(bucket, cost - margin.cost(bucket)))
    rounding = f"to the first price on the grid of {figures.price(rules.price_tick)} that meets the condition"
    return Step(f"{name}, {line}", formula, numbers, exact, price, rounding)


def _crossing_at_entry(bucket: Bucket, cash_money: int, funding_index: int) -> tuple[str, str, str, str]:
    """Maintenance is the same at every price."""
    rules, size = bucket.book.rules, bucket.size
    q, cash, index = _fixed(bucket)[0], _money(cash_money, rules), decimal_text(funding_index, PRICE_DECIMALS)
    fixed = rules.fixed(size, bucket.entry_price)
    exact = _quotient((size * funding_index - cash_money) * ONE + fixed, size * ONE, PRICE_DECIMALS)
    numbers = f"({q} * {index} - {cash} + {_scaled(fixed, rules)}) / {q}"
    return "maintenance that no price moves", "(q * F - c + maintenance) / q", numbers, exact


def _crossing_of_tiers(bucket: Bucket, cash_money: int, funding_index: int) -> tuple[str, str, str, str]:
    """Each tier has its line; the one that is met first counts."""
    rules, sign, cost = bucket.book.rules, 1 if bucket.size > 0 else -1, bucket.size * funding_index - cash_money
    tiers = rules.side(bucket.size)
    lines = [
        (sign * (cost - amount) * ONE, abs(bucket.size) * (ONE - sign * rate))
        for rate, amount in zip(tiers.rates, tiers.amounts, strict=True)
    ]
    tier = 0
    for other, (top, bottom) in enumerate(lines):
        if sign * (top * lines[tier][1] - lines[tier][0] * bottom) > 0:
            tier = other
    q, size = _fixed(bucket)[:2]
    cash, index = _money(cash_money, rules), decimal_text(funding_index, PRICE_DECIMALS)
    rate, amount = figures.decimal(tiers.rates[tier]), _money(tiers.amounts[tier], rules)
    formula, exact = "(c + cum - q * F) / (|q| * k - q)", _quotient(*lines[tier], PRICE_DECIMALS)
    numbers = f"({cash} + {amount} - {q} * {index}) / ({size} * {rate} - {q})"
    return f"on the line of tier {tier + 1}", formula, numbers, exact


def boundary(bucket: Bucket) -> list[Condition]:
    """The published liquidation price meets the condition, and one tick better does not."""
    price = figures.liquidation_price(bucket)
    if price is None:
        return []
    tick = bucket.book.rules.price_tick
    better = price + tick if bucket.size > 0 else price - tick
    near = [at for at in (price, better) if 0 < at < PRICE_LIMIT]
    return [liquidated(Judged(bucket, at), f"at {figures.price(at)}") for at in near]


# ------------------------------------------------------------------------------------------------ numbers as text


def _charged(now: Judged) -> str:
    """The symbol of the notional that requirements are taken of."""
    return "|q| * E" if now.rules.entry_basis else "N"


def _fixed(bucket: Bucket) -> tuple[str, str, str, str]:
    """q, |q|, c and F: what no price changes."""
    rules = bucket.book.rules
    decimals = DECIMALS + rules.extra_decimals
    return (
        decimal_text(bucket.size, decimals),
        decimal_text(abs(bucket.size), decimals),
        _money(bucket.cash, rules),
        decimal_text(bucket.book.funding_index, PRICE_DECIMALS),
    )


def _money_decimals(rules: Rules) -> int:
    return MONEY_DECIMALS + rules.extra_decimals


def _money(money: int, rules: Rules) -> str:
    return decimal_text(money, _money_decimals(rules))


def _scaled(scaled: int, rules: Rules) -> str:
    return decimal_text(scaled, _money_decimals(rules) + DECIMALS)


def _quotient(numerator: int, denominator: int, decimals: int) -> str:
    """numerator / denominator * 10^-decimals, exactly: a decimal if one ends, else a fraction in lowest terms."""
    denominator *= 10**decimals
    common = gcd(numerator, denominator) if denominator > 0 else -gcd(numerator, denominator)
    numerator, denominator = numerator // common, denominator // common
    longest = denominator.bit_length()  # no number has more factors of two or five than bits
    if 10**longest % denominator == 0:
        return decimal_text(numerator * 10**longest // denominator, longest)
    return f"{numerator}/{denominator}"


def _rounded(direction: str, rules: Rules) -> str:
    return f"{direction} at {rules.asset_decimals} decimals"
