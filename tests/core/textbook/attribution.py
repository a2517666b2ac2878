"""Why a liquidation price moved between two views of a position: what happened since, applied to what stood then."""

from dataclasses import replace
from itertools import pairwise

from tests.core.textbook.books import Market
from tests.core.textbook.numbers import text
from tests.core.textbook.position import Position, Told

Move = dict[str, str | None]


def tell(market: Market, position: Position) -> list[Move] | None:
    """Take a view: why the price moved since the one before; None when this is the first, or nobody asks."""
    if not market.terms.document.get("attribution"):
        return None
    terms, told = market.terms, position.told
    copy = replace(position, told=None)
    position.told = Told(price_of(market, copy), copy, market.funding_index, terms.version, terms.volatility_rate)
    return None if told is None else chain(market, told, position.told)


def chain(market: Market, told: Told, now: Told) -> list[Move]:
    """The causes in their order, each with the price before and after; only those that moved it."""
    then, after = replace(told.position), now.position
    drawn = after.drawn - then.drawn
    put, fees = after.transferred - then.transferred, after.fees - then.fees
    prices = [("", told.price), (rules(told, now), price_of(market, then))]
    then.settle_funding(now.funding_index - told.funding_index)
    then.put(drawn)
    prices.append(("funding", price_of(market, then)))
    then.collateral -= fees
    prices.append(("fee", price_of(market, then)))
    then.put(put)
    prices.append(("transfer", price_of(market, then)))
    prices.append(("fill", now.price))
    return [
        {"cause": cause, "from_price": before, "to_price": price}
        for (_, before), (cause, price) in pairwise(prices)
        if before != price
    ]


def rules(told: Told, now: Told) -> str:
    """What can make the same position come to another price."""
    if told.version != now.version:
        return "parameter"
    return "mark" if told.rate == now.rate else "volatility"


def price_of(market: Market, position: Position) -> str | None:
    """The liquidation price under the present terms, at the present mark, printed."""
    price = position.liquidation_price(market.terms, market.mark)
    return None if price is None else text(price)
