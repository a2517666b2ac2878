"""Durations on the command line: a number with its unit."""

from __future__ import annotations

import re
from typing import Final

from ringfence_streams.cli.problems import Problem

_UNITS_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION: Final = re.compile(r"([0-9]{1,9}) *(us|ms|s|m|h|d)")


def duration_us(option: str, text: str) -> int:
    """Return a duration in microseconds.  Raises Problem when `text` is not a whole number with a unit."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        remedy = f"Give a whole number with one of {', '.join(_UNITS_US)}, for example 24h"
        raise Problem("bad_duration", f"{option}: {text!r} is no duration", remedy)
    return int(match[1]) * _UNITS_US[match[2]]
