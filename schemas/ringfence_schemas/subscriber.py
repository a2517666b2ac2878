"""The subscriber's rules, ready to use: whatever arrives twice, late or never, a reader can tell.

C1  Decisions are numbered densely per shard and topic: skip what was read, alarm at a gap.
C2  Views are versioned per key: skip a version that is not newer.
C3  The same number with other bytes is an alarm.
"""

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

REMEMBERED = 4096
"""Decisions per shard and topic whose bytes are compared when they arrive again; repeats are never far behind."""


class Stream(NamedTuple):
    """One numbered sequence of decisions."""

    shard: int
    topic: str


class Reading(Enum):
    """What a record is to a subscriber; only `NEW` and `AFTER_GAP` are to be processed, the last two are alarms."""

    NEW = "new"
    REPEATED = "repeated"
    AFTER_GAP = "after_gap"
    CONTRADICTED = "contradicted"


def parse_decision_id(text: str) -> tuple[Stream, int]:
    """Return the stream and number of a decision's id, ``<shard>-<topic>-<n>``.

    Raises `ValueError` when `text` is no such id.
    """
    shard, _, rest = text.partition("-")
    topic, _, number = rest.rpartition("-")
    if not (topic and text.isascii() and shard.isdecimal() and number.isdecimal()):
        raise ValueError(f"{text!r} is no decision id")
    return Stream(int(shard), topic), int(number)


class SubscriberReader:
    """Reads outcomes exactly once.

    `positions` are the numbers read before, to go on after a restart; a subscriber that stores them together with its
    own results is exactly-once end to end.
    """

    def __init__(self, positions: Mapping[Stream, int] | None = None) -> None:
        self._positions = dict(positions or {})
        self._digests: dict[Stream, dict[int, bytes]] = {}
        self._versions: dict[tuple[str, str], int] = {}

    @property
    def positions(self) -> dict[Stream, int]:
        """The last number read of every stream."""
        return dict(self._positions)

    def decision(self, decision_id: str, value: bytes) -> Reading:
        """Tell what a decision is by its id and its bytes, and take note of it (rules C1 and C3).

        Raises `ValueError` when `decision_id` is no id of a decision.
        """
        stream, number = parse_decision_id(decision_id)
        last = self._positions.get(stream, 0)
        digests = self._digests.setdefault(stream, {})
        digest = hashlib.blake2b(value, digest_size=16).digest()
        if number <= last:
            return Reading.REPEATED if digests.get(number, digest) == digest else Reading.CONTRADICTED
        digests[number] = digest
        if len(digests) > REMEMBERED:
            del digests[next(iter(digests))]
        self._positions[stream] = number
        return Reading.NEW if number == last + 1 else Reading.AFTER_GAP

    def view(self, topic: str, key: str, version: int) -> Reading:
        """Tell whether a view, or the null record that closes it, is newer than the last of its key (rule C2)."""
        if version <= self._versions.get((topic, key), 0):
            return Reading.REPEATED
        self._versions[topic, key] = version
        return Reading.NEW
