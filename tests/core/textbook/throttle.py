"""How much may be ordered in an interval, and who waits."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.core.textbook.numbers import up
from tests.core.textbook.position import Position

if TYPE_CHECKING:
    from tests.core.textbook.ladder import Ladder


def queue(ladder: "Ladder", instrument: str) -> list[Position]:
    """The positions whose order waits: one passed over first, then by margin ratio, then by account."""
    venue = ladder.venue
    market = venue.books.markets[instrument]

    def urgency(position: Position) -> tuple[bool, int, Fraction, bytes]:
        assert market.mark is not None
        assert position.liquidation is not None
        first = not position.liquidation.passed_over
        maintenance, equity = position.maintenance(market.terms, market.mark), position.equity(market.mark)
        if not maintenance:
            return first, -1 if equity <= 0 else 1, Fraction(0), position.account.encode()
        return first, 0, equity / maintenance, position.account.encode()

    found = venue.books.positions_of(instrument)
    return sorted((each for each in found if each.liquidation is not None and each.liquidation.waiting), key=urgency)


def admits(ladder: "Ladder", position: Position) -> bool:
    """Whether the next order fits into what is left of the interval, or is the first in it."""
    market = ladder.market(position)
    if market.terms.liquidation.throttle is None:
        return True
    most, began_us, ordered = market.terms.liquidation.throttle[0], began(ladder, position), []
    for when_us, notional in reversed(market.orders):
        if when_us != began_us:
            break
        ordered.append(notional)
    return not ordered or sum(ordered) + worth(ladder, position) <= most


def count(ladder: "Ladder", position: Position) -> None:
    """Remember an order that is about to be published."""
    market = ladder.market(position)
    if market.terms.liquidation.throttle is not None:
        market.orders.append((began(ladder, position), worth(ladder, position)))


def began(ladder: "Ladder", position: Position) -> int:
    """When the present interval began."""
    plan = ladder.market(position).terms.liquidation.throttle
    assert plan is not None
    return ladder.venue.time_us // plan[1] * plan[1]


def worth(ladder: "Ladder", position: Position) -> Fraction:
    """Notional of the next order at the mark, in whole units."""
    market = ladder.market(position)
    assert market.mark is not None
    return up(position.count(ladder.sized(position) * market.terms.multiplier, market.mark), ladder.decimals(position))


def wait(ladder: "Ladder", position: Position) -> None:
    """Wait for the next interval; the order that was out is out no longer."""
    liquidation = position.liquidation
    assert liquidation is not None
    liquidation.waiting = True
    liquidation.quantity = liquidation.filled = Fraction(0)
    look_again(ladder, position.instrument)


def look_again(ladder: "Ladder", instrument: str) -> None:
    """Come back when the next interval begins, unless that is planned already."""
    market = ladder.venue.books.markets[instrument]
    assert market.terms.liquidation.throttle is not None
    interval_us = market.terms.liquidation.throttle[1]
    if market.release_us is None:
        market.release_us = (ladder.venue.time_us // interval_us + 1) * interval_us


def release(ladder: "Ladder", instrument: str) -> None:
    """Let those who wait go, in their order, until one does not fit."""
    ladder.venue.books.markets[instrument].release_us = None
    for position in queue(ladder, instrument):
        assert position.liquidation is not None
        if not admits(ladder, position):
            position.liquidation.passed_over = True
            look_again(ladder, instrument)
            break
        ladder.order(position)
