"""A2, A3, A6: the connection between engine and broker is cut, held up in either direction, slow, or loses answers."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.chaos.broken import BrokenLine, broken_line, through
from tests.chaos.cluster import Topics
from tests.chaos.engines import Engine, engine
from tests.chaos.judge import Verdict, judge
from tests.chaos.reference import assert_undisturbed
from tests.chaos.watching import Watch
from tests.chaos.workload import Market, publish

Tell = Callable[[str, object], None]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenLine]:
    """A broker behind proxies."""
    with broken_line(tmp_path_factory.mktemp("broken")) as line:
        yield line


@pytest.fixture
def topics(line: BrokenLine) -> Iterator[Topics]:
    """Topics on it; afterwards its lines are whole again."""
    topics = Topics(line.bootstrap, f"chaos-{random.SystemRandom().randrange(16**10):010x}.")
    topics.create()
    yield topics
    line.first.restore()
    line.second.restore()
    topics.delete()


def judged(topics: Topics, tell: Tell, *engines: Engine) -> Verdict:
    """Wait until all is done, stop the engines orderly, judge, and compare with a run without the fault."""
    with Watch(topics) as watch:
        watch.caught_up()
    for each in engines:
        assert each.terminate() == 0, each.said()
    contents = topics.read()
    (verdict,) = judge(contents)
    assert_undisturbed([verdict], contents)
    tell("judged", verdict.told())
    return verdict


def lost_at_least(line: BrokenLine, wanted: int) -> bool:
    """Whether the first way has swallowed so many answers."""
    return line.first.lost_acknowledgements >= wanted


def test_acknowledgements_that_are_lost_are_never_guessed(
    line: BrokenLine, topics: Topics, record_property: Tell, *, whole: bool
) -> None:
    """A2: the broker has the append, the answer and the connection are gone; again and again, and nothing is double."""
    times = 40 if whole else 8
    publish(topics, Market("lost").inputs(120 * times))
    before = line.first.lost_acknowledgements
    with engine(topics, bootstrap=through(line.first)) as owner, Watch(topics) as watch:
        owner.owns()
        for number in range(times):
            wanted = before + number + 1
            line.first.lose_acknowledgements(1)
            watch.until(partial(lost_at_least, line, wanted), "an answer was swallowed")
            watch.grown(4)
        lost = line.first.lost_acknowledgements - before
        verdict = judged(topics, record_property, owner)
    assert lost >= times
    record_property("acknowledgements lost", lost)
    assert verdict.walk.inputs


@pytest.mark.parametrize(
    ("direction", "seconds"),
    [
        ("requests", 3),
        pytest.param("answers", 3, marks=pytest.mark.whole("the one above shows most of it")),
        pytest.param("requests", 20, marks=pytest.mark.whole("it takes half a minute")),
        pytest.param("answers", 20, marks=pytest.mark.whole("it takes half a minute")),
    ],
)
def test_a_connection_broken_one_way_pauses_the_owner(
    line: BrokenLine, topics: Topics, record_property: Tell, direction: str, seconds: int
) -> None:
    """A6: for a while one direction is dead, also for longer than requests live; the owner goes on all the same."""
    publish(topics, Market("one way").inputs(2_500))
    with engine(topics, bootstrap=through(line.first)) as owner, Watch(topics) as watch:
        owner.owns()
        watch.grown(100)
        line.first.direct(**{direction: "hold"})
        time.sleep(1)
        watch.look()
        still = watch.inputs
        time.sleep(seconds - 1)
        watch.look()
        assert watch.inputs <= still + 16, "the line was broken"
        line.first.restore()
        record_property("resumed after", f"{watch.grown(20):.1f} s")
        judged(topics, record_property, owner)


def test_a_connection_cut_again_and_again_only_pauses_the_owner(
    line: BrokenLine, topics: Topics, record_property: Tell, *, whole: bool
) -> None:
    """A6: every connection ends and none is accepted for a while; the engine comes back by itself."""
    times = 10 if whole else 2
    publish(topics, Market("cut").inputs(700 * times))
    waits = []
    with engine(topics, bootstrap=through(line.first)) as owner, Watch(topics) as watch:
        owner.owns()
        for _ in range(times):
            watch.grown(40)
            line.first.cut()
            assert not line.first.connections
            time.sleep(1.5)
            line.first.restore()
            waits.append(watch.grown(1))
        judged(topics, record_property, owner)
    record_property("resumed after", f"{max(waits):.1f} s at most")


@pytest.mark.whole("it is slow")
def test_a_slow_connection_only_slows_the_owner(line: BrokenLine, topics: Topics, record_property: Tell) -> None:
    """A6: forty milliseconds on every message, both ways."""
    publish(topics, Market("slow").inputs(400))
    line.first.delay(0.04)
    with engine(topics, bootstrap=through(line.first)) as owner:
        owner.owns()
        judged(topics, record_property, owner)


@pytest.mark.parametrize(
    "dead",
    [pytest.param(False, marks=pytest.mark.whole("zombies are among all tests too")), True],
    ids=["the owner lives", "the owner is killed"],
)
def test_appends_that_arrive_after_the_successors_change_nothing(
    line: BrokenLine, topics: Topics, record_property: Tell, *, dead: bool
) -> None:
    """A3, A4: the network keeps an owner's appends until another has taken over, and only then delivers them."""
    publish(topics, Market("late").inputs(3_000))
    with engine(topics, bootstrap=through(line.first)) as owner, Watch(topics) as watch:
        owner.owns()
        watch.grown(100)
        held = line.first.held_frames
        line.first.direct(requests="hold")
        watch.until(lambda: line.first.held_frames > held, "a frame is kept back")
        if dead:
            owner.kill()
        with engine(topics, bootstrap=through(line.second)) as successor:
            successor.owns()
            watch.grown(100)
            line.first.direct(requests="pass")
            watch.until(lambda: bool(watch.walk.dead), "the late frame is in the log")
            verdict = judged(topics, record_property, *([successor] if dead else [owner, successor]))
        if not dead:
            assert owner.heard("stands down"), owner.said()
    assert verdict.walk.dead_inputs, "the late frame held inputs"
    assert {link.epoch for link in verdict.walk.dead} == {1}


@pytest.mark.whole("zombies and cut connections are among all tests, each by itself")
def test_an_owner_that_sleeps_behind_a_cut_line_stands_down_when_it_wakes(
    line: BrokenLine, topics: Topics, record_property: Tell
) -> None:
    """A4, A6: paused and cut off, succeeded, woken and connected: it follows, and takes over when the other stops."""
    publish(topics, Market("asleep").inputs(2_500))
    with engine(topics, bootstrap=through(line.first)) as owner, Watch(topics) as watch:
        owner.owns()
        watch.grown(100)
        with engine(topics, bootstrap=through(line.second)) as successor:
            owner.signal(signal.SIGSTOP)
            line.first.cut()
            successor.owns()
            watch.grown(100)
            heard = len(owner.lines)
            owner.signal(signal.SIGCONT)
            line.first.restore()
            owner.until(lambda told: "stands down" in told.get("log", ""), "it stands down", since=heard)
            assert successor.terminate() == 0, successor.said()
        owner.owns(since=heard)
        verdict = judged(topics, record_property, owner)
    assert verdict.walk.epochs == 3
