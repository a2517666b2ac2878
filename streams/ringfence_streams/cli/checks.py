"""`ringfence fold --check`: the invariants, asserted while a stream is folded and once more over its whole history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ringfence.fold import Fold
from ringfence.invariants import STATE_INVARIANTS, InvariantBroken, Watch, i7_idempotent, i8_snapshot_is_the_state
from ringfence.origins import LineOrigin
from ringfence.snapshot import restore, snapshot
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.inputs import Asset, Input
from ringfence_schemas.outcomes import Decision
from ringfence_schemas.reading import ID_FIELD, InputRefused

_ORIGIN: Final = LineOrigin()
_REPEATABLE: Final = (*ID_FIELD, Asset)
"""Inputs that are recognised when they come again; a tick without a sequence is a new fact each time."""


class Entry(NamedTuple):
    """One input of the stream, read or refused for its bytes."""

    line: int
    event: Input | InputRefused
    data: bytes

    @property
    def account(self) -> str | None:
        """The account that the input belongs to."""
        return None if isinstance(self.event, InputRefused) else getattr(self.event, "account", None)


def fold_entry(fold: Fold, entry: Entry) -> list[Decision]:
    """Fold one input of the stream."""
    if isinstance(entry.event, InputRefused):
        return fold.refuse(entry.event, _ORIGIN, entry.line, entry.data)
    return fold.apply(entry.event, _ORIGIN, entry.line)


class Check:
    """Watches a fold, and remembers its inputs for the claims about whole histories."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._watch = Watch(fold)
        self._entries: list[Entry] = []

    def step(self, entry: Entry, decisions: list[Decision]) -> None:
        """I1 to I6, I10 and I11 after one input.  Raises InvariantBroken."""
        self._entries.append(entry)
        if isinstance(entry.event, InputRefused):
            for invariant in STATE_INVARIANTS:
                invariant(self._fold)
        else:
            self._watch.step(entry.event, decisions)

    def finish(self) -> None:
        """I7 to I9 over the whole stream.  Raises InvariantBroken."""
        check_history(self._fold, self._entries)
        i8_snapshot_is_the_state(self._fold)


@dataclass(slots=True)
class _Replay:
    """The stream folded once more, every input twice, with a second fold that restarts from a snapshot on its way."""

    fold: Fold
    restarted: Fold | None = None
    runs: list[Sequence[Entry]] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """I7: the input again, at once, changes nothing."""
        applied = self.fold.applied
        fold_entry(self.fold, entry)
        if self.fold.applied > applied and isinstance(entry.event, _REPEATABLE):
            i7_idempotent(self.fold, entry.event, lambda fold, event: fold.apply(event, _ORIGIN, entry.line))
        if self.restarted is not None:
            fold_entry(self.restarted, entry)


def check_history(fold: Fold, entries: Sequence[Entry]) -> None:
    """I7, I8 and I9: repeat every input, restart half-way, and change the order between accounts.

    `fold` is the fold of the entries.  Raises InvariantBroken.
    """
    settings = fold.state.settings
    replay = _Replay(Fold(settings))
    earliest_us = min((getattr(entry.event, "time_us", 0) for entry in entries), default=0)
    at = 0
    for run in _runs(entries):
        other = _regrouped(replay.fold, run, earliest_us) if len({entry.account for entry in run}) > 1 else None
        for entry in run:
            if at == len(entries) // 2:
                replay.restarted = restore(snapshot(replay.fold), settings)
            replay.take(entry)
            at += 1
        if other is not None:
            _i9_same_accounts(replay.fold, other, run)
    for name, copy in (("I7", replay.fold), ("I8", replay.restarted or replay.fold)):
        if copy.digest() != fold.digest():
            raise InvariantBroken(
                name, f"the stream folded again ends in {copy.digest().hex()}, not in {fold.digest().hex()}"
            )


def _runs(entries: Iterable[Entry]) -> Iterable[Sequence[Entry]]:
    """Yield the stream in pieces: consecutive inputs of accounts together, every other input alone."""
    run: list[Entry] = []
    for entry in entries:
        if entry.account is not None:
            run.append(entry)
            continue
        if run:
            yield run
            run = []
        yield [entry]
    if run:
        yield run


def _regrouped(before: Fold, run: Sequence[Entry], earliest_us: int) -> Fold | None:
    """The run folded account by account instead, on a copy; None where time itself would make a difference."""
    latest_us = max(entry.event.time_us for entry in run if not isinstance(entry.event, InputRefused))
    state = before.state
    if latest_us > state.time_us and latest_us - state.settings.id_window_us > earliest_us:
        return None  # ids may be forgotten in between
    other = restore(snapshot(before), state.settings)
    straight = restore(snapshot(before), state.settings)
    accounts = list(dict.fromkeys(entry.account for entry in run))
    grouped = [entry for account in reversed(accounts) for entry in run if entry.account == account]
    timers = _timers(straight, run) + _timers(other, grouped)
    return None if timers else other


def _timers(fold: Fold, entries: Iterable[Entry]) -> int:
    """Fold the entries; returns how many decisions were a timer's."""
    return sum(decision.cause.timer is not None for entry in entries for decision in fold_entry(fold, entry))


def _i9_same_accounts(fold: Fold, other: Fold, run: Sequence[Entry]) -> None:
    for entry in run:
        mine, theirs = _account(fold, entry.account or ""), _account(other, entry.account or "")
        if mine != theirs:
            raise InvariantBroken(
                "I9",
                f"line {run[0].line} to {run[-1].line}: account {entry.account} ends as {mine}, "
                f"in another order of the accounts as {theirs}",
            )


def _account(fold: Fold, name: str) -> dict[str, object]:
    """What an account is: its chain, its wallets and its buckets."""
    state = fold.state
    account = state.accounts.get(name)
    found: dict[str, object] = {}
    if account is not None:
        found["chain"] = account.sequence, account.hash.hex()
    for asset in state.assets.values():
        if name in asset.wallets:
            found[asset.name] = decimal_text(asset.wallets[name], asset.decimals)
    for book in state.books.values():
        bucket = book.buckets.get(name)
        if bucket is not None:
            found[book.name] = bucket.size, bucket.cash, bucket.put_in, bucket.taken_out, bucket.level
    return found
