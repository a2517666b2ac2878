"""House rules that a machine can keep, and proof that each of them bites.

ruff, mypy and import-linter hold the general rules; here stand those that only this project has.  A finding may be
excepted on its own line, ``# tidy: <rule> -- <reason>``; a marker without a reason, or without a finding, is a finding.
"""

import ast
import functools
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_FUNCTION = 60
LONGEST_FILE = 450

CORE = ("core/",)
SCHEMAS = ("schemas/",)
TESTS = ("tests/",)
EVERYWHERE = ("",)

IMPURE_CALLS = frozenset({"hash", "id", "input", "open", "print"})
CLOCK_CONTRACT = "The fold has no clock, no chance, no input and no output"

Places = Iterator[tuple[int, str]]


# ---------------------------------------------------------------------------------------------- rules about the core


def float_numbers(tree: ast.Module) -> Places:
    """Find binary floating point: a literal, or the type's name."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()) | ast.Name(id="float" | "complex"):
                yield node.lineno, "money and rates are integers, never a float"


def true_division(tree: ast.Module) -> Places:
    """Find ``/``, which makes a float of two integers; ``//`` rounds in a direction the code can name."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division makes a float; use // and say who bears the last unit"


def outside_world(tree: ast.Module) -> Places:
    """Find a clock, chance, input or output: time and identity arrive in the event."""
    for line, module in imported(tree):
        if module in modules_of_the_outside_world():
            yield line, f"the fold may not import {module}"
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"{name}() differs from process to process or reaches outside the fold"


def unordered_iteration(tree: ast.Module) -> Places:
    """Find a loop over a set made on the spot: its order differs from process to process."""
    for node in ast.walk(tree):
        match node:
            case (ast.For() | ast.comprehension()) as loop:
                match loop.iter:
                    case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
                        yield loop.iter.lineno, "a set has no order; sort it first"


def core_imports(tree: ast.Module) -> Places:
    """Find imports of anything but the contract, the core itself and the standard library."""
    return foreign(tree, frozenset({"ringfence", "ringfence_schemas"}))


# ------------------------------------------------------------------------------------------ rules about the contract


def schemas_imports(tree: ast.Module) -> Places:
    """Find imports of anything but msgspec, the contract itself and the standard library."""
    return foreign(tree, frozenset({"msgspec", "ringfence_schemas"}))


# --------------------------------------------------------------------------------------------- rules about the tests


def skipped_tests(tree: ast.Module) -> Places:
    """Find a test that is switched off: a claim that nobody checks is deleted, or made true."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="pytest") | ast.Attribute(attr="mark"), attr="skip" | "xfail"):
                yield node.lineno, f"a test is never switched off ({node.attr})"


# -------------------------------------------------------------------------------------- rules about all Python files


def long_functions(tree: ast.Module) -> Places:
    """Find functions of more than 60 lines; the docstring does not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = length(node) - (length(node.body[0]) if ast.get_docstring(node) else 0)
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines, more than {LONGEST_FUNCTION}"


def long_files(tree: ast.Module) -> Places:
    """Find files of more than 450 lines."""
    last = tree.body[-1].end_lineno if tree.body else 0
    if last and last > LONGEST_FILE:
        yield 1, f"the file has {last} lines, more than {LONGEST_FILE}"


# ----------------------------------------------------------------------------------------- rules about all text files

# Written so that this file does not find itself.
LEFTOVER = re.compile(r"\b(?:FIXM[E]|TOD[O]|XX[X])\b")
REGISTRY = re.compile(r"\b(?:pypi[.]org|pythonhosted[.]org|repo1?[.]maven|registry[.]npmjs|proxy[.]golang)")
HOME = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w")


def leftovers(text: str) -> Places:
    """Find notes to oneself."""
    return matching(text, LEFTOVER, "do it or delete the note")


def registry_hosts(text: str) -> Places:
    """Find the name of a package registry: which one is used is the reader's setting."""
    return matching(text, REGISTRY, "the package registry is the reader's own setting")


def home_paths(text: str) -> Places:
    """Find a path that exists on one machine only."""
    return matching(text, HOME, "a path of one machine")


# ------------------------------------------------------------------------------------------------------------ helpers


def imported(tree: ast.Module) -> Places:
    """Yield the top-level name of every imported module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name.partition(".")[0]) for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield node.lineno, module.partition(".")[0]


@functools.cache
def modules_of_the_outside_world() -> frozenset[str]:
    """Return what import-linter forbids the fold to import: the list stands once, in pyproject.toml."""
    contracts = tomllib.loads(read_text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    return frozenset(next(c for c in contracts if c["name"] == CLOCK_CONTRACT)["forbidden_modules"])


def foreign(tree: ast.Module, allowed: frozenset[str]) -> Places:
    """Yield imports that are neither allowed nor part of the standard library."""
    for line, module in imported(tree):
        if module not in allowed and module not in sys.stdlib_module_names:
            yield line, f"may not import {module}"


def length(node: ast.stmt) -> int:
    """Return how many lines a statement takes, decorators not counted."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def matching(text: str, pattern: re.Pattern[str], message: str) -> Places:
    """Yield the lines in which the pattern occurs."""
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            yield number, message


# ---------------------------------------------------------------------------------------------- applying all of them


class Rule(NamedTuple):
    """A check with the folders it is for; the empty prefix is every folder."""

    folders: tuple[str, ...]
    check: Callable[[ast.Module], Places]


RULES = {
    "float": Rule(CORE, float_numbers),
    "division": Rule(CORE, true_division),
    "outside-world": Rule(CORE, outside_world),
    "unordered": Rule(CORE, unordered_iteration),
    "core-imports": Rule(CORE, core_imports),
    "schemas-imports": Rule(SCHEMAS, schemas_imports),
    "skipped": Rule(TESTS, skipped_tests),
    "function-length": Rule(EVERYWHERE, long_functions),
    "file-length": Rule(EVERYWHERE, long_files),
}
TEXT_RULES = {"leftover": leftovers, "registry": registry_hosts, "home-path": home_paths}
MARKER = re.compile(r"# tidy: (?P<rule>[a-z-]+) -- \S")


class Finding(NamedTuple):
    """One broken house rule."""

    path: str
    line: int
    rule: str
    message: str


def findings(path: str, text: str) -> list[Finding]:
    """Return the broken rules of one file, exceptions with a reason left out."""
    found = [Finding(path, line, rule, why) for rule, check in TEXT_RULES.items() for line, why in check(text)]
    if not path.endswith(".py"):
        return found
    tree = ast.parse(text)
    for name, rule in RULES.items():
        if path.startswith(rule.folders):
            found += (Finding(path, line, name, why) for line, why in rule.check(tree))
    excepted = markers(text)
    broken = {(finding.line, finding.rule) for finding in found}
    found += (
        Finding(path, line, "marker", f"nothing to except here: {rule!r}")
        for line, rule in excepted
        if (line, rule) not in broken
    )
    return [finding for finding in found if (finding.line, finding.rule) not in excepted]


def markers(text: str) -> list[tuple[int, str]]:
    """Return the line and rule of every exception; a marker that is not well-formed counts for the rule ''."""
    comments = (
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and "# tidy:" in token.string
    )
    return [(line, match["rule"] if (match := MARKER.search(comment)) else "") for line, comment in comments]


def repository_files() -> list[str]:
    """Return every file of the repository that git tracks or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({path for path in listed.splitlines() if (ROOT / path).is_file()})


def read_text(path: str) -> str:
    """Return a file's text; a file that is not UTF-8 text has no lines to check."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


# ------------------------------------------------------------------------------------------------------------- claims


def test_the_repository_keeps_its_house_rules() -> None:
    """No file of the repository breaks a house rule without saying why on the line."""
    broken = [finding for path in repository_files() for finding in findings(path, read_text(path))]
    assert not broken, "\n" + "\n".join(f"{f.path}:{f.line}: {f.rule}: {f.message}" for f in broken)


BAD = [
    ("core/a.py", "rate = 0.5\n", "float", 1),
    ("core/a.py", "x = 1\ny = float(x)\n", "float", 2),
    ("core/a.py", "def half(x: float) -> int:\n    return 1\n", "float", 1),
    ("core/a.py", "half = 1 / 2\n", "division", 1),
    ("core/a.py", "x = 4\nx /= 2\n", "division", 2),
    ("core/a.py", "import time\n", "outside-world", 1),
    ("core/a.py", "from os import path\n", "outside-world", 1),
    ("core/a.py", "key = hash('BTC')\n", "outside-world", 1),
    ("core/a.py", "for x in {1, 2}:\n    pass\n", "unordered", 1),
    ("core/a.py", "y = [x for x in set('ab')]\n", "unordered", 1),
    ("core/a.py", "import msgspec\n", "core-imports", 1),
    ("core/a.py", "import ringfence_streams.port\n", "core-imports", 1),
    ("schemas/a.py", "from ringfence import fold\n", "schemas-imports", 1),
    ("tests/a.py", "import pytest\n@pytest.mark.skip\ndef test_a(): ...\n", "skipped", 2),
    ("tests/a.py", "import pytest\npytest.xfail('later')\n", "skipped", 2),
    ("streams/a.py", "def f():\n" + "    f()\n" * LONGEST_FUNCTION, "function-length", 1),
    ("streams/a.py", "class C:\n    async def f(self):\n" + "        f()\n" * LONGEST_FUNCTION, "function-length", 2),
    ("streams/a.py", "f()\n" * (LONGEST_FILE + 1), "file-length", 1),
    ("docs/a.md", "one\nTO" + "DO: two\n", "leftover", 2),
    ("streams/a.py", "x = 1  # FIX" + "ME\n", "leftover", 1),
    ("Makefile", "index = https://pypi" + ".org/simple\n", "registry", 1),
    ("docs/a.md", "see /ho" + "me/ann/notes\n", "home-path", 1),
    ("core/a.py", "x = 1  # tidy: float -- no longer needed\n", "marker", 1),
    ("core/a.py", "x = 1  # tidy: float\n", "marker", 1),
]


@pytest.mark.parametrize(("path", "text", "rule", "line"), BAD)
def test_every_rule_reports_what_it_forbids(path: str, text: str, rule: str, line: int) -> None:
    """A file that breaks one rule is reported once, with that rule and the line where it is broken."""
    assert [(finding.rule, finding.line) for finding in findings(path, text)] == [(rule, line)]


def test_no_rule_lacks_a_proof_that_it_bites() -> None:
    """Each rule has at least one bad example among the proofs above."""
    assert {rule for _, _, rule, _ in BAD} == {*RULES, *TEXT_RULES, "marker"}


GOOD = [
    ("core/a.py", "half = 1 // 2\nname = 'float 0.5 / 2'\n"),
    ("core/a.py", "from fractions import Fraction\nfrom ringfence_schemas.codes import CODES\n"),
    ("core/a.py", "for x in sorted({1, 2}):\n    pass\n"),
    ("streams/a.py", "import time\nimport aiokafka\nx = 1 / 2\n"),
    ("schemas/a.py", "import json\nimport msgspec\nfrom ringfence_schemas import inputs\n"),
    ("streams/a.py", "def f():\n" + "    f()\n" * (LONGEST_FUNCTION - 1)),
    ("streams/a.py", 'def f():\n    """One.\n' + "\n" * LONGEST_FUNCTION + '    """\n    f()\n'),
    ("streams/a.py", "f()\n" * LONGEST_FILE),
    ("docs/a.md", "TODOS and /homes/ann\n"),
]


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_no_rule_reports_what_is_allowed(path: str, text: str) -> None:
    """What stands just inside a rule, or outside its folder, is not reported."""
    assert findings(path, text) == []


def test_an_exception_with_a_reason_silences_its_own_rule_on_its_own_line() -> None:
    """A marker with a reason excepts one rule on one line and nothing else."""
    text = "a = 0.5  # tidy: float -- shown to people only\nb = 0.5\nc = 1 / 0.5  # tidy: float -- the same\n"
    assert [(finding.rule, finding.line) for finding in findings("core/a.py", text)] == [("float", 2), ("division", 3)]


def test_a_marker_without_a_reason_excepts_nothing() -> None:
    """Without a reason the finding stands, and so does a complaint about the marker."""
    reported = [finding.rule for finding in findings("core/a.py", "a = 0.5  # tidy: float\n")]
    assert reported == ["float", "marker"]
