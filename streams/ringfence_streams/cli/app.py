"""The table of commands, and what is common to all of them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, Final, NamedTuple

import typer

from ringfence_streams.cli import instruments, kafka, topics
from ringfence_streams.cli.console import console
from ringfence_streams.cli.doctor import doctor
from ringfence_streams.cli.explain import explain
from ringfence_streams.cli.fold import fold
from ringfence_streams.cli.problems import Exit, Problem
from ringfence_streams.cli.publish import publish
from ringfence_streams.cli.run import run
from ringfence_streams.cli.status import status
from ringfence_streams.cli.tail import tail
from ringfence_streams.cli.verify import verify
from ringfence_streams.errors import LogError

JSON_LOGS: Final = "--json-logs"

COMMANDS: Final[tuple[Callable[..., None], ...]] = (fold, publish, run, tail, status, verify, explain, doctor)
"""In the order in which help lists them."""


class Group(NamedTuple):
    """Commands that belong together under one word."""

    name: str
    help: str
    commands: tuple[Callable[..., None], ...]


GROUPS: Final = (
    Group("instruments", instruments.HELP, (instruments.preset, instruments.presets, instruments.brackets)),
    Group(
        "topics",
        "The topics of a Kafka cluster: make them, show them, compare them with what the engine needs.",
        (topics.create, topics.describe, topics.check),
    ),
    Group("kafka", kafka.HELP, (kafka.up, kafka.status, kafka.down)),
)
"""Listed after the commands."""

app = typer.Typer(
    name="ringfence",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line of this process."""
    arguments = sys.argv[1:]
    if JSON_LOGS in arguments:  # true for every command, so it may stand anywhere
        arguments.remove(JSON_LOGS)
        arguments.insert(0, JSON_LOGS)
    app(arguments, prog_name="ringfence")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- how options are called back
    if wanted:
        print(f"ringfence {version('ringfence')}")
        raise typer.Exit


@app.callback()
def _settings(
    *,
    json_logs: Annotated[
        bool,
        typer.Option(JSON_LOGS, envvar="RINGFENCE_JSON_LOGS", help="Messages on stderr as JSON lines."),
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Isolated margin accounts as a deterministic fold over streams: facts in, margin calls and liquidations out.

    Start with `ringfence fold --help`: a filter from inputs to decisions.  With a log, `publish` appends inputs, `run`
    folds them, `tail` and `status` show what came of it, and `verify` proves it.

    Output goes to stdout, messages to stderr.  Exit status: 0 done, 1 a verification failed or the engine stopped,
    2 the input or the command line cannot be used.
    """
    console.json = json_logs


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what ends a command early into a message and an exit status."""

    @functools.wraps(command)
    def guard(**options: Any) -> None:
        try:
            command(**options)
        except Problem as problem:
            console.problem(problem)
            raise typer.Exit(problem.status) from None
        except LogError as error:
            console.problem(Problem(error.code, error.message, error.remedy))
            raise typer.Exit(Exit.FAILED) from None
        except BrokenPipeError:
            # Python flushes stdout once more as it ends; that must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.UNREAD) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None

    return guard


for _command in COMMANDS:
    app.command()(guarded(_command))
for _group in GROUPS:
    _sub = typer.Typer(name=_group.name, help=_group.help, no_args_is_help=True, rich_markup_mode="markdown")
    for _command in _group.commands:
        _sub.command()(guarded(_command))
    app.add_typer(_sub)
