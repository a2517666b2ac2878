"""The file behind SqliteLog: its tables, its settings, and what SQLite's errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ringfence_streams.errors import (
    LogBusy,
    LogError,
    LogFull,
    LogReadOnly,
    LogUnavailable,
    LogUnsuitable,
    OutputsDiverged,
    RecordsLost,
)

FORMAT = 1
"""Kept in the file as `user_version`."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One append number over all input topics: the order in which a shard folds them.
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    timestamp_us INTEGER NOT NULL, key BLOB NOT NULL, traceparent TEXT, value BLOB NOT NULL,
    UNIQUE (topic, partition, offset));

-- A hash beside each record: a damaged one is found where it stands.
CREATE TABLE journal (
    shard INTEGER NOT NULL, offset INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, value BLOB NOT NULL,
    UNIQUE (shard, offset));

-- Decisions and dead letters; their dense number n is offset + 1.
CREATE TABLE decisions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    time_us INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, headers BLOB, value BLOB,
    UNIQUE (topic, partition, offset));

-- Views are compacted: one row per key, at the offset of its last publication.
CREATE TABLE views (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL,
    version INTEGER NOT NULL, time_us INTEGER NOT NULL, type TEXT NOT NULL, value BLOB,
    PRIMARY KEY (topic, partition, key)) WITHOUT ROWID;
CREATE UNIQUE INDEX views_in_order ON views (topic, partition, offset);

CREATE TABLE snapshots (
    shard INTEGER NOT NULL, seq INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (shard, seq));
"""

_MEANINGS: dict[int, type[LogError]] = {
    sqlite3.SQLITE_BUSY: LogBusy,
    sqlite3.SQLITE_LOCKED: LogBusy,
    sqlite3.SQLITE_FULL: LogFull,
    sqlite3.SQLITE_READONLY: LogReadOnly,
    sqlite3.SQLITE_CORRUPT: RecordsLost,
    sqlite3.SQLITE_CONSTRAINT: OutputsDiverged,
    sqlite3.SQLITE_NOTADB: LogUnsuitable,
}

Connect = Callable[[str], sqlite3.Connection]


class SqliteStore:
    """One connection to the file.  Every method raises LogError instead of SQLite's own errors."""

    def __init__(self, path: str | Path, *, busy_timeout_ms: int = 5_000, synchronous: str = "FULL") -> None:
        self.path = str(path)
        with self.errors():
            self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=busy_timeout_ms / 1_000)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute(f"PRAGMA synchronous = {synchronous}")

    def prepare(self, meta: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Create the tables with `meta` unless they are there; returns the file's own meta.  Raises LogUnsuitable."""
        with self.transaction() as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if not found:
                if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    raise LogUnsuitable(f"{self.path} is a database of something else")
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta().items())
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise LogUnsuitable(f"{self.path} has format {found}, this engine reads {FORMAT}")
            return dict(connection.execute("SELECT key, value FROM meta"))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic, durable change: all of it or nothing."""
        with self.errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn SQLite's errors into what they mean here."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extended part
            raise _MEANINGS.get(code, LogUnavailable)(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        self.connection.close()


class OwnerLock:
    """A lock that the operating system gives back when its process dies: an exclusive transaction on a file beside.

    For liveness only: what keeps the chain whole is the check of (seq, prev) in every commit.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; returns whether this object holds it."""
        if self._connection is not None:
            return True
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._connection = connection
        return True

    def release(self) -> None:
        """Give the lock back.  Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
