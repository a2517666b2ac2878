"""Which journal records are the chain: rules R1 and R3 as functions of values, nothing else.

Everything that reads a journal (an engine, an audit, a projection) decides with these functions alone, so of two
frames that extend the same head every reader takes the first in the log, and all readers agree.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ringfence_schemas.frames import GENESIS, Frame


class Head(NamedTuple):
    """The last accepted frame: all that deciding about the next record needs."""

    epoch: int
    seq: int
    hash: bytes


ROOT = Head(0, 0, GENESIS)
"""The head of an empty chain."""


class Loss(StrEnum):
    """Why a reader must stop (R3): acknowledged records are gone, and skipping would hide it."""

    STARTS_AFTER = "the log starts after the reader's position"
    ENDS_BEFORE = "the log ends before the reader's position"
    HEAD_GONE = "the head frame is no longer in the log"
    HEAD_CHANGED = "the head frame has other bytes than the ones that were accepted"


def accepts(head: Head, frame: Frame) -> bool:
    """R1: whether `frame` is the next frame of the chain that ends in `head`."""
    begins = frame.kind == "epoch"
    return (
        frame.seq == head.seq + 1
        and frame.prev == head.hash
        and frame.epoch == head.epoch + begins
        and (begins or head.epoch > 0)
    )


def interrupted(position: int, begin: int, end: int) -> Loss | None:
    """R3: whether records between `position`, the next unread offset, and the log's bounds are missing."""
    if begin > position:
        return Loss.STARTS_AFTER
    if end < position:
        return Loss.ENDS_BEFORE
    return None


def head_lost(head: Head, found: bytes | None) -> Loss | None:
    """R3: compare the head with the hash of what is `found` at its offset (None: nothing there)."""
    if found is None:
        return Loss.HEAD_GONE
    if found != head.hash:
        return Loss.HEAD_CHANGED
    return None


def casts_doubt(head: Head, frame: Frame) -> bool:
    """R3: whether an ignored record suggests a chain that this reader never saw.

    Losers of a race also look like this, so it only obliges the reader to read its head again.
    """
    return frame.epoch > head.epoch and frame.prev != head.hash
