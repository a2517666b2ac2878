"""Whether a process that was declared dead can still commit: a real pause, past the session, with a successor.

The first member takes the inputs, sends its results inside a transaction, and is stopped (SIGSTOP) before it sends its
offsets.  Its session ends, its generation of the group with it.  The second member takes the same inputs and commits.
Then the first one goes on.
"""

from __future__ import annotations

import signal
import tempfile
from collections import Counter
from typing import Final

from benchmarks.transactions.cluster import Cluster
from benchmarks.transactions.findings import Finding, Scale
from benchmarks.transactions.processes import hear, module, tell

TITLE: Final = "a zombie of aiokafka commits after its successor"
WORKER: Final = "benchmarks.transactions.transfer_worker"
INPUTS: Final = 10
CASES: Final = {
    "a transactional.id for each process": ("first", "second"),
    "the same transactional.id, one for the partition": ("partition-0", "partition-0"),
}


def measure(bootstrap: str, prefix: str, scale: Scale, seed: int) -> list[Finding]:
    """Try both ways to choose a transactional.id; neither chance nor size is involved."""
    del scale, seed
    found = []
    for number, (case, (first_id, second_id)) in enumerate(CASES.items()):
        cluster = Cluster(bootstrap, f"{prefix}zombies{number}.")
        try:
            found += _pause(cluster, case, first_id, second_id)
        finally:
            cluster.remove()
    return found


def _pause(cluster: Cluster, case: str, first_id: str, second_id: str) -> list[Finding]:
    cluster.create(("inputs", "results"))
    cluster.append("inputs", [(None, b"%d" % number) for number in range(INPUTS)])
    names = (cluster.bootstrap, cluster.prefix)
    with (
        tempfile.TemporaryFile() as log,
        module(WORKER, *names, cluster.prefix + first_id, "first", log=log) as first,
    ):
        hear(first)
        first.send_signal(signal.SIGSTOP)
        with module(WORKER, *names, cluster.prefix + second_id, "second", log=log) as second:
            hear(second)
            tell(second, "commit")
            successor = hear(second)
            first.send_signal(signal.SIGCONT)
            tell(first, "commit")
            zombie = hear(first)
    times = Counter(row.value for row in cluster.read("results", "read_committed"))
    return [
        Finding(case, "commit of the successor", successor),
        Finding("", "commit of the zombie, after it", zombie),
        Finding("", f"inputs with two committed results, of {INPUTS}", str(sum(n > 1 for n in times.values()))),
    ]
