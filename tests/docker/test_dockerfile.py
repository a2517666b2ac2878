"""The image: what it is made of is fixed, and what runs in it has no more rights than it needs."""

import json
import re
from fnmatch import fnmatch
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docker.definitions import DOCKER, PINNED, Instruction, instructions, locked
from tests.test_tidy import ROOT

TEXT = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = instructions(TEXT)
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython"}
CPYTHON = {"platform_python_implementation": "CPython", "python_version": "3.13", "python_full_version": "3.13.12"}


def every(name: str) -> list[str]:
    """The arguments of every instruction of one name."""
    return [arguments for instruction, arguments in INSTRUCTIONS if instruction == name]


def final_stage() -> list[Instruction]:
    """The instructions of the stage that becomes the image."""
    last = max(index for index, instruction in enumerate(INSTRUCTIONS) if instruction.name == "FROM")
    return INSTRUCTIONS[last:]


def test_every_stage_begins_with_one_base_fixed_by_its_digest() -> None:
    """The base is named once, with tag and digest, and nothing else is built upon."""
    ((name, base),) = [argument.split("=", 1) for argument in every("ARG")]
    assert PINNED.fullmatch(base)
    assert {stage.split()[0] for stage in every("FROM")} == {"${" + name + "}"}


def test_everything_that_is_installed_is_checked_against_a_hash() -> None:
    """Each `pip install` takes wheels of a lock with their hashes, or our own wheel without asking an index."""
    installs = [command for run in every("RUN") for command in run.split("&&") if "pip install" in command]
    assert len(installs) == 3
    for command in installs:
        hashed = {"--require-hashes", "--no-deps", "--only-binary"} <= set(command.split())
        assert hashed or "--no-index" in command


def test_the_engine_runs_as_a_user_without_rights_and_without_a_shell() -> None:
    """The last stage ends under a numeric user other than root, who owns none of the programs."""
    names = [instruction.name for instruction in final_stage()]
    (user,) = every("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "RUN" not in names[names.index("USER") :]
    assert not any("--chown" in copy for copy in every("COPY"))
    assert "ADD" not in names


def test_commands_are_programs_and_not_lines_for_a_shell() -> None:
    """A signal reaches the engine itself: command and health check are lists, and SIGTERM is what stops it."""
    (command,) = every("CMD")
    (check,) = every("HEALTHCHECK")
    assert json.loads(command)[0] == "faust"
    assert json.loads(check.split("CMD", 1)[1])[0] == "python"
    assert every("STOPSIGNAL") == ["SIGTERM"]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    """Every source of a COPY is in the repository and is let through by the ignore file."""
    allowed = [
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    copies = [copy.split()[:-1] for copy in every("COPY") if not copy.startswith("--from")]
    assert copies
    for source in (source for sources in copies for source in sources):
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in allowed), source


@pytest.mark.parametrize("lock", ["docker/requirements.lock", "docker/requirements-build.lock"])
def test_the_image_holds_what_is_tested(lock: str) -> None:
    """Each library of the image is the one of the developers' lock: the same version, the same hashes."""
    tested = locked("requirements.lock")
    in_image = locked(lock)
    assert in_image
    assert {name: tested.get(name) for name in in_image} == in_image


def test_the_image_has_every_library_that_the_engine_needs_and_no_other() -> None:
    """The lock of the image is the closure of the distribution's requirements with the extra `kafka`."""
    needed = closure("ringfence", frozenset({"kafka"})) - {"ringfence"}
    here = {name for name, line in locked("docker/requirements.lock").items() if applies(line)}
    assert here == needed


def applies(line: str) -> bool:
    """Whether a locked requirement is for the image's Python on Linux."""
    marker = Requirement(line.partition("--hash")[0].strip()).marker
    return marker is None or marker.evaluate({**LINUX, **CPYTHON})


def closure(name: str, extras: frozenset[str]) -> set[str]:
    """A distribution and all that it needs on the image's Python."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        name, extras = waiting.pop()
        if name in found and not extras:
            continue
        found.add(name)
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            environments = [{**LINUX, **CPYTHON, "extra": extra} for extra in extras or {""}]
            if marker is None or any(marker.evaluate(environment) for environment in environments):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


WRONG = [
    ("FROM python:3.13-slim\n", "FROM", "python:3.13-slim"),
    ("RUN one \\\n    && two # not a comment\n", "RUN", "one && two # not a comment"),
]


@pytest.mark.parametrize(("text", "name", "arguments"), WRONG)
def test_instructions_are_read_as_docker_reads_them(text: str, name: str, arguments: str) -> None:
    """A backslash joins lines; a comment is a whole line."""
    assert instructions("# a comment\n" + text) == [(name, arguments)]
