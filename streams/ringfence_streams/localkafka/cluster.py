"""A local cluster: its folder, its shape, and the life of its nodes."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from ringfence_streams.localkafka.errors import ClusterDiffers, ClusterMissing
from ringfence_streams.localkafka.jars import Watch, installed_jars, locked
from ringfence_streams.localkafka.node import HOST, Node, NodeStatus
from ringfence_streams.localkafka.probe import every_node_knows

DEFAULT_PORT: Final = 9092
DEFAULT_HEAP: Final = "512m"

_READY_TIMEOUT_S: Final = 120
_STOP_TIMEOUT_S: Final = 15
_LOOK_S: Final = 0.05
_MOST_VOTERS: Final = 3


class Shape(msgspec.Struct, frozen=True):
    """What a cluster is; fixed when its folder is made."""

    cluster_id: str
    brokers: int
    port: int
    """Of the first node; the others follow, then the controllers."""


class LocalCluster:
    """A cluster of real Kafka nodes on this machine.

    Its state is its folder: any process may open the same folder and start, stop or ask about it.  The methods block;
    from a coroutine call them in a thread.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int | None = None,
        port: int | None = None,
        *,
        heap: str = DEFAULT_HEAP,
        java_options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`brokers` and `port` are taken from the folder, or are 1 and 9092.  Raises ClusterDiffers.

        `heap` is the memory of each node as Java writes it; `settings` go into its server.properties.
        """
        self.folder = folder.absolute()
        self._java_options = (f"-Xmx{heap}", "-Djava.awt.headless=true", *java_options)
        self._settings = dict(settings or {})
        self._record = self.folder / "cluster.json"
        self._shape = self._read() or Shape(_random_id(), brokers or 1, port or DEFAULT_PORT)
        for name, wanted, found in (("brokers", brokers, self._shape.brokers), ("port", port, self._shape.port)):
            if wanted not in {None, found}:
                raise ClusterDiffers(f"The cluster in {self.folder} has {name} {found}, not {wanted}")

    @classmethod
    def existing(cls, folder: Path) -> LocalCluster:
        """Open a cluster that was started before.  Raises ClusterMissing."""
        cluster = cls(folder)
        if not cluster.exists:
            raise ClusterMissing(f"There is no cluster in {cluster.folder}")
        return cluster

    @property
    def exists(self) -> bool:
        """Whether its folder has been made."""
        return self._record.exists()

    @property
    def brokers(self) -> int:
        """How many nodes it has."""
        return self._shape.brokers

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes: HOST:PORT,HOST:PORT."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes())

    @property
    def address(self) -> str:
        """The address of the cluster as a log."""
        return f"kafka://{self.bootstrap}"

    def nodes(self) -> list[Node]:
        """Return every node, running or not."""
        count = self._shape.brokers
        voters = voters_of(count)
        return [
            Node(
                self.folder / f"node-{node}",
                node,
                self._shape.port + node - 1,
                self._shape.port + count + node - 1 if node <= voters else None,
            )
            for node in range(1, count + 1)
        ]

    def node(self, node: int) -> Node:
        """Return one node; they count from 1."""
        return self.nodes()[node - 1]

    def status(self) -> list[NodeStatus]:
        """Return what can be said of each node now."""
        return [node.status() for node in self.nodes()]

    def start(self, watch: Watch = lambda _done, _total: None) -> None:
        """Start every node that does not run and wait until the whole cluster answers; jars are downloaded at need.

        Raises LocalKafkaError; what this call had started is stopped again.
        """
        class_path = ":".join(map(str, installed_jars(watch)))
        with locked(self.folder / "lock"):
            self._shape = self._read() or self._shape  # another process may have made it in the meantime
            self._start(self.nodes(), class_path)

    def start_node(self, node: int) -> None:
        """Start one node and wait until it and every other running one know each other.  Raises LocalKafkaError."""
        class_path = ":".join(map(str, installed_jars()))
        with locked(self.folder / "lock"):
            self._start([self.node(node)], class_path)

    def kill(self, node: int) -> None:
        """Kill one node as a power cut would.  The others go on."""
        _end([self.node(node)], orderly=False)

    def stop(self) -> None:
        """Stop every node: with SIGTERM, and what has not ended after 15 s with SIGKILL."""
        with locked(self.folder / "lock"):
            _end(self.nodes())

    def delete(self) -> None:
        """Kill every node and delete the folder with data and logs: nothing is worth an orderly end any more."""
        _end(self.nodes(), orderly=False)
        for node in self.nodes():
            shutil.rmtree(node.folder, ignore_errors=True)
        self._record.unlink(missing_ok=True)
        (self.folder / "lock").unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _read(self) -> Shape | None:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Shape)
        except FileNotFoundError:
            return None

    def _start(self, nodes: Iterable[Node], class_path: str) -> None:
        resting = [node for node in nodes if node.process() is None]
        for node in resting:
            node.require_ports()
        if not self.exists:
            self._record.write_bytes(msgspec.json.format(msgspec.json.encode(self._shape)))
        with ThreadPoolExecutor() as pool:
            list(
                pool.map(lambda node: node.format(self._shape.cluster_id, class_path, self._properties(node)), resting)
            )
        try:
            for node in resting:
                node.spawn(class_path, self._java_options)
            self._wait(resting)
        except BaseException:
            _end(resting)
            raise

    def _wait(self, started: Sequence[Node]) -> None:
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while True:
            for node in started:
                if node.process() is None:
                    raise node.failure("ended while it started")
            running = {node.node: node.port for node in self.nodes() if node.process() is not None}
            if asyncio.run(every_node_knows(running)):
                return
            if time.monotonic() > deadline_s:
                raise (started or self.nodes())[0].failure(f"did not answer within {_READY_TIMEOUT_S} s")
            time.sleep(_LOOK_S)

    def _properties(self, node: Node) -> dict[str, str]:
        replicas = min(3, self._shape.brokers)
        in_sync = max(1, replicas - 1)
        voters = [f"{each.node}@{HOST}:{each.controller_port}" for each in self.nodes() if each.controller_port]
        listeners = [f"PLAINTEXT://{HOST}:{node.port}"]
        if node.controller_port:
            listeners.append(f"CONTROLLER://{HOST}:{node.controller_port}")
        return {
            "node.id": str(node.node),
            "process.roles": "broker,controller" if node.controller_port else "broker",
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(listeners),
            "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
            # A topic that springs up by a typing error would have the wrong partitions.
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            # Few consumers: the fifty partitions of each that a large cluster has would only take time.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            # A killed node is noticed, and may come back, after three seconds instead of nine.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            **self._settings,
        }


def voters_of(brokers: int) -> int:
    """Return how many nodes vote on the metadata: an odd number, since one more would only be one more to lose."""
    return min(_MOST_VOTERS, brokers - (brokers + 1) % 2)


def _random_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _end(nodes: Iterable[Node], *, orderly: bool = True) -> None:
    """End the nodes that run: with SIGTERM and patience, or with SIGKILL."""
    ending = [node for node in nodes if node.send(signal.SIGTERM if orderly else signal.SIGKILL)]
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    # A process can be dead to its parent while threads of it still hold its ports.
    while ending := [node for node in ending if node.process() is not None or node.taken_ports()]:
        if time.monotonic() > deadline_s and not [node for node in ending if node.send(signal.SIGKILL)]:
            return  # somebody else was quicker and has the port
        time.sleep(_LOOK_S)
