"""The mark price where an instrument says how it is made: what each source said, what they come to, and what is held
back.

A tick is a *word* of its source.  The mark is the composite of the words that are fresh, and only a tick moves it.  Two
clocks are read.  Which words count for a composite goes by market time, so every shard makes the same mark of the same
ticks.  Whether any word is fresh goes by engine time: time passes without ticks too, and a timer notices.

A tick that would move the mark too far is *quarantined*: its word waits until others agree with its price, or one
contradicts it.
"""

from __future__ import annotations

from heapq import heappush
from typing import Any, Final

from ringfence import figures, margin
from ringfence.mark_rules import MarkRules, Word
from ringfence.refusals import refusal
from ringfence.shard_state import State
from ringfence.state import Book, Bucket, Guard, Quarantine
from ringfence_schemas.decimals import units
from ringfence_schemas.outcomes import Cause, MarkFresh, MarkStale, TickConfirmed, TickDiscarded, TickQuarantined

AGE_TIMER: Final = "mark_age"
SHADOW_LIMIT: Final = 100
"""So many accounts are named of those that a quarantined tick would have liquidated."""


def choose_way(book: Book) -> None:
    """Say whether the next tick of an instrument may take the short way: it is the mark, whatever it says."""
    book.plain = book.guard is None and not book.settled and all(event.mark is None for event in book.pending)


def refuse_out_of_bounds(book: Book, price: str, time_us: int) -> None:
    """Refuse a price outside the bounds of the version that is in force at `time_us`."""
    limits = book.rules.event.mark
    for event in book.pending:
        if (event.effective_us or 0) <= time_us:
            limits = event.mark
    if limits is None:
        return
    if limits.min_price is not None and units[price] < units[limits.min_price]:
        raise refusal("out_of_range", f"{price} of {book.name} is below min_price {limits.min_price}")
    if limits.max_price is not None and units[price] > units[limits.max_price]:
        raise refusal("out_of_range", f"{price} of {book.name} is above max_price {limits.max_price}")


# --------------------------------------------------------------------------------------------------------- a tick


def take_in(state: State, book: Book, guard: Guard, source: str, word: Word) -> int | None:
    """Take in what a source says, and return what the mark becomes; None when the tick does not count, or is held
    back.
    """
    rules = _rules(book)
    guard.words = _fresh(rules, guard.words, book.market_time_us)
    if not rules.counts(source) or rules.aged(word.time_us, book.market_time_us):
        return None
    if rules.max_jump is not None and not _passes(state, book, guard, source, word):
        return None
    guard.words = _said(guard.words, source, word)
    moved = rules.composite(guard.words)
    if guard.reference is None:
        guard.reference = moved
    was_stale = guard.stale
    _look(state, book, guard, moved)
    guard.reviving = was_stale and not guard.stale
    return moved


def _rules(book: Book) -> MarkRules:
    rules = book.rules.mark
    assert rules is not None
    return rules


def _fresh(rules: MarkRules, words: dict[str, Word], now_us: int) -> dict[str, Word]:
    """Return the words of the sources that have not dropped out."""
    return {source: word for source, word in words.items() if not rules.aged(word.time_us, now_us)}


def _said(words: dict[str, Word], source: str, word: Word) -> dict[str, Word]:
    """Return these words with one more, which stands last."""
    return {**{name: said for name, said in words.items() if name != source}, source: word}


def _passes(state: State, book: Book, guard: Guard, source: str, word: Word) -> bool:
    """Whether a word may be taken in, after it was heard on the tick held back, if there is one.

    All ticks of one time are one movement: a jump is measured from the mark before them.
    """
    rules = _rules(book)
    if word.time_us > guard.moment_us:
        guard.moment_us, guard.reference = word.time_us, book.mark
    reference = guard.reference
    if reference is None:
        return True
    words = _said(guard.words, source, word)
    candidate, held = rules.composite(words), guard.quarantine
    jumps = not rules.near(candidate, reference)
    if held is not None and rules.sides(word.price, held.word.price, reference):
        return _agreed(state, book, guard, held, source, word, jumps=jumps)
    if jumps or rules.near(word.price, reference):
        _discard(state, book, guard, "superseded" if jumps else "contradicted")
    if not jumps:
        return True
    held = Quarantine(source, word)
    if _confirmed(rules, held, words, reference):
        guard.reference = None
        return True
    guard.quarantine = held
    book.quarantines += 1
    _publish_quarantine(state, book, guard, held, candidate)
    return False


def _agreed(state: State, book: Book, guard: Guard, held: Quarantine, source: str, word: Word, *, jumps: bool) -> bool:
    """A word agrees with the tick held back: that is confirmed, or the word waits with it, unless it need not.

    Only a later time makes it another tick: neither a repetition nor the rest of the same burst confirms anything.
    """
    rules, reference = _rules(book), guard.reference
    assert reference is not None
    if word.time_us > held.last_us:
        held.ticks, held.last_us = held.ticks + 1, word.time_us
    held.held = _said(held.held, source, word)
    words = guard.words
    for name, said in held.held.items():
        words = _said(words, name, said)
    words = _fresh(rules, words, book.market_time_us)
    if not _confirmed(rules, held, words, reference):
        if not jumps:
            del held.held[source]
        return not jumps
    guard.words = words
    guard.quarantine = guard.reference = None
    state.record(
        TickConfirmed,
        **_about(book, held),
        mark_price=figures.price(rules.composite(guard.words)),
        ticks=held.ticks,
        sources=_agreeing(rules, held, words, reference),
    )
    return True


def _agreeing(rules: MarkRules, held: Quarantine, words: dict[str, Word], reference: int) -> int:
    """Count the other sources whose last word, while it is fresh, agrees with the tick held back."""
    return sum(
        source != held.source and rules.sides(word.price, held.word.price, reference) for source, word in words.items()
    )


def _confirmed(rules: MarkRules, held: Quarantine, words: dict[str, Word], reference: int) -> bool:
    """Whether enough ticks, or enough other sources, agree with the tick held back."""
    if rules.confirm_ticks is not None and held.ticks >= rules.confirm_ticks:
        return True
    return rules.confirm_sources is not None and _agreeing(rules, held, words, reference) >= rules.confirm_sources


# ------------------------------------------------------------------------------------------------- the quarantine


def _about(book: Book, held: Quarantine) -> dict[str, Any]:
    return {
        "instrument": book.name,
        "parameters": book.rules.version,
        "quarantine_id": f"{book.name}|q{book.quarantines}",
        "source": held.source or None,
        "price": figures.price(held.word.price),
    }


def _discard(state: State, book: Book, guard: Guard, reason: str) -> None:
    """Let the tick that is held back go, and all that waits with it."""
    held = guard.quarantine
    if held is None:
        return
    guard.quarantine = None
    state.record(
        TickDiscarded,
        **_about(book, held),
        mark_price=figures.price(book.mark),
        reason=reason,
        ticks=held.ticks,
    )


def _publish_quarantine(state: State, book: Book, guard: Guard, held: Quarantine, candidate: int) -> None:
    """Say what is held back, and whom it would have liquidated."""
    rules = _rules(book)
    newest_us = max(word.time_us for word in (held.word, *guard.words.values()))
    spared = book.rules.halted or rules.aged(newest_us, state.time_us)
    shadow = [] if spared else shadow_list(book, candidate)
    state.record(
        TickQuarantined,
        **_about(book, held),
        mark_price=figures.price(book.mark),
        candidate_price=figures.price(candidate),
        positions=len(shadow),
        notional=figures.notional_up(sum(abs(bucket.size) for bucket in shadow), candidate, book.rules),
        accounts=[bucket.account.name for bucket in shadow[:SHADOW_LIMIT]],
    )


def shadow_list(book: Book, mark: int) -> list[Bucket]:
    """Return the buckets whose liquidation would begin at this mark, in order of account id; nothing changes.

    The trigger index names the candidates, so nobody else is looked at.
    """
    found = [
        bucket
        for bucket in book.index.reached(mark, book.funding_index)
        if margin.liquidatable(book.rules, margin.standing(bucket, mark))
    ]
    return sorted(found, key=lambda bucket: bucket.account.name)


# ------------------------------------------------------------------------------------------------ fresh and stale


def _look(state: State, book: Book, guard: Guard, mark: int) -> None:
    """See whether the mark is stale now, and say so when that has changed; `mark` is what it is, or becomes."""
    due_us = _stale_from_us(book, guard)
    stale = due_us is not None and due_us <= state.time_us
    if stale != guard.stale:
        guard.stale, book.dirty = stale, True
        about: dict[str, Any] = {
            "instrument": book.name,
            "parameters": book.rules.version,
            "mark_price": figures.price(mark),
        }
        if stale:
            state.record(MarkStale, **about, newest_us=_newest_us(guard))
        else:
            state.record(MarkFresh, **about)
    watch(state, book)


def _newest_us(guard: Guard) -> int | None:
    return max((word.time_us for word in guard.words.values()), default=None)


def _stale_from_us(book: Book, guard: Guard) -> int | None:
    """Return the first engine time at which no source is fresh; None: never."""
    max_age_us, newest_us = _rules(book).max_age_us, _newest_us(guard)
    if max_age_us is None:
        return None
    return 0 if newest_us is None else newest_us + max_age_us + 1


def watch(state: State, book: Book) -> None:
    """Have a timer look at the age of the mark in time.

    One that fires too early looks again, so a tick need not move it; only one that would fire too late is not enough.
    """
    guard = book.guard
    assert guard is not None
    due_us = _stale_from_us(book, guard)
    if due_us is None or guard.stale or not guard.words or 0 < guard.timer_us <= due_us:
        return
    guard.timer_us = due_us
    heappush(state.timers, (due_us, AGE_TIMER, book.name, "", 0, 0))


def look_at_age(state: State, book: Book, due_us: int) -> None:
    """A timer is due: the mark is stale, or its sources spoke since and another timer is needed."""
    guard, mark = book.guard, book.mark
    if guard is None or guard.timer_us != due_us:
        return
    guard.timer_us = 0
    if _stale_from_us(book, guard) != due_us:
        watch(state, book)
        return
    assert mark is not None
    state.time_us = max(state.time_us, due_us)
    state.begin_timer(Cause(timer=AGE_TIMER, due_us=due_us))
    _look(state, book, guard, mark)


# -------------------------------------------------------------------------------------- new parameters, and the end


def adopt(state: State, book: Book) -> None:
    """Go on by the version that was just put in force: what was held back is let go, sources that it does not name are
    forgotten, and whether the mark is stale is seen anew.  The mark stays what it is until the next tick, and a jump
    is measured from it.
    """
    rules, guard, mark = book.rules.mark, book.guard, book.mark
    if guard is not None:
        _discard(state, book, guard, "parameter_change")
    if rules is None:
        if guard is not None and guard.stale:
            about = {"instrument": book.name, "parameters": book.rules.version}
            state.record(MarkFresh, **about, mark_price=figures.price(mark))
        book.guard = None
    else:
        guard = book.guard = guard or Guard()
        guard.words = {source: word for source, word in guard.words.items() if rules.counts(source)}
        guard.moment_us, guard.reference = -1, None
        if mark is not None:
            _look(state, book, guard, mark)
    choose_way(book)


def settle(state: State, book: Book) -> None:
    """The instrument ends: nothing waits any longer, and no mark grows old."""
    if book.guard is not None:
        _discard(state, book, book.guard, "settled")
        book.guard = None
