"""Claims about the subscriber's reader: rules C1, C2 and C3, one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.subscriber import REMEMBERED, Reading, Stream, SubscriberReader, parse_decision_id

CALLS = Stream(0, "margin-calls")


def decision_id(number: int, stream: Stream = CALLS) -> str:
    """Return the id of a decision."""
    return f"{stream.shard}-{stream.topic}-{number}"


def test_decisions_in_order_are_new_and_their_repeats_are_skipped() -> None:
    """C1: after 1, 2, 3 a second 2 and 3 with the same bytes are repeats, and 4 is new."""
    reader = SubscriberReader()
    readings = [reader.decision(decision_id(n), b"%d" % n) for n in (1, 2, 3, 2, 3, 4)]
    assert readings == [Reading.NEW] * 3 + [Reading.REPEATED] * 2 + [Reading.NEW]


def test_a_missing_decision_is_an_alarm_once() -> None:
    """C1: 3 right after 1 comes after a gap; 4 after it is in order again."""
    reader = SubscriberReader()
    readings = [reader.decision(decision_id(n), b"") for n in (1, 3, 4)]
    assert readings == [Reading.NEW, Reading.AFTER_GAP, Reading.NEW]


def test_the_first_decision_of_a_stream_is_number_one() -> None:
    """C1: a reader that begins at 2 has missed one, unless it is told that it read 1 before."""
    assert SubscriberReader().decision(decision_id(2), b"") is Reading.AFTER_GAP
    assert SubscriberReader({CALLS: 1}).decision(decision_id(2), b"") is Reading.NEW


def test_the_same_number_with_other_bytes_is_an_alarm() -> None:
    """C3: number 1 is read once; the same number with other bytes contradicts it, and changes nothing."""
    reader = SubscriberReader()
    assert reader.decision(decision_id(1), b"called") is Reading.NEW
    assert reader.decision(decision_id(1), b"eased") is Reading.CONTRADICTED
    assert reader.decision(decision_id(1), b"called") is Reading.REPEATED
    assert reader.positions == {CALLS: 1}


def test_shards_and_topics_are_counted_apart() -> None:
    """Number 1 of one shard says nothing about number 1 of another, nor of another topic."""
    reader = SubscriberReader()
    streams = [CALLS, Stream(1, "margin-calls"), Stream(0, "liquidations")]
    assert [reader.decision(decision_id(1, stream), b"") for stream in streams] == [Reading.NEW] * 3
    assert reader.positions == dict.fromkeys(streams, 1)


def test_a_reader_goes_on_from_stored_positions() -> None:
    """Given the positions of the reader before it, a reader skips what that one read and has no gap."""
    before = SubscriberReader()
    for number in (1, 2, 3):
        before.decision(decision_id(number), b"")
    after = SubscriberReader(before.positions)
    readings = [after.decision(decision_id(n), b"") for n in (3, 4)]
    assert readings == [Reading.REPEATED, Reading.NEW]


def test_bytes_are_compared_as_far_back_as_repeats_can_reach() -> None:
    """The bytes of the last 4,096 decisions are remembered; of an older repeat only the number is."""
    reader = SubscriberReader()
    for number in range(1, REMEMBERED + 2):
        reader.decision(decision_id(number), b"said")
    assert reader.decision(decision_id(1), b"other") is Reading.REPEATED
    assert reader.decision(decision_id(2), b"other") is Reading.CONTRADICTED


@given(st.lists(st.integers(1, 30)))
def test_whatever_is_delivered_every_number_is_processed_at_most_once_and_in_order(numbers: list[int]) -> None:
    """C1: what a reader calls new rises strictly, and each step of more than one is called a gap."""
    reader = SubscriberReader()
    readings = [(n, reader.decision(decision_id(n), b"")) for n in numbers]
    processed = [n for n, reading in readings if reading in (Reading.NEW, Reading.AFTER_GAP)]
    assert processed == sorted(set(processed))
    gaps = [n for n, last in zip(processed, [0, *processed], strict=False) if n != last + 1]
    assert [n for n, reading in readings if reading is Reading.AFTER_GAP] == gaps


def test_a_view_is_read_only_when_it_is_newer_than_the_last_of_its_key() -> None:
    """C2: version 5 after 3 is new, gaps are normal; 5 again and 4 are skipped; another key has its own versions."""
    reader = SubscriberReader()
    versions = [("alice", 3), ("alice", 5), ("alice", 5), ("alice", 4), ("bob", 4)]
    readings = [reader.view("positions", key, version) for key, version in versions]
    assert readings == [Reading.NEW, Reading.NEW, Reading.REPEATED, Reading.REPEATED, Reading.NEW]
    assert reader.view("wallets", "alice", 1) is Reading.NEW


def test_a_decision_id_names_its_stream_and_its_number() -> None:
    """Topics may have hyphens of their own: the shard ends at the first, the number begins after the last."""
    assert parse_decision_id("12-margin-calls-345") == (Stream(12, "margin-calls"), 345)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-refusals",
        "1--2",
        "x-refusals-1",
        "1-refusals-x",
        "-refusals-1",
        "1-2",
        "\N{SUPERSCRIPT TWO}-refusals-1",
        "\N{ARABIC-INDIC DIGIT ONE}-refusals-1",
    ],
)
def test_what_is_no_decision_id_is_not_taken_for_one(text: str) -> None:
    """An id without shard, topic or number raises, and names itself."""
    with pytest.raises(ValueError, match="no decision id"):
        parse_decision_id(text)
