"""The formulas of docs/concepts/margin.md with the numbers of one bucket in them.

Each step repeats one line of that page, exactly; beside it stands what is published of it, and how that was rounded.
Each condition has its two sides as numbers, and whether it holds.  Whoever computes the printed numbers anew must come
to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Final, TypeAlias

from ringfence import figures, margin
from ringfence.rules import Rules
from ringfence.scales import MONEY_DECIMALS, ONE, PRICE_DECIMALS, PRICE_LIMIT, PRICE_ONE
from ringfence.state import Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text
from ringfence_schemas.outcomes import LiquidationOrder, LiquidationStarted, MarginCall


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


Solved: TypeAlias = tuple[str, str, str, str]
"""Which line, the formula, the same with numbers, and what comes out."""


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
        self.floor = _money(tiers.floors[self.tier], rules)
        self.standing = margin.standing(bucket, price)
        self.equity, self.maintenance, self.per = self.standing
        self.q, self.size, self.c, self.f = _fixed(bucket)
        self.p, self.entry = decimal_text(price, PRICE_DECIMALS), decimal_text(bucket.entry_price, DECIMALS)
        self.n = self.money(self.charged)
        self.e, self.m = self.money(self.equity), self.scaled(self.maintenance)
        self.k, self.cum = figures.decimal(tiers.rates[self.tier]), _money(tiers.amounts[self.tier], rules)

    def money(self, money: int) -> str:
        """Money over `per`, exactly."""
        return _quotient(money, self.per, _money_decimals(self.rules))

    def scaled(self, scaled: int) -> str:
        """Scaled money over `per`, exactly."""
        return _quotient(scaled, self.per, _money_decimals(self.rules) + DECIMALS)

    @classmethod
    def now(cls, bucket: Bucket) -> Judged | None:
        """At the mark; None without one."""
        return None if bucket.book.mark is None else cls(bucket, bucket.book.mark)


def given(bucket: Bucket) -> tuple[Given, ...]:
    """What everything else is computed from."""
    book, account = bucket.book, bucket.account.name
    q, _, cash, index = _fixed(bucket)
    side = "long" if bucket.size > 0 else "short" if bucket.size else "flat"
    wallet = decimal_text(book.asset.wallets.get(account, 0), book.asset.decimals)
    return (
        Given("q", f"signed size, {side}", q),
        Given("E", "average entry price", decimal_text(bucket.entry_price, DECIMALS)),
        Given("c", f"cash of the bucket, {book.asset.name}", cash),
        Given("F", "funding index", index),
        Given("P", "mark price", figures.price(book.mark) or "none yet"),
        Given("L", "leverage", figures.decimal(margin.leverage_of(bucket))),
        Given("wallet", f"of {account}, {book.asset.name}, out of reach", wallet),
        Given("version", f"of the parameters of {book.name}", str(book.rules.version)),
    )


def judgement(now: Judged) -> tuple[Step, ...]:
    """Notional, equity, maintenance and their ratio."""
    rules, per = now.rules, now.per
    over, notional = _OVER[rules.contract.sign], abs(now.bucket.size) * now.value.mark
    steps = (
        Step(
            "notional",
            f"N = |q| {over} P",
            f"{now.size} {over} {now.p}",
            now.money(notional),
            figures.money_up(notional, rules, per),
            _rounded("up", rules),
        ),
        Step(
            "equity",
            _worth_at("P", "q", "F", "c", rules),
            _worth_at(now.p, now.q, now.f, now.c, rules),
            now.e,
            figures.money_down(now.equity, rules, per),
            _rounded("down", rules),
        ),
        Step(
            f"maintenance, tier {now.tier + 1} from {now.floor}",
            f"max(0, {_charged(now)} * k - cum)",
            f"max(0, {now.n} * {now.k} - {now.cum})",
            now.m,
            figures.scaled_up(now.maintenance, rules, per),
            _rounded("up", rules),
        ),
    )
    if not now.maintenance:
        return steps
    ratio, exact = figures.ratio(now.equity, now.maintenance), _quotient(now.equity * ONE, now.maintenance, 0)
    rounding = f"down at {figures.RATIO_DECIMALS} decimals"
    return (*steps, Step("margin ratio", "equity / maintenance", f"{now.e} / {_whole(now.m)}", exact, ratio, rounding))


def removable(now: Judged) -> tuple[Step, ...]:
    """Collateral, initial margin, and what may be taken out."""
    bucket, rules = now.bucket, now.rules
    (held, per_entry), leverage = margin.collateral(bucket), margin.leverage_of(bucket)
    money, share = margin.initial(rules, leverage, now.charged, now.tier)
    top, bottom = rules.initial_rates[now.tier]
    rate = figures.decimal(top) if bottom in {1, ONE} else f"1 / {figures.decimal(bottom)}"
    collateral = _quotient(held, per_entry, _money_decimals(rules))
    initial = _quotient(money, share * now.per, _money_decimals(rules))
    free = held * ONE * now.per - now.maintenance * per_entry, ONE * now.per * per_entry
    spare = now.equity * share - money, share * now.per
    least = free if free[0] * spare[1] < spare[0] * free[1] else spare
    removable = margin.spare(rules, (held, per_entry), now.standing, (money, share))
    return (
        Step(
            "collateral",
            f"W = {_worth_at('E', 'q', 'F', 'c', rules)}",
            _worth_at(now.entry, now.q, now.f, now.c, rules),
            collateral,
            figures.money_down(held, rules, per_entry),
            _rounded("down", rules),
        ),
        Step(
            "initial margin",
            f"max({_charged(now)} / L, {_charged(now)} * initial rate)",
            f"max({now.n} / {figures.decimal(leverage)}, {now.n} * {rate})",
            initial,
            figures.money_up(money, rules, share * now.per),
            _rounded("up", rules),
        ),
        Step(
            "max removable",
            "max(0, min(W - maintenance, equity - initial))",
            f"max(0, min({collateral} - {now.m}, {now.e} - {initial}))",
            _quotient(max(0, least[0]), least[1], _money_decimals(rules)),
            decimal_text(removable, rules.asset_decimals),
            _rounded("down", rules),
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
        _quotient(missing, now.per, _money_decimals(now.rules) + 2 * DECIMALS),
        call.margin_shortfall,
        _rounded("up", now.rules),
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
    key, threshold = (_quotient(int(top), int(bottom), 0) for top, bottom in (started.key, started.threshold))
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
    exact = _quotient(cost, size, PRICE_DECIMALS)
    if rules.contract.sign < 0:
        formula, numbers = "q / (c - q * F)", f"{now.q} / ({now.c} - {now.q} * {now.f})"
        exact = _quotient(-size * PRICE_ONE, cost, 0)
    grid = f"{'up' if now.sign > 0 else 'down'} to the grid of {figures.price(rules.price_tick)}"
    return (Step("bankruptcy price", formula, numbers, exact, order.limit_price, grid),)


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


def crossing(bucket: Bucket) -> tuple[Step, ...]:
    """Where equity is maintenance, solved for the price; nothing where no price of the grid is."""
    rules, price = bucket.book.rules, figures.liquidation_price(bucket)
    if price is None:
        return ()
    solved = _solved_at_entry(bucket) if rules.entry_basis else _solved(bucket, price)
    if solved is None:
        return ()
    line, formula, numbers, exact = solved
    rounding = f"to the first price on the grid of {figures.price(rules.price_tick)} that meets the condition"
    return (Step(f"liquidation price, {line}", formula, numbers, exact, figures.price(price), rounding),)


def _solved_at_entry(bucket: Bucket) -> Solved | None:
    """Maintenance is the same at every price."""
    rules, size, cost = bucket.book.rules, bucket.size, margin.cost(bucket)
    q, _, cash, index = _fixed(bucket)
    fixed, per = rules.required_at_entry(size, bucket.entry_price)
    maintained, where = _quotient(fixed, per, _money_decimals(rules) + DECIMALS), "maintenance that no price moves"
    worth = cost * ONE * per + fixed
    if rules.contract.sign > 0:
        numbers = f"({q} * {index} - {cash} + {maintained}) / {q}"
        return where, "(q * F - c + maintenance) / q", numbers, _quotient(worth, size * ONE, PRICE_DECIMALS)
    if not worth:
        return None
    numbers = f"{q} / ({cash} - {q} * {index} - {maintained})"
    return where, "q / (c - q * F - maintenance)", numbers, _quotient(-size * ONE * per * PRICE_ONE, worth, 0)


def _solved(bucket: Bucket, price: int) -> Solved | None:
    """The line of the tier at the liquidation price, or the edge of that tier, whichever the price was rounded from."""
    rules, at, cost = bucket.book.rules, Judged(bucket, price), margin.cost(bucket)
    tiers, size, tick = rules.side(bucket.size), abs(bucket.size), rules.price_tick
    rate, amount = (tiers.rates[at.tier], tiers.amounts[at.tier]) if at.maintenance else (0, 0)
    k, cum = figures.decimal(rate), _money(amount, rules)
    inverse = rules.contract.sign < 0
    slope, constant = at.sign * size * ONE - rules.contract.sign * rate * size, (cost - amount) * ONE
    if inverse:
        top, bottom = -slope * PRICE_ONE * PRICE_ONE, constant
        formula, numbers = (
            "(q + |q| * k) / (c + cum - q * F)",
            f"({at.q} + {at.size} * {k}) / ({at.c} + {cum} - {at.q} * {at.f})",
        )
    else:
        top, bottom = constant, slope
        formula, numbers = (
            "(c + cum - q * F) / (|q| * k - q)",
            f"({at.c} + {cum} - {at.q} * {at.f}) / ({at.size} * {k} - {at.q})",
        )
    if bottom and abs(top - price * bottom) < tick * abs(bottom):
        return f"on the line of tier {at.tier + 1}", formula, numbers, _quotient(top, bottom, PRICE_DECIMALS)
    for tier, floor in enumerate(tiers.floors[at.tier : at.tier + 2], at.tier):
        top, bottom = (size * PRICE_ONE * PRICE_ONE, floor) if inverse else (floor, size)
        if floor and abs(top - price * bottom) <= tick * bottom:
            sides = (at.size, _money(floor, rules)) if inverse else (_money(floor, rules), at.size)
            formula = "|q| / floor" if inverse else "floor / |q|"
            return f"where tier {tier + 1} begins", formula, " / ".join(sides), _quotient(top, bottom, PRICE_DECIMALS)
    return None


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


_OVER: Final = {1: "*", -1: "/"}
"""How a notional follows from a price: linear, inverse."""


def _charged(now: Judged) -> str:
    """The symbol of the notional that requirements are taken of."""
    return f"|q| {_OVER[now.rules.contract.sign]} E" if now.rules.entry_basis else "N"


def _worth_at(price: str, size: str, index: str, cash: str, rules: Rules) -> str:
    """c + q * (V - F)."""
    if rules.contract.sign > 0:
        return f"{cash} + {size} * ({price} - {index})"
    return f"{cash} - {size} * (1 / {price} + {index})"


def _whole(text: str) -> str:
    """A number as one operand."""
    return f"({text})" if "/" in text else text


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
