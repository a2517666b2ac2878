"""A broker of a test's own, with listeners that lead through proxies, so that a connection can be broken alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.temporary import free_ports
from tests.chaos.proxy import Proxy

HOST = "127.0.0.1"


@dataclass
class BrokenLine:
    """One broker, and two ways to it that can be broken; its own address always works."""

    cluster: LocalCluster
    first: Proxy
    second: Proxy

    @property
    def bootstrap(self) -> str:
        """Straight to the broker."""
        return self.cluster.bootstrap


def through(proxy: Proxy) -> str:
    """The address of the broker behind a proxy."""
    return f"{HOST}:{proxy.port}"


@contextmanager
def broken_line(folder: Path) -> Iterator[BrokenLine]:
    """Start the broker and its proxies; they do not outlive the block."""
    port = free_ports(6)
    inner, other, *outer = range(port + 2, port + 6)
    names = {"FIRST": (inner, outer[0]), "SECOND": (other, outer[1])}
    listeners = [f"PLAINTEXT://{HOST}:{port}", *(f"{name}://{HOST}:{inside}" for name, (inside, _) in names.items())]
    advertised = [f"PLAINTEXT://{HOST}:{port}", *(f"{name}://{HOST}:{outside}" for name, (_, outside) in names.items())]
    protocols = ["CONTROLLER", "PLAINTEXT", *names]
    cluster = LocalCluster(
        folder,
        1,
        port,
        settings={
            "listeners": ",".join([*listeners, f"CONTROLLER://{HOST}:{port + 1}"]),
            "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in protocols),
            "inter.broker.listener.name": "PLAINTEXT",
        },
    )
    cluster.start()
    try:
        with ExitStack() as stack:
            proxies = [stack.enter_context(Proxy(outside, inside)) for inside, outside in names.values()]
            yield BrokenLine(cluster, *proxies)
    finally:
        cluster.delete()
