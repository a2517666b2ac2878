"""What a market makes of its sources: the mark, what is held back, and whether anything is fresh."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from tests.core.textbook.books import Market
from tests.core.textbook.marking import Doubt, Feed, MarkTerms, Quote
from tests.core.textbook.numbers import text, up

if TYPE_CHECKING:
    from tests.core.textbook.venue import Venue

NAMED = 100


def parts(market: Market) -> tuple[MarkTerms, Feed]:
    """The terms of the mark, and what was heard."""
    assert market.terms.marking is not None
    assert market.feed is not None
    return market.terms.marking, market.feed


def hear(venue: "Venue", market: Market, quote: Quote) -> Fraction | None:
    """Hear a quote; returns the mark it leads to, None if it counts for nothing, or not yet."""
    terms, feed = parts(market)
    words = feed.last_words(feed.heard)
    feed.heard = [said for said in feed.heard if not terms.old(words[said.source].time_us, market.market_us)]
    if terms.sources is not None and quote.source not in terms.sources:
        return None
    if terms.old(quote.time_us, market.market_us):
        return None
    if terms.max_jump is not None and not believed(venue, market, quote):
        return None
    feed.heard = [*forget(feed.heard, quote.source), quote]
    mark = terms.composite(feed.heard)
    if feed.before is None:
        feed.before = mark
    look(venue, market, mark)
    return mark


def forget(quotes: list[Quote], source: str) -> list[Quote]:
    """Quotes without those of a source."""
    return [quote for quote in quotes if quote.source != source]


def believed(venue: "Venue", market: Market, quote: Quote) -> bool:
    """Whether a quote may be heard at once; otherwise it waits, or puts another one in doubt."""
    terms, feed = parts(market)
    if feed.latest_us is None or quote.time_us > feed.latest_us:
        feed.latest_us, feed.before = quote.time_us, market.mark
    if feed.before is None:
        return True
    would_be = terms.composite([*forget(feed.heard, quote.source), quote])
    leaps = terms.far(would_be, feed.before)
    doubt = feed.doubt
    if doubt is not None and terms.agree(quote.price, doubt.first.price, feed.before):
        if quote.time_us > max([doubt.first.time_us, *doubt.agreed_us]):
            doubt.agreed_us.append(quote.time_us)
        if enough(market, doubt, quote):
            confirm(venue, market, quote)
            return True
        doubt.waiting = forget(doubt.waiting, quote.source) + ([quote] if leaps else [])
        return not leaps
    if leaps:
        drop(venue, market, "superseded")
    elif not terms.far(quote.price, feed.before):
        drop(venue, market, "contradicted")
    if not leaps:
        return True
    if enough(market, Doubt(quote, []), quote):
        feed.before = None
        return True
    feed.doubt = Doubt(quote, [quote])
    market.doubts += 1
    announce(venue, market, quote, would_be)
    return False


def supporters(market: Market, doubt: Doubt, quote: Quote) -> list[str]:
    """The other sources that say what the quote in doubt says."""
    terms, feed = parts(market)
    words = feed.last_words([*feed.heard, *doubt.waiting, quote])
    assert feed.before is not None
    return [
        source
        for source, said in words.items()
        if source != doubt.first.source
        and terms.agree(said.price, doubt.first.price, feed.before)
        and not terms.old(said.time_us, market.market_us)
    ]


def enough(market: Market, doubt: Doubt, quote: Quote) -> bool:
    """Whether a doubt is settled in favour of the quote."""
    terms, _ = parts(market)
    by_ticks = terms.confirm_ticks is not None and len(doubt.agreed_us) >= terms.confirm_ticks
    others = len(supporters(market, doubt, quote))
    return by_ticks or (terms.confirm_sources is not None and others >= terms.confirm_sources)


def confirm(venue: "Venue", market: Market, quote: Quote) -> None:
    """Hear everything that waited."""
    terms, feed = parts(market)
    doubt = feed.doubt
    assert doubt is not None
    others = supporters(market, doubt, quote)
    for waited in [*doubt.waiting, quote]:
        feed.heard = [*forget(feed.heard, waited.source), waited]
    feed.heard = [said for said in feed.heard if not terms.old(said.time_us, market.market_us)]
    feed.doubt = feed.before = None
    mark = text(terms.composite(feed.heard))
    told(venue, market, "tick_confirmed", doubt, mark_price=mark, ticks=len(doubt.agreed_us), sources=len(others))


def drop(venue: "Venue", market: Market, reason: str) -> None:
    """Never hear what is held back."""
    if market.feed is None or market.feed.doubt is None:
        return
    doubt, market.feed.doubt = market.feed.doubt, None
    assert market.mark is not None
    ticks = len(doubt.agreed_us)
    told(venue, market, "tick_discarded", doubt, mark_price=text(market.mark), reason=reason, ticks=ticks)


def told(venue: "Venue", market: Market, kind: str, doubt: Doubt, **fields: object) -> None:
    """Publish what became of a quote in doubt."""
    name = market.terms.instrument
    about = {"quarantine_id": f"{name}|q{market.doubts}", "source": doubt.first.source or None}
    venue.decide(kind, None, name, **about, price=text(doubt.first.price), **fields)


def announce(venue: "Venue", market: Market, quote: Quote, would_be: Fraction) -> None:
    """Say what is held back, and everybody whom it would have liquidated."""
    terms, feed = parts(market)
    assert feed.doubt is not None
    assert market.mark is not None
    newest_us = max(said.time_us for said in [*feed.heard, quote])
    spared = market.terms.halted or terms.old(newest_us, venue.time_us)
    struck = [
        position
        for position in venue.books.positions_of(market.terms.instrument)
        if position.liquidation is None and position.breached(market.terms, would_be) and not spared
    ]
    decimals = venue.books.decimals_of(market.terms.settle_asset)
    told(
        venue,
        market,
        "tick_quarantined",
        feed.doubt,
        mark_price=text(market.mark),
        candidate_price=text(would_be),
        positions=len(struck),
        notional=text(up(sum((position.count(position.size, would_be) for position in struck), Fraction(0)), decimals)),
        accounts=[position.account for position in struck][:NAMED],
    )


def fresh_until_us(market: Market) -> int | None:
    """The last moment at which a source is fresh; None if that never ends."""
    terms, feed = parts(market)
    if terms.max_age_us is None:
        return None
    words = feed.last_words(feed.heard)
    return max((said.time_us + terms.max_age_us for said in words.values()), default=-1)


def look(venue: "Venue", market: Market, mark: Fraction | None) -> None:
    """See whether any source is fresh, and publish a change."""
    _, feed = parts(market)
    last_us = fresh_until_us(market)
    stale = last_us is not None and venue.time_us > last_us
    if mark is None or stale == feed.stale:
        return
    feed.stale = stale
    fields: dict[str, object] = {"mark_price": text(mark)}
    if stale:
        words = feed.last_words(feed.heard)
        fields["newest_us"] = max((said.time_us for said in words.values()), default=None)
    venue.decide("mark_stale" if stale else "mark_fresh", None, market.terms.instrument, **fields)


def deadlines(venue: "Venue") -> Iterator[tuple[int, str, str, str]]:
    """When each mark grows stale."""
    for name, market in venue.books.markets.items():
        if market.feed is not None and not market.feed.stale and market.feed.heard:
            last_us = fresh_until_us(market)
            if last_us is not None:
                yield last_us + 1, "mark_age", name, ""


def adopt(venue: "Venue", market: Market) -> None:
    """New parameters are in force: what was held back is dropped; whom they do not name is forgotten."""
    drop(venue, market, "parameter_change")
    terms, feed = market.terms.marking, market.feed
    if terms is None:
        if feed is not None and feed.stale:
            assert market.mark is not None
            venue.decide("mark_fresh", None, market.terms.instrument, mark_price=text(market.mark))
        market.feed = None
        return
    if feed is None:
        feed = market.feed = Feed()
    feed.heard = [said for said in feed.heard if terms.sources is None or said.source in terms.sources]
    feed.latest_us = feed.before = None
    look(venue, market, market.mark)


def settle(venue: "Venue", market: Market) -> None:
    """The market closes."""
    drop(venue, market, "settled")
    market.feed = None
