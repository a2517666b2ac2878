"""Watching a log while it is being written, with kafka-python: how far the chain is, and what a subscriber sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from kafka import KafkaConsumer, TopicPartition

from ringfence_schemas.subscriber import Reading, SubscriberReader
from tests.chaos.cluster import Stored, Topics
from tests.chaos.judge import ACCOUNT_TOPICS, BROADCAST_TOPICS, DECISION_TOPICS, Verdict, Walk, header

PATIENCE_S = 90


def new_consumer(topics: Topics, places: list[tuple[str, int]]) -> KafkaConsumer:
    """A consumer at the beginning of the given partitions."""
    consumer = KafkaConsumer(
        bootstrap_servers=topics.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        request_timeout_ms=5_000,  # whoever watches must not be the last to notice that a broker is gone
    )
    consumer.assign([TopicPartition(topics.name(topic), partition) for topic, partition in places])
    consumer.seek_to_beginning()
    return consumer


def poll(topics: Topics, consumer: KafkaConsumer, timeout_ms: int) -> list[Stored]:
    """What has come."""
    return [
        Stored(
            place.topic.removeprefix(topics.prefix),
            place.partition,
            r.offset,
            r.timestamp,
            r.key,
            r.value,
            tuple(r.headers),
        )
        for place, records in consumer.poll(timeout_ms=timeout_ms).items()
        for r in records
    ]


class Watch:
    """Follows every shard's chain as it grows; a context manager."""

    def __init__(self, topics: Topics) -> None:
        self.walks = [Walk() for _ in range(topics.shards)]
        self._topics = topics
        self._consumer = new_consumer(topics, [("journal", shard) for shard in range(topics.shards)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def walk(self) -> Walk:
        """That of the only shard."""
        (walk,) = self.walks
        return walk

    def look(self) -> None:
        """Take what has come."""
        for record in poll(self._topics, self._consumer, 100):
            self.walks[record.partition].take(record)

    def until(self, claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> float:
        """Look until a claim is true; returns the seconds it took."""
        began = time.monotonic()
        while not claim():
            assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {what}"
            self.look()
        return time.monotonic() - began

    def caught_up(self) -> None:
        """Look until everything that was published is on the chains, as long as they grow."""
        wanted = {topic: self._topics.ends(topic) for topic in ACCOUNT_TOPICS + BROADCAST_TOPICS}

        def missing() -> int:
            return sum(
                max(0, end - walk.ends.get((topic, partition), 0))
                for shard, walk in enumerate(self.walks)
                for topic, ends in wanted.items()
                for partition, end in enumerate(ends)
                if topic in BROADCAST_TOPICS or partition == shard
            )

        while left := missing():
            self.until(partial(_fewer, missing, left), f"one of {left} inputs more on the chain")

    def grown(self, inputs: int, timeout_s: float = PATIENCE_S) -> float:
        """Look until so many more inputs are on the chains."""
        before = self.inputs
        return self.until(lambda: self.inputs >= before + inputs, f"{inputs} inputs more on the chain", timeout_s)

    @property
    def inputs(self) -> int:
        """On all chains."""
        return sum(walk.inputs for walk in self.walks)


def _fewer(count: Callable[[], int], number: int) -> bool:
    return count() < number


class Subscriber:
    """Reads every decision as it is published, with the reader that we ship, in a thread; a context manager."""

    def __init__(self, topics: Topics) -> None:
        self.taken: dict[tuple[int, str, int], bytes] = {}
        """What it processed: by shard, topic and number."""
        self.repeats = 0
        self.alarms: list[str] = []
        self._topics = topics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the subscriber hangs"

    def assert_complete(self, verdicts: list[Verdict]) -> None:
        """Every decision was taken once, none besides, and nothing was alarming."""
        wanted = {
            (verdict.shard, topic, number): value
            for verdict in verdicts
            for (topic, number), value in verdict.decisions.items()
            if topic in DECISION_TOPICS
        }
        deadline = time.monotonic() + PATIENCE_S
        while len(self.taken) < len(wanted) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not self.alarms, self.alarms[:3]
        assert self.taken == wanted

    def _run(self) -> None:
        reader = SubscriberReader()
        places = [(topic, shard) for topic in DECISION_TOPICS for shard in range(self._topics.shards)]
        consumer = new_consumer(self._topics, places)
        try:
            while not self._stop.is_set():
                for record in poll(self._topics, consumer, 100):
                    self._take(record, reader.decision(header(record, "ce_id"), record.value or b""))
        finally:
            consumer.close()

    def _take(self, record: Stored, reading: Reading) -> None:
        if reading is Reading.NEW:
            self.taken[record.partition, record.topic, int(header(record, "ce_id").rpartition("-")[2])] = (
                record.value or b""
            )
        elif reading is Reading.REPEATED:
            self.repeats += 1
        else:
            self.alarms.append(f"{record.place}: {reading}")
