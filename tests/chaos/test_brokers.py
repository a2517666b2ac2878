"""A6: brokers are killed and come back, alone and in a cluster of three, while engines and subscribers work."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.node import HOST
from tests.chaos.cluster import Topics
from tests.chaos.engines import engine
from tests.chaos.judge import Verdict, judge
from tests.chaos.reference import assert_undisturbed_in_order
from tests.chaos.watching import Subscriber, Watch
from tests.chaos.workload import LivePublisher, Market

# What kafka-python leaves behind, see `swept`.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Tell = Callable[[str, object], None]
NOBODY = -1
RATE = 200
"""Inputs a second that a desk publishes, whatever happens to the brokers."""


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """kafka-python leaves sockets behind when a broker is gone: they are collected here, where that is no error."""
    yield
    gc.collect()


def judged(topics: Topics, tell: Tell, subscriber: Subscriber, desk: LivePublisher) -> Verdict:
    """Judge what survived; the desk's acknowledged inputs and the subscriber's decisions must be all of it."""
    contents = topics.read()
    verdicts = judge(contents, topics.shards)
    assert_undisturbed_in_order(verdicts, contents)
    subscriber.assert_complete(verdicts)
    (verdict,) = verdicts
    assert verdict.walk.inputs >= desk.acknowledged
    tell("judged", verdict.told())
    return verdict


def leader(topics: Topics, topic: str) -> int:
    """The broker that leads the first partition of a topic; NOBODY while that is not known."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=topics.bootstrap)
    except KafkaError:
        return NOBODY
    try:
        (described,) = admin.describe_topics([topics.name(topic)])
        return next(int(p["leader_id"]) for p in described["partitions"] if p["partition_index"] == 0)
    except KafkaError:
        return NOBODY
    finally:
        admin.close()


def test_a_broker_that_is_killed_and_comes_back_pauses_the_engine(
    alone: LocalCluster, record_property: Tell, *, whole: bool
) -> None:
    """Killed (five times; once among all tests) under load and started again: the same engine goes on by itself."""
    kills = 5 if whole else 1
    topics = Topics(alone.bootstrap, "chaos.")
    topics.create()
    waits = []
    with Subscriber(topics) as subscriber, engine(topics) as owner, Watch(topics) as watch:
        with LivePublisher(topics, Market("broker"), RATE) as desk:
            owner.owns()
            for _ in range(kills):
                watch.grown(RATE)
                alone.kill(1)
                time.sleep(1)
                alone.start()
                waits.append(watch.grown(1))
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
        judged(topics, record_property, subscriber, desk)
    record_property("resumed after the start", f"{max(waits):.1f} s at most")


@pytest.mark.parametrize(
    "how",
    [
        "killed",
        pytest.param("frozen", marks=pytest.mark.whole("a frozen broker keeps its connections for half a minute")),
    ],
)
def test_a_cluster_of_three_that_loses_its_leader_goes_on(
    three_brokers: LocalCluster, prefix: str, record_property: Tell, how: str, *, whole: bool
) -> None:
    """Replication 3, two of them in sync: whoever leads the journal is killed, or freezes; another one leads on."""
    topics = Topics(three_brokers.bootstrap, prefix)
    topics.create(replication=3)
    waits, lost = [], []
    with Subscriber(topics) as subscriber, engine(topics) as owner, Watch(topics) as watch:
        with LivePublisher(topics, Market("three"), RATE) as desk:
            owner.owns()
            for _ in range((4 if how == "killed" else 2) if whole else 1):
                watch.grown(RATE)
                lost.append(leader(topics, "journal"))
                waits.append(lose(three_brokers, lost[-1], topics, watch, how))
                three_brokers.start()
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
        judged(topics, record_property, subscriber, desk)
    record_property("brokers lost", lost)
    record_property("resumed after", f"{max(waits):.1f} s at most")
    topics.delete()


def lose(cluster: LocalCluster, node: int, topics: Topics, watch: Watch, how: str) -> float:
    """Lose a broker, and wait for the chain to grow under another leader; returns how long that took."""
    process = cluster.node(node).process()
    assert process is not None
    began = time.monotonic()
    if how == "killed":
        cluster.kill(node)
    else:
        process.send_signal(signal.SIGSTOP)
    try:
        others = topics.without(f"{HOST}:{cluster.node(node).port}")
        watch.until(lambda: leader(others, "journal") not in {NOBODY, node}, "another broker leads the journal")
        watch.grown(RATE, timeout_s=150)
        return time.monotonic() - began
    finally:
        if how == "frozen":
            process.send_signal(signal.SIGCONT)
