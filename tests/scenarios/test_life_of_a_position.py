"""The life of a position is a table: docs/concepts/liquidation.md states it, and every scenario keeps to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ringfence.views import PositionView
from tests.core.engines import FoldEngine, Json
from tests.scenarios import notation
from tests.test_tidy import ROOT

HERE = Path(__file__).parent
PAGE = (ROOT / "docs/concepts/liquidation.md").read_text(encoding="utf-8")
UNSAID = frozenset({"fill", "settlement"})
"""What opens and closes a position without a decision of its own."""


class Transition(NamedTuple):
    """One row of the table."""

    before: str
    what: str
    after: str


Key = tuple[str, str]


def table() -> list[Transition]:
    """Return the rows of the page's first table."""
    section = PAGE.partition("## States and transitions")[2].partition("\n\n`flat`")[2].partition("|---|---|---|\n")[2]
    rows = section.partition("\n\n")[0].splitlines()
    return [Transition(*(cell.strip() for cell in row.strip("|").split("|"))) for row in rows]


def diagram(rows: list[Transition]) -> str:
    """Draw the table as a Mermaid state diagram, one arrow for all that leads from one state to another."""
    arrows: dict[Key, list[str]] = {}
    for row in rows:
        arrows.setdefault((row.before, row.after), []).append(row.what)
    lines = [f"    {before} --> {after}: {', '.join(whats)}" for (before, after), whats in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> flat", *lines])


def label(decision: Json) -> str | None:
    """Return what a decision means for the life of its position, None when nothing."""
    match decision["type"]:
        case "margin_call":
            return f"margin_call {decision['status']}"
        case "liquidation_completed":
            return f"liquidation_completed {decision['result']}"
        case "liquidation_started" | "liquidation_order":
            return str(decision["type"])
    return None


def statuses(engine: FoldEngine) -> dict[Key, str]:
    """Where every bucket stands; the shell of a closed one is flat."""
    return {
        (account, name): PositionView.of(bucket).status if bucket.size else "flat"
        for name, book in engine.fold.state.books.items()
        for account, bucket in book.buckets.items()
    }


def path(rows: list[Transition], before: str, said: list[str], after: str, unsaid: int = 2) -> list[Transition] | None:
    """Return transitions that lead from `before` to `after` and say exactly `said`, with few that say nothing."""
    if before == after and not said:
        return []
    for row in rows:
        silent = row.what in UNSAID
        if row.before != before or (silent and not unsaid) or not (silent or said[:1] == [row.what]):
            continue
        rest = path(rows, row.after, said if silent else said[1:], after, unsaid - silent)
        if rest is not None:
            return [row, *rest]
    return None


def steps(scenario: Path) -> Iterator[tuple[Key, str, list[str], str, str]]:
    """Yield, for every input of a scenario and bucket it moved: where it stood, what was said, where it stands."""
    engine = FoldEngine()
    for line in notation.read(scenario):
        if line.data is None:
            continue
        before, said = statuses(engine), dict[Key, list[str]]()
        for decision in engine.apply(line.data):
            if (what := label(decision)) is not None:
                said.setdefault((decision["account"], decision["instrument"]), []).append(what)
        for key, after in statuses(engine).items():
            yield key, before.get(key, "flat"), said.get(key, []), after, line.text


SCENARIOS = sorted(HERE.glob("*.txt"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.stem)
def test_a_position_moves_only_along_the_table(scenario: Path) -> None:
    """Whatever an input does to a position, the table has a path for it that says exactly what was decided."""
    rows = table()
    for key, before, said, after, text in steps(scenario):
        assert path(rows, before, said, after) is not None, f"{text}: {key} went from {before} to {after} by {said}"


def test_every_row_of_the_table_is_taken_by_a_scenario() -> None:
    """The table states nothing that cannot happen."""
    rows = table()
    taken = {
        row
        for scenario in SCENARIOS
        for _, before, said, after, text in steps(scenario)
        for row in path(without(rows, text), before, said, after) or []
    }
    assert set(rows) - taken == set()


def without(rows: list[Transition], text: str) -> list[Transition]:
    """Leave out what a scenario's line cannot be: a settlement is no fill, and nothing else is a settlement."""
    other = "fill" if " settlement " in text else "settlement"
    return [row for row in rows if row.what != other]


def test_the_diagram_is_drawn_from_the_table() -> None:
    """The picture shows the rows of the table, no more and no less."""
    assert f"```mermaid\n{diagram(table())}\n```" in PAGE


def test_a_path_that_the_table_does_not_have_is_not_found() -> None:
    """The walk above bites: a flat position cannot be called, nor a liquidation end without a word."""
    rows = table()
    assert path(rows, "flat", ["margin_call escalated"], "called") is None
    assert path(rows, "liquidating", [], "open") is None
