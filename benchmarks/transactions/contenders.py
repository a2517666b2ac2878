"""The contenders of ``kills``: each turns numbered inputs into results and keeps a total per account."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks.transactions.cluster import Cluster
from ringfence_schemas.inputs import Asset, Deposit, encode_input
from ringfence_schemas.subscriber import Reading, SubscriberReader
from ringfence_schemas.topics import DEPOSITS, INSTRUMENTS, LEDGER, WALLETS

ACCOUNTS: Final = 50
ASSET: Final = "USDT"


@dataclass(slots=True)
class Tally:
    """What a reader of the results ends up with."""

    numbers: Counter[int] = field(default_factory=Counter)
    """Number of an input -> results taken for new."""
    totals: dict[str, int] = field(default_factory=dict)
    """Account -> its last total."""
    skipped: int = 0
    """Results that the reader recognised as repeats."""


class Contender(Protocol):
    """Something that turns inputs into results."""

    name: str
    results: str
    """The topic of its results."""

    inputs: str
    """The topic of its inputs."""

    def prepare(self, cluster: Cluster) -> None:
        """Make the topics."""

    def input_of(self, number: int) -> tuple[bytes | None, bytes]:
        """Key and value of the input with this number."""

    def command(self, cluster: Cluster) -> tuple[str, ...]:
        """The module that runs it, and its arguments."""

    def read(self, cluster: Cluster) -> Tally:
        """Read its results as one who relies on them would."""


def account_of(number: int) -> str:
    """The account of an input."""
    return f"a{number % ACCOUNTS:02d}"


class FaustExactlyOnce:
    """``counting_app``, with the guarantee that Faust offers."""

    name = 'Faust, processing_guarantee="exactly_once"'
    inputs = "inputs"
    results = "results"

    def prepare(self, cluster: Cluster) -> None:
        """Topics of one partition."""
        cluster.create(("inputs", "results"))

    def input_of(self, number: int) -> tuple[bytes | None, bytes]:
        """A number and an account."""
        return None, json.dumps({"number": number, "account": account_of(number)}).encode()

    def command(self, cluster: Cluster) -> tuple[str, ...]:
        """A Faust worker."""
        return ("benchmarks.transactions.counting_app", cluster.bootstrap, cluster.prefix)

    def read(self, cluster: Cluster) -> Tally:
        """Every committed result counts: nothing in it tells a repeat."""
        tally = Tally()
        for row in cluster.read(self.results, "read_committed"):
            result = json.loads(row.value or b"")
            tally.numbers[result["number"]] += 1
            tally.totals[result["account"]] = result["count"]
        return tally


class JournalChain:
    """``ringfence run``: an input is a deposit of one unit, its result the posting, the total the wallet's balance."""

    name = "Ringfence, one append per frame"
    inputs = DEPOSITS
    results = LEDGER

    def prepare(self, cluster: Cluster) -> None:
        """Topics of one shard, and the asset."""
        create = ("ringfence_streams.cli", "topics", "create", "--shards", "1", "--log", _address(cluster))
        subprocess.run((sys.executable, "-m", *create), check=True, capture_output=True)  # noqa: S603 -- our own
        cluster.append(INSTRUMENTS, [(ASSET.encode(), encode_input(Asset(ASSET, 0, 1)))])

    def input_of(self, number: int) -> tuple[bytes | None, bytes]:
        """A deposit; its offset is its number."""
        account = account_of(number)
        return account.encode(), encode_input(Deposit(str(number), account, ASSET, "1", 2))

    def command(self, cluster: Cluster) -> tuple[str, ...]:
        """The engine, with the postings that are its results here."""
        return ("ringfence_streams.cli", "run", "--clock", "events", "--ledger", "--log", _address(cluster))

    def read(self, cluster: Cluster) -> Tally:
        """Read with the reader that ships with the contract; the last view of a wallet is its total."""
        tally, reader = Tally(), SubscriberReader()
        for row in cluster.read(self.results, "read_committed"):
            value = row.value or b""
            if reader.decision(row.headers["ce_id"].decode(), value) is Reading.REPEATED:
                tally.skipped += 1
            else:
                tally.numbers[json.loads(value)["cause"]["offset"]] += 1
        for row in cluster.read(WALLETS, "read_committed"):
            wallet = json.loads(row.value or b"")
            tally.totals[wallet["account"]] = int(wallet["balance"])
        return tally


def _address(cluster: Cluster) -> str:
    return f"kafka://{cluster.bootstrap}?prefix={cluster.prefix}"
