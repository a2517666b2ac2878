"""The two engines that must agree: the fold, and the textbook; both take bytes and give plain objects."""

from typing import Any, Protocol

import msgspec

from ringfence.fold import Fold
from ringfence.origins import LineOrigin
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Event
from ringfence_schemas.outcomes import Decision
from ringfence_schemas.reading import InputRefused, check, decode_input
from ringfence_streams.statement import statement as fold_statement
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
        self.decisions: list[Decision] = []

    def apply(self, data: bytes) -> list[Json]:
        """The decisions of one input, in order."""
        self.line += 1
        origin = LineOrigin()
        try:
            self.decisions = self.fold.apply(decode_input(data), origin, self.line)
        except InputRefused as refused:
            self.decisions = self.fold.refuse(refused, origin, self.line, data)
        return [msgspec.to_builtins(decision) for decision in self.decisions]

    def statement(self) -> list[Json]:
        """Every account in order of id, the ledger, the counts."""
        return [msgspec.json.decode(msgspec.json.encode(line)) for line in fold_statement(self.fold)]


ENGINES = (TextbookEngine, FoldEngine)
