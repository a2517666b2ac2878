"""Faust tables whose rows belong to a shard, not to a key.

Shard p writes partition p of every output (P1), and keys such as `alice|BTC-USDT-PERP` do not hash there.  So a row is
kept, logged and recovered by the partition of the record that it came from.  Faust's own memory store knows one
dictionary for all partitions: a row written by an agent would outlive the revocation of its partition, and two shards
could not both have a row `BTC-USDT-PERP`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from faust.stores.base import Store
from faust.tables.table import Table
from faust.types import TP, AppT, EventT, FutureMessage
from yarl import URL

logger = logging.getLogger(__name__)

EXIT_CHANGELOG_LOST: Final = 74
"""EX_IOERR: a change could not be logged."""


class PartitionLost(Exception):
    """The partition belongs to another worker by now: nothing of it may be changed here."""


class Shelf:
    """The rows of one partition, with the keys of each account at hand: keys begin with `account|instrument`."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.instruments: Counter[str] = Counter()
        """How many rows an instrument has."""
        self._accounts: dict[str, set[str]] = {}

    def put(self, key: str, value: bytes) -> None:
        """Add or replace a row."""
        if key not in self.rows:
            account, _, rest = key.partition("|")
            self._accounts.setdefault(account, set()).add(key)
            self.instruments[rest.partition("|")[0]] += 1
        self.rows[key] = value

    def drop(self, key: str) -> None:
        """Remove a row; no effect when there is none."""
        if self.rows.pop(key, None) is None:
            return
        account, _, rest = key.partition("|")
        keys = self._accounts[account]
        keys.discard(key)
        if not keys:
            del self._accounts[account]
        instrument = rest.partition("|")[0]
        self.instruments[instrument] -= 1
        if not self.instruments[instrument]:
            del self.instruments[instrument]

    def of_account(self, account: str) -> list[bytes]:
        """The rows of one account, in order of key."""
        return [self.rows[key] for key in sorted(self._accounts.get(account, ()))]


class ShardStore(Store[str, bytes]):
    """Rows in memory, one shelf per assigned partition."""

    def __init__(self, url: str | URL, app: AppT, table: ShardTable, **options: Any) -> None:
        super().__init__(url, app, table, **options)
        self.shelves: dict[int, Shelf] = {}
        self._topic = table.changelog_topic_name

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]], *_codecs: Any, **_options: Any) -> None:
        """Recover rows.  During a rebalance Faust may hand over records of other tables and lost partitions."""
        for event in batch:
            message = event.message
            shelf = self.shelves.get(message.partition)
            if message.topic != self._topic or shelf is None or message.key is None:
                continue
            if message.value is None:
                shelf.drop(message.key.decode())
            else:
                shelf.put(message.key.decode(), message.value)

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],  # noqa: ARG002 -- Faust's signature; what is not assigned is dropped
        newly_assigned: set[TP],
        generation_id: int = 0,  # noqa: ARG002 -- the same
    ) -> None:
        """Drop what went to others; begin new partitions empty, for Faust recovers them from their beginning."""
        kept = {tp.partition for tp in assigned if tp.topic == self._topic}
        new = {tp.partition for tp in newly_assigned if tp.topic == self._topic}
        self.shelves = {partition: self._shelf(partition, new) for partition in sorted(kept)}

    def persisted_offset(self, *_: Any) -> int | None:
        """Nothing outlives the process."""
        return None

    def reset_state(self) -> None:
        """Nothing outlives the process."""

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Nothing is on disk."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Nothing is on disk."""

    def _shelf(self, partition: int, new: set[int]) -> Shelf:
        held = self.shelves.get(partition)
        return Shelf() if held is None or partition in new else held


class ShardTable(Table[str, bytes]):
    """A changelogged table of bytes, addressed by partition and key."""

    def _new_store(self) -> ShardStore:
        return ShardStore(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            loop=self.loop,
        )

    @property
    def shelves(self) -> Mapping[int, Shelf]:
        """The rows of every partition that is assigned to this worker."""
        store = self.data
        assert isinstance(store, ShardStore), "the table makes its own store"
        return store.shelves

    def find(self, partition: int, key: str) -> bytes | None:
        """A row; None when there is none or its partition is not here."""
        shelf = self.shelves.get(partition)
        return None if shelf is None else shelf.rows.get(key)

    def put(self, partition: int, key: str, value: bytes) -> None:
        """Add or replace a row and log it.  Raises PartitionLost."""
        self._here(partition).put(key, value)
        self._log(partition, key, value)

    def drop(self, partition: int, key: str) -> None:
        """Remove a row and log that; no effect when there is none.  Raises PartitionLost."""
        shelf = self._here(partition)
        if key in shelf.rows:
            shelf.drop(key)
            self._log(partition, key, None)

    def rows(self) -> Iterator[tuple[int, str, bytes]]:
        """Every row of this worker with its partition and key."""
        for partition, shelf in self.shelves.items():
            for key, value in shelf.rows.items():
                yield partition, key, value

    def _here(self, partition: int) -> Shelf:
        shelf = self.shelves.get(partition)
        if shelf is None:
            raise PartitionLost(f"Partition {partition} of {self.name} is not assigned to this worker")
        return shelf

    def _log(self, partition: int, key: str, value: bytes | None) -> None:
        future: FutureMessage = self.send_changelog(partition, key.encode(), value, "raw", "raw")
        future.add_done_callback(self._logged)

    def _logged(self, future: FutureMessage) -> None:
        """A change that is not in the changelog would be lost with the commit of the record it came from.

        Ending at once, as a kill would, leaves that record uncommitted: the next worker reads it again.
        """
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.critical("The changelog of %s cannot be written, the worker ends here: %s", self.name, error)
            logging.shutdown()
            os._exit(EXIT_CHANGELOG_LOST)
