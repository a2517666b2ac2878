"""The two engines that must agree: the fold, and the textbook; both take bytes and give plain objects."""

from typing import Any, Protocol

import msgspec

from ringfence.figures import position
from ringfence.fold import Fold
from ringfence.ledger import balances
from ringfence.origins import LineOrigin
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Event
from ringfence_schemas.reading import InputRefused, check, decode_input
from tests.core.textbook import Venue, statement

Json = dict[str, Any]


class Engine(Protocol):
    """Anything that turns inputs into decisions."""

    def apply(self, data: bytes) -> list[Json]:
        """The decisions of one input, in order."""

    def statement(self) -> list[Json]:
        """Every account in order of id, the ledger, the counts."""


def read(data: bytes) -> Event | InputRefused:
    """The input, or its refusal for the reasons of its bytes alone."""
    try:
        event = decode_input(data)
    except InputRefused as refused:
        return refused
    return check(event) or event


class TextbookEngine:
    """The textbook, behind the reading of inputs."""

    def __init__(self) -> None:
        self.venue = Venue()

    def apply(self, data: bytes) -> list[Json]:
        """The decisions of one input, in order."""
        event = read(data)
        if isinstance(event, InputRefused):
            return self.venue.refuse_unread(event.code, vars(event))
        return self.venue.apply(msgspec.to_builtins(event))

    def statement(self) -> list[Json]:
        """Every account in order of id, the ledger, the counts."""
        return statement(self.venue)


class FoldEngine:
    """The fold as a filter: its inputs are lines."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.fold = Fold(settings or Settings())
        self.line = 0

    def apply(self, data: bytes) -> list[Json]:
        """The decisions of one input, in order."""
        self.line += 1
        origin = LineOrigin()
        try:
            decisions = self.fold.apply(decode_input(data), origin, self.line)
        except InputRefused as refused:
            decisions = self.fold.refuse(refused, origin, self.line, data)
        return [msgspec.to_builtins(decision) for decision in decisions]

    def statement(self) -> list[Json]:
        """Every account in order of id, the ledger, the counts."""
        state = self.fold.state
        lines: list[Json] = []
        for name in sorted(state.accounts, key=str.encode):
            wallets = {
                a.name: decimal_text(a.wallets[name], a.decimals) for a in state.assets.values() if name in a.wallets
            }
            buckets = [
                book.buckets[name] for book in state.books.values() if name in book.buckets and book.buckets[name].size
            ]
            positions = sorted((msgspec.to_builtins(position(b)) for b in buckets), key=lambda p: p["instrument"])
            lines.append({"type": "account", "account": name, "wallets": wallets, "positions": positions})
        lines.append({"type": "ledger", "balances": balances(state.assets, state.books)})
        counts = ("inputs", "applied", "already_applied", "refused", "outcomes")
        lines.append({"type": "digest", **{name: getattr(self.fold, name) for name in counts}})
        return lines


ENGINES = (TextbookEngine, FoldEngine)
