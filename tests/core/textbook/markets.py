"""Inputs of a market: assets, instruments, ticks, funding, the insurance fund, settlement."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.core.textbook import feeds
from tests.core.textbook.books import Market
from tests.core.textbook.identity import contents
from tests.core.textbook.marking import Quote
from tests.core.textbook.numbers import down, exact, up
from tests.core.textbook.position import Position
from tests.core.textbook.refusal import AlreadyApplied, Refused, Unacceptable
from tests.core.textbook.terms import Terms
from tests.core.textbook.volatility import announce, change_rate, observe, planned, rehearse, succeed, tell

if TYPE_CHECKING:
    from tests.core.textbook.venue import Event, Venue

FUNDING_DECIMALS = 18
"""Of what an inverse contract's funding costs each unit."""
IMMUTABLE = ("contract", "settle_asset", "multiplier")


def asset(venue: "Venue", event: "Event") -> None:
    """Fix an asset's decimals, before its first use."""
    books, name = venue.books, event["asset"]
    settled = name in books.decimals or name in books.used_assets
    if settled and books.decimals_of(name) != event["decimals"]:
        raise Refused("immutable_field")
    if name in books.decimals:
        raise AlreadyApplied
    books.decimals[name] = event["decimals"]


def instrument(venue: "Venue", event: "Event") -> None:
    """List an instrument, or give it a new version: now, or when its market time has come."""
    books, name = venue.books, event["instrument"]
    market = books.markets.get(name)
    if market is not None:
        if contents(event) == market.versions.get(event["version"]):
            raise AlreadyApplied
        if event["version"] <= max(market.versions):
            raise Refused("stale_version")
        if any(given(event, key) != given(market.terms.document, key) for key in IMMUTABLE):
            raise Refused("immutable_field")
    try:
        terms = Terms.read(event)
    except Unacceptable as error:
        raise Refused("invalid_instrument") from error
    if terms.liquidation.throttle is not None:
        notional = terms.liquidation.throttle[0]
        if up(notional, books.decimals_of(terms.settle_asset)) != notional:
            raise Refused("invalid_instrument")
    if market is not None and market.closed:
        raise Refused("instrument_closed")
    advance(venue, event)
    if market is None:
        books.markets[name] = Market(terms, {terms.version: contents(event)}, market_us=event["time_us"])
        books.used_assets.add(terms.settle_asset)
        venue.decide("instrument_changed", None, name, version=terms.version, previous_version=None)
        tell(venue, None, terms)
        feeds.adopt(venue, books.markets[name])
        return
    market.versions[terms.version] = contents(event)
    effective_us = terms.effective_us if terms.effective_us is not None else event["time_us"]
    market.pending = [old for old in market.pending if effective(old) < effective_us]
    if effective_us > market.market_us:
        market.pending.append(terms)
        announced = {"version": terms.version, "effective_us": effective_us, "old_rate": None, "new_rate": None}
        rehearsed = rehearse(venue, market, planned(market, terms))
        venue.decide("requirement_announced", None, name, **announced, **rehearsed)
    else:
        activate(venue, market, terms)


def given(document: dict[str, Any], key: str) -> object:
    """A field of an instrument by value, its default where it is left out."""
    if key == "multiplier":
        return exact(document.get(key) or "1")
    return document[key]


def effective(terms: Terms) -> int:
    """When a version that is still to come takes effect."""
    assert terms.effective_us is not None
    return terms.effective_us


def activate(venue: "Venue", market: Market, terms: Terms) -> None:
    """Put a version in force.  Nobody is judged by it yet."""
    previous, market.terms, market.changed = market.terms, succeed(market, terms), True
    changed = {"version": terms.version, "previous_version": previous.version}
    venue.decide("instrument_changed", None, terms.instrument, **changed)
    tell(venue, previous, market.terms)
    feeds.adopt(venue, market)
    if not terms.document.get("attribution"):
        for position in venue.books.positions_of(terms.instrument):
            position.told = None


def advance_market(venue: "Venue", market: Market, time_us: int) -> None:
    """Move an instrument's market time; versions, then rises, whose time has come take effect."""
    market.market_us = max(market.market_us, time_us)
    while (dates := dates_of(market)) and min(dates) <= market.market_us:
        with venue.timer("effective_date", min(dates)):
            if market.pending and effective(market.pending[0]) == min(dates):
                activate(venue, market, market.pending.pop(0))
            else:
                _, rate, announcement = market.measured.rises.pop(0)
                change_rate(venue, market, rate, announcement)


def dates_of(market: Market) -> list[int]:
    """When something is to take effect."""
    return [effective(terms) for terms in market.pending] + [rise[0] for rise in market.measured.rises]


def advance(venue: "Venue", event: "Event") -> None:
    """Move the market time of the instruments that an input, not refused, is about; then it is applied.

    Versions that take effect do so in order of their time, then of the instrument.
    """
    names = {name for name, _ in event["prices"]} if event["type"] == "ticks" else {event["instrument"]}
    found = {name: venue.books.markets[name] for name in names if name in venue.books.markets}
    due = [(date, name) for name, market in found.items() for date in dates_of(market)]
    for effective_us, name in sorted(due, key=lambda entry: (entry[0], entry[1].encode())):
        if effective_us <= event["time_us"]:
            advance_market(venue, found[name], effective_us)
    for market in found.values():
        advance_market(venue, market, event["time_us"])


def find(venue: "Venue", name: str) -> Market:
    """An instrument that was accepted.  Raises Refused."""
    if name not in venue.books.markets:
        raise Refused("unknown_instrument")
    return venue.books.markets[name]


def find_open(venue: "Venue", event: "Event") -> Market:
    """The open instrument of a market input.  Raises Refused."""
    market = find(venue, event["instrument"])
    if market.closed:
        raise Refused("instrument_closed")
    return market


def fund_deposit(venue: "Venue", event: "Event") -> None:
    """Money into the insurance fund of an instrument."""
    market = find_open(venue, event)
    settle_asset, amount = market.terms.settle_asset, exact(event["amount"])
    check_decimals(venue, settle_asset, amount)
    advance(venue, event)
    venue.books.ledger.post("external", f"fund|{event['instrument']}", settle_asset, amount)


def check_decimals(venue: "Venue", name: str, amount: Fraction) -> None:
    """Refuse an amount finer than its asset."""
    if up(amount, venue.books.decimals_of(name)) != amount:
        raise Refused("too_many_decimals")


def tick(venue: "Venue", event: "Event") -> None:
    """A new mark: every position of the instrument is judged, in order of account id."""
    find_open(venue, event)
    if event.get("sequence") is not None:
        key = (event["instrument"], event.get("source"))
        content = (event["time_us"], exact(event["price"]))
        last = venue.sequences.get(key)
        if seen(venue, event):
            raise AlreadyApplied
        if last is not None and event["sequence"] <= last[0]:
            raise Refused("sequence_not_increasing")
        venue.sequences[key] = (event["sequence"], content)
    advance(venue, event)
    hear(venue, event["instrument"], Quote(event.get("source") or "", exact(event["price"]), event["time_us"]))


def hear(venue: "Venue", name: str, quote: Quote) -> None:
    """A price of a source: it is the mark, or a part of it, or of no account."""
    market = venue.books.markets[name]
    if market.feed is None:
        set_mark(venue, name, quote.price)
        return
    was_stale = market.feed.stale
    mark = feeds.hear(venue, market, quote)
    if mark is not None:
        market.feed.revived = was_stale and not market.feed.stale
        set_mark(venue, name, mark)
        market.feed.revived = False


def bound(venue: "Venue", event: "Event") -> None:
    """Refuse a price outside the bounds of the version that holds at its time; one applied before is no news."""
    entries = event["prices"] if event["type"] == "ticks" else [(event["instrument"], event["price"])]
    for name, price in entries:
        if name not in venue.books.markets or seen(venue, event):
            continue
        market = venue.books.markets[name]
        holding = [market.terms] + [terms for terms in market.pending if effective(terms) <= event["time_us"]]
        limits = holding[-1].document.get("mark") or {}
        low, high = (limits.get(key) for key in ("min_price", "max_price"))
        if (low is not None and exact(price) < exact(low)) or (high is not None and exact(price) > exact(high)):
            raise Refused("out_of_range")


def seen(venue: "Venue", event: "Event") -> bool:
    """Whether this is the last numbered tick of its source, come again."""
    if event.get("sequence") is None:
        return False
    last = venue.sequences.get((event["instrument"], event.get("source")))
    return last == (event["sequence"], (event["time_us"], exact(event["price"])))


def ticks(venue: "Venue", event: "Event") -> None:
    """Many marks in one input: refused as a whole, judged one by one."""
    found = {name: find(venue, name) for name, _ in event["prices"]}
    if any(market.closed for market in found.values()):
        raise Refused("instrument_closed")
    advance(venue, event)
    for name, price in event["prices"]:
        hear(venue, name, Quote(event["source"], exact(price), event["time_us"]))


def set_mark(venue: "Venue", name: str, price: Fraction) -> None:
    """Move the mark and judge."""
    market = venue.books.markets[name]
    market.mark = price
    announced = observe(venue, market)
    judge_all(venue, name)
    market.changed = False
    if announced is not None:
        announce(venue, market, announced)


def judge_all(venue: "Venue", name: str) -> None:
    """Judge every position of an instrument at its mark."""
    for position in venue.books.positions_of(name):
        venue.ladder.judge(position)


def funding(venue: "Venue", event: "Event") -> None:
    """Longs pay shorts, per unit, `rate` times what it is worth; then everybody is judged."""
    market, name = find_open(venue, event), event["instrument"]
    price = market.mark if event.get("price") is None else exact(event["price"])
    if price is None:
        raise Refused("no_mark")
    advance(venue, event)
    rate = exact(event["rate"])
    per_unit = down(rate / price, FUNDING_DECIMALS) if market.terms.inverse else rate * price
    market.funding_index += per_unit
    market.last_funding = per_unit
    for position in venue.books.positions_of(name):
        paid = from_wallet(venue, position, per_unit)
        position.settle_funding(per_unit)
        venue.books.commit(position, paid)
        position.drawn += paid
    if market.mark is not None:
        judge_all(venue, name)


def from_wallet(venue: "Venue", position: Position, per_unit: Fraction) -> Fraction:
    """What the wallet pays of a funding payment, in whole units: nothing for a bucket that is being liquidated."""
    terms = venue.books.markets[position.instrument].terms
    owed = max(position.size * per_unit, Fraction(0))
    if terms.funding_payer != "free_balance_first" or position.liquidation is not None:
        return Fraction(0)
    due = up(owed, venue.books.decimals_of(terms.settle_asset))
    return min(venue.books.wallet(position.account, terms.settle_asset), due)


def settlement(venue: "Venue", event: "Event") -> None:
    """Close every position at the settlement price, and the instrument with them."""
    market, price = find_open(venue, event), exact(event["price"])
    advance(venue, event)
    feeds.settle(venue, market)
    for position in venue.books.positions_of(event["instrument"]):
        venue.books.trade(position, -position.size, price)
        receiver = f"wallet|{position.account}"
        venue.ladder.close(position, receiver, "settled" if position.liquidation else None, None)
    market.closed = True
    market.pending = []
