"""Every scenario is told by its text, and means the same to the fold and to the textbook."""

import json
from pathlib import Path

import pytest

from ringfence_schemas.codes import CODES
from tests.core.agreement import agree
from tests.core.engines import ENGINES, Engine, FoldEngine, Json, TextbookEngine
from tests.scenarios import notation

HERE = Path(__file__).parent
TEXTS = sorted(HERE.glob("*.txt"))
FILTERED = sorted(path.name.removesuffix(".in.jsonl") for path in HERE.glob("*.in.jsonl"))

ONLY_ON_A_LOG = {"time_in_future", "wrong_partition", "too_large"}
"""Refusals that need a record's timestamp, its partition, or its size."""


def told(path: Path, engine: Engine) -> str:
    """The scenario with the answers of `engine`."""
    lines = []
    for line in notation.read(path):
        lines.append(line.text)
        if line.data is not None:
            lines += answers(engine, line.data)
        elif line.question == "ledger":
            balances = next(entry for entry in engine.statement() if entry["type"] == "ledger")
            lines += notation.ledger_lines(balances["balances"])
        elif line.question is not None:
            lines += statement_of(engine, line.question)
    return "\n".join(lines) + "\n"


def answers(engine: Engine, data: bytes) -> list[str]:
    """The decisions of one input, or the remark that it was applied before."""
    before = counts(engine)["already_applied"]
    decisions = engine.apply(data)
    if counts(engine)["already_applied"] > before:
        return ["    already applied"]
    event_us = time_of(data)
    return [notation.decision_line(decision, event_us) for decision in decisions]


def time_of(data: bytes) -> int | None:
    """The time an input states, if it can be read."""
    try:
        event = json.loads(data)
    except ValueError:
        return None
    return event.get("time_us") if isinstance(event, dict) else None


def counts(engine: Engine) -> Json:
    """How the inputs ended so far."""
    return engine.statement()[-1]


def statement_of(engine: Engine, account: str) -> list[str]:
    """The answer to a question about an account."""
    for entry in engine.statement():
        if entry.get("account") == account:
            return notation.account_lines(entry)
    return ["    unknown"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_fold_decides_as_the_scenario_tells(path: Path, request: pytest.FixtureRequest) -> None:
    """Every answer in the text is the fold's, to the last character."""
    text = told(path, FoldEngine())
    if request.config.getoption("--golden", default=False):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_textbook_decides_as_the_fold(path: Path) -> None:
    """The textbook comes to the same decisions, and to the same statement at the end."""
    fold, textbook = FoldEngine(), TextbookEngine()
    for line in notation.read(path):
        if line.data is not None:
            agree(fold.apply(line.data), textbook.apply(line.data), line.text)
    agree(fold.statement(), textbook.statement(), "the statement at the end")


@pytest.mark.parametrize("name", FILTERED)
@pytest.mark.parametrize("engine", ENGINES)
def test_worked_out_by_hand(name: str, engine: type[Engine]) -> None:
    """What was worked out by hand is decided: every decision, in order, and the state at the end."""
    judge = engine()
    lines = (HERE / f"{name}.in.jsonl").read_bytes().splitlines()
    actual = [decision for line in lines for decision in judge.apply(line)]
    actual += judge.statement()
    expected = [json.loads(line) for line in (HERE / f"{name}.out.jsonl").read_bytes().splitlines()]
    agree(actual, expected, name)


def test_every_refusal_has_its_scenario() -> None:
    """Every code that an input alone can earn is earned in some scenario."""
    told_of = {word for path in TEXTS for word in path.read_text(encoding="utf-8").split()}
    assert set(CODES) - told_of == ONLY_ON_A_LOG
