"""The formulas of docs/concepts/margin.md with the numbers of one bucket in them.

Each step repeats one line of that page, exactly; beside it stands what is published of it, and how that was rounded.
Each condition has its two sides as numbers, and whether it holds.  Whoever computes the printed numbers anew must come
to the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence import deleveraging, figures, margin, numerals
from ringfence.scales import ONE, PRICE_DECIMALS, PRICE_ONE
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
        tiers, self.value = rules.side(size), rules.value(price, bucket.entry_price)
        self.sign = 1 if size > 0 else -1
        self.losing = self.sign * rules.contract.sign
        """1 where the notional falls as the bucket loses: linear longs, inverse shorts."""
        self.charged = abs(size) * self.value.basis
        """N(B): what the requirements are taken of, money over `value.per` like the next ones."""
        self.tier = tiers.tier_of(self.charged, self.value.per)
        self.floor = numerals.money(tiers.floors[self.tier], rules)
        self.standing = margin.standing(bucket, price)
        self.equity, self.maintenance, self.per = self.standing
        self.q, self.size, self.c, self.f = numerals.fixed(bucket)
        self.p, self.entry = decimal_text(price, PRICE_DECIMALS), decimal_text(bucket.entry_price, DECIMALS)
        self.n = self.money(self.charged)
        self.e, self.m = self.money(self.equity), self.scaled(self.maintenance)
        self.line = tiers.line_at(self.charged, self.value.per)
        self.k, self.cum = figures.decimal(self.line.rate), numerals.money(self.line.amount, rules)
        self.where = f"tier {self.tier + 1} from {self.floor}" if self.line.tier is not None else "line of volatility"

    def money(self, money: int) -> str:
        """Money over `per`, exactly."""
        return numerals.quotient(money, self.per, numerals.money_decimals(self.rules))

    def scaled(self, scaled: int) -> str:
        """Scaled money over `per`, exactly."""
        return numerals.quotient(scaled, self.per, numerals.money_decimals(self.rules) + DECIMALS)

    @classmethod
    def now(cls, bucket: Bucket) -> Judged | None:
        """At the mark; None without one."""
        return None if bucket.book.mark is None else cls(bucket, bucket.book.mark)


def given(bucket: Bucket) -> tuple[Given, ...]:
    """What everything else is computed from."""
    book, account = bucket.book, bucket.account.name
    q, _, cash, index = numerals.fixed(bucket)
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
    rules, per = now.rules, now.per
    over, notional = numerals.OVER[rules.contract.sign], abs(now.bucket.size) * now.value.mark
    steps = (
        Step(
            "notional",
            f"N = |q| {over} P",
            f"{now.size} {over} {now.p}",
            now.money(notional),
            figures.money_up(notional, rules, per),
            numerals.rounded("up", rules),
        ),
        Step(
            "equity",
            numerals.worth_at("P", "q", "F", "c", rules),
            numerals.worth_at(now.p, now.q, now.f, now.c, rules),
            now.e,
            figures.money_down(now.equity, rules, per),
            numerals.rounded("down", rules),
        ),
        Step(
            f"maintenance, {now.where}",
            f"max(0, {_charged(now)} * k - cum)",
            f"max(0, {now.n} * {now.k} - {now.cum})",
            now.m,
            figures.scaled_up(now.maintenance, rules, per),
            numerals.rounded("up", rules),
        ),
    )
    if not now.maintenance:
        return steps
    ratio, exact = figures.ratio(now.equity, now.maintenance), numerals.quotient(now.equity * ONE, now.maintenance, 0)
    rounding = f"down at {figures.RATIO_DECIMALS} decimals"
    return (
        *steps,
        Step("margin ratio", "equity / maintenance", f"{now.e} / {numerals.whole(now.m)}", exact, ratio, rounding),
    )


def removable(now: Judged) -> tuple[Step, ...]:
    """Collateral, initial margin, and what may be taken out."""
    bucket, rules = now.bucket, now.rules
    (held, per_entry), leverage = margin.collateral(bucket), margin.leverage_of(bucket)
    money, share = margin.initial(rules, leverage, now.charged, now.tier)
    top, bottom = rules.initial_rates[now.tier]
    rate = figures.decimal(top) if bottom in {1, ONE} else f"1 / {figures.decimal(bottom)}"
    collateral = numerals.quotient(held, per_entry, numerals.money_decimals(rules))
    initial = numerals.quotient(money, share * now.per, numerals.money_decimals(rules))
    free = held * ONE * now.per - now.maintenance * per_entry, ONE * now.per * per_entry
    spare = now.equity * share - money, share * now.per
    least = free if free[0] * spare[1] < spare[0] * free[1] else spare
    removable = margin.spare(rules, (held, per_entry), now.standing, (money, share))
    return (
        Step(
            "collateral",
            f"W = {numerals.worth_at('E', 'q', 'F', 'c', rules)}",
            numerals.worth_at(now.entry, now.q, now.f, now.c, rules),
            collateral,
            figures.money_down(held, rules, per_entry),
            numerals.rounded("down", rules),
        ),
        Step(
            "initial margin",
            f"max({_charged(now)} / L, {_charged(now)} * initial rate)",
            f"max({now.n} / {figures.decimal(leverage)}, {now.n} * {rate})",
            initial,
            figures.money_up(money, rules, share * now.per),
            numerals.rounded("up", rules),
        ),
        Step(
            "max removable",
            "max(0, min(W - maintenance, equity - initial))",
            f"max(0, min({collateral} - {now.m}, {now.e} - {initial}))",
            numerals.quotient(max(0, least[0]), least[1], numerals.money_decimals(rules)),
            decimal_text(removable, rules.asset_decimals),
            numerals.rounded("down", rules),
        ),
    )


def level(now: Judged, level: int) -> tuple[Condition, Condition]:
    """Whether a margin call level is reached, and whether it is held."""
    ratio, recover = figures.decimal(level), figures.decimal(ONE + now.rules.recover)
    reached = margin.breaches(now.standing, level)
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
        numerals.quotient(missing, now.per, numerals.money_decimals(now.rules) + 2 * DECIMALS),
        call.margin_shortfall,
        numerals.rounded("up", now.rules),
    )


def evidence(started: LiquidationStarted, now: Judged) -> tuple[Step, Step, Condition]:
    """The key of a bucket, the threshold, and that it is beyond it."""
    rules, losing, strict = now.rules, now.losing, now.rules.strict
    turn, side = ("-", "-") if losing > 0 else ("", "+")
    formula, beside, k = "c + cum", f"+ {now.cum}", now.k
    if rules.entry_basis:
        formula, beside, k = "c - maintenance", f"- {now.m}", "0"
    elif not now.maintenance:
        beside, k = "+ 0", "0"
    key, threshold = (numerals.quotient(int(top), int(bottom), 0) for top, bottom in (started.key, started.threshold))
    inverse = rules.contract.sign < 0
    steps = (
        Step("key", f"{turn}({formula}) / |q|", f"{turn}({now.c} {beside}) / {now.size}", key),
        Step(
            "threshold",
            f"(1 {side} k) / P + F" if inverse else f"P * (1 {side} k) - F",
            f"(1 {side} {k}) / {now.p} + {now.f}" if inverse else f"{now.p} * (1 {side} {k}) - {now.f}",
            threshold,
        ),
    )
    ahead = int(started.key[0]) * int(started.threshold[1]) - int(started.threshold[0]) * int(started.key[1])
    relation = (">" if losing > 0 else "<") + ("" if strict else "=")
    crossed = Condition(
        "its key is beyond the threshold",
        f"key {relation} threshold",
        key,
        relation,
        threshold,
        losing * ahead > 0 or (ahead == 0 and not strict),
    )
    return *steps, crossed


def bankruptcy(order: LiquidationOrder, now: Judged) -> tuple[Step, ...]:
    """The limit of an order: where equity is just not negative; nothing where no price solves it."""
    rules, size, cost = now.rules, now.bucket.size, margin.cost(now.bucket)
    if order.limit_price is None:
        return ()
    formula, numbers = "(q * F - c) / q", f"({now.q} * {now.f} - {now.c}) / {now.q}"
    exact = numerals.quotient(cost, size, PRICE_DECIMALS)
    if rules.contract.sign < 0:
        formula, numbers = "q / (c - q * F)", f"{now.q} / ({now.c} - {now.q} * {now.f})"
        exact = numerals.quotient(-size * PRICE_ONE, cost, 0)
    grid = f"{'up' if now.sign > 0 else 'down'} to the grid of {figures.price(rules.price_tick)}"
    return (Step("bankruptcy price", formula, numbers, exact, order.limit_price, grid),)


def score(now: Judged) -> Step:
    """The rank of a holder who may be asked to deleverage."""
    q, size, p, entry = now.q, now.size, now.p, now.entry
    formula, profit = "q * (P - E) / (|q| * E) * |q| * P / equity", f"{q} * ({p} - {entry})"
    if now.rules.contract.sign < 0:
        formula, profit = "q * (1 / E - 1 / P) / (|q| / E) * |q| / P / equity", f"{q} * (1 / {entry} - 1 / {p})"
    over = numerals.OVER[now.rules.contract.sign]
    numbers = f"{profit} / ({size} {over} {entry}) * {size} {over} {p} / {numerals.whole(now.e)}"
    return Step("score", formula, numbers, numerals.quotient(*deleveraging.score(now.bucket).as_integer_ratio(), 0))


def borne(asked: DeleverageRequested, now: Judged) -> Condition:
    """Whether the bucket can bear the price at which it is asked to close."""
    equity, _ = margin.equity_at(now.bucket, units[asked.price] * ONE)
    left = numerals.worth_at(asked.price, now.q, now.f, now.c, now.rules)
    formula = f"{numerals.worth_at('price', 'q', 'F', 'c', now.rules)} >= 0"
    return Condition("it can bear the price", formula, left, ">=", "0", equity >= 0)


def restored(now: Judged, part: int) -> Condition:
    """Whether the target is met once a part of the position is gone."""
    rules, plan, sold = now.rules, now.rules.liquidation, part * now.value.mark
    kept = rules.side(now.bucket.size).maintenance((abs(now.bucket.size) - part) * now.value.basis, now.per)
    charge = rules.taker_fee + plan.fee_rate
    return Condition(
        f"{figures.quantity(part, rules)} less restores it",
        "equity - N(v) * (taker + fee_rate) >= target * maintenance(q - v)",
        f"{now.e} - {now.money(sold)} * {figures.decimal(charge)}",
        ">=",
        f"{figures.decimal(plan.target)} * {now.scaled(kept)}",
        (now.equity * ONE - sold * charge) * ONE >= plan.target * kept,
    )


def liquidated(at: Judged, where: str) -> Condition:
    """Whether the condition of liquidation holds."""
    relation = "<" if at.rules.strict else "<="
    holds = margin.liquidatable(at.rules, at.standing)
    return Condition(f"it is liquidated {where}", f"equity {relation} maintenance", at.e, relation, at.m, holds)


def _charged(now: Judged) -> str:
    """The symbol of the notional that requirements are taken of."""
    return f"|q| {numerals.OVER[now.rules.contract.sign]} E" if now.rules.entry_basis else "N"
