"""Claims about what an engine gives over every log: the same, whatever the log, the batches and the history."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ringfence_schemas.frames import Settings, decode_frame
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import (
    DECISION_TOPICS,
    LIQUIDATIONS,
    POSITIONS,
    REFUSALS,
    TICKS,
    VIEW_TOPICS,
)
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Message
from ringfence_streams.recovery import recover
from tests.streams.adapters import MOTION, Storage, Storages, engine, messages, with_log
from tests.streams.counting import CountingReplica, CountingReplicas
from tests.streams.market import market_messages
from tests.streams.whole import whole
from tests.streams.world import audit


def test_shards_fold_their_own_accounts_and_all_ticks(kind: str, storages: Storages, tmp_path: Path) -> None:
    """A shard reads one partition of each account topic and the whole of the others; outcomes stay on its partition."""
    storage = storages[kind](tmp_path, 3)

    async def action(log: Log) -> None:
        await log.publish(messages(60))
        running = engine(log, 3)
        await running.drain()
        await running.release()
        for shard in range(3):
            own = [
                message
                for message in messages(60)
                if message.topic == TICKS or partition_of(message.key.encode(), 3) == shard
            ]
            follower = await audit(log, Settings(shard=shard, shards=3), len(own))
            replica = follower.state.replica
            assert isinstance(replica, CountingReplica)
            assert sum(replica.state.counts.values()) == len(own)
            assert {r.partition for r in await whole(log, POSITIONS, shard)} == {shard}

    with_log(storage, action)


def test_results_do_not_depend_on_how_inputs_were_batched(storages: Storages, tmp_path: Path) -> None:
    """A13: every log and several batch sizes give one state and the same decisions, byte for byte."""
    results = set()

    async def fold_all(log: Log, motion: MotionSettings) -> None:
        await log.publish(messages(40))
        running = Engine(log, [Settings()], CountingReplicas(), motion=motion)
        await running.drain()
        await running.release()
        follower = await audit(log, Settings(), 40)
        decisions = tuple(record.value for record in await whole(log, LIQUIDATIONS, 0))
        results.add((follower.state.replica.digest(), decisions))

    for kind, make in storages.items():
        for batch in (1, 7, 1_000):
            folder = tmp_path / f"{kind}-{batch}"
            folder.mkdir()
            with_log(make(folder, 1), partial(fold_all, motion=MotionSettings(batch_inputs=batch, stand_by=False)))
    assert len(results) == 1


def test_the_margin_engine_gives_the_same_over_every_log_and_every_history(storages: Storages, tmp_path: Path) -> None:
    """Refold equals live: whatever the log, the batches and the kills, one state, one ledger, the same decisions."""
    results = set()
    messages = market_messages(600)

    async def fold_part(log: Log, part: list[Message], batch: int) -> None:
        await log.publish(part)
        motion = MotionSettings(batch_inputs=batch, lease_us=0, snapshot_every=7, snapshot_rest=0)
        assert await Engine(log, [Settings()], CoreReplicas(), motion=motion).drain() == len(part)

    async def compare(log: Log) -> None:
        live = await recover(log, 0, Settings(), CoreReplicas())
        refolded = Follower(0, ChainState(CoreReplicas().new(Settings()), Settings()))
        await refolded.catch_up(log)
        assert refolded.state.replica.digest() == live.state.replica.digest()
        assert refolded.frames >= live.frames
        decisions = [r.value for topic in DECISION_TOPICS for r in await whole(log, topic, 0)]
        views = {(r.topic, r.key): r.value for topic in VIEW_TOPICS for r in await whole(log, topic, 0)}
        assert len(decisions) > 20, "the market was eventful"
        results.add((live.state.replica.digest(), tuple(decisions), tuple(sorted(views))))

    for kind, make in storages.items():
        for batch in (11, 1_000):
            folder = tmp_path / f"{kind}-{batch}"
            folder.mkdir()
            storage = make(folder, 1)
            for start in (0, 200, 400):
                end = start + 200 if start < 400 else len(messages)
                with_log(storage, partial(fold_part, part=messages[start:end], batch=batch))
            with_log(storage, compare)
    assert len(results) == 1


def test_an_input_that_cannot_be_read_stands_untouched_on_the_dead_letter_topic(storage: Storage) -> None:
    """B19: the original bytes, the reason and the coordinates in headers; the trace of an input is in its frame."""

    async def action(log: Log) -> None:
        await log.publish([Message(TICKS, "X", b"\xff not JSON", 5, traceparent="00-trace-span-01")])
        running = Engine(log, [Settings()], CoreReplicas(), motion=MOTION)
        await running.drain()
        await running.release()
        letter = (await log.read("ticks.dlq", 0, 0, 10))[0]
        headers = dict(letter.headers)
        assert letter.value == b"\xff not JSON"
        assert headers["ce_id"] == b"0-ticks.dlq-1"
        assert headers["content-type"] == b"application/octet-stream"
        assert headers["__connect.errors.exception.class.name"] == b"malformed"
        assert headers["__connect.errors.offset"] == b"0"
        frame = decode_frame((await log.read_journal(0, 1, 1))[0].value or b"")
        assert frame.inputs[0].traceparent == "00-trace-span-01"
        refusal = (await log.read(REFUSALS, 0, 0, 1))[0]
        assert dict(refusal.headers)["traceparent"] == headers["traceparent"] == b"00-trace-span-01"

    with_log(storage, action)


def test_outcomes_carry_the_headers_of_cloudevents(storage: Storage) -> None:
    """Binary mode: everything that routes or deduplicates a record can be read without its value."""

    async def action(log: Log) -> None:
        await log.publish(messages(5))
        await engine(log).drain()
        decision = dict((await log.read(LIQUIDATIONS, 0, 0, 1))[0].headers)
        assert decision == {
            "ce_specversion": b"1.0",
            "ce_id": b"0-liquidations-1",
            "ce_source": b"ringfence/0",
            "ce_type": b"counted",
            "ce_time": b"1970-01-01T00:00:00.000001Z",
            "ce_subject": b"b",
            "content-type": b"application/json",
        }
        view = dict((await whole(log, POSITIONS, 0))[-1].headers)
        assert (view["version"], view["shard"]) == (b"3", b"0")

    with_log(storage, action)
