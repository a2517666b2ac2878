"""Why a liquidation price moved between two views of a position.

What changed since the view before is applied one after the other, always in the same order, to what stood then: the
rules, funding, fees, transfers, fills.  The price is solved after each, so the steps lead from the price published
before to the one published now, exactly.  A step that does not move the price is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ringfence import figures
from ringfence.rules import Rules
from ringfence.scales import ONE
from ringfence.state import Book, Bucket, Shown
from ringfence_schemas.outcomes import LiquidationPriceMove, MoveCause


class Between(NamedTuple):
    """Two views of one position, and what the price is solved with: rules and mark of the later one."""

    before: Shown
    after: Shown


def remember(bucket: Bucket) -> Between | None:
    """Remember what stands at this view, and return it with what stood at the one before; None if this is the first."""
    before, book = bucket.shown, bucket.book
    bucket.shown = after = Shown(
        figures.liquidation_price(bucket),
        bucket.size,
        bucket.cash,
        bucket.entry_price,
        book.funding_index,
        bucket.drawn,
        book.rules.version,
        book.rules.volatility_rate,
    )
    return None if before is None else Between(before, after)


def forget(book: Book) -> None:
    """Views of this instrument say no more why prices moved: the next that do begin anew."""
    for bucket in book.buckets.values():
        bucket.shown = None


def moves(between: Between, rules: Rules, mark: int | None) -> list[LiquidationPriceMove]:
    """Return the steps from the liquidation price of the view before to that of this one, at its rules and mark."""
    found, price = [], between.before.liquidation_price
    for cause, moved in _steps(between, rules, mark):
        if moved != price:
            found.append(LiquidationPriceMove(cause, figures.price(price), figures.price(moved)))
        price = moved
    return found


def _steps(between: Between, rules: Rules, mark: int | None) -> Iterator[tuple[MoveCause, int | None]]:
    """Give each cause with the price after it; where it changed nothing, none is solved."""
    before, after = between
    size, cash, index, quantum = before.size, before.cash, before.funding_index, rules.quantum
    start = before.entry_price * ONE if mark is None else mark
    required, crossing = rules.required_at_entry(size, before.entry_price), rules.crossings(size)[-1]

    def solved() -> int | None:
        point = crossing.point(size, size * index - cash, start, required)
        return None if point is None else point * rules.price_tick

    yield _cause_of_rules(before, after), solved()
    if (index, before.drawn) != (after.funding_index, after.drawn):
        index, cash = after.funding_index, cash + (after.drawn - before.drawn) * quantum
        yield "funding", solved()
    if before.fees:
        cash -= before.fees * quantum
        yield "fee", solved()
    if before.transferred:
        cash += before.transferred * quantum
        yield "transfer", solved()
    yield "fill", after.liquidation_price


def _cause_of_rules(before: Shown, after: Shown) -> MoveCause:
    """What made the same numbers come to another price: other parameters, another rate, or, with neither, the mark."""
    if before.version != after.version:
        return "parameter"
    return "mark" if before.volatility_rate == after.volatility_rate else "volatility"
