"""Which results are lost and which are repeated when the process that makes them is killed with signal 9.

Every contender reads the same numbered inputs, keeps a total per account, and owes one result for each input.  It is
killed whenever it has written another random number of results, and started again.  In the end its results are read
with ``read_committed`` by a client of another library.
"""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections import Counter
from typing import IO, Final

from benchmarks.transactions.cluster import Cluster
from benchmarks.transactions.contenders import ACCOUNTS, Contender, FaustExactlyOnce, JournalChain, Tally, account_of
from benchmarks.transactions.findings import Finding, Scale
from benchmarks.transactions.processes import module

TITLE: Final = "kill -9 while every input owes one result"
CONTENDERS: Final[tuple[Contender, ...]] = (FaustExactlyOnce(), JournalChain())
POLL_S: Final = 0.02
PER_SECOND: Final = 1_000
"""Inputs arrive at a rate that every contender keeps up with, so kills meet it in the middle of its work."""
QUIET_S: Final = 20
"""A contender that writes nothing for so long is done, or will never be."""


def measure(bootstrap: str, prefix: str, scale: Scale, seed: int) -> list[Finding]:
    """Run every contender under the same kills."""
    found = []
    for number, contender in enumerate(CONTENDERS):
        cluster = Cluster(bootstrap, f"{prefix}kills{number}.")
        try:
            found += _run(contender, cluster, scale, random.Random(f"{seed} kills"))
        finally:
            cluster.remove()
    return found


def judge(inputs: int, tally: Tally) -> tuple[int, int]:
    """How many inputs, numbered from 0, have no result, and how many accounts end with a wrong total."""
    owed = Counter(map(account_of, range(inputs)))
    return (
        sum(number not in tally.numbers for number in range(inputs)),
        sum(tally.totals.get(account) != count for account, count in owed.items()),
    )


def _run(contender: Contender, cluster: Cluster, scale: Scale, rng: random.Random) -> list[Finding]:
    contender.prepare(cluster)
    share = scale.inputs // (scale.kills + 1)
    inputs = map(contender.input_of, range(scale.inputs))
    feeder = threading.Thread(target=cluster.append, args=(contender.inputs, inputs, PER_SECOND))
    feeder.start()
    with tempfile.TemporaryFile() as log:
        killed = [_live(contender, cluster, log, rng.randint(1, 2 * share)) for _ in range(scale.kills)]
        feeder.join()
        _live(contender, cluster, log, None)
    tally = contender.read(cluster)
    lost, wrong = judge(scale.inputs, tally)
    return [
        Finding(contender.name, "inputs", f"{scale.inputs:,}"),
        Finding("", "records on the topic of results at each kill", ", ".join(f"{end:,}" for end in killed)),
        Finding("", "inputs without a result", f"{lost:,}"),
        Finding("", "results repeated, and taken for new", f"{tally.numbers.total() - len(tally.numbers):,}"),
        Finding("", "results repeated, and skipped by their number", f"{tally.skipped:,}"),
        Finding("", f"accounts with a wrong total, of {ACCOUNTS}", str(wrong)),
    ]


def _live(contender: Contender, cluster: Cluster, log: IO[bytes], results: int | None) -> int:
    """One life: killed after so many more results, or ended in order once there come no more.

    Returns how many records were on the topic of results then.
    """
    end = last = begin = cluster.end(contender.results)
    moved = time.monotonic()
    name, *arguments = contender.command(cluster)
    with module(name, *arguments, log=log) as process:
        while time.monotonic() < moved + QUIET_S and process.poll() is None:
            end = cluster.end(contender.results)
            if results is not None and end >= begin + results:
                break
            if end != last:
                last, moved = end, time.monotonic()
            time.sleep(POLL_S)
        process.send_signal(signal.SIGTERM if results is None else signal.SIGKILL)
        process.wait()
    return end
