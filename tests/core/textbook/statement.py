"""The statement of every account, every field of a position, and the ledger: `--state`, by hand."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.core.textbook.ladder import published_ratio
from tests.core.textbook.markets import from_wallet
from tests.core.textbook.numbers import published_down, published_up, text
from tests.core.textbook.position import Position
from tests.core.textbook.venue import Venue


def statement(venue: Venue) -> list[dict[str, Any]]:
    """One line per account in order of id, then the ledger, then the counts."""
    lines = [account_line(venue, name) for name in sorted(venue.books.accounts, key=str.encode)]
    return [*lines, {"type": "ledger", "balances": ledger_line(venue)}, digest_line(venue)]


def account_line(venue: Venue, account: str) -> dict[str, Any]:
    """Wallets and positions of one account."""
    books = venue.books
    assets = sorted(asset for owner, asset in books.wallet_assets if owner == account)
    names = sorted(name for owner, name in books.positions if owner == account)
    return {
        "type": "account",
        "account": account,
        "wallets": {asset: text(books.wallet(account, asset)) for asset in assets},
        "positions": [position_line(venue, books.positions[account, name]) for name in names],
    }


def ledger_line(venue: Venue) -> dict[str, dict[str, str]]:
    """Every ledger account ever posted to; balances of zero left out."""
    return {
        account: {asset: text(amount) for asset, amount in sorted(balances.items()) if amount}
        for account, balances in sorted(venue.books.ledger.balances.items())
    }


def digest_line(venue: Venue) -> dict[str, Any]:
    """How the inputs ended."""
    return {"type": "digest", **vars(venue.counts)}


def position_line(venue: Venue, position: Position) -> dict[str, Any]:
    """Every field of the view `position`, at the current mark, by the rounding of margin.md."""
    market = venue.books.markets[position.instrument]
    terms, mark = market.terms, market.mark
    decimals = venue.books.decimals_of(terms.settle_asset)
    leverage = venue.books.leverage(position.account, position.instrument)
    equity = None if mark is None else position.equity(mark)
    maintenance = position.maintenance(terms, mark)
    return {
        "account": position.account,
        "instrument": position.instrument,
        "quantity": text(position.size / terms.multiplier),
        "entry_price": text(position.entry),
        "mark_price": None if mark is None else text(mark),
        "collateral": published_down(position.collateral, decimals),
        "realised_pnl": published_down(position.realised, decimals),
        "funding": published_down(position.funding, decimals),
        "leverage": text(leverage),
        "unrealised_pnl": published_down(None if mark is None else position.unrealised(mark), decimals),
        "equity": published_down(equity, decimals),
        "initial_margin": published_up(position.initial(terms, mark, leverage), decimals),
        "maintenance_margin": published_up(maintenance, decimals),
        "margin_ratio": published_ratio(equity, maintenance),
        "max_removable": published_down(position.max_removable(terms, mark, leverage), decimals),
        "liquidation_price": printed(position.liquidation_price(terms, mark)),
        "bankruptcy_price": printed(position.bankruptcy_price(terms)),
        "margin_call_prices": [printed(price) for price in position.margin_call_prices(terms, mark)],
        "status": status(position),
        "case_id": position.case_id,
        "liquidation_id": position.liquidation.identifier if position.liquidation else None,
        **requirement(venue, position, decimals),
        **after_funding(venue, position),
    }


def after_funding(venue: Venue, position: Position) -> dict[str, Any]:
    """Where the position would be liquidated if the last funding came once more; nothing before the first."""
    market = venue.books.markets[position.instrument]
    if market.last_funding is None:
        return {}
    later = replace(position)
    later.put(from_wallet(venue, position, market.last_funding))
    later.settle_funding(market.last_funding)
    return {"liquidation_price_after_funding": printed(later.liquidation_price(market.terms, market.mark))}


def requirement(venue: Venue, position: Position, decimals: int) -> dict[str, Any]:
    """Notional, and the tier it reaches into."""
    market = venue.books.markets[position.instrument]
    worth = None if market.mark is None else position.count(position.size, market.mark)
    notional = position.notional(market.terms, market.mark)
    if notional is None:
        return dict.fromkeys(("notional", "tier", "maintenance_rate", "maintenance_amount"))
    tier, side, least = market.terms.tier(notional), position.side, market.terms.least_rate
    rate, amount = market.terms.brackets[tier - 1].rate(side) + market.terms.extra_rate, market.terms.amount(tier, side)
    if least is not None and market.terms.tiered(notional, side) < notional * least:
        rate, amount = least, Fraction(0)
    return {
        "notional": published_up(worth, decimals),
        "tier": tier,
        "maintenance_rate": text(rate),
        "maintenance_amount": text(amount),
    }


def status(position: Position) -> str:
    """Where the bucket stands on its way."""
    if position.liquidation is not None:
        return "liquidating"
    return "called" if position.case_id is not None else "open"


def printed(price: Fraction | None) -> str | None:
    """A price of the grid, printed."""
    return None if price is None else text(price)
