"""What several claims about the motion and its command line begin with."""

from functools import partial
from pathlib import Path

import pytest

from tests import kafka_cluster
from tests.streams.adapters import MemoryStorage, SqliteStorage, Storage, Storages
from tests.streams.command import Folder
from tests.streams.kafka.storage import KafkaStorage


@pytest.fixture
def folder(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Folder:
    """An empty folder for a log."""
    return Folder(tmp_path, capfdbinary)


@pytest.fixture
def storages(kafka: str, kafka_place: Path, prefix: str) -> Storages:
    """Every kind of log."""
    data = kafka_cluster.cluster_in(kafka_place, "shared").node(1).data
    return {
        "sqlite": SqliteStorage,
        "memory": MemoryStorage,
        "kafka": partial(KafkaStorage, kafka, data, prefix),
    }


@pytest.fixture(params=["sqlite", "memory", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of each kind of log."""
    return str(request.param)


@pytest.fixture
def storage(kind: str, storages: Storages, tmp_path: Path) -> Storage:
    """Every kind of log, for one shard."""
    return storages[kind](tmp_path, 1)
