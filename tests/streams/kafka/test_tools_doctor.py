"""Claims about `ringfence doctor`: what is wrong is found, and what is right is not complained about."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from ringfence_streams.kafka.diagnosis import ShardReport, outputs_behind_or_beyond
from tests.streams.command import LADDER, Json, call, deposit, eventually, lines, start
from tests.streams.kafka.conftest import KafkaFolder


@pytest.fixture
def log(on_kafka: KafkaFolder) -> KafkaFolder:
    """A log of one shard with a few inputs."""
    on_kafka.topics("create")
    on_kafka.publish(LADDER)
    return on_kafka


def examine(log: KafkaFolder, status: int) -> Json:
    """What the doctor says, in full."""
    found: Json = orjson.loads(log.call("doctor", "--json", status=status).stdout)
    assert all(each["message"] and each["remedy"] for each in found["findings"])
    return found


def codes(found: Json) -> list[tuple[str, str, str]]:
    """What was found, of what."""
    return [(each["code"], each["severity"], each["subject"]) for each in found["findings"]]


@contextmanager
def engine(log: KafkaFolder) -> Iterator[Any]:
    """An engine that owns the shard, and has folded what is there."""
    with start("run", "--clock", "events", "--log", log.log) as process:
        eventually(lambda: len(log.foreign.chain(0).frames) > 2, "the engine writes frames")
        yield process


def test_nothing_is_wrong_where_an_engine_runs(log: KafkaFolder) -> None:
    """The chain's head, the owner's host, its clock and no lag; status 0, and for people one line a shard."""
    with engine(log):
        found = examine(log, status=0)
        assert found["findings"] == []
        (shard,) = found["shards"]
        heads = {frame[4].hex() for frame in log.foreign.chain(0).frames}
        assert shard["head"] in heads | {log.foreign.chain(0).head}
        assert (shard["moves"], shard["released"], shard["dead_frames"]) == (True, False, 0)
        assert abs(shard["skew_us"]) < 10_000_000
        assert sum(source["lag"] for source in shard["sources"]) == 0
        assert [(owner["host"], owner["shards"]) for owner in found["owners"]] == [("127.0.0.1", [0])]
        told = log.call("doctor").stdout.decode()
        assert "1 broker, 19 topics, 1 shard\n" in told
        assert "127.0.0.1" in told
        assert told.endswith("Nothing is wrong\n")


def test_an_engine_that_was_killed_is_missed(log: KafkaFolder) -> None:
    """Its head does not move and is no release frame: an error, with the inputs that wait."""
    with engine(log) as process:
        process.kill()
        process.wait()
    log.publish(lines(deposit(50), deposit(51)))
    found = examine(log, status=1)
    assert codes(found) == [("shard_silent", "error", "shard 0")]
    assert "2 inputs wait" in found["findings"][0]["message"]
    assert found["shards"][0]["skew_us"] is None


def test_a_log_without_an_owner_is_told_but_needs_nobody(log: KafkaFolder) -> None:
    """Before the first engine, and after one that was stopped in order, a warning; the status is 0."""
    assert codes(examine(log, status=0)) == [("shard_unused", "warning", "shard 0")]
    log.drain()
    found = examine(log, status=0)
    assert codes(found) == [("shard_released", "warning", "shard 0")]
    assert "0 inputs wait" in found["findings"][0]["message"]
    assert "nobody" in log.call("doctor").stdout.decode()


def test_a_zombies_frames_are_counted(log: KafkaFolder) -> None:
    """Frames that are not on the chain change nothing for a reader, but somebody should know."""
    log.drain()
    for record in log.foreign.records("journal", 0)[:2]:
        log.append("journal", 0, record.key, record.value)
    found = examine(log, status=0)
    assert ("dead_frames", "warning", "shard 0") in codes(found)
    assert found["shards"][0]["dead_frames"] == 2 == log.foreign.chain(0).dead


def test_a_clock_that_is_wrong_is_measured_by_frames_as_they_arrive(log: KafkaFolder) -> None:
    """Frames stamped half a minute ahead: the difference between the clocks, to the time a record takes."""
    log.drain()
    frame = log.foreign.records("journal", 0)[0]
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.3):
            log.append("journal", 0, frame.key, frame.value, timestamp_ms=time.time_ns() // 1_000_000 + 30_000)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        found = examine(log, status=0)
    finally:
        stop.set()
        thread.join()
    assert ("clock_skew", "warning", "shard 0") in codes(found)
    assert 20_000_000 < found["shards"][0]["skew_us"] < 40_000_000


def test_records_that_somebody_else_wrote_to_an_output_are_found(log: KafkaFolder) -> None:
    """A decision beyond the chain: an error that names the topic."""
    log.drain()
    log.append("refusals", 0, b"ann", b"{}", {"ce_id": b"0-refusals-99"})
    assert ("outputs_diverged", "error", "refusals/0") in codes(examine(log, status=1))


def test_outputs_behind_the_chain_are_found() -> None:
    """An owner that writes frames and publishes nothing needs a person; without an owner the next one catches up."""
    follower: Any = SimpleNamespace(state=SimpleNamespace(numbers={"refusals": 9}))

    def found(last: int, *, moved: bool) -> list[tuple[str, str]]:
        report = ShardReport(0, follower, moved=moved)
        judged = outputs_behind_or_beyond(report, {"refusals": 7}, {"refusals": last})
        return [(each.code, each.severity.value) for each in judged]

    assert found(7, moved=True) == found(8, moved=True) == found(9, moved=False) == []
    assert found(6, moved=True) == [("outputs_behind", "error")]
    assert found(6, moved=False) == [("outputs_behind", "warning")]
    assert found(10, moved=True) == [("outputs_diverged", "error")]


def test_inputs_that_expired_unread_are_found(log: KafkaFolder) -> None:
    """Retention went past what the chain has read: those inputs are gone, which an engine would not see."""
    log.drain()
    log.publish(lines(*(deposit(number) for number in range(60, 66))))
    log.delete_records("deposits", 0, 4)
    found = examine(log, status=1)
    assert ("inputs_lost", "error", "deposits/0") in codes(found)


def test_a_journal_that_does_not_read_back_is_a_finding(log: KafkaFolder) -> None:
    """What would stop an engine is said under the code that it would stop with."""
    log.drain()
    log.append("journal", 0, b"0", b"no frame")
    found = examine(log, status=1)
    assert ("journal_damaged", "error", "shard 0") in codes(found)
    assert found["shards"] == []


def test_a_source_that_was_made_anew_is_found(log: KafkaFolder) -> None:
    """A topic of the same name that is another topic: V6 seen from outside."""
    log.drain()
    log.delete("deposits")
    eventually(lambda: call(log.capture, "topics", "create", "--log", log.log).status == 0, "it is made anew")
    eventually(lambda: b"deposits" in log.topics("describe").stdout, "it is there")
    assert ("source_replaced", "error", "shard 0") in codes(examine(log, status=1))


def test_topics_that_do_not_suit_are_found_too(on_kafka: KafkaFolder) -> None:
    """The doctor says what `topics check` says; without any topic it has no shards to look at."""
    found = examine(on_kafka, status=1)
    assert {code for code, _, _ in codes(found)} == {"topic_missing"}
    assert (found["topics"], found["shards"]) == (0, [])
