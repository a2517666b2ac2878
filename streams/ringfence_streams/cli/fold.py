"""`ringfence fold`: the fold as a filter, nothing else needed."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
import typer

from ringfence.fold import Fold
from ringfence.invariants import InvariantBroken
from ringfence.origins import LineOrigin
from ringfence_schemas.frames import Settings
from ringfence_schemas.outcomes import Decision, Outcome, encode
from ringfence_schemas.reading import InputRefused, decode_input
from ringfence_streams.cli.checks import Check, Entry, fold_entry
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.lines import Chunk, FileArgument, Lines, opened_lines, silent, write_out
from ringfence_streams.cli.problems import Exit, Problem
from ringfence_streams.statement import statement

_ORIGIN: Final = LineOrigin()


def fold(
    *,
    file: FileArgument = "-",
    state: Annotated[
        bool, typer.Option("--state", help="At the end print every account, the ledger, a digest.")
    ] = False,
    ledger: Annotated[bool, typer.Option("--ledger", help="Print the postings of the ledger too.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Assert every invariant after every input; slow, for small streams.")
    ] = False,
) -> None:
    r"""Fold JSON lines of inputs into JSON lines of decisions.

    One input object a line; blank lines and lines that begin with # are skipped.  Decisions come in order, each with
    the line that caused it.  A bad line is a `refused` decision and the filter goes on: the exit status is 0 however
    many inputs were refused, 2 when the input cannot be read.

    ```sh
    echo '{"type": "deposit", "transfer_id": "t1", "account": "ann",' \
      '"asset": "USDT", "amount": "100", "time_us": 1}' | ringfence fold --state
    ```
    """
    tune_garbage_collection()
    folding = Filter(Settings(ledger=ledger), check=check)
    with opened_lines(file) as lines:
        folding.run(lines)
    if folding.check is not None:
        folding.finish_check()
    if state:
        write_out(b"".join(msgspec.json.encode(line) + b"\n" for line in statement(folding.fold)))


class Filter:
    """A fold over numbered lines."""

    def __init__(self, settings: Settings, *, check: bool = False) -> None:
        self.fold = Fold(settings)
        self.check = Check(self.fold) if check else None
        self.line = 0
        """The line being folded."""

    def run(self, lines: Lines) -> None:
        """Fold every line; what a chunk of lines decides is written before the next one is read.

        Raises Problem when the input ends badly or the engine must stop.
        """
        take = self._take if self.check is None else self._take_checked
        with console.progress("Folding", lines.size_bytes) as progress:
            for chunk in lines:
                decided: list[Decision] = []
                try:
                    take(chunk, decided)
                except InvariantBroken as broken:
                    raise _broken(broken, f"line {self.line}: ") from broken
                except Exception as fault:
                    traceback.print_exc()
                    raise _fault(self.line, fault) from fault
                finally:
                    write_out(encoded(decided))
                progress.update(lines.read_bytes, f"{self.fold.inputs:,} inputs")

    def _take(self, chunk: Chunk, decided: list[Decision]) -> None:
        fold, apply = self.fold, self.fold.apply
        for number, line in enumerate(chunk.lines, chunk.first):
            if silent(line):
                continue
            self.line = number
            try:
                decisions = apply(decode_input(line), _ORIGIN, number)
            except InputRefused as refused:
                decisions = fold.refuse(refused, _ORIGIN, number, line.removesuffix(b"\r"))
            if decisions:
                decided += decisions

    def _take_checked(self, chunk: Chunk, decided: list[Decision]) -> None:
        assert self.check is not None
        for number, line in enumerate(chunk.lines, chunk.first):
            if silent(line):
                continue
            self.line = number
            entry = read_entry(number, line.removesuffix(b"\r"))
            decisions = fold_entry(self.fold, entry)
            decided += decisions
            self.check.step(entry, decisions)

    def finish_check(self) -> None:
        """The invariants of whole histories.  Raises Problem."""
        assert self.check is not None
        try:
            self.check.finish()
        except InvariantBroken as broken:
            raise _broken(broken, "at the end: ") from broken
        console.say(f"all invariants hold over {counted(self.fold.inputs, 'input')}", inputs=self.fold.inputs)


def read_entry(number: int, line: bytes) -> Entry:
    """Read one line as an entry of a history."""
    try:
        return Entry(number, decode_input(line), line)
    except InputRefused as refused:
        return Entry(number, refused, line)


def encoded(decisions: Iterable[Decision]) -> bytes:
    """Decisions as JSON lines."""
    outcomes: Iterable[Outcome] = decisions  # type: ignore[assignment]  # every decision is one of the outcomes
    return b"".join([encode(outcome) + b"\n" for outcome in outcomes])


def _broken(broken: InvariantBroken, where: str) -> Problem:
    return Problem(
        "invariant_broken",
        f"{where}{broken}",
        "This is a fault of the engine, not of the input: please report it with the lines up to here",
        Exit.FAILED,
    )


def _fault(line: int, fault: Exception) -> Problem:
    return Problem(
        "engine_fault",
        f"line {line}: {type(fault).__name__}: {fault}",
        "The engine stopped before it decided anything wrong: please report it with the lines up to here",
        Exit.FAILED,
    )
