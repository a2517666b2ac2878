"""Claims about `publish`, `tail`, `status` and `verify` over a real Kafka, judged by a reader that is not ours."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2

from ringfence_schemas.topics import DECISION_TOPICS, INPUT_TOPICS
from ringfence_streams.audit import _Views
from ringfence_streams.errors import Diverged, LogReadOnly, LogUnsuitable, RecordsLost
from ringfence_streams.kafka.synchronous import SynchronousBroker, SynchronousReader
from ringfence_streams.port import Source
from tests.streams.command import LADDER, Folder, Json, call, deposit, eventually, lines, objects, start
from tests.streams.kafka.conftest import KafkaFolder

SHARDS = 2


@pytest.fixture
def ladder(on_kafka: KafkaFolder) -> KafkaFolder:
    """The ladder, folded by two shards."""
    on_kafka.topics("create", "--shards", str(SHARDS))
    on_kafka.publish(LADDER)
    on_kafka.drain()
    return on_kafka


def test_inputs_are_acknowledged_on_the_partition_of_their_key(on_kafka: KafkaFolder) -> None:
    """When `publish` ends, every line stands untouched on its topic, where kafka-python's murmur2 looks for its key."""
    on_kafka.topics("create", "--shards", "5")
    sent = [deposit(number, f"account-{number}") for number in range(40)]
    on_kafka.publish(lines(*sent))
    found = []
    for partition in range(5):
        for record in on_kafka.foreign.records("deposits", partition):
            assert record.key is not None
            assert (murmur2(record.key) & 0x7FFFFFFF) % 5 == partition
            found.append(json.loads(record.value or b""))
    assert sorted(found, key=lambda each: int(each["time_us"])) == sent


def test_a_history_stamped_with_its_own_time_is_folded_in_the_order_of_its_lines(
    on_kafka: KafkaFolder, folder: Folder
) -> None:
    """`--timestamps events`: one shard over Kafka decides what a file decides, although topics are read apart."""
    on_kafka.topics("create")
    for log in (on_kafka, folder):
        log.publish(LADDER, "--timestamps", "events")
        log.drain()
    for topic in DECISION_TOPICS:
        decided, expected = (
            [{**each, "cause": None} for each in objects(log.call("tail", topic).stdout)] for log in (on_kafka, folder)
        )
        assert decided == expected
    assert len(on_kafka.foreign.decisions("liquidations", 0)) > 3


def test_a_verified_log_is_what_a_foreign_reader_finds(ladder: KafkaFolder) -> None:
    """The head, the inputs and the number of decisions that `verify` reports are those that hashlib and json find."""
    for found in objects(ladder.call("verify", "--json").stdout):
        shard = found["shard"]
        chain = ladder.foreign.chain(shard)
        assert (found["head"], found["frames"]) == (chain.head, len(chain.frames))
        assert chain.dead == 0
        on_chain = {(topic, partition, offset): data for topic, partition, offset, data in chain.inputs}
        assert found["inputs"] == len(chain.inputs) == len(on_chain)
        for topic, partition in sources(shard):
            for record in ladder.foreign.records(topic, partition):
                assert on_chain.pop((topic, partition, record.offset)) == record.value
        assert on_chain == {}
        decided = {topic: len(ladder.foreign.decisions(topic, shard)) for topic in DECISION_TOPICS}
        assert found["decisions"] == {topic: count for topic, count in decided.items() if count}


def sources(shard: int) -> Iterator[tuple[str, int]]:
    """The partitions that a shard folds."""
    for topic in INPUT_TOPICS:
        yield topic, 0 if topic in {"instruments", "ticks"} else shard


def test_a_topic_is_printed_as_a_foreign_reader_finds_it(ladder: KafkaFolder) -> None:
    """`tail` prints what stands there, of every partition; a topic that all shards read whole has as many as it has."""
    for topic in ("liquidations", "refusals"):
        expected = [decision for shard in range(SHARDS) for decision in ladder.foreign.decisions(topic, shard)]
        assert ladder.tail(topic) == expected
    assert len(ladder.tail("ticks")) == len(ladder.foreign.records("ticks", 0))
    assert "ticks has 1 partition" in ladder.call("tail", "ticks", "--partition", "1", status=2).stderr
    assert "fills has 2 partitions" in ladder.call("tail", "fills", "--partition", "2", status=2).stderr
    heads = {frame["shard"]: frame["hash"] for frame in ladder.tail("journal")}
    assert heads == {shard: ladder.foreign.chain(shard).head for shard in range(SHARDS)}
    wallets = {f"{each['account']}|{each['asset']}": each for each in ladder.tail("wallets")}
    assert wallets == {**ladder.foreign.views("wallets", 0), **ladder.foreign.views("wallets", 1)} != {}


def test_status_says_what_waits(ladder: KafkaFolder) -> None:
    """Each shard's lag is what was published since; a released chain says so."""
    ladder.publish(lines(deposit(100, "ann"), deposit(101, "ann"), deposit(102, "bob")))
    found = objects(ladder.call("status", "--json").stdout)
    assert [each["head"] for each in found] == [ladder.foreign.chain(shard).head for shard in range(SHARDS)]
    assert all(each["released"] for each in found)
    waiting = {
        source["partition"]: source["lag"]
        for each in found
        for source in each["sources"]
        if source["topic"] == "deposits"
    }
    ends = {shard: len(ladder.foreign.records("deposits", shard)) for shard in range(SHARDS)}
    assert sum(waiting.values()) == 3
    assert all(waiting[shard] <= ends[shard] for shard in range(SHARDS))


def test_a_topic_is_followed(on_kafka: KafkaFolder) -> None:
    """With `--follow` a record is printed once it is published, until the command is interrupted."""
    on_kafka.topics("create")
    seen: list[Json] = []
    with start("tail", "deposits", "--follow", "--log", on_kafka.log) as process:

        def read() -> None:
            assert process.stdout is not None
            seen.extend(json.loads(line) for line in process.stdout)

        thread = threading.Thread(target=read)
        thread.start()
        for number in (1, 2):
            on_kafka.publish(lines(deposit(number)))
            eventually(partial(holds, seen, number), "what was published is printed")
        process.send_signal(2)
        assert process.wait() == 130
        thread.join()
    assert seen == [deposit(1), deposit(2)]


def holds(found: list[Json], count: int) -> bool:
    """Whether so many were found."""
    return len(found) == count


def test_a_decision_that_nobody_made_is_a_divergence(ladder: KafkaFolder) -> None:
    """One record too many on a topic of decisions, and `verify` names the topic and fails."""
    forged = {"ce_id": b"1-refusals-99"}
    ladder.append("refusals", 1, b"ann", b"{}", forged)
    failed = ladder.call("verify", status=1)
    assert "outputs_diverged" in failed.stderr or "refusals holds more than" in failed.stderr


def test_decisions_that_expired_are_counted_and_the_rest_is_compared(ladder: KafkaFolder) -> None:
    """Retention removed the first decisions: that is no divergence, but a gap further on would be."""
    shard = next(shard for shard in range(SHARDS) if len(ladder.foreign.decisions("liquidations", shard)) > 1)
    before = objects(ladder.call("verify", "--json").stdout)[shard]
    ladder.delete_records("liquidations", shard, 1)
    found = objects(ladder.call("verify", "--json").stdout)[shard]
    assert found["expired"] == 1
    assert found["decisions"]["liquidations"] == before["decisions"]["liquidations"] - 1
    assert found["state"] == before["state"]
    ladder.delete_records("liquidations", shard, before["decisions"]["liquidations"])
    assert "expired before" in ladder.call("verify").stdout.decode()


def test_a_traceparent_without_bounds_is_left_out_of_the_journal(on_kafka: KafkaFolder) -> None:
    """F4: whatever a sender puts into a header, the frame stays small and the shard goes on; a real one is kept."""
    on_kafka.topics("create")
    traceparent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for number, header in enumerate((traceparent, b"0" * 900_000, "é".encode() * 27)):
        on_kafka.append("deposits", 0, b"ann", json.dumps(deposit(number + 1)).encode(), {"traceparent": header})
    on_kafka.drain()
    (batch,) = (frame for frame in on_kafka.tail("journal") if frame["kind"] == "batch")
    assert [each.get("traceparent") for each in batch["inputs"]] == [traceparent.decode(), None, None]


# ----------------------------------------------------------------------------------------------------------- the reader


def test_partitions_are_read_in_turns_at_any_offset(on_kafka: KafkaFolder) -> None:
    """Many partitions at different paces, back and forth, small reads of large fetches: each record where it stands."""
    on_kafka.topics("create", "--shards", "3")
    for partition in range(3):
        for number in range(30):
            on_kafka.append("fills", partition, b"k", f"{partition}-{number}".encode() * 1_000)
    with SynchronousReader(on_kafka.connection) as reader:
        positions = dict.fromkeys(range(3), 0)
        for step in range(60):
            partition = step % 3
            offset = positions[partition] = (positions[partition] + 1 + 7 * (step % 5 == 0)) % 30
            found = reader.read(Source("fills", partition), offset, 1 + step % 4)
            assert 1 <= len(found) <= 1 + step % 4
            assert [record.offset for record in found] == list(range(offset, offset + len(found)))
            assert found[0].value == f"{partition}-{offset}".encode() * 1_000
        assert [record.offset for record in reader.last(Source("fills", 1), 5)] == [25, 26, 27, 28, 29]


def test_gaps_at_the_end_of_a_partition_are_passed(on_kafka: KafkaFolder, kafka: str) -> None:
    """Somebody else's transaction leaves marks at offsets that hold no record; the end is reached all the same."""
    on_kafka.topics("create")
    producer = KafkaProducer(bootstrap_servers=kafka, transactional_id=on_kafka.connection.prefix)
    producer.init_transactions()
    for number in range(2):
        producer.begin_transaction()
        producer.send(on_kafka.connection.physical("fills"), f"{number}".encode(), b"k", partition=0)
        producer.commit_transaction()
    producer.close()
    source = Source("fills", 0)
    with SynchronousReader(on_kafka.connection) as reader:
        assert reader.bounds(source) == (0, 4)
        assert [record.offset for record in reader.read(source, 0, 10)] == [0, 2]
        assert reader.read(source, 3, 10) == []
        assert reader.read(source, 4, 10) == []


def test_what_a_partition_does_not_hold_is_told_at_once(on_kafka: KafkaFolder) -> None:
    """R2: before the first record, beyond the end, a partition or topic that is not there: never a silent reset."""
    on_kafka.topics("create")
    for number in range(3):
        on_kafka.append("fills", 0, b"k", str(number).encode())
    on_kafka.delete_records("fills", 0, 2)
    with SynchronousReader(on_kafka.connection) as reader:
        for offset in (1, 4):
            with pytest.raises(RecordsLost, match=f"fills/0 holds 2 to 3, not {offset}"):
                reader.read(Source("fills", 0), offset, 1)
        assert [record.value for record in reader.read(Source("fills", 0), 2, 9)] == [b"2"]
        for source in (Source("fills", 1), Source("nonesuch", 0)):
            with pytest.raises(LogUnsuitable, match="There is no partition"):
                reader.bounds(source)


def test_a_log_without_topics_says_how_to_make_them(on_kafka: KafkaFolder) -> None:
    """Reading and publishing alike end with a code and the command that makes the topics."""
    for command in (("status",), ("verify",), ("tail", "fills"), ("publish", __file__)):
        called = call(on_kafka.capture, *command, "--log", on_kafka.log)
        assert called.status == 2
        assert "ringfence: log_missing: " in called.stderr
        assert "ringfence topics create" in called.stderr


def test_an_auditor_cannot_write_or_take_over(on_kafka: KafkaFolder) -> None:
    """The connection of the reading commands refuses whatever an engine would need to act."""
    broker = SynchronousBroker(on_kafka.connection)
    for act in (broker.producer, lambda: broker.feed({})):
        with pytest.raises(LogReadOnly):
            act()
    assert asyncio.run(broker.assigned(0)) is False
    asyncio.run(broker.close())


def test_a_closed_view_may_be_compacted_away() -> None:
    """A view that stands nowhere is missing until a later frame closes it; on a log that keeps everything it is
    missing at once.
    """

    def outcome(version: int, value: bytes | None) -> Any:
        return SimpleNamespace(topic="positions", key="ann|BTC", version=version, value=value)

    nothing_stored: Any = None
    views = _Views(nothing_stored, 0, compacted=True)
    views.published = 10
    assert views.compare(outcome(1, b"{}"), 1) is False
    with pytest.raises(Diverged, match="version 1 is not published"):
        views.refuse_rest()
    assert views.compare(outcome(2, None), 2) is False
    views.refuse_rest()
    strict = _Views(nothing_stored, 0, compacted=False)
    strict.published = 10
    with pytest.raises(Diverged, match="version 1 is not published"):
        strict.compare(outcome(1, b"{}"), 1)


def test_a_decision_is_explained_from_the_journal_of_its_shard_and_a_position_from_that_of_its_key(
    ladder: KafkaFolder,
) -> None:
    """The decision that is explained is the one on its topic; who asks for a position need not know the shard."""
    for decision in ladder.tail("liquidations") + ladder.tail("refusals"):
        (found,) = objects(ladder.call("explain", decision["id"], "--json").stdout)
        assert found["decision"] == decision
        assert {key: found["cause"][key] for key in decision["cause"]} == decision["cause"]
    (position,) = objects(ladder.call("explain", "alice|BTC-USDT-PERP", "--json").stdout)
    assert position["last"]["parameters"]["topic"] == "instruments"
