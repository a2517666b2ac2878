"""Claims about how records, times and faults look at the command line."""

import json
from pathlib import Path

import pytest

from ringfence.fold import Fold
from ringfence_schemas.frames import (
    GENESIS,
    NO_DIGEST,
    Frame,
    FrameInput,
    Opening,
    Settings,
    SourceRange,
    TopicIdentity,
    encode_frame,
)
from ringfence_streams.cli.durations import duration_us
from ringfence_streams.cli.frames import envelope_of, line_of
from ringfence_streams.cli.problems import Problem
from ringfence_streams.cli.rendering import age, moment
from ringfence_streams.port import Record
from tests.streams.command import Folder, Json, deposit, lines


def record(value: bytes | None, topic: str = "fills") -> Record:
    """A record with a value."""
    return Record(topic, 0, 7, 5, b"ann", value)


def rendered(line: bytes) -> Json:
    """What a line says, which is exactly one."""
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found: Json = json.loads(line)
    return found


def test_a_value_that_is_one_line_of_json_is_printed_as_it_is() -> None:
    """Not a byte is changed: not the order, not the spaces, not the digits."""
    assert line_of(record(b'{"b":  1.50, "a": "\xc3\xa4"}')) == b'{"b":  1.50, "a": "\xc3\xa4"}\n'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (b"\xff{", "\\xff{"),
        (b"two\nlines", "two\nlines"),
        (b'{"a":\r\n "1"}', {"a": "1"}),
        (b"", ""),
    ],
)
def test_any_other_value_is_printed_inside_its_record(value: bytes | None, shown: object) -> None:
    """No value, bytes that are no text or no JSON, JSON over several lines: still one line of JSON."""
    found = rendered(line_of(record(value)))
    assert (found["topic"], found["partition"], found["offset"], found["key"]) == ("fills", 0, 7, "ann")
    assert found["value"] == shown


def test_a_dead_letter_is_printed_inside_its_record() -> None:
    """The reason stands in the headers, so they are always shown."""
    assert "headers" in rendered(line_of(record(b'{"type":"fill"}', "fills.dlq")))


def test_a_frame_is_printed_with_everything_in_it() -> None:
    """Inputs with their sources and offsets, one of them too large to keep; bytes as hexadecimal digits."""
    inputs = [FrameInput(0, 0, 1, b'{"a":1}', "00-trace"), FrameInput(0, 2, 2, b"\x01" * 16, None, 5_000_000)]
    positions = [SourceRange("fills", 3, 40, 43, 42, b"\x02" * 16)]
    opening = Opening(b"\x03" * 16, Settings(shard=3, shards=4), [TopicIdentity("fills", "f1")])
    frame = Frame(1, "epoch", 1, 1, GENESIS, 9, inputs, positions, [], 0, NO_DIGEST, NO_DIGEST, opening)
    for line in (line_of, envelope_of):
        found = rendered(line(record(encode_frame(frame), "journal")))
        found = found.get("value", found)
        small, large = found["inputs"]
        assert small == {
            "topic": "fills",
            "partition": 3,
            "offset": 40,
            "timestamp_us": 1,
            "traceparent": "00-trace",
            "value": {"a": 1},
        }
        assert (large["offset"], large["omitted_bytes"], large["hash"]) == (42, 5_000_000, "01" * 16)
        assert found["positions"][0]["last_hash"] == "02" * 16
        assert found["opening"]["session"] == "03" * 16
        assert found["opening"]["settings"]["shards"] == 4
        assert found["opening"]["topics"] == [{"topic": "fills", "identity": "f1"}]


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (0, "0.000s"),
        (59_999_000, "59.999s"),
        (60_000_000, "1m 0s"),
        (3_599_000_000, "59m 59s"),
        (3_600_000_000, "1h 0m"),
        (86_399_000_000, "23h 59m"),
        (86_400_000_000, "1d 0h"),
    ],
)
def test_an_age_is_shown_in_its_two_greatest_units(duration: int, shown: str) -> None:
    """Just below a minute, an hour and a day, and exactly on them."""
    assert age(duration) == shown


def test_a_moment_is_utc_and_beyond_the_calendar_a_number() -> None:
    """The year 9999 is the last that has a name."""
    assert moment(1_500_000) == "1970-01-01T00:00:01.500Z"
    assert moment(253_402_300_799_999_000) == "9999-12-31T23:59:59.999Z"
    assert moment(253_402_300_800_000_000) == "253402300800000000 us"


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("24h", 86_400_000_000),
        ("1d", 86_400_000_000),
        ("5 m", 300_000_000),
        ("10s", 10_000_000),
        ("7ms", 7_000),
        ("0us", 0),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, time_us: int) -> None:
    """Every unit, with and without a space."""
    assert duration_us("--id-window", text) == time_us


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1 week", "٣h"])
def test_anything_else_is_no_duration(text: str) -> None:
    """The option is named, and what to give instead."""
    with pytest.raises(Problem, match="--id-window") as refused:
        duration_us("--id-window", text)
    assert "24h" in refused.value.remedy


def test_a_fault_of_the_engine_stops_the_run_before_anything_wrong_is_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A programmer's error has status 1; mended, the engine goes on from the last whole frame and the log verifies."""
    folder.publish(lines(deposit(1)))
    folder.drain()
    folder.publish(lines(deposit(2)))

    def faulty(*_: object) -> None:
        raise AssertionError("sabotage")

    with monkeypatch.context() as sabotage:
        sabotage.setattr(Fold, "apply", faulty)
        stderr = folder.call("run", "--drain", "--clock", "events", status=1).stderr
    assert "ringfence: engine_fault: AssertionError: sabotage" in stderr
    folder.call("verify")
    folder.drain()
    assert folder.tail("wallets")[0]["balance"] == "2"


def test_rejects_that_cannot_be_kept_stop_the_command_before_it_begins(folder: Folder, tmp_path: Path) -> None:
    """Status 2, and nothing is published."""
    told = folder.publish(lines(deposit(1)), "--rejects", str(tmp_path / "absent" / "rejects.jsonl"), status=2).stderr
    assert "rejects_unwritable" in told
    assert folder.tail("deposits") == []
