"""A cluster's topics of one test, and the workers that it starts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka_cluster import prefix_of
from tests.streams.app.cluster import Topics
from tests.streams.app.workers import Workers


@pytest.fixture(scope="module")
def topics(kafka: str, request: pytest.FixtureRequest) -> Iterator[Topics]:
    """Topics of two shards that belong to one run of one module: the offsets of a group outlive its topics."""
    made = Topics(kafka, f"{uuid.uuid4().hex[:8]}-{prefix_of(request.node.nodeid)}", shards=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def workers(topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Starts workers on those topics, and ends whatever still runs."""
    started = Workers(topics, Path(tmp_path_factory.mktemp("workers")))
    yield started
    started.end()
