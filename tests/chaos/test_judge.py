"""The judge bites: whatever a fault could leave behind that must not be, it finds; what may be, it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ringfence_schemas.frames import Settings
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.memory import MemoryBroker, MemorySnapshots
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Record
from tests.chaos.cluster import Contents, Stored
from tests.chaos.judge import judge
from tests.chaos.reference import assert_undisturbed, assert_undisturbed_in_order
from tests.chaos.workload import Market

Change = Callable[[Contents], object]


@pytest.fixture
def contents() -> Contents:
    """What an engine without faults leaves on its topics."""
    return asyncio.run(undisturbed_log())


async def undisturbed_log() -> Contents:
    """Run an engine over a broker in memory, in small frames."""
    broker = MemoryBroker()
    broker.create_all()
    for each in Market("judge").inputs(400):
        partition = broker.partition(each.topic, 0)
        record = Record(each.topic, 0, partition.end, each.timestamp_ms * 1_000, each.key, each.value)
        partition.records.append(record)
    log = BrokerLog(broker.client(), MemorySnapshots())
    engine = Engine(log, [Settings()], CoreReplicas(), motion=MotionSettings(batch_inputs=20))
    await engine.drain()
    await engine.release()
    return {
        (source.topic, source.partition): [
            Stored(r.topic, r.partition, r.offset, r.timestamp_us // 1_000, r.key, r.value, r.headers)
            for r in broker.partition(*source).records
        ]
        for source in broker.sources()
    }


def other(record: Stored) -> Stored:
    """The record with its last byte but one changed: in a frame that is the digest of the state."""
    value = record.value or b""
    return record._replace(value=value[:-2] + b"?" + value[-1:])


def change(topic: str, place: int) -> Change:
    """One byte of a record is another one."""

    def act(contents: Contents) -> None:
        records = contents[topic, 0]
        records[place] = other(records[place])

    return act


def repeat(topic: str, place: int, *, changed: bool = False) -> Change:
    """A record stands at the end once more."""

    def act(contents: Contents) -> None:
        records = contents[topic, 0]
        again = other(records[place]) if changed else records[place]
        records.append(again._replace(offset=records[-1].offset + 1))

    return act


def drop(topic: str, place: int) -> Change:
    """A record is gone."""
    return lambda contents: contents[topic, 0].pop(place)


def swap(contents: Contents) -> None:
    """Two decisions stand in the wrong order."""
    records = contents["liquidations", 0]
    records[3], records[4] = records[4], records[3]


def old_view(contents: Contents) -> None:
    """An older view of a key stands behind the newest one."""
    records = contents["positions", 0]
    newest = {record.key: record.offset for record in records}
    records.append(next(r for r in records if r.offset != newest[r.key])._replace(offset=len(records)))


FAULTS: dict[str, Change] = {
    "an input is not on the chain": repeat("fills", 5),
    "an input on the chain is nowhere else": drop("fills", 5),
    "an input has other bytes": change("deposits", 3),
    "a frame is gone": drop("journal", 4),
    "a frame has other bytes": change("journal", 4),
    "a decision is gone": drop("liquidations", 4),
    "the last decision is gone": drop("margin-calls", -1),
    "a decision has other bytes": change("margin-calls", 2),
    "a decision came again with other bytes": repeat("liquidations", 0, changed=True),
    "decisions stand in the wrong order": swap,
    "a view has other bytes": change("wallets", 2),
    "the newest view of a key is gone": drop("positions", -1),
    "an old view won": old_view,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_must_not_be_is_found(contents: Contents, fault: str) -> None:
    """One record changed, gone, or too many."""
    judge(contents)
    FAULTS[fault](contents)
    with pytest.raises(AssertionError):
        judge(contents)


@pytest.mark.parametrize("topic", ["margin-calls", "liquidations", "refusals"])
def test_identical_repeats_of_decisions_are_counted(contents: Contents, topic: str) -> None:
    """C1: a crash may repeat the last few."""
    repeat(topic, -1)(contents)
    assert judge(contents)[0].repeats == 1


@pytest.mark.parametrize("place", [0, 3, -1])
def test_frames_that_stand_there_twice_are_dead(contents: Contents, place: int) -> None:
    """R1: only the first one is on the chain."""
    frames = len(contents["journal", 0])
    repeat("journal", place)(contents)
    (verdict,) = judge(contents)
    assert (len(verdict.walk.chain), len(verdict.walk.dead)) == (frames, 1)


def test_the_reference_agrees_with_itself_and_with_nothing_else(contents: Contents) -> None:
    """An undisturbed run equals its reference, in either way of looking; with one decision less it does not."""
    verdicts = judge(contents)
    assert_undisturbed(verdicts, contents)
    assert_undisturbed_in_order(verdicts, contents)
    verdicts[0].decisions.popitem()
    with pytest.raises(AssertionError, match="without the fault"):
        assert_undisturbed(verdicts, contents)
