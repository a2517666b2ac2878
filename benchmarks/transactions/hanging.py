"""How long readers wait for a producer that was killed inside a transaction, and who else waits with them."""

from __future__ import annotations

import tempfile
import time
from typing import Final

from benchmarks.transactions.cluster import Cluster, Isolation
from benchmarks.transactions.findings import Finding, Scale
from benchmarks.transactions.processes import hear, module

TITLE: Final = "readers behind the transaction of a killed producer"
WORKER: Final = "benchmarks.transactions.hanging_worker"
LATER: Final = b"written later by another producer, without a transaction"
PATIENCE_S: Final = 60
"""How long beyond the transaction's own timeout a reader is watched."""


def measure(bootstrap: str, prefix: str, scale: Scale, seed: int) -> list[Finding]:
    """Try the transaction timeouts of the scale; chance is not involved."""
    del seed
    found = []
    for timeout_s in scale.transaction_timeouts_s:
        cluster = Cluster(bootstrap, f"{prefix}hanging{timeout_s}.")
        try:
            found += _kill(cluster, timeout_s)
        finally:
            cluster.remove()
    return found


def _kill(cluster: Cluster, timeout_s: int) -> list[Finding]:
    cluster.create(("results",))
    names = (cluster.bootstrap, cluster.name("results"), cluster.name("hanging"), str(timeout_s * 1_000))
    with tempfile.TemporaryFile() as log, module(WORKER, *names, log=log) as producer:
        hear(producer)
        producer.kill()
        producer.wait()
    killed = time.monotonic()
    cluster.append("results", [(None, LATER)])
    case = f"transaction.timeout.ms {timeout_s * 1_000:,}"
    return [
        Finding(
            case, "read_uncommitted sees a later record of another producer", _wait(cluster, "read_uncommitted", killed)
        ),
        Finding("", "read_committed sees it", _wait(cluster, "read_committed", killed, timeout_s + PATIENCE_S)),
    ]


def _wait(cluster: Cluster, isolation: Isolation, killed: float, patience_s: float = PATIENCE_S) -> str:
    """Seconds from the kill until a reader has the later record."""
    while LATER not in (row.value for row in cluster.read("results", isolation)):
        if time.monotonic() > killed + patience_s:
            return f"not within {patience_s:.0f} s"
        time.sleep(0.05)
    return f"after {time.monotonic() - killed:.1f} s"
