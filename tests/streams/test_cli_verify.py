"""Claims about `ringfence verify`: whatever was changed behind the engine's back is named."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ringfence_schemas.frames import Settings
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.motion import MotionSettings
from ringfence_streams.snapshots import decode_snapshot, encode_snapshot
from ringfence_streams.sqlite import SqliteLog
from tests.streams.command import LADDER, Folder, objects


@pytest.fixture
def history(folder: Folder) -> Folder:
    """A scenario folded over four ownerships: twelve frames."""
    stream = LADDER.splitlines(keepends=True)
    for first in range(0, len(stream), 5):
        folder.publish(b"".join(stream[first : first + 5]))
        folder.drain("--ledger")
    return folder


def damage(folder: Folder, statement: str) -> None:
    """Change the file behind everybody's back."""
    connection = sqlite3.connect(folder.path / "risk.db", isolation_level=None)
    assert connection.execute(statement).rowcount
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("offset", [1, 4, 7])
def test_one_flipped_bit_of_a_journal_record_is_named_by_its_frame(offset: int, place: str, history: Folder) -> None:
    """A10: whichever byte of the record it is, the frame at that offset is the first divergence, and status is 1."""
    frame = history.tail("journal", "--from", str(offset))[0]
    path = history.path / "risk.db"
    connection = sqlite3.connect(path)
    (value,) = connection.execute("SELECT value FROM journal WHERE offset = ?", (offset,)).fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    at = data.find(value)
    assert at > 0
    data[at + {"first": 0, "middle": len(value) // 2, "last": len(value) - 1}[place]] ^= 0x10
    path.write_bytes(data)
    stderr = history.call("verify", status=1).stderr
    assert "journal_damaged: first divergence: shard 0, " in stderr
    assert f"seq {frame['seq']}, journal offset {offset}: " in stderr


class Damage(NamedTuple):
    """What somebody did to the file, and what is said about it."""

    statement: str
    code: str
    what: str


DAMAGES = {
    "a decision's bytes": Damage(
        "UPDATE decisions SET value = CAST('{}' AS BLOB) WHERE topic = 'liquidations' AND offset = 2",
        "diverged",
        "liquidations number 3: another value is published: {}; the fold gives ",
    ),
    "a decision's key": Damage(
        "UPDATE decisions SET key = 'mallory' WHERE topic = 'margin-calls' AND offset = 0",
        "diverged",
        "margin-calls number 1: another key is published: mallory; the fold gives alice",
    ),
    "a decision's time": Damage(
        "UPDATE decisions SET time_us = time_us + 1 WHERE topic = 'refusals' AND offset = 0",
        "diverged",
        "refusals number 1: other headers are published",
    ),
    "the last decision removed": Damage(
        "DELETE FROM decisions WHERE topic = 'liquidations' AND offset = 4",
        "diverged",
        "liquidations number 5 is not published",
    ),
    "a decision removed from the middle": Damage(
        "DELETE FROM decisions WHERE topic = 'ledger' AND offset = 3",
        "diverged",
        "ledger number 4: another number is published: 5",
    ),
    "every decision removed": Damage("DELETE FROM decisions", "diverged", "number 1 is not published"),
    "a decision added": Damage(
        """INSERT INTO decisions SELECT topic, partition, offset + 1, time_us, key, type, headers, value FROM decisions
        WHERE topic = 'margin-calls' AND offset = 1""",
        "diverged",
        "margin-calls holds more than the 2 decisions of the chain",
    ),
    "a view's bytes": Damage(
        "UPDATE views SET value = CAST('{}' AS BLOB) WHERE topic = 'wallets'",
        "diverged",
        "view alice|USDT on wallets: other bytes are published",
    ),
    "a view set back": Damage(
        "UPDATE views SET version = 3 WHERE topic = 'wallets'", "diverged", "view alice|USDT on wallets: version"
    ),
    "every view removed": Damage("DELETE FROM views", "diverged", "version 2 is not published"),
    "a view added": Damage(
        """INSERT INTO views SELECT topic, partition, 'bob|USDT', offset + 9, version, time_us, type, value FROM views
        WHERE topic = 'wallets'""",
        "diverged",
        "view bob|USDT on wallets: no frame on the chain publishes version",
    ),
    "a frame removed": Damage("DELETE FROM journal WHERE offset = 5", "journal_damaged", "journal offset 5: "),
    "the first frame removed": Damage("DELETE FROM journal WHERE offset = 0", "records_lost", "begins at offset 1"),
    "the end of the journal cut off": Damage("DELETE FROM journal WHERE offset >= 10", "diverged", "of the chain"),
    "a frame that extends nothing": Damage(
        """INSERT INTO journal SELECT shard, offset + 1, seq, hash, value FROM journal
        WHERE offset = (SELECT max(offset) FROM journal)""",
        "records_lost",
        "does not extend the chain, whose head is epoch 4, seq 12",
    ),
    "an input replaced": Damage(
        "UPDATE inputs SET value = CAST('{}' AS BLOB) WHERE topic = 'deposits'",
        "source_replaced",
        "Record deposits/0@0 has other bytes than the journal read there",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_whatever_was_changed_in_the_log_is_named(name: str, history: Folder) -> None:
    """Published decisions and views, frames and inputs: the first difference is told, and the status is 1."""
    history.call("verify")
    damage(history, DAMAGES[name].statement)
    stderr = history.call("verify", status=1).stderr
    assert f"ringfence: {DAMAGES[name].code}: first divergence: shard 0" in stderr
    assert DAMAGES[name].what in stderr


def test_a_decision_is_told_with_the_frame_that_made_it(history: Folder) -> None:
    """The frame named for a changed decision is the one whose inputs caused it."""
    cause = history.tail("margin-calls")[0]["cause"]
    (frame,) = [
        frame
        for frame in history.tail("journal")
        if (cause["topic"], cause["offset"]) in {(each["topic"], each["offset"]) for each in frame["inputs"]}
    ]
    damage(history, DAMAGES["a decision's key"].statement)
    stderr = history.call("verify", status=1).stderr
    assert f"epoch {frame['epoch']}, seq {frame['seq']}, journal offset {frame['offset']}: " in stderr


# --------------------------------------------------------------------------------------------------------- snapshots


@pytest.fixture
def snapped(folder: Folder) -> Folder:
    """A scenario folded in frames of three inputs, with a snapshot after every other frame."""
    folder.publish(LADDER)
    asyncio.run(fold_with_snapshots(folder.path / "risk.db"))
    return folder


async def fold_with_snapshots(path: Path) -> None:
    """Fold what is there, as an engine does that takes snapshots often."""
    log = SqliteLog(path)
    try:
        engine = Engine(
            log, [Settings()], CoreReplicas(), motion=MotionSettings(batch_inputs=3, snapshot_every=2, snapshot_rest=0)
        )
        await engine.drain()
        await engine.release()
    finally:
        await log.close()


def damage_last_snapshot(folder: Folder, change: Callable[[bytes, bytes], bytes]) -> None:
    """Replace the last snapshot by something made of the last two."""
    connection = sqlite3.connect(folder.path / "risk.db", isolation_level=None)
    (older,), (newest,) = connection.execute("SELECT value FROM snapshots ORDER BY seq").fetchall()
    connection.execute(
        "UPDATE snapshots SET value = ? WHERE seq = (SELECT max(seq) FROM snapshots)", (change(older, newest),)
    )
    connection.close()


def test_snapshots_are_states_of_the_chain(snapped: Folder) -> None:
    """A5: both are compared, and a status that begins at the last one is that of the whole journal."""
    (found,) = objects(snapped.call("verify", "--json").stdout)
    assert found["snapshots"] == 2
    (status,) = objects(snapped.call("status", "--json").stdout)
    assert (status["state"], status["counts"]["inputs"]) == (found["state"], 18)


def older_state(older: bytes, newest: bytes) -> bytes:
    """A sound snapshot of the newest frame, with the state of an older one."""
    state = decode_snapshot(older, 0).state
    return encode_snapshot(msgspec.structs.replace(decode_snapshot(newest, 0), state=state))


def unknown_frame(_older: bytes, newest: bytes) -> bytes:
    """A sound snapshot of a frame that was never written."""
    return encode_snapshot(msgspec.structs.replace(decode_snapshot(newest, 0), seq=99))


def flipped(_older: bytes, newest: bytes) -> bytes:
    """A snapshot that does not fit its checksum."""
    return newest[:-1] + bytes([newest[-1] ^ 1])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (older_state, "is not the state after that frame"),
        (unknown_frame, "a snapshot was taken of seq 99, which is not on the chain"),
        (flipped, "shard 0: its checksum does not fit"),
    ],
)
def test_a_snapshot_that_is_not_the_state_is_named(
    change: Callable[[bytes, bytes], bytes], what: str, snapped: Folder
) -> None:
    """Another state, another frame, other bytes: told, with status 1."""
    damage_last_snapshot(snapped, change)
    assert what in snapped.call("verify", status=1).stderr
