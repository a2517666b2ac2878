"""Claims about the driver that users test with: bytes in, bytes out, exactly as on a log."""

import asyncio
from pathlib import Path

import msgspec
import orjson
import pytest

from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Deposit
from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import DECISION_TOPICS, FILLS, INPUT_TOPIC, LEDGER, VIEW_TOPICS, key_of
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.port import Message
from ringfence_streams.sqlite import SqliteLog
from ringfence_streams.testing import Driver, NoOutput, UnexpectedOutput
from tests.streams.command import LADDER, SCENARIOS, deposit

MINUTE_US = 60_000_000


def test_an_outcome_is_read_once_and_in_order() -> None:
    """Two deposits in one frame give one view of the wallet, after both; then there is nothing more."""
    driver = Driver()
    driver.pipe(deposit(1), deposit(2))
    assert driver.read("wallets") == {"type": "wallet", "account": "ann", "asset": "USDT", "balance": "2"}
    driver.assert_no_more_output()
    driver.pipe(deposit(3))
    driver.pipe(deposit(4))
    assert [wallet and wallet["balance"] for wallet in driver.read_all("wallets")] == ["3", "4"]


def test_an_input_may_be_a_struct_an_object_or_bytes() -> None:
    """All three are the same bytes to the engine: the second and third are already applied."""
    event = deposit(1)
    driver = Driver()
    driver.pipe(event)
    driver.pipe(msgspec.convert(event, Deposit))
    driver.pipe(orjson.dumps(event))
    assert len(driver.read_all("wallets")) == 1
    assert driver.statement()[-1]["already_applied"] == 2


def test_output_that_was_not_expected_is_shown() -> None:
    """The assertion names the topic and the outcome; on other topics it does not look."""
    driver = Driver()
    driver.pipe(deposit(1))
    driver.assert_no_more_output("margin-calls", "liquidations")
    with pytest.raises(UnexpectedOutput, match=r"wallets holds 1 more.*ann"):
        driver.assert_no_more_output()


def test_output_that_does_not_come_is_missed() -> None:
    """The error says what else there is to read."""
    driver = Driver()
    driver.pipe(deposit(1))
    with pytest.raises(NoOutput, match=r"margin-calls holds nothing more; unread are: wallets \(1\)"):
        driver.read("margin-calls")


def test_bytes_that_are_no_input_become_a_dead_letter() -> None:
    """The bytes come out untouched with the reason beside them, and as a refusal; to say no topic is an error."""
    driver = Driver()
    driver.pipe(b"\xff", topic=FILLS)
    letter = driver.read_record("fills.dlq")
    assert letter.value == b"\xff"
    assert dict(letter.headers)["__connect.errors.exception.class.name"] == b"malformed"
    assert (driver.read("refusals") or {})["cause"] == {"topic": "fills", "partition": 0, "offset": 0}
    for topic in (None, "fils"):
        with pytest.raises(ValueError, match="topic"):
            driver.pipe(b"\xff", topic=topic)


def test_a_closed_position_is_a_null() -> None:
    """At the end of the story the view of the position is null."""
    driver = Driver()
    for line in LADDER.splitlines():
        driver.pipe(line)
    assert driver.read_all("positions")[-1] is None


def test_the_clock_fires_timers() -> None:
    """Under clock `wall` a liquidation order's deadline passes when the clock passes it, and not before; under clock
    `events` the clock cannot be moved.
    """
    driver = Driver(Settings(clock="wall"), clock_us=20_000_000)
    for line in LADDER.splitlines():
        if b"liquidation_id" in line:
            break
        driver.pipe(line)
    orders = driver.read_all("liquidations")
    deadline_us = next(order["deadline_us"] for order in orders if order and order["type"] == "liquidation_order")
    driver.advance(max(0, deadline_us - driver.clock_us - 1))
    driver.assert_no_more_output("liquidations")
    driver.advance(1)
    order = driver.read("liquidations")
    assert order is not None
    assert (order["type"], order["cause"]["due_us"]) == ("liquidation_order", deadline_us)
    with pytest.raises(ValueError, match="never goes back"):
        driver.advance(-1)
    with pytest.raises(ValueError, match="clock"):
        Driver().advance(MINUTE_US)


def test_an_input_from_the_future_is_refused_by_its_record() -> None:
    """Under clock `wall` the record's timestamp is the clock's, or the one given."""
    driver = Driver(Settings(clock="wall", skew_us=0), clock_us=500_000)
    driver.pipe(deposit(1))
    driver.pipe(deposit(1), timestamp_us=1_000_000)
    assert (driver.read("refusals") or {})["code"] == "time_in_future"
    assert len(driver.read_all("wallets")) == 1


def test_an_account_of_another_shard_is_on_the_wrong_partition() -> None:
    """A driver is one shard; what belongs to another is refused at its edge."""
    driver = Driver(Settings(shard=1, shards=2))
    for number in range(1, 9):
        driver.pipe(deposit(number, f"account-{number}"))
    codes = [refusal["code"] for refusal in driver.read_all("refusals") if refusal]
    assert set(codes) == {"wrong_partition"}
    assert len(codes) + len(driver.read_all("wallets")) == 8


def test_a_restart_changes_nothing() -> None:
    """With a restart after every input the story ends in the same state."""
    straight, restarted = Driver(), Driver()
    for line in LADDER.splitlines():
        straight.pipe(line)
        restarted.pipe(line)
        restarted.restart()
    assert restarted.statement() == straight.statement()


@pytest.mark.parametrize("name", ["gap", "ladder"])
def test_the_driver_gives_the_bytes_of_a_log(name: str, tmp_path: Path) -> None:
    """Everything published on a real log, frame for frame, comes out of the driver byte for byte."""
    stream = (SCENARIOS / f"{name}.in.jsonl").read_bytes().splitlines()
    topics = (*DECISION_TOPICS, *VIEW_TOPICS)
    settings, driver = Settings(ledger=True), Driver(Settings(ledger=True))
    driver.pipe(*stream)
    published = asyncio.run(published_on_a_log(tmp_path / "risk.db", stream, settings, topics))
    for topic in topics:
        records = [driver.read_record(topic) for _ in published[topic]]
        assert [(record.key.encode(), record.value) for record in records] == published[topic]
    driver.assert_no_more_output()
    assert published[LEDGER]


async def published_on_a_log(
    path: Path, stream: list[bytes], settings: Settings, topics: tuple[str, ...]
) -> dict[str, list[tuple[bytes | None, bytes | None]]]:
    """Key and value of every outcome that an engine on a log of its own publishes for a stream, in one frame."""
    log = SqliteLog(path)
    try:
        events = [decode_input(line) for line in stream]
        messages = [
            Message(INPUT_TOPIC[type(event)], key_of(event), line, 0)
            for event, line in zip(events, stream, strict=True)
        ]
        await log.publish(messages)
        engine = Engine(log, [settings], CoreReplicas())
        await engine.drain()
        await engine.release()
        return {
            topic: [(record.key, record.value) for record in await log.read(topic, 0, 0, 1_000)] for topic in topics
        }
    finally:
        await log.close()
