"""The venue: one input after another, refused, recognised, or applied and judged.

Events are plain dicts as JSON spells them, already of the right shape.  Decisions are plain dicts
with the fields of the published ones (`id`, `cause` and hashes aside).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.core.textbook import commands, feeds, markets, throttle, trading
from tests.core.textbook.books import Books
from tests.core.textbook.identity import contents, identity
from tests.core.textbook.ladder import Ladder
from tests.core.textbook.refusal import AlreadyApplied, Refused

Event = dict[str, Any]
Decision = dict[str, Any]

DAY_US = 86_400_000_000

HANDLERS = {
    "asset": markets.asset,
    "instrument": markets.instrument,
    "fund_deposit": markets.fund_deposit,
    "settlement": markets.settlement,
    "tick": markets.tick,
    "ticks": markets.ticks,
    "funding": markets.funding,
    "deposit": commands.deposit,
    "withdrawal": commands.withdrawal,
    "set_leverage": commands.set_leverage,
    "add_margin": commands.add_margin,
    "remove_margin": commands.remove_margin,
    "fill": trading.fill,
    "liquidation_report": trading.liquidation_report,
}


@dataclass
class Counts:
    """How the inputs ended, and how many decisions they led to."""

    inputs: int = 0
    applied: int = 0
    already_applied: int = 0
    refused: int = 0
    outcomes: int = 0


@dataclass
class Venue:
    """The textbook's venue: `apply` is the only way in."""

    id_window_us: int = DAY_US
    time_us: int = 0
    books: Books = field(default_factory=Books)
    counts: Counts = field(default_factory=Counts)
    decisions: list[Decision] = field(default_factory=list)
    cause: dict[str, object] = field(default_factory=dict)
    remembered: dict[tuple[str, ...], tuple[int, object]] = field(default_factory=dict)
    sequences: dict[tuple[str, str | None], tuple[int, object]] = field(default_factory=dict)
    numbers: dict[tuple[str, str, str], int] = field(default_factory=dict)
    wallet_before: dict[tuple[str, str], Fraction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ladder = Ladder(self)

    def apply(self, event: Event) -> list[Decision]:
        """Advance time, fire what is due, then apply, recognise or refuse the input."""
        self.begin()
        self.advance(event["time_us"])
        key, content = identity(event), contents(event)
        try:
            self.recognise(key, content)
            if event["type"] in {"tick", "ticks"}:
                markets.bound(self, event)
            self.forget(event["time_us"])
            HANDLERS[event["type"]](self, event)
        except AlreadyApplied:
            self.counts.already_applied += 1
        except Refused as refused:
            self.refuse(refused.code, event)
        else:
            self.counts.applied += 1
            if key is not None:
                self.remembered[key] = (event["time_us"], content)
        self.books.examine()
        self.counts.outcomes += len(self.decisions)
        return self.decisions

    def refuse_unread(self, code: str, event: Event) -> list[Decision]:
        """An input whose content is refused before it is read: time stands still."""
        self.begin()
        self.refuse(code, event)
        self.counts.outcomes += 1
        return self.decisions

    def begin(self) -> None:
        """Count an input, a line of its own."""
        self.decisions = []
        self.counts.inputs += 1
        self.cause = {"line": self.counts.inputs}

    def refuse(self, code: str, event: Event) -> None:
        """Count a refusal and say so."""
        self.counts.refused += 1
        self.decide("refused", event.get("account"), event.get("instrument"), code=code)

    def advance(self, time_us: int) -> None:
        """Let every deadline that has come fire at its own time, then move engine time."""
        while True:
            due = min([*self.ladder.timers(), *feeds.deadlines(self)], default=None)
            if due is None or due[0] > time_us:
                break
            due_us, kind, instrument, account = due
            self.time_us = due_us
            self.note_wallets()
            with self.timer(kind, due_us):
                if kind == "liquidation_deadline":
                    self.ladder.deadline(self.books.positions[account, instrument])
                elif kind == "liquidation_release":
                    throttle.release(self.ladder, instrument)
                else:
                    feeds.look(self, self.books.markets[instrument], self.books.markets[instrument].mark)
        self.time_us = max(self.time_us, time_us)
        self.note_wallets()

    @contextmanager
    def timer(self, name: str, due_us: int) -> Iterator[None]:
        """What is decided meanwhile is caused by a timer, not by the input."""
        cause, self.cause = self.cause, {"timer": name, "due_us": due_us}
        yield
        self.cause = cause

    def note_wallets(self) -> None:
        """Remember the wallets as they are before the input, or the deadline, does its work."""
        self.wallet_before = {
            (account, asset): self.books.wallet(account, asset) for account, asset in self.books.wallet_assets
        }

    def forget(self, time_us: int) -> None:
        """Refuse an input so old that its id may have been forgotten."""
        if time_us < self.time_us - self.id_window_us:
            raise Refused("too_old")

    def recognise(self, key: tuple[str, ...] | None, content: object) -> None:
        """Raise if an input with this identity was applied and is still remembered."""
        if key is None or key not in self.remembered:
            return
        applied_us, applied = self.remembered[key]
        if applied_us < self.time_us - self.id_window_us:
            del self.remembered[key]
        elif applied == content:
            raise AlreadyApplied
        else:
            raise Refused("conflicts_with_applied")

    def decide(self, kind: str, account: str | None, instrument: str | None, **fields: object) -> Decision:
        """Publish a decision."""
        decision = {"type": kind, "time_us": self.time_us, "cause": self.cause, **fields}
        if account is not None:
            decision["account"] = account
        if instrument is not None:
            decision["instrument"] = instrument
        self.decisions.append(decision)
        return decision

    def number(self, account: str, instrument: str, letter: str) -> str:
        """The next id of a case (`c`) or liquidation (`l`)."""
        key = (account, instrument, letter)
        self.numbers[key] = self.numbers.get(key, 0) + 1
        return f"{account}|{instrument}|{letter}{self.numbers[key]}"
