"""Fills, and what an executor reports: facts, never refused for money."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.core.textbook.books import Market
from tests.core.textbook.commands import open_market
from tests.core.textbook.numbers import exact, text, up
from tests.core.textbook.position import Position
from tests.core.textbook.refusal import Refused

if TYPE_CHECKING:
    from tests.core.textbook.venue import Event, Venue


def fill(venue: "Venue", event: "Event") -> None:
    """Book a fill: increase, reduce, close, or close and open the other way."""
    market = open_market(venue, event)
    if event.get("fee_asset") not in (None, market.terms.settle_asset):
        raise Refused("wrong_asset")
    books, account, name = venue.books, event["account"], event["instrument"]
    books.accounts.add(account)
    books.used_assets.add(market.terms.settle_asset)
    price = exact(event["price"])
    size = exact(event["quantity"]) * market.terms.multiplier
    size = size if event["side"] == "buy" else -size
    position = books.positions.get((account, name))
    flag(venue, market, position, event, size)
    fee = fee_of(venue, market, event, size, price)
    if position is None or position.side * size > 0:
        increase(venue, market, position, event, size, fee)
    elif abs(size) < abs(position.size):
        reduce(venue, market, position, event, size, fee)
    elif size == -position.size:
        close(venue, market, position, event, fee)
    else:
        rest = size + position.size
        close(venue, market, position, event, Fraction(0))
        increase(venue, market, None, event, rest, fee)
    remaining = books.positions.get((account, name))
    if remaining is not None:
        flag_leverage(venue, market, remaining, event)
        venue.ladder.judge(remaining)


def fee_of(venue: "Venue", market: Market, event: "Event", size: Fraction, price: Fraction) -> Fraction:
    """The fee a fill states, else the taker fee; in whole units, rounded up."""
    stated = event.get("fee")
    worth = abs(size) / price if market.terms.inverse else abs(size) * price
    fee = worth * market.terms.taker if stated is None else exact(stated)
    return up(fee, venue.books.decimals_of(market.terms.settle_asset))


def pay_rebate(venue: "Venue", market: Market, event: "Event", fee: Fraction) -> Fraction:
    """A negative fee goes to the wallet at once; returns the fee still to be paid."""
    if fee < 0:
        venue.books.move(event["account"], market.terms.settle_asset, -fee, "fees")
    return max(fee, Fraction(0))


def increase(
    venue: "Venue",
    market: Market,
    position: Position | None,
    event: "Event",
    size: Fraction,
    fee: Fraction,
) -> None:
    """Fee first: from the wallet, the rest from the bucket.  Then margin, as far as it goes; it may cure."""
    books, asset, price = venue.books, market.terms.settle_asset, exact(event["price"])
    account, name = event["account"], event["instrument"]
    if position is None:
        position = Position(account, name, market.terms.inverse)
        books.positions[account, name] = position
    fee = pay_rebate(venue, market, event, fee)
    from_wallet = min(fee, books.wallet(account, asset))
    books.move(account, asset, -from_wallet, "fees")
    books.charge(position, fee - from_wallet, "fees")
    books.trade(position, size, price)
    if event.get("margin") is not None:
        required = exact(event["margin"])
    else:
        required = position.count(size, price) / books.leverage(account, name)
    required = up(required, books.decimals_of(asset))
    available = books.wallet(account, asset)
    if available and required:
        books.commit(position, min(required, available))
        venue.ladder.cure(position)
    if available < required:
        amounts = {"required": text(required), "available": text(available)}
        venue.decide("underfunded", account, name, fill_id=event["fill_id"], **amounts)


def reduce(
    venue: "Venue",
    market: Market,
    position: Position,
    event: "Event",
    size: Fraction,
    fee: Fraction,
) -> None:
    """Fee and loss are settled first; then collateral is freed, unless being liquidated."""
    books, price = venue.books, exact(event["price"])
    share = abs(size) / abs(position.size)
    books.charge(position, pay_rebate(venue, market, event, fee), "fees")
    books.trade(position, size, price)
    if position.liquidation is not None:
        venue.ladder.executed(position, event, abs(size))
    elif market.terms.release_on_reduce == "proportional":
        unit = Fraction(1, 10 ** books.decimals_of(market.terms.settle_asset))
        freed = position.equity(price) * share // unit * unit
        books.release(position, max(freed, Fraction(0)))


def close(venue: "Venue", market: Market, position: Position, event: "Event", fee: Fraction) -> None:
    """Fee, then everything left leaves the bucket."""
    books, closed = venue.books, abs(position.size)
    books.charge(position, pay_rebate(venue, market, event, fee), "fees")
    gone = position.size, exact(event["price"])
    books.trade(position, -position.size, exact(event["price"]))
    receiver = f"wallet|{position.account}"
    if position.liquidation is not None:
        venue.ladder.penalty(position, event, closed, position.collateral)
        receiver = venue.ladder.residual_receiver(position)
    venue.ladder.close(position, receiver, "closed" if position.liquidation else None, gone)


def flag(venue: "Venue", market: Market, position: Position | None, event: "Event", size: Fraction) -> None:
    """Say what is odd about a fill; it is booked all the same."""
    terms = market.terms
    reasons = []
    off_step = exact(event["quantity"]) % terms.quantity_step != 0
    if off_step or exact(event["price"]) % terms.price_tick != 0:
        reasons.append("off_grid")
    opening = position is None or position.side * size > 0 or abs(size) > abs(position.size)
    if opening and terms.expiry_us is not None and venue.time_us >= terms.expiry_us:
        reasons.append("close_only")
    liquidation = position.liquidation if position is not None else None
    ordered = liquidation is not None and liquidation.identifier == event.get("liquidation_id")
    if liquidation is not None and ordered and abs(size) / terms.multiplier > liquidation.remaining:
        reasons.append("excess")
    for reason in reasons:
        venue.decide(
            "fill_flagged",
            event["account"],
            event["instrument"],
            fill_id=event["fill_id"],
            reason=reason,
        )


def flag_leverage(venue: "Venue", market: Market, position: Position, event: "Event") -> None:
    """Say that a fill took the notional into a tier that does not allow the chosen leverage."""
    if position.side * (1 if event["side"] == "buy" else -1) < 0:
        return
    price = position.entry if market.mark is None else market.mark
    greatest = market.terms.bracket(position.count(position.size, price)).max_leverage
    leverage = venue.books.leverage(position.account, position.instrument)
    if greatest is not None and leverage > greatest:
        venue.decide(
            "fill_flagged",
            position.account,
            position.instrument,
            fill_id=event["fill_id"],
            reason="above_max_leverage",
        )


def liquidation_report(venue: "Venue", event: "Event") -> None:
    """An executor gives up on a step: the next one asks for the whole position."""
    open_market(venue, event)
    position = venue.books.positions.get((event["account"], event["instrument"]))
    liquidation = position.liquidation if position is not None else None
    if (
        position is None
        or liquidation is None
        or liquidation.identifier != event["liquidation_id"]
        or liquidation.step != event["step"]
        or liquidation.waiting
    ):
        raise Refused("unknown_liquidation")
    venue.ladder.next_step(position, whole=True)
