"""The requirement that follows volatility (margin.md section 5): measured, announced, changed."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING, Any

from tests.core.textbook.numbers import down, exact, published_up, text

if TYPE_CHECKING:
    from tests.core.textbook.books import Market
    from tests.core.textbook.terms import Terms
    from tests.core.textbook.venue import Venue

DECIMALS = 18
"""Of changes, roots and rates."""
VARIANCE_DECIMALS = 36


def root(value: Fraction) -> Fraction:
    """The greatest decimal whose square is at most `value`."""
    return Fraction(isqrt(value.numerator * 10 ** (2 * DECIMALS) // value.denominator), 10**DECIMALS)


@dataclass(frozen=True)
class VolatilityTerms:
    """What a version says about volatility."""

    interval_us: int
    forgetting: Fraction
    floor: Fraction
    stress: Fraction
    stress_weight: Fraction
    multiplier: Fraction
    horizon_us: int
    step: Fraction
    cap: Fraction
    notice_us: int
    hold_us: int

    @classmethod
    def read(cls, document: dict[str, Any]) -> "VolatilityTerms":
        """Take what the document states; what is left out is nothing."""
        names = ("floor", "stress", "stress_weight", "multiplier", "step", "cap")
        stated: dict[str, Any] = {name: exact(document.get(name) or "0") for name in names}
        stated |= {name: document[name] for name in ("interval_us", "horizon_us", "notice_us", "hold_us")}
        return cls(forgetting=exact(document["lambda"]), **stated)

    def sound(self, extra_rate: Fraction) -> bool:
        """Whether every parameter is within its bounds."""
        return (
            min(self.interval_us, self.horizon_us) > 0
            and min(self.multiplier, self.step, self.cap) > 0
            and min(self.floor, self.stress, self.stress_weight, self.forgetting) >= 0
            and self.stress_weight <= 1
            and self.forgetting < 1
            and self.cap + extra_rate < 1
        )

    def rate(self, variance: Fraction) -> Fraction:
        """The rate that a variance of one interval asks for."""
        mixed = (1 - self.stress_weight) * root(variance) + self.stress_weight * self.stress
        sigma = max(self.floor, down(mixed, DECIMALS))
        wanted = self.multiplier * sigma * root(Fraction(self.horizon_us, self.interval_us))
        return min(-(-wanted // self.step) * self.step, self.cap)


@dataclass
class Measured:
    """What was seen of the mark, and what is to follow from it."""

    sample: Fraction | None = None
    interval: int = -1
    """Number of the interval of the last sample."""
    variance: Fraction = Fraction(0)
    rises: list[tuple[int, Fraction, str]] = field(default_factory=list)
    """(market time, rate, announcement) of rises to come."""
    below: list[tuple[int, Fraction]] = field(default_factory=list)
    """Every (market time, rate) asked for since a fall began to hold."""


def succeed(market: "Market", terms: "Terms") -> "Terms":
    """The terms of a new version with the rate it brings; what was measured goes on, or begins again."""
    old, new = market.terms.volatility, terms.volatility
    if old is None or new is None:
        market.measured = Measured()
        return terms
    if old == new:
        return terms.at_rate(market.terms.volatility_rate)
    before = market.measured
    market.measured = Measured()
    if (old.interval_us, old.forgetting) == (new.interval_us, new.forgetting):
        market.measured = Measured(before.sample, before.interval, before.variance)
    return terms.at_rate(new.rate(market.measured.variance))


def planned(market: "Market", terms: "Terms") -> "Terms":
    """The terms of a version still to come with the rate that it would bring now."""
    measured = market.measured
    found = succeed(market, terms)
    market.measured = measured
    return found


def observe(venue: "Venue", market: "Market") -> Fraction | None:
    """Take the mark as a sample if none of this interval was taken yet; returns a rate to be announced."""
    terms, measured = market.terms.volatility, market.measured
    if terms is None or market.market_us // terms.interval_us <= measured.interval:
        return None
    assert market.mark is not None
    if measured.sample is not None:
        change = down(abs(market.mark - measured.sample) / measured.sample, DECIMALS)
        variance = terms.forgetting * measured.variance + (1 - terms.forgetting) * change**2
        measured.variance = down(variance, VARIANCE_DECIMALS)
    measured.sample, measured.interval = market.mark, market.market_us // terms.interval_us
    return follow(venue, market, terms.rate(measured.variance))


def follow(venue: "Venue", market: "Market", wanted: Fraction) -> Fraction | None:
    """Give a rise to be announced, let a fall hold, or leave everything as it is."""
    terms, measured = market.terms.volatility, market.measured
    rate = market.terms.volatility_rate
    assert terms is not None
    assert rate is not None
    if wanted >= rate or measured.rises:
        measured.below = []
        if wanted > max([rate, *(rise[1] for rise in measured.rises)]):
            if terms.notice_us:
                return wanted
            change_rate(venue, market, wanted, None)
        return None
    measured.below.append((market.market_us, wanted))
    if market.market_us - measured.below[0][0] >= terms.hold_us:
        held = max(entry[1] for entry in measured.below)
        measured.below = [(market.market_us, wanted)] if wanted < held else []
        change_rate(venue, market, held, None)
    return None


def announce(venue: "Venue", market: "Market", wanted: Fraction) -> None:
    """Say what rate will hold, and what it would do now."""
    terms = market.terms
    assert terms.volatility is not None
    assert terms.volatility_rate is not None
    effective_us = market.market_us + terms.volatility.notice_us
    name = f"{terms.instrument}|v{terms.version}|{market.market_us}"
    market.measured.rises.append((effective_us, wanted, name))
    venue.decide(
        "requirement_announced",
        None,
        terms.instrument,
        announcement=name,
        version=terms.version,
        effective_us=effective_us,
        old_rate=text(terms.volatility_rate),
        new_rate=text(wanted),
        **rehearse(venue, market, terms.at_rate(wanted)),
    )


def change_rate(venue: "Venue", market: "Market", rate: Fraction, announcement: str | None) -> None:
    """Put a rate in force; the present tick judges by it, or the next."""
    before, market.terms, market.changed = market.terms, market.terms.at_rate(rate), True
    tell(venue, before, market.terms, announcement)


def tell(venue: "Venue", before: "Terms | None", terms: "Terms", announcement: str | None = None) -> None:
    """Say which rate is in force now, if it is another."""
    old, new = before.volatility_rate if before else None, terms.volatility_rate
    if old != new:
        venue.decide(
            "requirement_changed",
            None,
            terms.instrument,
            announcement=announcement,
            old_rate=None if old is None else text(old),
            new_rate=None if new is None else text(new),
        )


def rehearse(venue: "Venue", market: "Market", terms: "Terms") -> dict[str, Any]:
    """Whom other terms would call deeper, and whom they would liquidate, at the mark."""
    found: dict[str, list[Fraction]] = {"would_call": [], "would_liquidate": []}
    mark = market.mark
    if mark is None:
        return {name + suffix: None for name in found for suffix in ("", "_notional")}
    for position in venue.books.positions_of(terms.instrument):
        if position.liquidation is not None:
            continue
        deepest = position.deepest(terms, mark)
        if position.breached(terms, mark) and not terms.halted and not market.stale:
            found["would_liquidate"].append(position.count(position.size, mark))
        elif deepest is not None and (position.level is None or deepest < position.level):
            found["would_call"].append(position.count(position.size, mark))
    decimals = venue.books.decimals_of(terms.settle_asset)
    counts = {name: len(notionals) for name, notionals in found.items()}
    return counts | {f"{name}_notional": published_up(sum(ns, Fraction(0)), decimals) for name, ns in found.items()}
