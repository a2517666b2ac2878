"""What is told about shards: committed frames, all of them and nothing else (W2)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.frames import decode_frame
from ringfence_schemas.inputs import Deposit, Fill, encode_input
from ringfence_schemas.topics import DEPOSITS, FILLS, JOURNAL, TICKS
from ringfence_streams.app.node import Reporter
from ringfence_streams.app.observation import Observation
from ringfence_streams.app.reports import LATENCY_BOUNDS_US, Failed, Latency, Report, ShardReport, decode_line
from ringfence_streams.clock import MachineClock
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Message
from ringfence_streams.shard import Shard
from tests.streams.counting import CountingReplicas
from tests.streams.node import MOTION, SETTINGS, Node


def test_the_report_counts_what_is_on_the_chain() -> None:
    """Frames by kind, inputs, positions and the head are those of the journal itself."""

    async def story() -> None:
        node = Node()
        observation = Observation([0], MachineClock())
        shard = Shard(observation.log(node.log()), SETTINGS, observation.replicas(CountingReplicas()), motion=MOTION)
        await node.write("abcde")
        await shard.step()
        await shard.release()
        report = observation.shards[0].report(shard)
        frames = [decode_frame(record.value or b"") for record in node.records(JOURNAL)]
        assert report.frames == Counter(frame.kind for frame in frames)
        assert report.inputs == sum(len(frame.inputs) for frame in frames) == 5
        assert sum(report.outcomes.values()) == sum(frame.outcome_count for frame in frames)
        assert report.head_seq == report.published_seq == frames[-1].seq
        assert [(at.topic, at.next_offset) for at in report.positions] == [(TICKS, 5)]
        assert sum(report.latency.counts) == len(frames)
        assert report.mode == "stopped"

    asyncio.run(story())


def test_a_frame_in_flight_is_told_only_once_it_is_committed() -> None:
    """The state runs ahead of the chain by three frames, and the report does not."""

    async def story() -> None:
        node = Node()
        observation = Observation([0], MachineClock())
        shard = Shard(observation.log(node.log()), SETTINGS, observation.replicas(CountingReplicas()), motion=MOTION)
        await shard.step()
        before = observation.shards[0].report(shard)
        await node.write("abcdefgh")
        node.broker.held = True
        step = asyncio.ensure_future(shard.step())
        while len(node.broker.waiting()) == 0 or not step.done():
            await asyncio.sleep(0)
            if shard.progress.inputs >= 6:
                break
        told = observation.shards[0].report(shard)
        assert (told.inputs, told.head_seq) == (0, before.head_seq)
        assert shard.progress.inputs == 6
        node.broker.held = False
        while not step.done():
            for queue in node.broker.waiting():
                node.broker.deliver(*queue)
            await asyncio.sleep(0)
        assert observation.shards[0].report(shard).inputs == 8

    asyncio.run(story())


def test_refusals_are_told_by_code_and_market_times_by_instrument() -> None:
    """A fill before its instrument is one `unknown_instrument`; money needs no instrument and is none."""

    async def story() -> None:
        node = Node()
        observation = Observation([0], MachineClock())
        log, motion = observation.log(node.log()), MotionSettings(lease_us=0)
        shard = Shard(log, SETTINGS, observation.replicas(CoreReplicas()), motion=motion)
        deposit = Deposit(transfer_id="t", account="alice", asset="USDT", amount="1", time_us=1)
        fill = Fill(fill_id="f", account="alice", instrument="DOGE", side="buy", quantity="1", price="1", time_us=2)
        await log.publish(
            [
                Message(DEPOSITS, "alice", encode_input(deposit), 1),
                Message(FILLS, "alice", encode_input(fill), 2),
            ]
        )
        await shard.step()
        report = observation.shards[0].report(shard)
        assert (report.inputs, report.refusals) == (2, {"unknown_instrument": 1})
        assert report.market_times_us == {}

    asyncio.run(story())


@given(st.lists(st.integers(0, 20_000_000), max_size=20))
def test_a_histogram_counts_every_duration_in_the_bucket_it_fits(durations_us: list[int]) -> None:
    """Bounds are inclusive, the last bucket takes the rest, and the sum is the sum."""
    latency = Latency()
    for duration_us in durations_us:
        latency.add(duration_us)
    total = 0
    for bound_us, count in zip(LATENCY_BOUNDS_US, latency.counts, strict=False):
        total += count
        assert total == sum(duration_us <= bound_us for duration_us in durations_us)
    assert (sum(latency.counts), latency.sum_us) == (len(durations_us), sum(durations_us))


def test_nobody_reading_the_reports_does_not_hold_up_the_shards() -> None:
    """A full pipe drops reports, a broken one all of them; whoever reads again gets whole lines."""
    read, write = os.pipe()
    reporter = Reporter(write)
    report = Report([ShardReport(shard=shard, refusals={"x" * 100: shard}) for shard in range(50)])
    for _ in range(100):  # far more than the pipe holds
        reporter.write(report)
    received = os.read(read, 1 << 20)
    reporter.write(report)  # the rest of the line that went in half
    reporter.write(Failed("engine_fault", "", ""))
    received += os.read(read, 1 << 20)
    lines = [decode_line(line) for line in received.splitlines()]
    assert lines[:-1] == [report] * (len(lines) - 1)
    assert isinstance(lines[-1], Failed)
    os.close(read)
    reporter.write(report)
    os.close(write)


def test_the_process_of_the_shards_does_not_even_load_faust() -> None:
    """Importing the package loads nothing but its settings; Faust is asked for by name."""
    program = """
        import sys
        import ringfence_streams.app.node
        assert "faust" not in sys.modules
        import ringfence_streams.app
        assert not hasattr(ringfence_streams.app, "application_of_nobody")
        assert "faust" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
