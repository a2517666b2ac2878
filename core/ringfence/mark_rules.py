"""How an instrument makes its mark price of ticks: the parameters of `mark`, checked once and held as integers.

The arithmetic stands here too: what several sources come to, and when two prices are near each other.  Nothing here
depends on an instrument's state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ringfence.refusals import InvalidInstrument
from ringfence.scales import ONE
from ringfence_schemas.decimals import units
from ringfence_schemas.inputs import Mark


class Word(NamedTuple):
    """What a source last said: a price, in price units, and the `time_us` of its tick."""

    price: int
    time_us: int


@dataclass(frozen=True, slots=True)
class MarkRules:
    """How the mark of one instrument version is made."""

    method: str
    weights: dict[str, int] | None
    """Source -> its weight, decimal; None: every source counts."""
    max_age_us: int | None
    """A source that is older drops out; None: none ever does."""
    max_jump: int | None
    """The greatest move of the mark, as a share of it, that needs no confirmation, decimal; None: any."""
    confirm_ticks: int | None
    confirm_sources: int | None

    def counts(self, source: str) -> bool:
        """Whether what this source says makes the mark."""
        return self.weights is None or source in self.weights

    def aged(self, time_us: int, now_us: int) -> bool:
        """Whether what was said at `time_us` is too old at `now_us`."""
        return self.max_age_us is not None and now_us - time_us > self.max_age_us

    def near(self, price: int, reference: int) -> bool:
        """Whether a price is within `max_jump` of another, that bound included; always where there is no bound."""
        return self.max_jump is None or abs(price - reference) * ONE <= self.max_jump * reference

    def sides(self, price: int, doubtful: int, reference: int) -> bool:
        """Whether a price agrees with a doubtful one: near to it, and nearer than to what the mark was."""
        return self.near(price, doubtful) and abs(price - doubtful) < abs(price - reference)

    def composite(self, words: dict[str, Word]) -> int:
        """Return the mark that these words make, in price units; divisions round down, at eighteen decimals."""
        if self.method == "median":
            return _median([word.price for word in words.values()])
        if self.method == "weighted" and self.weights is not None:
            weights = self.weights
            total = sum(weights[source] for source in words)
            return sum(weights[source] * word.price for source, word in words.items()) // (total * ONE) * ONE
        return list(words.values())[-1].price


def _median(prices: list[int]) -> int:
    prices.sort()
    middle = len(prices) // 2
    if len(prices) % 2:
        return prices[middle]
    return (prices[middle - 1] + prices[middle]) // (2 * ONE) * ONE


def read_mark(mark: Mark | None) -> MarkRules | None:
    """Check the parameters and scale them; None where the last tick is the mark, whatever it says.

    Raises `InvalidInstrument` naming the first contradiction.
    """
    if mark is None or all(getattr(mark, field) in (None, "last") for field in mark.__struct_fields__):
        return None
    method = mark.method or "last"
    _check(_findings_about_sources(mark, method))
    _check(_findings_about_numbers(mark))
    return MarkRules(
        method=method,
        weights=None if mark.sources is None else dict(zip(mark.sources, _weights(mark, mark.sources), strict=True)),
        max_age_us=mark.max_age_us,
        max_jump=None if mark.max_jump is None else units[mark.max_jump],
        confirm_ticks=mark.confirm_ticks,
        confirm_sources=mark.confirm_sources,
    )


def _weights(mark: Mark, sources: list[str]) -> list[int]:
    return [ONE] * len(sources) if mark.weights is None else [units[text] for text in mark.weights]


def _check(findings: Iterable[tuple[str, bool]]) -> None:
    for text, wrong in findings:
        if wrong:
            raise InvalidInstrument(f"mark: {text}")


def _findings_about_sources(mark: Mark, method: str) -> Iterable[tuple[str, bool]]:
    sources, weights, confirming = mark.sources, mark.weights, mark.confirm_sources
    yield f"method {method} needs sources; name them", method != "last" and sources is None
    if sources is not None:
        yield "sources must name at least one source, or be left out", not sources
        twice = next((source for row, source in enumerate(sources) if source in sources[:row]), None)
        yield f"sources names {twice} twice", twice is not None
        yield (
            f"confirm_sources {confirming} can never be reached with {len(sources)} sources, of which one is in doubt",
            confirming is not None and confirming >= len(sources),
        )
    if weights is not None:
        yield "weights are of method weighted; leave them out, or choose it", method != "weighted"
        yield (
            f"weights has {len(weights)} rows, sources {len(sources or ())}; give one weight for each source",
            len(weights) != len(sources or ()),
        )


def _findings_about_numbers(mark: Mark) -> Iterable[tuple[str, bool]]:
    yield "max_age_us must be above 0", mark.max_age_us == 0
    for name in ("max_jump", "min_price", "max_price"):
        text = getattr(mark, name)
        yield f"{name} {text} must be above 0", text is not None and units[text] <= 0
    low, high = mark.min_price, mark.max_price
    yield (
        f"min_price {low} is above max_price {high}",
        low is not None and high is not None and units[low] > units[high],
    )
    ticks, sources = mark.confirm_ticks, mark.confirm_sources
    unconfirmed = ticks is None and sources is None
    yield (
        "max_jump needs confirm_ticks or confirm_sources, or a tick held back is held for ever",
        mark.max_jump is not None and unconfirmed,
    )
    yield (
        "confirm_ticks and confirm_sources are of max_jump; state it, or leave them out",
        mark.max_jump is None and not unconfirmed,
    )
    yield "confirm_ticks must be at least 1", ticks == 0
    yield "confirm_sources must be at least 1", sources == 0
