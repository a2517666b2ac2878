"""A1: engines that die by SIGKILL, at every point of the commit protocol and at random moments, over a real broker."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.cluster import Topics
from tests.chaos.engines import engine, finish
from tests.chaos.judge import Verdict, judge
from tests.chaos.reference import assert_undisturbed
from tests.chaos.workload import Market, publish
from tests.streams.test_crash_table import FRESH, ONCE_PER_PROCESS

INPUTS_PER_DEATH = 150


Tell = Callable[[str, object], None]


def judged(topics: Topics, tell: Tell) -> Verdict:
    """Let an engine do the rest, then judge, and compare with a run without deaths."""
    finish(topics)
    contents = topics.read()
    verdicts = judge(contents)
    assert_undisturbed(verdicts, contents)
    tell("judged", verdicts[0].told())
    return verdicts[0]


def test_engines_that_die_at_every_point_of_the_commit_lose_and_repeat_nothing(
    topics: Topics, record_property: Tell, *, whole: bool
) -> None:
    """Ten points of the crash table, one engine after the other: same state, same decisions as without a death."""
    times = (1, 2, 3) if whole else (2,)
    points = [
        f"{point.__name__}:{n}" for n in times for point in FRESH if n == times[0] or point not in ONCE_PER_PROCESS
    ]
    publish(topics, Market("points").inputs(len(points) * INPUTS_PER_DEATH))
    with engine(topics, "points", *points) as deaths:
        assert deaths.wait(60 * len(points)) == 0, deaths.said()
        assert [line["died_at"] for line in deaths.lines if "died_at" in line] == [p.partition(":")[0] for p in points]
    verdict = judged(topics, record_property)
    assert verdict.walk.epochs >= len(points) - 2 * len(times), "the dead had owned the shard"
    assert verdict.liquidations > 20


def test_engines_killed_at_random_moments_lose_and_repeat_nothing(
    topics: Topics, record_property: Tell, *, whole: bool
) -> None:
    """A hundred kills (ten among all tests) at whatever the engine is doing."""
    kills = 100 if whole else 10
    publish(topics, Market("random").inputs(kills * INPUTS_PER_DEATH))
    with engine(topics, "random", "7", str(kills)) as deaths:
        assert deaths.wait(60 + 10 * kills) == 0, deaths.said()
        assert sum("killed" in line for line in deaths.lines) == kills
    verdict = judged(topics, record_property)
    assert verdict.walk.epochs > kills // 4, "engines owned the shard before they were killed"
    assert verdict.liquidations > 20
