"""A3, A4, A5: zombies, rivals and repeated records on one journal; whatever they write, one chain goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from kafka import KafkaProducer

from tests.chaos.cluster import Stored, Topics
from tests.chaos.engine_process import RIVALS
from tests.chaos.engines import Engine, engine
from tests.chaos.judge import Verdict, Walk, judge
from tests.chaos.reference import assert_undisturbed_in_order
from tests.chaos.watching import Watch
from tests.chaos.workload import Market, publish

LEASE_MS = RIVALS.lease_us // 1_000
MOST_ROUNDS = 20
"""On a busy machine rivals may start so far apart that none comes second; then there is another round."""

Tell = Callable[[str, object], None]
Start = Callable[[], Engine]


def judged(topics: Topics, tell: Tell) -> Verdict:
    """Judge, and compare with a run without the fault."""
    contents = topics.read()
    (verdict,) = judge(contents)
    assert_undisturbed_in_order([verdict], contents)
    tell("judged", verdict.told())
    return verdict


def dead_frames_beyond(watch: Watch, number: int) -> bool:
    """Whether more frames than that are dead."""
    return len(watch.walk.dead) > number


def owned_so_often(watch: Watch, number: int) -> bool:
    """Whether that many ownerships are on the chain."""
    return watch.walk.epochs >= number


def make_zombies(topics: Topics, market: Market, start: Start, times: int) -> None:
    """Pause the owner, let another take over and fold what comes, wake the first one; so many times.

    Each time the sleeper wakes it writes a frame, with inputs that its successor has folded, before it knows better.
    """
    with Watch(topics) as watch:
        sleeper = start()
        sleeper.owns()
        for _ in range(times):
            watch.caught_up()
            successor = start()
            sleeper.signal(signal.SIGSTOP)
            dead = len(watch.walk.dead)
            publish(topics, list(market.records(market.event() for _ in range(40))))
            successor.owns()
            watch.caught_up()
            heard = len(sleeper.lines)
            sleeper.signal(signal.SIGCONT)
            watch.until(partial(dead_frames_beyond, watch, dead), "the zombie's frame is in the log")
            sleeper.until(lambda line: "stands down" in str(line), "the zombie stands down", since=heard)
            sleeper.close()
            sleeper = successor
        watch.caught_up()
        assert sleeper.terminate() == 0, sleeper.said()


def test_zombies_write_frames_that_are_dead_for_every_reader(
    topics: Topics, record_property: Tell, *, whole: bool
) -> None:
    """A4: paused owners wake after their succession (twice among all tests, else five times) and stop by themselves."""
    market, times = Market("zombies"), 5 if whole else 2
    publish(topics, market.inputs(200))
    with ExitStack() as engines:
        make_zombies(topics, market, lambda: engines.enter_context(engine(topics)), times)
    verdict = judged(topics, record_property)
    assert len(verdict.walk.dead) >= times
    assert verdict.walk.dead_inputs > 0, "dead frames hold inputs that a successor folded"
    assert verdict.walk.epochs >= times + 1


def claims_lost(walk: Walk) -> int:
    """How many came second."""
    return sum(link.kind == "epoch" for link in walk.dead)


def test_three_owners_at_once_leave_one_and_it_stays(topics: Topics, record_property: Tell, *, whole: bool) -> None:
    """A5: whoever claims first in the log wins; the others say so, follow, and do not come back while it works."""
    rounds = 8 if whole else 2
    market = Market("rivals")
    publish(topics, market.inputs(100))
    stood_down, said = 0, list[str]()
    with Watch(topics) as watch:
        while len(said) < rounds or (len(said) < MOST_ROUNDS and not claims_lost(watch.walk)):
            before = watch.walk.epochs
            with engine(topics, "crowd", "3") as rivals:
                watch.until(partial(owned_so_often, watch, before + 1), "a claim is accepted")
                for _ in range(4):
                    publish(topics, list(market.records(market.event() for _ in range(100))))
                    watch.caught_up()
                assert rivals.terminate() == 0, rivals.said()
                stood_down += rivals.heard("stands down")
                said.append(rivals.said())
                watch.until(lambda: watch.walk.chain[-1].kind == "release", "the owner releases the shard")
    verdict = judged(topics, record_property)
    lost = claims_lost(verdict.walk)
    assert lost, "claims that lost are in the log"
    assert stood_down >= lost
    silences_ms = verdict.walk.silences_ms
    assert all(silence_ms >= LEASE_MS for silence_ms in silences_ms), (silences_ms, *said)
    record_property("claims that lost", lost)
    record_property("owners that a busy machine silenced for a lease", len(silences_ms))


def append(topics: Topics, record: Stored) -> None:
    """Append a copy of a record to its partition, as a request does that arrives twice."""
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap, acks="all")
    producer.send(
        topics.name(record.topic),
        key=record.key,
        value=record.value,
        headers=list(record.headers),
        partition=record.partition,
        timestamp_ms=record.timestamp_ms,
    ).get(30)
    producer.close()


def test_frames_that_arrive_twice_or_late_change_nothing_and_end_no_ownership(
    topics: Topics, record_property: Tell
) -> None:
    """A3: copies of old frames land between new ones; the owner sees the gap, explains it, and goes on (W5)."""
    market = Market("twice")
    publish(topics, market.inputs(200))
    copies = 12
    with engine(topics) as owner, Watch(topics) as watch:
        owner.owns()
        for number in range(copies):
            watch.caught_up()
            chain = watch.walk.chain
            append(topics, chain[-1 - number % min(4, len(chain))].record)
            publish(topics, list(market.records(market.event() for _ in range(20))))
        watch.caught_up()
        assert watch.walk.epochs == 1, owner.said()
        assert owner.terminate() == 0, owner.said()
    verdict = judged(topics, record_property)
    assert len(verdict.walk.dead) == copies
    assert verdict.walk.epochs == 1


def left(topics: Topics) -> dict[bytes | None, bytes | None]:
    """The positions as a reader finds them after compaction."""
    return {record.key: record.value for record in topics.read(only="positions")["positions", 0]}


def test_views_that_arrive_late_are_mended_and_decisions_that_arrive_twice_are_skipped(
    topics: Topics, record_property: Tell
) -> None:
    """A4, P4: a zombie's old view would win the compaction; the owner publishes the newest one again, busy or quiet."""
    market = Market("late views")
    publish(topics, market.inputs(400))
    with engine(topics) as owner, Watch(topics) as watch:
        owner.owns()
        watch.caught_up()
        contents = topics.read()
        positions = contents["positions", 0]
        newest, wanted = {record.key: record.offset for record in positions}, left(topics)
        old = [record for record in positions if newest[record.key] != record.offset][:5]
        for record in [*old, *contents["margin-calls", 0][:3], *contents["liquidations", 0][-3:]]:
            append(topics, record)
        watch.until(lambda: left(topics) == wanted, "the views are mended")
        publish(topics, list(market.records(market.event() for _ in range(40))))
        watch.caught_up()
        for record in old:
            append(topics, record)
        publish(topics, list(market.records(market.event() for _ in range(40))))
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
    verdict = judged(topics, record_property)
    assert verdict.repeats == 6
    assert verdict.walk.epochs == 1
    assert old
