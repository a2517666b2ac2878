"""The files of docker/, read as their programs read them."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

from tests.test_tidy import ROOT

DOCKER: Final = ROOT / "docker"
PINNED: Final = re.compile(r"[a-z0-9][a-z0-9/-]*:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}")
"""An image by name, tag and digest; a name with a host in it does not match."""


def read_yaml(path: str) -> Any:
    """A YAML file under docker/."""
    return yaml.safe_load((DOCKER / path).read_text(encoding="utf-8"))


def read_json(path: str) -> Any:
    """A JSON file under docker/."""
    return json.loads((DOCKER / path).read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file, by name."""
    found: dict[str, dict[str, Any]] = read_yaml("compose.yaml")["services"]
    return found


def without_defaults(text: str) -> str:
    """A value of the compose file as it is when nothing is set: `${NAME:-default}` is its default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, its lines joined."""

    name: str
    arguments: str


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile in order, without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def locked(path: str) -> Mapping[str, str]:
    """Name -> all of a locked requirement (version, marker, hashes)."""
    text = re.sub(r"\\\n\s*", "", (ROOT / path).read_text(encoding="utf-8"))
    return {line.split("==")[0]: line for line in text.splitlines() if "==" in line}
