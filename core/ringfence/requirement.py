"""The requirement that follows volatility: sampled, announced, changed.

Samples are taken on the instrument's market time, which is the same on every shard, so every shard announces the same
rate for the same moment.  A rise is announced, with a rehearsal of what it would do, and takes effect once its notice
has passed, whatever the market does meanwhile.  A fall takes effect once it has held.
"""

from __future__ import annotations

from ringfence.rehearsal import rehearse
from ringfence.rules import Rules
from ringfence.shard_state import State
from ringfence.state import Book, Rise, Sampling
from ringfence_schemas.decimals import DECIMALS, decimal_text
from ringfence_schemas.outcomes import RequirementAnnounced, RequirementChanged


def carry_over(book: Book, rules: Rules) -> tuple[Rules, Sampling | None]:
    """Return a new version of the parameters at the rate that it brings, and what is sampled under it.

    Where all of `volatility` stays as it is, everything goes on, announced rises included: a version about something
    else shortens no notice.  Otherwise the rate is what the new parameters say of the variance known, which goes on if
    it means the same under them.
    """
    new, old, sampling = rules.volatility, book.rules.volatility, book.sampling
    if new is None or old is None or sampling is None:
        return rules, None if new is None else Sampling()
    if new == old:
        return rules.at_rate(book.rules.volatility_rate), sampling
    if not new.goes_on(old):
        return rules, Sampling()
    kept = Sampling()
    kept.price, kept.variance, kept.boundary_us = sampling.price, sampling.variance, sampling.boundary_us
    return rules.at_rate(new.rate_of(kept.variance)), kept


def observe(state: State, book: Book) -> int:
    """Take a new mark as a sample, if the time for one has come, before anybody is judged by it.

    What changes at once does so here.  Returns the rate that is to be announced once the mark was judged, 0 for none.
    """
    sampling, rules, mark = book.sampling, book.rules.volatility, book.mark
    if sampling is None or rules is None or mark is None or book.market_time_us < sampling.boundary_us:
        return 0
    if sampling.price is not None:
        sampling.variance = rules.variance_after(sampling.variance, sampling.price, mark)
    sampling.price = mark
    sampling.boundary_us = (book.market_time_us // rules.interval_us + 1) * rules.interval_us
    book.schedule()
    return _follow(state, book, sampling, rules.rate_of(sampling.variance))


def _follow(state: State, book: Book, sampling: Sampling, target: int) -> int:
    """Hold a fall, end the hold of any other, and return a rise that goes beyond what is in force and announced; one
    without notice is in force.
    """
    rules, rises = book.rules, sampling.rises
    if target < rules.volatility_rate and not rises:
        _hold(state, book, sampling, target)
        return 0
    sampling.fall = None
    if target <= max(rules.volatility_rate, rises[-1].rate if rises else 0):
        return 0
    if rules.volatility is not None and rules.volatility.notice_us:
        return target
    change_rate(state, book, target, None)
    return 0


def _hold(state: State, book: Book, sampling: Sampling, target: int) -> None:
    """The greatest rate asked for since the fall began takes effect when the fall has held long enough; what is asked
    for beyond that begins to hold.
    """
    rules, now_us = book.rules.volatility, book.market_time_us
    assert rules is not None
    since_us, greatest = sampling.fall or (now_us, target)
    greatest = max(greatest, target)
    if now_us - since_us < rules.hold_us:
        sampling.fall = since_us, greatest
        return
    sampling.fall = (now_us, target) if target < greatest else None
    change_rate(state, book, greatest, None)


def announce(state: State, book: Book, rate: int) -> None:
    """Say which rate will be in force, from when on, and what it would do at the present mark."""
    rules, sampling = book.rules, book.sampling
    assert rules.volatility is not None and sampling is not None
    now_us = book.market_time_us
    rise = Rise(now_us + rules.volatility.notice_us, rate, f"{book.name}|v{rules.version}|{now_us}")
    sampling.rises.append(rise)
    book.schedule()
    state.record(
        RequirementAnnounced,
        instrument=book.name,
        parameters=rules.version,
        announcement=rise.announcement,
        version=rules.version,
        effective_us=rise.effective_us,
        old_rate=_text(rules.volatility_rate),
        new_rate=_text(rate),
        **rehearse(book, rules.at_rate(rate)),
    )


def change_rate(state: State, book: Book, rate: int, announcement: str | None) -> None:
    """Put a rate in force: positions are judged by it from the present input on, if that is a tick, or else from the
    next tick, or when their account's own event touches them first.
    """
    assert book.mark is not None  # without one nothing was sampled
    before, book.rules, book.changed = book.rules, book.rules.at_rate(rate), True
    say_changed(state, book, before, announcement)
    book.index.reprice(book.rules, book.mark, book.funding_index)


def say_changed(state: State, book: Book, before: Rules | None, announcement: str | None = None) -> None:
    """Publish the rate in force where it is not the one before; None stands for no such rate."""
    rules = book.rules
    old = before.volatility_rate if before is not None and before.volatility is not None else None
    new = rules.volatility_rate if rules.volatility is not None else None
    if old != new:
        state.record(
            RequirementChanged,
            instrument=book.name,
            parameters=rules.version,
            announcement=announcement,
            old_rate=None if old is None else _text(old),
            new_rate=None if new is None else _text(new),
        )


def _text(rate: int) -> str:
    return decimal_text(rate, DECIMALS)
