"""Whom a loss that nobody covers asks to close."""

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from tests.core.textbook.numbers import LIMIT, sign, text
from tests.core.textbook.position import Position

if TYPE_CHECKING:
    from tests.core.textbook.ladder import Ladder


def deleverage(ladder: "Ladder", position: Position, size: Fraction, saving_value: Fraction, share: Fraction) -> None:
    """Ask the winners of the other side to close `share` of what was closed, at the price that would have left
    nothing: where a unit of it would have been worth `saving_value`.
    """
    market, terms = ladder.market(position), ladder.market(position).terms
    if position.inverse and saving_value >= 0:
        return
    mark, steps = market.mark, (-1 / saving_value if position.inverse else saving_value) / terms.price_tick
    price = (ceil(steps) if size > 0 else floor(steps)) * terms.price_tick
    if mark is None or not terms.price_tick <= price < LIMIT or sign(price - mark) != sign(size):
        return
    winners = [
        other
        for other in ladder.venue.books.positions_of(position.instrument)
        if other.side == -sign(size)
        and other.liquidation is None
        and other.unrealised(mark) > 0
        and other.equity(mark) > 0
        and other.equity(price) >= 0
    ]
    scores = {
        other.account: other.unrealised(mark)
        / other.count(other.size, other.entry)
        * (other.count(other.size, mark) / other.equity(mark))
        for other in winners
    }
    contracts = abs(size) / terms.multiplier
    left = min(ceil(contracts * share / terms.quantity_step) * terms.quantity_step, contracts)
    winners.sort(key=lambda other: (-scores[other.account], other.account.encode()))
    for rank, other in enumerate(winners, start=1):
        if not left:
            break
        quantity = min(left, abs(other.size) / terms.multiplier)
        left -= quantity
        score = scores[other.account]
        ladder.decide(
            "deleverage_requested",
            other,
            liquidation_id=position.liquidation.identifier if position.liquidation else None,
            rank=rank,
            score=(str(score.numerator), str(score.denominator)),
            side="sell" if other.size > 0 else "buy",
            quantity=text(quantity),
            price=text(price),
            remaining=text(left),
            **ladder.judgement(other),
        )
