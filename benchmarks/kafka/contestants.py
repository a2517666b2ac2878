"""The peers: how each is built, started, and what its changelog says about its state."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from benchmarks.kafka.load import Book
from benchmarks.kafka.programs import ROOT

PEERS: Final = ROOT / "benchmarks" / "peers"
QUIX_LOCK: Final = PEERS / "quix.lock"
JAVA_PROJECT: Final = PEERS / "kafka_streams"


class LeftOut(Exception):
    """A contestant that cannot take part on this machine, and why."""


class Task(NamedTuple):
    """What a contestant is given."""

    bootstrap: str
    application: str
    """Names its consumer group and whatever topics it makes."""
    fills: str
    ticks: str
    inputs: int
    """It may end by itself after so many."""
    folder: Path
    """Its own, for state and logs."""

    def arguments(self) -> list[str]:
        """Return the task as a command line."""
        return [self.bootstrap, self.application, self.fills, self.ticks, str(self.inputs), str(self.folder)]


class Peer(NamedTuple):
    """A stream processor that folds the fills of every account."""

    title: str
    settings: str
    """What was chosen, for the reader of the table."""
    prepare: Callable[[Path, str], Sequence[str]]
    """Build it in a folder that is kept, for a version of Kafka; returns the command.  Raises LeftOut."""
    arguments: Callable[[Task], Sequence[str]]
    changelog: str
    """The topic that its state can be restored from; {application} and {fills} are the task's."""
    entry: Callable[[bytes, bytes], tuple[str, Book]]
    """Reads one record of it: account and position."""


def run_quietly(command: Sequence[str], what: str) -> None:
    """Run a command that builds something.  Raises LeftOut with its last lines when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- pip and Maven
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise LeftOut(f"{what} failed: {' / '.join(lines[-3:])}")


# --------------------------------------------------------------------------------------------------------------- Faust


def _faust(_folder: Path, _kafka: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peers.faust_table"]


def _json_entry(key: bytes, value: bytes) -> tuple[str, Book]:
    return str(orjson.loads(key)), Book(*orjson.loads(value))


# ---------------------------------------------------------------------------------------------------------------- Quix


def _quix(folder: Path, _kafka: str) -> list[str]:
    """Install Quix Streams from its own lock, once for each content of the lock."""
    digest = hashlib.sha256(QUIX_LOCK.read_bytes()).hexdigest()[:12]
    python = folder / f"quix-{digest}" / "bin" / "python"
    installed = python.parent.parent / "installed"
    if not installed.exists():
        run_quietly([sys.executable, "-m", "venv", "--clear", str(python.parent.parent)], "making its environment")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run_quietly(
            [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(QUIX_LOCK)], "installing quixstreams"
        )
        installed.touch()
    return [str(python), "-m", "benchmarks.peers.quix"]


def _quix_entry(key: bytes, value: bytes) -> tuple[str, Book]:
    """The key is that of the message and that of the state, each as JSON, parted by a bar."""
    account, _, _ = key.partition(b"|")
    return str(orjson.loads(account)), Book(*orjson.loads(value))


# ------------------------------------------------------------------------------------------------------- Kafka Streams


def _kafka_streams(folder: Path, kafka: str) -> list[str]:
    """Compile the Java program against the broker's version of Kafka; Maven keeps what it fetched."""
    for tool, what in (("javac", "JDK"), ("mvn", "Maven")):
        if shutil.which(tool) is None:
            raise LeftOut(f"there is no {what} on this machine: no {tool} on the PATH")
    target = folder / f"kafka-streams-{kafka}"
    maven = ["mvn", "--quiet", "--batch-mode", "--file", str(JAVA_PROJECT / "pom.xml")]
    run_quietly([*maven, f"-Dkafka.version={kafka}", f"-Dfolder={target}", "compile"], "mvn compile")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [
        "java",
        "-Xmx1g",
        quiet,
        "-cp",
        f"{target}/classes:{target}/dependency/*",
        "ringfence.benchmarks.PositionKeeper",
    ]


def _java_arguments(store: str) -> Callable[[Task], list[str]]:
    def arguments(task: Task) -> list[str]:
        return [task.bootstrap, task.application, task.fills, task.ticks, store, str(task.folder)]

    return arguments


_LONGS: Final = struct.Struct(">qqq")


def _java_entry(key: bytes, value: bytes) -> tuple[str, Book]:
    return key.decode(), Book(*_LONGS.unpack(value))


_JAVA_SETTINGS: Final = "exactly_once_v2, one stream thread, commit interval 100 ms and cache 10 MB (its defaults)"
_JAVA_CHANGELOG: Final = "{application}-positions-changelog"

PEERS_BY_NAME: Final = {
    "kafka-streams-rocksdb": Peer(
        "Kafka Streams EOS, RocksDB",
        _JAVA_SETTINGS,
        _kafka_streams,
        _java_arguments("rocksdb"),
        _JAVA_CHANGELOG,
        _java_entry,
    ),
    "kafka-streams-memory": Peer(
        "Kafka Streams EOS, in memory",
        _JAVA_SETTINGS,
        _kafka_streams,
        _java_arguments("memory"),
        _JAVA_CHANGELOG,
        _java_entry,
    ),
    "quix": Peer(
        "Quix Streams, exactly once",
        "RocksDB, commit interval 5 s (its default)",
        _quix,
        Task.arguments,
        "changelog__{application}--{fills}--default",
        _quix_entry,
    ),
    "faust": Peer(
        "Faust with a table",
        f"faust-streaming {version('faust-streaming')}, at least once, table in memory, orjson, commit interval 1 s",
        _faust,
        Task.arguments,
        "{application}-positions-changelog",
        _json_entry,
    ),
}
