"""Claims about publishing over a broker: what an owner finds on its outputs and what others write there (P1-P5, V4)."""

from __future__ import annotations

import asyncio

import pytest

from ringfence_schemas.topics import DECISION_TOPICS, LIQUIDATIONS, MARGIN_CALLS, POSITIONS
from ringfence_streams.errors import LogError, OutputsDiverged, OwnershipLost
from ringfence_streams.port import Record
from tests.streams.node import Node


def test_a_view_that_a_zombie_overwrote_is_published_again() -> None:
    """P4: the owner notices by the offset of its next acknowledgement, and repeats the newest version byte for byte."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("aa")
        await shard.step()
        await node.write("ab")
        await shard.step()
        newest = [r for r in node.records(POSITIONS) if r.key == b"a"][-1]
        node.repeat(POSITIONS, 0)
        assert node.records(POSITIONS)[-1].value != newest.value
        await node.write("c")
        await shard.step()
        last = [r for r in node.records(POSITIONS) if r.key == b"a"][-1]
        assert (last.value, last.headers) == (newest.value, newest.headers)
        assert last.offset > newest.offset
        await node.audit()

    asyncio.run(action())


def test_a_quiet_owner_looks_at_its_views_too() -> None:
    """P4: without anything to publish, the heartbeat finds what a zombie wrote to a view."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        for text in ("aa", "ab"):
            await node.write(text)
            await shard.step()
        node.repeat(POSITIONS, 0)
        with pytest.raises(AssertionError):
            await node.audit()
        assert shard._owner is not None
        await shard._owner.beat()
        await shard._owner.finish()
        await node.audit()
        end = len(node.records(POSITIONS))
        await shard._owner.beat()
        await shard._owner.finish()
        assert len(node.records(POSITIONS)) == end, "what was mended is not mended again"

    asyncio.run(action())


def test_a_newer_view_on_its_way_is_not_overtaken_by_an_older_one() -> None:
    """P4: a key that this owner is just publishing needs no repeat; a repeat would come after it and undo it."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        for text in ("aa", "ab"):
            await node.write(text)
            await shard.step()
        node.repeat(POSITIONS, 0)
        await node.write("aaaa")
        await shard.step()
        await node.audit()

    asyncio.run(action())


def test_repeats_in_the_tail_do_not_hide_what_was_published_after_them() -> None:
    """V4: the last number of a tail is its greatest one, wherever a zombie's repeats stand."""

    async def action() -> None:
        node = Node()
        first = node.shard()
        await node.write("abcdef")
        await first.step()
        node.repeat(LIQUIDATIONS, 0)
        node.repeat(MARGIN_CALLS, 1)
        ends = [len(node.records(topic)) for topic in DECISION_TOPICS]
        second = node.shard()
        await second.step()
        assert [len(node.records(topic)) for topic in DECISION_TOPICS] == ends, "nothing was missing"
        await node.audit()

    asyncio.run(action())


@pytest.mark.parametrize(
    ("topic", "identifier", "complaint"),
    [
        (LIQUIDATIONS, b"0-liquidations-99", "beyond the chain"),
        (LIQUIDATIONS, b"nonsense", "beyond the chain"),
        (LIQUIDATIONS, b"0-liquidations-3", "other bytes"),
    ],
)
def test_an_output_that_contradicts_the_chain_stops_the_engine(topic: str, identifier: bytes, complaint: str) -> None:
    """V4: a number beyond the chain, or other bytes for a number that the chain gives, is for a person to look at."""

    async def action() -> None:
        node = Node()
        await node.write("abcdef")
        await node.shard().step()
        partition = node.broker.partition(topic, 0)
        partition.records.append(Record(topic, 0, partition.end, 0, b"a", b"{}", (("ce_id", identifier),)))
        second = node.shard()
        with pytest.raises(OutputsDiverged, match=complaint):
            await second.step()

    asyncio.run(action())


def test_an_output_that_lost_acknowledged_outcomes_stops_the_engine() -> None:
    """R3 for outputs: the journal says which offset was acknowledged last; a log that ends before it lost records."""

    async def action() -> None:
        node = Node()
        await node.write("abcdef")
        await node.shard().step()
        node.broker.truncate(LIQUIDATIONS, 0, 0)
        with pytest.raises(LogError) as stopped:
            await node.shard().step()
        assert stopped.value.code == "records_lost"

    asyncio.run(action())


def test_outputs_that_retention_shortened_are_fine() -> None:
    """F3: the journal remembers what was published, so nothing is published again that retention dropped."""

    async def action() -> None:
        node = Node()
        await node.write("abcdef")
        first = node.shard()
        await first.step()
        await first.release()
        for topic in (LIQUIDATIONS, MARGIN_CALLS):
            node.broker.retain(topic, 0, 3)
        await node.write("a")
        second = node.shard()
        await second.step()
        numbers = [dict(record.headers)["ce_id"] for record in node.records(LIQUIDATIONS)]
        assert numbers == [b"0-liquidations-4"]

    asyncio.run(action())


def test_a_failed_output_ends_the_ownership_before_anything_is_skipped() -> None:
    """P3: the owner stands down; the next one publishes what is missing, so the stream has no gap."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("ab")
        await shard.step()
        await node.write("cdef")
        node.broker.held = True
        task = asyncio.ensure_future(shard.step())
        failed = False
        while not task.done():
            await asyncio.sleep(0)
            for place in node.broker.waiting():
                lose = place[1].topic == LIQUIDATIONS and not failed
                failed = failed or lose
                node.broker.deliver(*place, lose=lose)
        node.broker.held = False
        assert failed
        assert shard.progress.stood_down == 1
        await node.shard().step()
        await node.audit()

    asyncio.run(action())


def test_an_acknowledgement_below_the_expected_offset_ends_the_ownership() -> None:
    """W6, P3: an offset that was promised to an earlier record means that nobody knows what the log holds."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("ab")
        await shard.step()
        assert shard._owner is not None
        node.broker.truncate("journal", 0, 1)
        await node.write("c")
        with pytest.raises(OwnershipLost, match="W6"):
            await shard._owner.advance()

    asyncio.run(action())


def test_an_output_acknowledged_below_the_expected_offset_ends_the_ownership() -> None:
    """P3: an output that forgot what it acknowledged has a gap; the next owner's tail scan decides what is missing."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("ab")
        await shard.step()
        assert shard._owner is not None
        node.broker.truncate(LIQUIDATIONS, 0, 0)
        await node.write("cd")
        with pytest.raises(OwnershipLost, match="P3"):
            await shard._owner.advance()

    asyncio.run(action())


def test_a_topic_counts_as_published_only_with_all_views_of_a_frame() -> None:
    """F3: the last acknowledged version is a frame's only when none of its views is still on its way."""

    async def action() -> None:
        node = Node()
        shard = node.shard()
        await node.write("ab")
        await shard.step()
        assert shard._owner is not None
        ownership = shard._owner.ownership
        ownership.published()
        await node.write("cd")
        node.broker.held = True
        await shard._owner.advance()
        views = []
        for _ in range(4):
            for session, source in node.broker.waiting():
                node.broker.deliver(session, source)
            await ownership.settle()
            views.append([place for place in ownership.published() if place.topic == POSITIONS])
        assert [len(places) for places in views] == [0, 0, 1, 0], "the frame, one view, the other view, nothing"
        assert views[2][0].number == ownership.committed()[0].seq

    asyncio.run(action())
