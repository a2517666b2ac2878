"""A cluster for as long as a block lasts: for demonstrations and measurements that bring their own broker."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.jars import Watch
from ringfence_streams.localkafka.node import port_is_free

_PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections."""


@contextmanager
def temporary_cluster(
    watch: Watch = lambda _done, _total: None, *, settings: Mapping[str, str] | None = None
) -> Iterator[LocalCluster]:
    """One node on a free port; its data is deleted at the end.  Raises LocalKafkaError.

    `watch` is told how many jars of how many are there, while they are downloaded.
    """
    with tempfile.TemporaryDirectory(prefix="ringfence-kafka-") as folder:
        cluster = LocalCluster(Path(folder) / "cluster", port=free_ports(2), settings=settings)
        try:
            cluster.start(watch)
            yield cluster
        finally:
            cluster.delete()


def free_ports(count: int) -> int:
    """The first of so many consecutive ports on which nobody listens."""
    ports = (random.SystemRandom().choice(_PORTS) for _ in range(1_000))
    return next(port for port in ports if all(map(port_is_free, range(port, port + count))))
