"""Inputs of an account's owner: deposits, withdrawals, margin and leverage."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.core.textbook.books import Market
from tests.core.textbook.markets import check_decimals, find
from tests.core.textbook.numbers import down, exact, up
from tests.core.textbook.position import Position
from tests.core.textbook.refusal import Refused

if TYPE_CHECKING:
    from tests.core.textbook.venue import Event, Venue


def deposit(venue: "Venue", event: "Event") -> None:
    """Money from outside into the wallet, or straight into a bucket."""
    account, asset, amount = event["account"], event["asset"], exact(event["amount"])
    books = venue.books
    if event.get("instrument") is None:
        check_decimals(venue, asset, amount)
        books.used_assets.add(asset)
        books.move(account, asset, amount, "external")
        return
    market = find(venue, event["instrument"])
    if market.closed:
        raise Refused("instrument_closed")
    if asset != market.terms.settle_asset:
        raise Refused("wrong_asset")
    position = held(venue, event)
    check_decimals(venue, asset, amount)
    books.ledger.post("external", f"bucket|{account}|{event['instrument']}", asset, amount)
    position.put(amount)
    position.transferred += amount
    venue.ladder.cure(position)
    venue.ladder.judge(position)


def withdrawal(venue: "Venue", event: "Event") -> None:
    """Money out of the wallet; a bucket is never withdrawn from directly."""
    account, asset, amount = event["account"], event["asset"], exact(event["amount"])
    check_decimals(venue, asset, amount)
    if venue.books.wallet(account, asset) < amount:
        raise Refused("insufficient_wallet")
    venue.books.move(account, asset, -amount, "external")


def held(venue: "Venue", event: "Event") -> Position:
    """The open position that an input names.  Raises Refused."""
    position = venue.books.positions.get((event["account"], event["instrument"]))
    if position is None:
        raise Refused("no_position")
    return position


def open_market(venue: "Venue", event: "Event") -> Market:
    """The instrument that an account's input names, still open.  Raises Refused."""
    market = find(venue, event["instrument"])
    if market.closed:
        raise Refused("instrument_closed")
    return market


def add_margin(venue: "Venue", event: "Event") -> None:
    """Wallet to bucket; may cure a liquidation."""
    market, amount = open_market(venue, event), exact(event["amount"])
    position = held(venue, event)
    check_decimals(venue, market.terms.settle_asset, amount)
    if venue.books.wallet(event["account"], market.terms.settle_asset) < amount:
        raise Refused("insufficient_wallet")
    venue.books.commit(position, amount)
    position.transferred += amount
    venue.ladder.cure(position)
    venue.ladder.judge(position)


def remove_margin(venue: "Venue", event: "Event") -> None:
    """Bucket to wallet, up to `max_removable`."""
    market, amount = open_market(venue, event), exact(event["amount"])
    position = held(venue, event)
    check_decimals(venue, market.terms.settle_asset, amount)
    if position.liquidation is not None:
        raise Refused("liquidating")
    leverage = venue.books.leverage(event["account"], event["instrument"])
    greatest = position.max_removable(market.terms, market.mark, leverage)
    if greatest is None:
        raise Refused("no_mark")
    if amount > greatest:
        raise Refused("not_removable")
    venue.books.release(position, amount)
    position.transferred -= amount
    venue.ladder.judge(position)


def set_leverage(venue: "Venue", event: "Event") -> None:
    """Choose leverage for future fills; with `rebalance`, move collateral to match it."""
    market, leverage = open_market(venue, event), exact(event["leverage"])
    account, name = event["account"], event["instrument"]
    books = venue.books
    position = books.positions.get((account, name))
    if position is None and market.terms.expiry_us is not None and venue.time_us >= market.terms.expiry_us:
        raise Refused("no_position")
    if position is not None and position.liquidation is not None:
        raise Refused("liquidating")
    notional = Fraction(0)
    if position is not None:
        price = position.entry if market.mark is None else market.mark
        notional = position.count(position.size, price)
    greatest = market.terms.bracket(notional).max_leverage
    if greatest is not None and leverage > greatest:
        raise Refused("leverage_too_high")
    rebalance = bool(event.get("rebalance"))
    if position is not None and leverage < books.leverage(account, name) and not rebalance:
        raise Refused("rebalance_required")
    move = rebalancing(venue, market, position, leverage) if position is not None and rebalance else Fraction(0)
    books.accounts.add(account)
    books.leverages[account, name] = leverage
    if position is None:
        return
    if move > 0:
        books.commit(position, move)
    elif move < 0:
        books.release(position, -move)
    position.transferred += move
    venue.ladder.judge(position)


def rebalancing(venue: "Venue", market: Market, position: Position, leverage: Fraction) -> Fraction:
    """What must enter (or, below zero, leave) the bucket for collateral N(E)/L.  Raises Refused."""
    asset = market.terms.settle_asset
    decimals = venue.books.decimals_of(asset)
    missing = position.count(position.size, position.entry) / leverage - position.collateral
    if missing > 0:
        missing = up(missing, decimals)
        if venue.books.wallet(position.account, asset) < missing:
            raise Refused("insufficient_wallet")
        return missing
    spare = down(-missing, decimals)
    if spare > 0:
        greatest = position.max_removable(market.terms, market.mark, leverage)
        if greatest is None:
            raise Refused("no_mark")
        if spare > greatest:
            raise Refused("not_removable")
    return -spare
