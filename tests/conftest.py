"""What all tests share: how property tests look for counterexamples, and a real Kafka for those that ask for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.jars import locked
from tests import kafka_cluster

# The same counterexamples are looked for in every run, unless a search is asked for: a change is judged by what it
# changes, never by luck; a deadline would judge the machine instead.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("repeatable")

_PLACE: Final = "kafka_place"
"""Under which a worker of pytest-xdist is told where the clusters of its run are."""


def pytest_configure(config: pytest.Config) -> None:
    """Whatever happens in the run, no broker outlives it; and who runs it in the background can be interrupted too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` ignores it, for all that is started
    if not hasattr(config, "workerinput"):
        kafka_cluster.remove_forgotten()
        config.add_cleanup(lambda: kafka_cluster.remove(kafka_cluster.place_of_this_run()))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the clusters of its run are."""
    node.workerinput[_PLACE] = str(kafka_cluster.place_of_this_run())


@pytest.fixture(scope="session")
def kafka_place(request: pytest.FixtureRequest) -> Path:
    """The folder of this run's clusters."""
    worker = getattr(request.config, "workerinput", None)
    return Path(worker[_PLACE]) if worker else kafka_cluster.place_of_this_run()


@pytest.fixture(scope="session")
def kafka(kafka_place: Path) -> str:
    """HOST:PORT of the real broker that all tests of a run share."""
    cluster = kafka_cluster.cluster_in(kafka_place, "shared")
    cluster.start()
    return cluster.bootstrap


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics and groups that no other test of the run has."""
    return kafka_cluster.prefix_of(request.node.nodeid)


@pytest.fixture
def kafka_log(kafka: str, prefix: str) -> str:
    """The address of a log of the test's own, on the shared broker."""
    return f"kafka://{kafka}?prefix={prefix}"


@pytest.fixture
def three_brokers(kafka_place: Path) -> Iterator[LocalCluster]:
    """A cluster of three brokers, all running, that no other test uses at the same time: it may kill some of them."""
    with locked(kafka_place / "three.lock"):
        cluster = kafka_cluster.cluster_in(kafka_place, "three", 3)
        cluster.start()
        yield cluster
