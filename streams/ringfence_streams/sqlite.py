"""The embedded log: one SQLite file on one host, nothing to install.

A frame, its outcomes and its views are one transaction that checks (seq, prev), so by construction an acknowledged
frame is at the expected offset (W4), nothing lands late or twice (W5, W6, W8), and every outcome on the chain is
published and nothing else (P2-P5, V4, V5).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from ringfence.chain import Head
from ringfence_schemas.frames import Published, Settings, SourceRange, TopicIdentity, frame_hash
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPICS, JOURNAL
from ringfence_streams.clock import Clock, MachineClock
from ringfence_streams.envelope import is_view, standard_headers
from ringfence_streams.errors import JournalDamaged, LogUnsuitable, OwnershipLost
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Bounds, Entry, Headers, Message, OutcomeRecord, Record, Source, Standing
from ringfence_streams.snapshots import GENERATIONS
from ringfence_streams.sqlite_store import OwnerLock, SqliteStore

_POLL_US = 10_000
_headers_decoder = msgspec.msgpack.Decoder(Headers)


class SqliteLog:
    """One file that holds sources, journal, outputs and snapshots of every shard."""

    beats_when_idle = False

    def __init__(
        self,
        path: str | Path,
        *,
        shards: int = 1,
        clock: Clock | None = None,
        busy_timeout_ms: int = 5_000,
        synchronous: str = "FULL",
    ) -> None:
        self.store = SqliteStore(path, busy_timeout_ms=busy_timeout_ms, synchronous=synchronous)
        meta = self.store.prepare(lambda: {"identity": secrets.token_hex(8), "shards": str(shards)})
        self._identity = meta["identity"]
        self.shards = int(meta["shards"])
        self.snapshots = SqliteSnapshots(self.store)
        self._clock = clock or MachineClock()
        self._locks: dict[int, OwnerLock] = {}

    async def check(self, settings: Settings) -> None:
        """The file was made for a number of shards, which cannot change.  Raises LogUnsuitable."""
        if settings.shards != self.shards:
            raise LogUnsuitable(f"{self.store.path} was made for {self.shards} shards, not {settings.shards}")

    async def identities(self) -> Sequence[TopicIdentity]:
        """The file's identity stands for every topic in it."""
        return [TopicIdentity(topic, self._identity) for topic in (JOURNAL, *INPUT_TOPICS)]

    async def journal_bounds(self, shard: int) -> Bounds:
        """The offsets that the shard's journal holds."""
        return self._bounds("journal WHERE shard = ?", shard)

    async def read_journal(self, shard: int, offset: int, records: int) -> Sequence[Record]:
        """The next journal records; raises JournalDamaged when one is missing or does not fit its hash."""
        with self.store.errors():
            rows = self.store.connection.execute(
                "SELECT offset, hash, value FROM journal WHERE shard = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (shard, offset, records),
            ).fetchall()
        key = str(shard).encode()
        for expected, (found, digest, value) in enumerate(rows, offset):
            if found != expected:
                raise JournalDamaged(f"Journal of shard {shard}: the record at offset {expected} is missing")
            if frame_hash(value) != digest:
                raise JournalDamaged(f"Journal of shard {shard}, offset {found}: the record does not fit its hash")
        return [Record(JOURNAL, shard, found, 0, key, value) for found, _, value in rows]

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that a partition of any topic holds."""
        if topic == JOURNAL:
            return await self.journal_bounds(partition)
        return self._bounds(f"{_table(topic)} WHERE topic = ? AND partition = ?", topic, partition)

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """The next records of any topic."""
        if topic == JOURNAL:
            return await self.read_journal(partition, offset, records)
        table = _table(topic)
        with self.store.errors():
            rows = self.store.connection.execute(
                f"SELECT {_COLUMNS[table]} FROM {table} "  # noqa: S608 -- both names are ours
                "WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (topic, partition, offset, records),
            ).fetchall()
        if table == "inputs":
            return [_input_record(topic, partition, *row) for row in rows]
        return [_outcome_record(topic, partition, *row) for row in rows]

    async def topics(self) -> Sequence[Source]:
        """Every topic and partition that holds records, in order of name."""
        with self.store.errors():
            rows = self.store.connection.execute(
                "SELECT DISTINCT topic, partition FROM inputs UNION SELECT DISTINCT topic, partition FROM decisions "
                "UNION SELECT DISTINCT topic, partition FROM views UNION SELECT DISTINCT ?, shard FROM journal",
                (JOURNAL,),
            ).fetchall()
        return sorted(Source(topic, partition) for topic, partition in rows)

    async def publish(self, messages: Iterable[Message]) -> int:
        """Append inputs in one transaction, in order; returns how many."""
        ends: dict[Source, int] = {}
        rows = []
        with self.store.transaction() as connection:
            for message in messages:
                source = Source(message.topic, self._partition(message))
                if source not in ends:
                    ends[source] = self._bounds("inputs WHERE topic = ? AND partition = ?", *source).end
                rows.append(
                    (
                        *source,
                        ends[source],
                        message.timestamp_us,
                        message.key.encode(),
                        message.traceparent,
                        message.value,
                    )
                )
                ends[source] += 1
            connection.executemany(
                "INSERT INTO inputs (topic, partition, offset, timestamp_us, key, traceparent, value) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        return len(rows)

    async def eligible(self, shard: int, *, vacant: bool) -> bool:  # noqa: ARG002 -- a lock knows better
        """T1: on one host the operating system knows whether an owner lives; no lease is needed."""
        lock = self._locks.setdefault(shard, OwnerLock(f"{self.store.path}-owner-{shard}"))
        with self.store.errors():
            return lock.acquire()

    def reader(self, shard: int, positions: Mapping[Source, SourceRange]) -> SqliteReader:
        """A reader in order of the append number."""
        return SqliteReader(self.store, shard, self._clock, positions)

    def ownership(self, shard: int, motion: MotionSettings, clock: Clock) -> SqliteOwnership:  # noqa: ARG002 -- see below
        """A fresh ownership; a transaction needs neither settings nor a clock."""
        return SqliteOwnership(self.store, shard)

    async def assigned(self, shard: int) -> bool:  # noqa: ARG002 -- whoever holds the file may own any shard of it
        """True: only the lock of the file decides."""
        return True

    async def resign(self, shard: int) -> None:
        """Let another process take the shard over."""
        if shard in self._locks:
            self._locks.pop(shard).release()

    async def close(self) -> None:
        """Close the file and give back every lock.  Idempotent."""
        for shard in list(self._locks):
            await self.resign(shard)
        self.store.close()

    def _partition(self, message: Message) -> int:
        if message.topic not in INPUT_TOPICS:
            raise LogUnsuitable(f"{message.topic} is not an input topic")
        return partition_of(message.key.encode(), self.shards) if message.topic in ACCOUNT_TOPICS else 0

    def _bounds(self, where: str, *values: object) -> Bounds:
        with self.store.errors():
            begin, end = self.store.connection.execute(
                # Two look-ups in the index; asked for together, the smallest and the greatest cost a scan of it.
                f"SELECT (SELECT min(offset) FROM {where}), (SELECT max(offset) FROM {where})",  # noqa: S608 -- ours
                (*values, *values),
            ).fetchone()
        return Bounds(0, 0) if begin is None else Bounds(begin, end + 1)


class SqliteReader:
    """Reads one shard's sources in order of the append number."""

    def __init__(self, store: SqliteStore, shard: int, clock: Clock, positions: Mapping[Source, SourceRange]) -> None:
        self._store = store
        self._shard = shard
        self._clock = clock
        self._number = max((self._number_of(source, read.last_offset) for source, read in positions.items()), default=0)

    async def read(self, inputs: int, size_bytes: int) -> Sequence[Record]:
        """The next inputs, at most so many and about so many bytes."""
        batch: list[Record] = []
        size = 0
        with self._store.errors():
            cursor = self._store.connection.execute(
                "SELECT number, topic, partition, offset, timestamp_us, key, traceparent, value FROM inputs "
                "WHERE number > ? AND (partition = ? OR topic IN ('instruments', 'ticks')) ORDER BY number LIMIT ?",
                (self._number, self._shard, inputs),
            )
            for number, topic, partition, *rest in cursor:
                record = _input_record(topic, partition, *rest)
                batch.append(record)
                self._number = number
                size += len(record.value or b"")
                if size >= size_bytes:
                    break
            cursor.close()
        return batch

    async def wait(self, timeout_us: int) -> None:
        """Look again soon: another process may be writing."""
        await self._clock.sleep(min(timeout_us, _POLL_US))

    async def hint(self, offsets: Mapping[Source, int]) -> None:
        """Nobody watches but `status`, which reads the journal."""

    async def refresh(self) -> None:
        """Every read looks anew."""

    async def close(self) -> None:
        """Nothing is read ahead."""

    def _number_of(self, source: Source, offset: int) -> int:
        with self._store.errors():
            row = self._store.connection.execute(
                "SELECT number FROM inputs WHERE topic = ? AND partition = ? AND offset = ?", (*source, offset)
            ).fetchone()
        if row is None:
            raise LogUnsuitable(f"Input {source.topic}/{source.partition}@{offset} was deleted: the order ends there")
        return int(row[0])


class SqliteOwnership:
    """Ownership in one file: the transaction is the compare-and-swap."""

    stalled = False

    def __init__(self, store: SqliteStore, shard: int) -> None:
        self._store = store
        self._shard = shard
        self._head = Head(0, 0, b"")
        self._next = 0
        self._view_ends: dict[str, int] = {}
        self._published: dict[str, Published] = {}

    async def claim(self, entry: Entry, standing: Standing) -> int:
        """T2: nobody can come in between, so what was appended needs no reading back."""
        self._next = standing.position
        self._commit(entry)
        return self._next - 1

    async def publish_outstanding(self, standing: Standing) -> None:
        """V4, V5: nothing can be missing."""

    async def commit(self, entry: Entry) -> None:
        """Frame, outcomes and views in one transaction."""
        self._commit(entry)

    async def settle(self) -> None:
        """Nothing is ever in flight."""

    async def drain(self) -> None:
        """Nothing is ever outstanding."""

    def committed(self) -> tuple[Head, int]:
        """The committed head and the next offset of the journal."""
        return self._head, self._next

    def acknowledged_seq(self) -> int:
        """P5: the head itself."""
        return self._head.seq

    def published(self) -> list[Published]:
        """F3: what the frames since the last call published."""
        news = list(self._published.values())
        self._published.clear()
        return news

    async def inspect(self) -> None:
        """P4: nobody else can have written."""

    async def abandon(self) -> None:
        """W7: nothing is in flight that could still arrive."""

    def _commit(self, entry: Entry) -> None:
        published: dict[str, Published] = {}
        view_ends = dict(self._view_ends)
        values = [outcome.value for outcome in entry.outcomes]  # views are drawn before anybody waits for the file
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT seq, hash, offset FROM journal WHERE shard = ? ORDER BY offset DESC LIMIT 1", (self._shard,)
            ).fetchone()
            seq, digest, offset = row or (0, entry.frame.prev, -1)
            if (seq + 1, digest, offset + 1) != (entry.frame.seq, entry.frame.prev, self._next):
                raise OwnershipLost(f"the chain ends at seq {seq}, offset {offset}: another owner extended it (R1)")
            connection.execute(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?)",
                (self._shard, self._next, entry.frame.seq, entry.hash, entry.value),
            )
            decisions = []
            views = []
            for outcome, value in zip(entry.outcomes, values, strict=True):
                if outcome.version is None:
                    assert outcome.number is not None
                    place = outcome.number - 1
                    decisions.append(self._decision(outcome, value, place))
                else:
                    place = view_ends[outcome.topic] if outcome.topic in view_ends else self._view_end(outcome.topic)
                    view_ends[outcome.topic] = place + 1
                    views.append(self._view(outcome, value, place))
                published[outcome.topic] = Published(outcome.topic, outcome.version or place + 1, place)
            connection.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", decisions)
            connection.executemany("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?, ?, ?, ?, ?)", views)
        self._head, self._next = entry.head, self._next + 1
        self._published.update(published)
        self._view_ends = view_ends

    def _decision(self, outcome: OutcomeRecord, value: bytes | None, offset: int) -> tuple[object, ...]:
        headers = msgspec.msgpack.encode(outcome.headers) if outcome.headers else None
        return outcome.topic, self._shard, offset, outcome.time_us, outcome.key, outcome.type, headers, value

    def _view(self, outcome: OutcomeRecord, value: bytes | None, offset: int) -> tuple[object, ...]:
        shard, version = self._shard, outcome.version
        return outcome.topic, shard, outcome.key, offset, version, outcome.time_us, outcome.type, value

    def _view_end(self, topic: str) -> int:
        row = self._store.connection.execute(
            "SELECT max(offset) FROM views WHERE topic = ? AND partition = ?", (topic, self._shard)
        ).fetchone()
        return 0 if row[0] is None else int(row[0]) + 1


class SqliteSnapshots:
    """Snapshots in the file.  Every outcome is published when its frame is, so writing one also releases it (P5)."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def write(self, shard: int, seq: int, data: bytes) -> None:
        """One transaction: a snapshot is there whole or not at all.  Keeps two generations."""
        with self._store.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", (shard, seq, data))
            connection.execute(
                "DELETE FROM snapshots WHERE shard = ? AND seq NOT IN "
                "(SELECT seq FROM snapshots WHERE shard = ? ORDER BY seq DESC LIMIT ?)",
                (shard, shard, GENERATIONS),
            )

    async def release(self, shard: int, seq: int) -> None:
        """Already visible."""

    async def released(self, shard: int) -> AsyncIterator[bytes]:
        """Newest first."""
        with self._store.errors():
            rows = self._store.connection.execute(
                "SELECT value FROM snapshots WHERE shard = ? ORDER BY seq DESC", (shard,)
            ).fetchall()
        for row in rows:
            yield row[0]


_COLUMNS = {
    "inputs": "offset, timestamp_us, key, traceparent, value",
    "decisions": "offset, time_us, key, type, offset + 1, headers, value",
    "views": "offset, time_us, key, type, version, NULL, value",
}


def _table(topic: str) -> str:
    if topic in INPUT_TOPICS:
        return "inputs"
    return "views" if is_view(topic) else "decisions"


def _input_record(
    topic: str, partition: int, offset: int, timestamp_us: int, key: bytes, traceparent: str | None, value: bytes
) -> Record:
    headers = (("traceparent", traceparent.encode()),) if traceparent else ()
    return Record(topic, partition, offset, timestamp_us, key, value, headers)


def _outcome_record(
    topic: str,
    shard: int,
    offset: int,
    time_us: int,
    key: str,
    kind: str,
    place: int,
    extra: bytes | None,
    value: bytes,
) -> Record:
    headers = standard_headers(shard, topic, key, kind, time_us, place)
    if extra:
        headers += _headers_decoder.decode(extra)
    return Record(topic, shard, offset, time_us, key.encode(), value, headers)
