"""Claims about what the command line says of itself."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from ringfence_streams import errors
from ringfence_streams.cli.app import COMMANDS
from tests.streams.command import call, ringfence
from tests.test_tidy import ROOT

GUIDE = ROOT / "docs" / "guide" / "command-line.md"
Capture = pytest.CaptureFixture[bytes]


def test_the_version_is_the_one_installed() -> None:
    """`ringfence --version` prints it and nothing else."""
    assert ringfence("--version").stdout.decode() == f"ringfence {version('ringfence')}\n"


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_help_says_what_a_command_does_and_shows_one_that_runs(command: str, capfdbinary: Capture) -> None:
    """Every command has a first sentence and an example of itself; the examples are run from the reference."""
    text = call(capfdbinary, command, "--help").stdout.decode()
    help_text = inspect.getdoc(next(each for each in COMMANDS if each.__name__ == command)) or ""
    assert help_text.splitlines()[0] in " ".join(text.split())
    ((fence, example),) = re.findall(r"(```sh(?: kafka)?\n)(.*?)```", help_text, flags=re.DOTALL)
    assert f"ringfence {command}" in example
    assert all(line.rstrip() in text for line in example.splitlines())
    assert f"{fence}{example}```" in (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [("fold", "--sate"), ("folt",), ("tail",), ("run", "--clock", "sundial")])
def test_a_command_line_that_makes_no_sense_is_status_2(arguments: tuple[str, ...], capfdbinary: Capture) -> None:
    """An unknown option, an unknown command, a missing argument, a wrong choice: status 2, and where help is."""
    called = call(capfdbinary, *arguments)
    assert called.status == 2
    assert "--help" in called.stderr or "-h" in called.stderr


def problem_codes() -> Iterator[str]:
    """The code of every problem that the command line raises."""
    for path in sorted((ROOT / "streams" / "ringfence_streams" / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Problem"), args=[ast.Constant(value=str() as code), *_]):
                    yield code


def test_every_code_is_explained_in_the_guide_and_no_other() -> None:
    """The table of codes is complete: those of the command line, and those of the log."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.LogError)]
    of_logs = {kind.code for kind in kinds if kind is not errors.LogError}
    table = GUIDE.read_text(encoding="utf-8").partition("## Codes")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    explained = {code for row in rows for code in row.split("`")[1::2]}
    assert explained == {*problem_codes(), *of_logs}


def test_a_command_is_found_without_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line is part of the installed package: it runs in any folder."""
    monkeypatch.chdir(tmp_path)
    assert ringfence("fold", stdin=b"").stdout == b""
