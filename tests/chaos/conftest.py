"""What scenarios begin with.  A run that names tests/chaos runs all of it, a run of all tests a part: chaos.md."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from ringfence_streams.localkafka.cluster import LocalCluster
from tests import kafka_cluster
from tests.chaos.cluster import Topics

HERE = Path(__file__).parent

MakeTopics = Callable[..., Topics]


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of what takes too long for every run of all tests."""
    config.addinivalue_line("markers", "whole(reason): only in a run that names tests/chaos")


def runs_whole(config: pytest.Config) -> bool:
    """Whether tests/chaos, or something in it, was named."""
    named = (Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args)
    return any(path.is_relative_to(HERE) for path in named)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes too long."""
    if runs_whole(config):
        return
    long = [item for item in items if item.get_closest_marker("whole")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What the faults did, one line a scenario."""
    passed = [each for each in terminalreporter.stats.get("passed", ()) if "tests/chaos" in each.nodeid]
    if not any(each.user_properties for each in passed):
        return
    terminalreporter.section("chaos")
    for each in passed:
        told = "; ".join(f"{name} {value}" for name, value in each.user_properties)
        terminalreporter.write_line(f"{each.nodeid.rpartition('::')[2]} ({each.duration:.0f} s): {told}")


@pytest.fixture(scope="session")
def whole(pytestconfig: pytest.Config) -> bool:
    """Whether to do everything, or a representative part."""
    return runs_whole(pytestconfig)


@pytest.fixture
def make_topics(kafka: str) -> Iterator[MakeTopics]:
    """Makes all topics of an engine on the shared broker, under a prefix of their own, and deletes them again."""
    made: list[Topics] = []

    def make(shards: int = 1) -> Topics:
        topics = Topics(kafka, f"chaos-{random.SystemRandom().randrange(16**10):010x}.", shards)
        topics.create()
        made.append(topics)
        return topics

    yield make
    for topics in made:
        topics.delete()


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    """Topics for one shard."""
    return make_topics()


@pytest.fixture
def alone(kafka_place: Path) -> Iterator[LocalCluster]:
    """One broker that may be killed, or damaged."""
    cluster = kafka_cluster.cluster_in(kafka_place, f"alone-{random.SystemRandom().randrange(10**6)}")
    cluster.start()
    yield cluster
    cluster.delete()
