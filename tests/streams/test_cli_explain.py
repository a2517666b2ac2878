"""Claims about `ringfence explain`: any decision and any position of a log, from its journal alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time

import msgspec
import pytest

from ringfence_schemas.frames import decode_frame, encode_frame, frame_hash
from ringfence_schemas.topics import DECISION_TOPICS
from ringfence_streams.port import Message
from ringfence_streams.sqlite import SqliteLog
from tests.core.desk import instrument
from tests.streams.command import LADDER, Folder, Json, lines, objects

POSITION = "alice|BTC-USDT-PERP"


@pytest.fixture
def ladder(folder: Folder) -> Folder:
    """The ladder, folded in two frames."""
    stream = LADDER.splitlines(keepends=True)
    for part in (stream[:9], stream[9:]):
        folder.publish(b"".join(part))
        folder.drain("--ledger")
    return folder


def explained(folder: Folder, what: str) -> Json:
    """What the command says as JSON."""
    (found,) = objects(folder.call("explain", what, "--json").stdout)
    return found


def test_every_decision_of_a_log_is_explained_with_the_input_that_caused_it(ladder: Folder) -> None:
    """The decision is the one that was published, byte for byte, and the input is the one that it names."""
    decisions = 0
    for topic in DECISION_TOPICS:
        for decision in ladder.tail(topic):
            found = explained(ladder, decision["id"])
            assert found["decision"] == decision
            cause = found["cause"]
            if "topic" in decision["cause"]:
                assert {key: cause[key] for key in decision["cause"]} == decision["cause"]
            assert json.loads(cause["input"]) == ladder.tail(cause["topic"])[cause["offset"]]
            decisions += 1
    assert decisions > 20, "calls, liquidations, refusals and postings"


def test_a_margin_call_reads_as_formulas_with_the_numbers_in_them(ladder: Folder) -> None:
    """Worked by hand: one bitcoin bought at 60000 with 3000 behind it, 57400 now, in the second tier."""
    printed = ladder.call("explain", "0-margin-calls-1").stdout.decode()
    for text in (
        "caused by ticks/0@2, frame seq 5\n",
        "\nequity: c + q * (P - F)\n  = -57000 + 1 * (57400 - 0)\n  = 400\n  published 400, down at 6 decimals\n",
        "\nmaintenance, tier 2 from 50000: max(0, N * k - cum)\n  = max(0, 57400 * 0.005 - 50)\n  = 237\n",
        "\nmargin shortfall: max(0, r * maintenance - equity)\n  = max(0, 3 * 237 - 400)\n  = 311\n",
        "\nlevel 3 is reached: yes\n  equity <= r * maintenance\n  400 <= 3 * 237\n",
        "\nit is liquidated at 57236.1: yes\n  equity <= maintenance\n  236.1 <= 236.1805\n",
        "\nit is liquidated at 57236.2: no\n  equity <= maintenance\n  236.2 <= 236.181\n",
    ):
        assert text in printed, printed


def test_a_position_names_the_inputs_that_made_it_what_it_is(folder: Folder) -> None:
    """Its bucket, the mark, the funding index and the parameters, each by the last input that changed it."""
    folder.publish(b"".join(LADDER.splitlines(keepends=True)[:8]))
    folder.drain()
    folder.publish(lines({"type": "tick", "instrument": "BTC-USDT-PERP", "price": "59000", "time_us": 1_500_000}))
    folder.publish(
        lines({"type": "tick", "instrument": "BTC-USDT-PERP", "price": "59000", "time_us": 1_600_000}),
    )
    folder.drain()
    found = explained(folder, POSITION)
    (view,) = folder.tail("positions")
    published = {step["name"].partition(",")[0]: step["published"] for step in found["steps"]}
    for name, field in (("collateral", "collateral"), ("liquidation price", "liquidation_price")):
        assert published[name] == view[field]
    places = {name: place and (place["topic"], place["offset"]) for name, place in found["last"].items()}
    assert places == {"bucket": ("fills", 0), "mark": ("ticks", 1), "funding": None, "parameters": ("instruments", 1)}
    printed = folder.call("explain", POSITION).stdout.decode()
    assert printed.startswith(f"{POSITION} at epoch 2, seq ")
    assert "its bucket was last changed by fills/0@0, frame seq 2" in printed
    assert "funding index was last moved" not in printed


def test_what_is_not_there_is_said_with_the_way_to_find_what_is(ladder: Folder) -> None:
    """No id at all, an id of another shard, a number that was never given, a position that nobody had."""
    for what, code in (
        ("margin-calls", "unknown_decision"),
        ("1-margin-calls-1", "unknown_decision"),
        ("0-positions-1", "unknown_decision"),
        ("0-margin-calls-99", "unknown_decision"),
        ("bob|BTC-USDT-PERP", "unknown_position"),
        ("alice|NOTHING", "unknown_position"),
    ):
        stderr = ladder.call("explain", what, status=2).stderr
        assert stderr.startswith(f"ringfence: {code}: "), (what, stderr)
        assert "tail" in stderr or "SHARD-TOPIC-N" in stderr


def test_an_input_that_is_no_text_is_shown_in_hexadecimal(folder: Folder) -> None:
    """Its refusal is about nobody, so there are no figures."""
    folder.publish(b"")

    async def publish() -> None:
        log = SqliteLog(folder.path / "risk.db")
        await log.publish([Message("fills", "ann", b"\xff\x00", 1)])
        await log.close()

    asyncio.run(publish())
    folder.drain()
    assert "\n  ff00\n" in folder.call("explain", "0-refusals-1").stdout.decode()
    assert explained(folder, "0-refusals-1")["given"] == []


def test_what_the_clock_alone_brought_about_has_no_input(folder: Folder) -> None:
    """A deadline that passed between two runs: the next frame's clock lets it fire before any input is folded."""
    now_us = time.time_ns() // 1_000
    mine = {"account": "ann", "time_us": now_us}
    options = {"default_leverage": "5", "liquidation": {"deadline_us": 1, "max_steps": 9}}
    folder.publish(
        lines(
            instrument(**options, time_us=now_us),
            {"type": "deposit", "transfer_id": "d", "asset": "USDT", "amount": "200", **mine},
            {
                "type": "fill",
                "fill_id": "f",
                "instrument": "X",
                "side": "buy",
                "quantity": "10",
                "price": "100",
                **mine,
            },
            {"type": "tick", "instrument": "X", "price": "80", "time_us": now_us},
        )
    )
    folder.call("run", "--drain")
    folder.publish(lines({"type": "tick", "instrument": "X", "price": "81", "time_us": now_us}))
    folder.call("run", "--drain")
    clocked = [each for each in folder.tail("liquidations") if "timer" in each["cause"]]
    found = [explained(folder, each["id"]) for each in clocked]
    assert any(each["cause"] is None for each in found)
    alone = next(each["decision"]["id"] for each in found if each["cause"] is None)
    assert "caused by the clock of a frame alone" in folder.call("explain", alone).stdout.decode()


def test_a_record_that_is_not_on_the_chain_explains_nothing(ladder: Folder) -> None:
    """R1: the last frame stands there once more, as over a broker after a race; the second one counts for nothing."""
    before = explained(ladder, POSITION)
    connection = sqlite3.connect(ladder.path / "risk.db", isolation_level=None)
    connection.execute(
        """INSERT INTO journal SELECT shard, offset + 1, seq, hash, value FROM journal
        WHERE offset = (SELECT max(offset) FROM journal)"""
    )
    connection.close()
    assert explained(ladder, POSITION) == before


def test_nothing_is_explained_from_a_journal_that_does_not_add_up(ladder: Folder) -> None:
    """A frame that says another state than its inputs give, and a journal without its beginning: told, status 1."""
    connection = sqlite3.connect(ladder.path / "risk.db", isolation_level=None)
    offset, value = connection.execute("SELECT offset, value FROM journal ORDER BY offset DESC LIMIT 1").fetchone()
    changed = encode_frame(msgspec.structs.replace(decode_frame(value), state_digest=bytes(16)))
    connection.execute(
        "UPDATE journal SET value = ?, hash = ? WHERE offset = ?", (changed, frame_hash(changed), offset)
    )
    assert "ringfence: diverged: " in ladder.call("explain", POSITION, status=1).stderr
    connection.execute("DELETE FROM journal WHERE offset = 0")
    connection.close()
    assert "ringfence: records_lost: " in ladder.call("explain", POSITION, status=1).stderr
