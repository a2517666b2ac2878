"""Shards over processes: scaling out and in under load, orderly ends and kill -9, by the command with its defaults."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial

import pytest

from tests.chaos.cluster import Topics
from tests.chaos.conftest import MakeTopics
from tests.chaos.engines import Engine, ringfence
from tests.chaos.judge import Verdict, judge
from tests.chaos.reference import assert_undisturbed_in_order
from tests.chaos.watching import Subscriber, Watch
from tests.chaos.workload import LivePublisher, Market, wall_us

Tell = Callable[[str, object], None]
SHARDS = 4
RATE = 200
"""Inputs a second over all shards."""
FORTY_S = 40
"""Far more than it takes on a machine that is not overloaded."""


def judged(topics: Topics, tell: Tell, subscriber: Subscriber, desk: LivePublisher) -> list[Verdict]:
    """Judge every shard; the subscriber must have taken every decision once."""
    contents = topics.read()
    verdicts = judge(contents, topics.shards)
    subscriber.assert_complete(verdicts)
    accounts = sum(len(found) for (topic, _), found in contents.items() if topic in {"fills", "deposits", "commands"})
    assert accounts, "something was published"
    tell("published while it went on", desk.acknowledged)
    for verdict in verdicts:
        tell(f"shard {verdict.shard}", verdict.told())
    return verdicts


def spread(engines: Iterable[Engine], watch: Watch, most: int) -> None:
    """Wait until every shard has an owner that lives, and none of them has more than `most`."""

    def even() -> bool:
        owned = [[owner_of(each, shard) for shard in range(SHARDS)] for each in engines]
        return all(any(row[shard] for row in owned) for shard in range(SHARDS)) and all(
            sum(row) <= most for row in owned
        )

    watch.until(even, "the shards are spread evenly")


def owner_of(engine: Engine, shard: int) -> bool:
    """Whether the last that a process said of a shard is that it owns it."""
    states = [line["state"] for line in list(engine.lines) if line.get("shard") == shard and "state" in line]
    return engine.alive and bool(states) and states[-1] == "owner"


@pytest.mark.whole("it takes a minute; the hand-overs below show most of it")
def test_processes_come_and_go_under_load_and_nothing_is_lost(make_topics: MakeTopics, record_property: Tell) -> None:
    """Four shards in one process, then two, four, and one again, while a desk publishes by the wall clock."""
    topics = make_topics(SHARDS)
    with ExitStack() as stack, Subscriber(topics) as subscriber, Watch(topics) as watch:
        with LivePublisher(topics, Market("scaling", now=wall_us), RATE) as desk:
            engines: list[Engine] = []
            for count, most in ((1, 4), (2, 2), (4, 1), (1, 4)):
                while len(engines) < count:
                    engines.append(stack.enter_context(ringfence(topics, "run")))
                while len(engines) > count:
                    assert engines[0].terminate() == 0, engines[0].said()
                    engines.pop(0)
                spread(engines, watch, most)
                watch.grown(2 * RATE)
        watch.caught_up()
        (last,) = engines
        assert last.terminate() == 0, last.said()
        verdicts = judged(topics, record_property, subscriber, desk)
        assert_moved_orderly(verdicts)


def owned_more_often(watch: Watch, claims: int) -> bool:
    """Whether there is another ownership on the chain."""
    return watch.walk.epochs > claims


def assert_moved_orderly(verdicts: list[Verdict]) -> None:
    """Two shards moved to the second process, two to the last two, three back; each ownership released its shard."""
    assert sum(verdict.walk.epochs for verdict in verdicts) >= SHARDS + 2 + 2 + 3, "shards moved"
    for verdict in verdicts:
        assert sum(link.kind == "release" for link in verdict.walk.chain) == verdict.walk.epochs, "no one was cut off"


@pytest.mark.parametrize(
    "how", ["SIGTERM", pytest.param("kill -9", marks=pytest.mark.whole("the group waits ten seconds for the dead"))]
)
def test_another_process_goes_on_after_the_owner_ends(
    make_topics: MakeTopics, record_property: Tell, how: str, *, whole: bool
) -> None:
    """With the defaults of the command; how long the shard had no owner is told, and bounded even on a busy machine."""
    topics = make_topics(1)
    waits = []
    with ExitStack() as stack, Subscriber(topics) as subscriber, Watch(topics) as watch:
        with LivePublisher(topics, Market(how), RATE) as desk:
            owner = stack.enter_context(ringfence(topics, "run", "--clock", "events"))
            owner.owns()
            for number in range(3 if whole else 1):
                other = stack.enter_context(ringfence(topics, "run", "--clock", "events"))
                other.until(lambda line: line.get("state") == "following", "the other one follows")
                watch.grown(3 * RATE)
                claims = watch.walk.epochs
                before = owner.signal(signal.SIGTERM) if how == "SIGTERM" else owner.kill()
                watch.until(partial(owned_more_often, watch, claims), "the other one owns", FORTY_S)
                waits.append(other.owns()["heard"] - before)
                assert waits[-1] < FORTY_S, number
                assert owner.wait() == (0 if how == "SIGTERM" else -9), owner.said()
                owner = other
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
        verdicts = judged(topics, record_property, subscriber, desk)
        assert_undisturbed_in_order(verdicts, topics.read())
    record_property("handed over after", ", ".join(f"{wait:.1f} s" for wait in waits))
