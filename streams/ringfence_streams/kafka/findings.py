"""What is found wrong with a cluster's topics or with what runs on them: a stable code, how bad it is, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """Results would be wrong, or nothing goes on: an engine refuses to start, a person must act."""
    WARNING = "warning"
    """All is right, but a guarantee is weaker than it could be, or something is about to go wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    """Never changes."""
    severity: Severity
    subject: str
    """The topic, shard or group it is about."""
    message: str
    remedy: str


def error(code: str, subject: str, message: str, remedy: str) -> Finding:
    """A finding that a person must act upon."""
    return Finding(code, Severity.ERROR, subject, message, remedy)


def warning(code: str, subject: str, message: str, remedy: str) -> Finding:
    """A finding that can wait."""
    return Finding(code, Severity.WARNING, subject, message, remedy)
