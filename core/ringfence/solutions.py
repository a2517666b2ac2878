"""Where a bucket's equity meets its maintenance, solved for the price, with the numbers in the formula.

What is published is the first price of the grid that meets the condition; beside it stands what it was rounded from:
the solution of one line, or the edge of a tier.
"""

from __future__ import annotations

from typing import TypeAlias

from ringfence import figures, margin, numerals
from ringfence.contracts import INVERSE
from ringfence.formulas import Condition, Judged, Step, liquidated
from ringfence.scales import ONE, PRICE_DECIMALS, PRICE_LIMIT, PRICE_ONE
from ringfence.state import Bucket
from ringfence.tiers import Line
from ringfence_schemas.decimals import DECIMALS, decimal_text

Solved: TypeAlias = tuple[str, str, str, str]
"""Which line, the formula, the same with numbers, and what comes out."""


def crossing(bucket: Bucket) -> tuple[Step, ...]:
    """Where equity is maintenance, solved for the price; nothing where no price of the grid is."""
    return _crossing(bucket, "liquidation price", bucket.cash, bucket.book.funding_index)


def crossing_after_funding(bucket: Bucket) -> tuple[Step, ...]:
    """The same if the last funding came once more: F grows, and c by what the wallet pays."""
    book, payment = bucket.book, bucket.book.funding_payment
    if payment is None:
        return ()
    drawn = bucket.size * payment - margin.funding_cost(bucket, payment)
    return _crossing(bucket, "liquidation price after funding", bucket.cash + drawn, book.funding_index + payment)


def _crossing(bucket: Bucket, name: str, cash: int, funding_index: int) -> tuple[Step, ...]:
    rules, cost = bucket.book.rules, bucket.size * funding_index - cash
    price = figures.liquidation_price(bucket, cost - margin.cost(bucket))
    if price is None:
        return ()
    told = numerals.money(cash, rules), decimal_text(funding_index, PRICE_DECIMALS)
    solved = _solved_at_entry(bucket, cost, told) if rules.entry_basis else _solved(bucket, cost, told, price)
    if solved is None:
        return ()
    line, formula, numbers, exact = solved
    rounding = f"to the first price on the grid of {figures.price(rules.price_tick)} that meets the condition"
    return (Step(f"{name}, {line}", formula, numbers, exact, figures.price(price), rounding),)


def _solved_at_entry(bucket: Bucket, cost: int, told: tuple[str, str]) -> Solved | None:
    """Maintenance is the same at every price.  `told` are c and F."""
    rules, size, q = bucket.book.rules, bucket.size, numerals.fixed(bucket)[0]
    cash, index = told
    fixed, per = rules.required_at_entry(size, bucket.entry_price)
    maintained, where = (
        numerals.quotient(fixed, per, numerals.money_decimals(rules) + DECIMALS),
        "maintenance that no price moves",
    )
    worth = cost * ONE * per + fixed
    if rules.contract.sign > 0:
        numbers = f"({q} * {index} - {cash} + {maintained}) / {q}"
        return where, "(q * F - c + maintenance) / q", numbers, numerals.quotient(worth, size * ONE, PRICE_DECIMALS)
    if size * worth >= 0:
        return None
    numbers = f"{q} / ({cash} - {q} * {index} - {maintained})"
    return where, "q / (c - q * F - maintenance)", numbers, numerals.quotient(-size * ONE * per * PRICE_ONE, worth, 0)


def _solved(bucket: Bucket, cost: int, told: tuple[str, str], price: int) -> Solved | None:
    """The line that binds at the liquidation price, another one, or the edge of the tier there, whichever the price was
    rounded from.
    """
    at = Judged(bucket, price)
    tiers = at.rules.side(bucket.size)
    binding = at.line if at.maintenance else Line(at.tier, 0, 0)
    near = range(max(at.tier - 1, 0), min(at.tier + 2, len(tiers.rates)))
    lines = [binding, *(Line(tier, tiers.rates[tier], tiers.amounts[tier]) for tier in near)]
    for line in [*lines, Line(None, tiers.least_rate, 0)]:
        solved = _solved_on(line, at, cost, told)
        if solved is not None:
            return solved
    return _solved_at_edge(at)


def _solved_on(line: Line, at: Judged, cost: int, told: tuple[str, str]) -> Solved | None:
    """Where a line of maintenance is met, unless that is elsewhere.  `told` are c and F."""
    rules, size, (cash, index) = at.rules, abs(at.bucket.size), told
    k, cum = figures.decimal(line.rate), numerals.money(line.amount, rules)
    slope, constant = at.sign * size * ONE - rules.contract.sign * line.rate * size, (cost - line.amount) * ONE
    if rules.contract.sign < 0:
        top, bottom = -slope * INVERSE, constant
        formula, numbers = (
            "(q + |q| * k) / (c + cum - q * F)",
            f"({at.q} + {at.size} * {k}) / ({cash} + {cum} - {at.q} * {index})",
        )
    else:
        top, bottom = constant, slope
        formula, numbers = (
            "(c + cum - q * F) / (|q| * k - q)",
            f"({cash} + {cum} - {at.q} * {index}) / ({at.size} * {k} - {at.q})",
        )
    if (
        not bottom
        or abs(top - at.price * bottom) >= rules.price_tick * abs(bottom)
        or not _binds(line, at, top, bottom)
    ):
        return None
    where = "of volatility" if line.tier is None else f"of tier {line.tier + 1}"
    return f"on the line {where}", formula, numbers, numerals.quotient(top, bottom, PRICE_DECIMALS)


def _binds(line: Line, at: Judged, top: int, bottom: int) -> bool:
    """Whether the line is what must be held at the price top / bottom, where it was solved: less than a tick from a
    price of the grid, so above zero.
    """
    size, top, bottom = abs(at.bucket.size), abs(top), abs(bottom)
    notional, per = (size * INVERSE * bottom, top) if at.rules.contract.sign < 0 else (size * top, bottom)
    charged = notional * line.rate - line.amount * ONE * per
    return charged == at.rules.side(at.bucket.size).maintenance(notional, per)


def _solved_at_edge(at: Judged) -> Solved | None:
    """Where the tier at the liquidation price begins or ends, whichever is there."""
    rules, size = at.rules, abs(at.bucket.size)
    tiers, inverse = rules.side(at.bucket.size), rules.contract.sign < 0
    for tier, floor in enumerate(tiers.floors[at.tier : at.tier + 2], at.tier):
        top, bottom = (size * INVERSE, floor) if inverse else (floor, size)
        if floor and abs(top - at.price * bottom) <= rules.price_tick * bottom:
            sides = (at.size, numerals.money(floor, rules)) if inverse else (numerals.money(floor, rules), at.size)
            formula, exact = "|q| / floor" if inverse else "floor / |q|", numerals.quotient(top, bottom, PRICE_DECIMALS)
            return f"where tier {tier + 1} begins", formula, " / ".join(sides), exact
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
