"""Claims about which journal records are the chain (rules R1 and R3)."""

from __future__ import annotations

import msgspec
import pytest

from ringfence.chain import ROOT, Head, Loss, accepts, casts_doubt, head_lost, interrupted
from ringfence_schemas.frames import (
    FRAME_VERSION,
    GENESIS,
    NO_DIGEST,
    Frame,
    FrameDamaged,
    Opening,
    Settings,
    decode_frame,
    encode_frame,
    frame_hash,
)

HEAD = Head(epoch=3, seq=7, hash=b"h" * 32)
OPENING = Opening(session=b"s" * 16, settings=Settings())


def frame(**changes: object) -> Frame:
    """The batch frame that extends HEAD, with some fields changed."""
    plain = Frame(
        version=FRAME_VERSION,
        kind="batch",
        epoch=3,
        seq=8,
        prev=HEAD.hash,
        clock_us=0,
        inputs=[],
        positions=[],
        published=[],
        outcome_count=0,
        outcome_digest=NO_DIGEST,
        state_digest=NO_DIGEST,
    )
    return msgspec.structs.replace(plain, **changes)


def test_a_frame_extends_exactly_the_head_it_names() -> None:
    """R1: the sequence, the hash of the frame before and the epoch must all fit."""
    assert accepts(HEAD, frame())
    assert not accepts(HEAD, frame(seq=9))
    assert not accepts(HEAD, frame(seq=7))
    assert not accepts(HEAD, frame(prev=b"x" * 32))
    assert not accepts(HEAD, frame(epoch=2))
    assert not accepts(HEAD, frame(epoch=4))


def test_only_an_epoch_frame_begins_an_epoch_and_only_the_next_one() -> None:
    """R1: an epoch frame carries the epoch after its head's; any other frame stays in the head's."""
    assert accepts(HEAD, frame(kind="epoch", epoch=4, opening=OPENING))
    assert not accepts(HEAD, frame(kind="epoch", epoch=3, opening=OPENING))
    assert not accepts(HEAD, frame(kind="epoch", epoch=5, opening=OPENING))
    assert accepts(HEAD, frame(kind="release"))


def test_a_chain_begins_with_epoch_one() -> None:
    """F1: the first frame is the epoch frame of epoch 1 with sequence 1 and `prev` zero."""
    first = frame(kind="epoch", epoch=1, seq=1, prev=GENESIS, opening=OPENING)
    assert accepts(ROOT, first)
    assert not accepts(ROOT, frame(epoch=0, seq=1, prev=GENESIS))
    assert not accepts(ROOT, frame(epoch=1, seq=1, prev=GENESIS))


@pytest.mark.parametrize(
    ("position", "begin", "end", "loss"),
    [
        (5, 0, 5, None),
        (5, 5, 9, None),
        (5, 6, 9, Loss.STARTS_AFTER),
        (5, 0, 4, Loss.ENDS_BEFORE),
    ],
)
def test_a_reader_whose_position_is_outside_the_log_stops(
    position: int, begin: int, end: int, loss: Loss | None
) -> None:
    """R3: a log that starts after the next unread offset, or ends before it, has lost records."""
    assert interrupted(position, begin, end) == loss


def test_a_head_that_is_gone_or_changed_stops_the_reader() -> None:
    """R3: what stands at the head's offset must be the frame that was accepted there."""
    assert head_lost(HEAD, HEAD.hash) is None
    assert head_lost(HEAD, None) is Loss.HEAD_GONE
    assert head_lost(HEAD, b"o" * 32) is Loss.HEAD_CHANGED


def test_a_later_epoch_on_another_frame_makes_the_reader_look_again() -> None:
    """R3: an ignored record of a higher epoch on an unknown frame obliges the reader to read its head again."""
    assert casts_doubt(HEAD, frame(kind="epoch", epoch=5, prev=b"x" * 32, opening=OPENING))
    assert not casts_doubt(HEAD, frame(prev=b"x" * 32))
    assert not casts_doubt(HEAD, frame(epoch=4))


def test_a_frame_reads_back_as_it_was_written() -> None:
    """F1: encoding and decoding lose nothing, and one flipped bit gives another hash."""
    written = frame(kind="epoch", epoch=4, opening=OPENING)
    value = encode_frame(written)
    assert decode_frame(value) == written
    assert frame_hash(value) != frame_hash(value[:-1] + bytes([value[-1] ^ 1]))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"", "not a frame"),
        (encode_frame(frame())[:-1], "not a frame"),
        (encode_frame(frame(version=2)), "frame version 2"),
        (encode_frame(frame(opening=OPENING)), "kind batch with an opening"),
        (encode_frame(frame(kind="epoch")), "kind epoch without an opening"),
        (encode_frame(frame(prev=b"short")), "prev has 5 bytes"),
    ],
)
def test_bytes_that_are_no_frame_are_refused(value: bytes, complaint: str) -> None:
    """A truncated record, another version, or a frame that contradicts its kind is damaged, and the text says how."""
    with pytest.raises(FrameDamaged, match=complaint):
        decode_frame(value)
