"""How a mark is made of what several sources say, as an instrument's document has it (margin.md section 7)."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from tests.core.textbook.numbers import down, exact
from tests.core.textbook.refusal import Unacceptable

DECIMALS = 18
DEFAULTS: tuple[dict[str, Any], ...] = ({}, {"method": "last"})


class Quote(NamedTuple):
    """A price that a source gave; a tick without a source is of the source that has no name."""

    source: str
    price: Fraction
    time_us: int


@dataclass
class Doubt:
    """A quote that is held back, and those that wait with it."""

    first: Quote
    waiting: list[Quote]
    agreed_us: list[int] = field(default_factory=list)
    """Times at which others agreed, each later than the one before."""


@dataclass
class Feed:
    """What was heard of an instrument's sources, in order of arrival."""

    heard: list[Quote] = field(default_factory=list)
    doubt: Doubt | None = None
    stale: bool = False
    revived: bool = False
    """Whether the tick that is judged has ended the staleness."""
    latest_us: int | None = None
    """Latest time that a quote had."""
    before: Fraction | None = None
    """The mark before the quotes of that time."""

    def last_words(self, quotes: list[Quote]) -> dict[str, Quote]:
        """What each source said last."""
        return {quote.source: quote for quote in quotes}


@dataclass(frozen=True)
class MarkTerms:
    """The parameters of `mark`."""

    method: str
    sources: list[str] | None
    weights: dict[str, Fraction]
    max_age_us: int | None
    max_jump: Fraction | None
    confirm_ticks: int | None
    confirm_sources: int | None

    @classmethod
    def read(cls, document: dict[str, Any]) -> "MarkTerms | None":
        """Read `mark`; None where the last tick is the mark.  Raises Unacceptable."""
        stated = {name: value for name, value in document.items() if value is not None}
        if stated in DEFAULTS:
            return None
        examine(stated)
        sources = stated.get("sources")
        weights = stated.get("weights") or ["1"] * len(sources or [])
        jump = stated.get("max_jump")
        return cls(
            method=stated.get("method") or "last",
            sources=sources,
            weights={name: exact(weight) for name, weight in zip(sources or [], weights, strict=True)},
            max_age_us=stated.get("max_age_us"),
            max_jump=None if jump is None else exact(jump),
            confirm_ticks=stated.get("confirm_ticks"),
            confirm_sources=stated.get("confirm_sources"),
        )

    def old(self, time_us: int, now_us: int) -> bool:
        """Whether what was said then is too old now."""
        return self.max_age_us is not None and time_us + self.max_age_us < now_us

    def composite(self, quotes: list[Quote]) -> Fraction:
        """The mark that the last words of the sources make; `quotes` are in order of arrival."""
        words = {quote.source: quote.price for quote in quotes}
        prices: list[Fraction] = sorted(words.values())
        if self.method == "median":
            lower, upper = prices[(len(prices) - 1) // 2], prices[len(prices) // 2]
            return down((lower + upper) / 2, DECIMALS)
        if self.method == "weighted":
            worth = sum((self.weights[source] * price for source, price in words.items()), Fraction(0))
            return down(worth / sum(self.weights[source] for source in words), DECIMALS)
        return quotes[-1].price

    def far(self, price: Fraction, reference: Fraction) -> bool:
        """Whether a price is more than `max_jump` away from another."""
        assert self.max_jump is not None
        return abs(price / reference - 1) > self.max_jump

    def agree(self, price: Fraction, doubtful: Fraction, before: Fraction) -> bool:
        """Whether a price speaks for the doubtful one rather than for the mark before."""
        return not self.far(price, doubtful) and abs(price - doubtful) < abs(price - before)


def examine(stated: dict[str, Any]) -> None:
    """Refuse what contradicts itself."""
    sources, weights, method = stated.get("sources"), stated.get("weights"), stated.get("method", "last")
    if sources is None and (method != "last" or weights is not None):
        raise Unacceptable("the sources are named")
    if sources is not None and len(set(sources)) != max(1, len(sources)):
        raise Unacceptable("there is a source, and none twice")
    if weights is not None and (method != "weighted" or len(weights) != len(sources or [])):
        raise Unacceptable("every source has one weight")
    for name in ("max_age_us", "max_jump", "min_price", "max_price", "confirm_ticks", "confirm_sources"):
        if name in stated and exact(stated[name]) <= 0:
            raise Unacceptable(f"{name} is above 0")
    if exact(stated.get("min_price", 0)) > exact(stated.get("max_price", 10**18)):
        raise Unacceptable("there is a price between the bounds")
    if ("max_jump" in stated) != ("confirm_ticks" in stated or "confirm_sources" in stated):
        raise Unacceptable("a tick is held back, and can be confirmed, or neither")
    if sources is not None and stated.get("confirm_sources", 0) >= len(sources):
        raise Unacceptable("there are so many other sources")
