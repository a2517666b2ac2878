"""The real Kafka that tests share: one broker for a whole run, also when several processes run the tests.

Whoever asks first starts it and everyone else finds it running; the process that started the run stops it at its end.
A run that was killed could not do that: the next one does.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zlib
from os import getpid
from pathlib import Path
from typing import Final

import psutil

from ringfence_streams.localkafka.cluster import LocalCluster, voters_of
from ringfence_streams.localkafka.temporary import free_ports

_PLACES: Final = Path(tempfile.gettempdir())
_NAME: Final = "ringfence-tests-kafka-"
_JAVA: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Starts in half the processor time; a test does not run long enough to miss the better compiler."""


def place_of_this_run() -> Path:
    """Return the folder for the clusters of the run that this process has started."""
    return _PLACES / f"{_NAME}{getpid()}"


def cluster_in(place: Path, name: str, brokers: int = 1) -> LocalCluster:
    """Return a cluster of this run, quick to start; it is not started yet."""
    folder = place / name
    port = None if (folder / "cluster.json").exists() else free_ports(brokers + voters_of(brokers))
    return LocalCluster(folder, brokers, port, java_options=_JAVA)


def remove(place: Path) -> None:
    """Delete every cluster of a run, running or not."""
    for record in place.glob("*/cluster.json"):
        LocalCluster(record.parent).delete()
    shutil.rmtree(place, ignore_errors=True)


def remove_forgotten() -> None:
    """Delete what runs that were killed have left behind."""
    for place in _PLACES.glob(f"{_NAME}*"):
        if not psutil.pid_exists(int(place.name.removeprefix(_NAME))):
            remove(place)


def prefix_of(test: str) -> str:
    """Return a prefix for the topics of one test: readable in a listing, and no other test's."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", test.rpartition("::")[2])[:60].strip("-")
    return f"{readable}-{zlib.crc32(test.encode()):08x}."
