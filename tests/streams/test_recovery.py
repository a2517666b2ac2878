"""Claims about coming back: snapshots that cannot be used, and logs that are not what they were (A8, A9, V1-V6, R3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from ringfence_schemas.frames import FrameInput, Settings, SourceRange, content_hash
from ringfence_schemas.topics import JOURNAL, TICKS
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.errors import Diverged, LogError, RecordsLost, ShardOwned, SnapshotRefused
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.port import Replica
from ringfence_streams.recovery import recover
from ringfence_streams.shard import Shard
from ringfence_streams.snapshots import SNAPSHOT_VERSION, decode_snapshot, encode_snapshot
from tests.streams.counting import Counted, CountingReplica, CountingReplicas
from tests.streams.node import MOTION, SETTINGS, Node

Damage = Callable[[bytes], bytes]


def remade(data: bytes, **changes: object) -> bytes:
    """A snapshot whose checksum fits, with other contents."""
    return encode_snapshot(msgspec.structs.replace(decode_snapshot(data, 0), **changes))


def newer(_data: bytes) -> bytes:
    """A snapshot of the next version, whose fields this engine cannot know."""
    body = msgspec.msgpack.encode([SNAPSHOT_VERSION + 1, "everything else"])
    return content_hash(body) + body


DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (lambda data: data[: len(data) // 2], "checksum"),
    "emptied": (lambda _data: b"", "checksum"),
    "one bit flipped": (lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:], "checksum"),
    "of another shard": (lambda data: remade(data, shard=1), "belongs to shard 1"),
    "of a newer version": (newer, f"version {SNAPSHOT_VERSION + 1}"),
}


async def grown() -> Node:
    """A node whose engine has taken snapshots, and stopped after some frames more."""
    node = Node()
    shard = node.shard()
    for text in ("abcd", "bcda", "cdab", "dabc", "a"):
        await node.write(text)
        await shard.step()
    await shard.release()
    assert len(node.snapshots.visible[0]) == 2, "there are two generations"
    return node


@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_that_cannot_be_trusted_is_refused_and_the_state_is_the_same(
    damage: str, generations: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A9: one bad generation costs a longer replay, two cost a whole one; each says why, none changes the state."""
    spoil, reason = DAMAGES[damage]

    async def action() -> None:
        node = await grown()
        sound = await recover(node.log(), 0, Settings(), CountingReplicas())
        visible = node.snapshots.visible[0]
        for generation in range(generations):
            seq, data = visible[generation]
            visible[generation] = (seq, spoil(data))
        follower = await recover(node.log(), 0, Settings(), CountingReplicas())
        assert caplog.text.count(reason) == generations
        assert follower.state.replica.digest() == sound.state.replica.digest()
        assert (follower.state.head, follower.position) == (sound.state.head, sound.position)
        assert follower.frames > sound.frames, "more frames were folded again than with the newest snapshot"
        if generations == 2:
            assert follower.frames == follower.state.head.seq, "the whole journal was folded again"
        shard = node.shard()
        await node.write("zz")
        await shard.step()
        await node.audit()

    asyncio.run(action())


@pytest.mark.parametrize(
    ("happening", "code"),
    [
        (lambda node: node.broker.create(JOURNAL, 1), "records_lost"),
        (lambda node: node.broker.retain(JOURNAL, 0, 99), "records_lost"),
        (lambda node: node.forge(JOURNAL, -1), "journal_damaged"),
        (lambda node: node.forge(JOURNAL, node.snapshot_offset()), "records_lost"),
        (lambda node: node.broker.truncate(JOURNAL, 0, 3), "records_lost"),
        (lambda node: node.broker.create(TICKS, 1), "source_replaced"),
        (lambda node: node.broker.truncate(TICKS, 0, 3), "source_replaced"),
        (lambda node: node.forge(TICKS, -1), "source_replaced"),
    ],
    ids=[
        "journal created anew",
        "head deleted by retention",
        "last frame overwritten",
        "frame of the snapshot overwritten",
        "journal truncated below the snapshot",
        "source created anew",
        "source truncated",
        "last record read of a source overwritten",
    ],
)
def test_a_log_that_lost_something_refuses_to_start(happening: Callable[[Node], None], code: str) -> None:
    """A8, R3, V6: nothing is skipped and nothing is written; the error has a stable code and a remedy."""

    async def action() -> None:
        node = await grown()
        happening(node)
        end = node.broker.partition(JOURNAL, 0).end
        with pytest.raises(LogError) as stopped:
            await node.shard().step()
        assert stopped.value.code == code
        assert stopped.value.remedy in str(stopped.value)
        assert node.broker.partition(JOURNAL, 0).end == end

    asyncio.run(action())


def test_a_source_that_retention_shortened_is_still_the_same() -> None:
    """V6: the journal has its own copy of what it read, so a source may drop it."""

    async def action() -> None:
        node = await grown()
        node.broker.retain(TICKS, 0, node.broker.partition(TICKS, 0).end)
        await node.write("ab")
        shard = node.shard()
        assert await shard.step() == 2

    asyncio.run(action())


def test_a_journal_that_starts_after_the_beginning_needs_a_snapshot() -> None:
    """R3: without a usable snapshot a journal whose first frames are gone cannot be folded."""

    async def action() -> None:
        node = await grown()
        node.broker.retain(JOURNAL, 0, 2)
        await recover(node.log(), 0, Settings(), CountingReplicas())
        node.snapshots.visible.clear()
        with pytest.raises(RecordsLost, match="starts after"):
            await recover(node.log(), 0, Settings(), CountingReplicas())

    asyncio.run(action())


def test_a_claimant_reads_its_head_once_more_before_it_writes() -> None:
    """R3: what a follower accepted may be gone by the time it takes over; then nothing is appended to the rest."""

    async def action() -> None:
        node = await grown()
        node.broker.partition(JOURNAL, 0).records.pop()  # without the release frame a follower has to wait
        client = node.broker.client()
        client.may_own = False
        shard = Shard(BrokerLog(client, node.snapshots), SETTINGS, CountingReplicas(), motion=MOTION)
        with pytest.raises(ShardOwned):
            await shard._claimed()
        node.forge(JOURNAL, -1)
        client.may_own = True
        end = len(node.records(JOURNAL))
        with pytest.raises(RecordsLost, match="other bytes"):
            await shard.step()
        assert len(node.records(JOURNAL)) == end

    asyncio.run(action())


def test_the_snapshot_of_another_journal_is_named_as_such() -> None:
    """A8: a journal created anew under the old name has another identity than the one in the snapshot."""

    async def action() -> None:
        node = await grown()
        node.broker.create(JOURNAL, 1)
        with pytest.raises(RecordsLost, match="another journal"):
            await node.shard().step()

    asyncio.run(action())


def test_a_follower_whose_head_was_replaced_notices_by_the_frames_that_follow() -> None:
    """R3: a record of a higher epoch on an unknown frame makes the follower read its head again, and stop."""

    async def action() -> None:
        node = await grown()
        node.snapshots.visible.clear()
        follower = await recover(node.log(), 0, Settings(), CountingReplicas())
        node.broker.truncate(JOURNAL, 0, 1)  # the log loses acknowledged frames ...
        for topic in node.broker.sources():
            if topic.topic not in {JOURNAL, TICKS}:
                node.broker.truncate(*topic, 0)
        for _ in range(3):  # ... and other owners, who do not know, go on
            shard = node.shard()
            await node.write("ab")
            await shard.step()
        with pytest.raises(RecordsLost, match="other bytes"):
            await follower.catch_up(node.log())

    asyncio.run(action())


def test_a_state_that_the_fold_cannot_read_is_refused_like_a_damaged_snapshot() -> None:
    """V1: the checksum fits, but what it covers is another fold's state; the journal is folded instead."""
    with pytest.raises(SnapshotRefused):
        CoreReplicas().restore(b"something else", Settings())


class OtherReplica(CountingReplica):
    """A fold that differs in one input: another engine version, or one that is not deterministic."""

    def fold_inputs(
        self, seq: int, clock_us: int, sources: Sequence[SourceRange], inputs: Sequence[FrameInput]
    ) -> Counted:
        """Count the seventh input twice."""
        if self.state.inputs < 7 <= self.state.inputs + len(inputs):
            self.state.inputs += 1
        return super().fold_inputs(seq, clock_us, sources, inputs)


class OtherReplicas(CountingReplicas):
    """Makes them."""

    def new(self, settings: Settings) -> Replica:
        """Nothing counted."""
        return OtherReplica(settings)


def test_an_engine_that_folds_differently_stops_at_the_first_frame_it_disagrees_with() -> None:
    """V2: epoch, seq and offset of that frame are named, and the version that wrote it."""

    async def action() -> None:
        node = await grown()
        node.snapshots.visible.clear()
        with pytest.raises(Diverged, match=r"epoch 1, seq 5 at offset 4 .* engine test wrote it"):
            await recover(node.log(), 0, Settings(), OtherReplicas())

    asyncio.run(action())


def test_the_journal_of_another_shard_is_refused() -> None:
    """V6: a shard folds its own accounts only, so another shard's journal would give it a wrong state."""

    async def action() -> None:
        node = await grown()
        node.snapshots.visible.clear()
        node.broker.create_all(2)
        shard = Shard(node.log(), Settings(shard=1, shards=2), CountingReplicas(), motion=MOTION)
        await shard.step()
        await shard.release()
        foreign = node.broker.partition(JOURNAL, 1).records
        node.broker.partition(JOURNAL, 0).records.extend(msgspec.structs.replace(r, partition=0) for r in foreign)
        with pytest.raises(LogError) as stopped:
            await recover(BrokerLog(node.broker.client(), node.snapshots), 0, Settings(shards=2), CountingReplicas())
        assert stopped.value.code == "settings_conflict"

    asyncio.run(action())
