"""Claims about a log whose engine is killed, stopped, doubled, or watched while it writes."""

import random
import signal
import sqlite3
import subprocess

import pytest

from tests.streams.command import LADDER, Folder, Json, deposit, eventually, lines, objects, start

ACCOUNTS = 40


def busy_stream(inputs: int, seed: int = 1) -> bytes:
    """Prices and fills on two instruments: enough for margin calls, liquidations and takeovers."""
    chance = random.Random(seed)
    tiers = [{"floor": "0", "maintenance_rate": "0.01", "max_leverage": "50"}]
    stream: list[Json] = []
    for name in ("A", "B"):
        stream.append(
            {
                "type": "instrument",
                "instrument": name,
                "version": 1,
                "contract": "linear",
                "settle_asset": "USDT",
                "price_tick": "0.1",
                "quantity_step": "0.1",
                "tiers": tiers,
                "default_leverage": "20",
                "margin_call_levels": ["2"],
                "liquidation": {"mode": "takeover"},
                "time_us": 1,
            }
        )
        stream.append({"type": "tick", "instrument": name, "price": "100", "time_us": 2})
    stream += [{**deposit(n, f"account-{n}"), "amount": "100000", "time_us": 3} for n in range(ACCOUNTS)]
    prices = {"A": 1_000, "B": 1_000}
    for number in range(inputs):
        name, time_us = chance.choice("AB"), 10 + number
        if chance.random() < 0.3:
            prices[name] = max(500, prices[name] + chance.randint(-12, 12))
            price = f"{prices[name] // 10}.{prices[name] % 10}"
            stream.append({"type": "tick", "instrument": name, "price": price, "time_us": time_us})
        else:
            stream.append(
                {
                    "type": "fill",
                    "fill_id": f"f{number}",
                    "account": f"account-{chance.randrange(ACCOUNTS)}",
                    "instrument": name,
                    "side": chance.choice(("buy", "sell")),
                    "quantity": str(chance.randint(1, 9)),
                    "price": f"{prices[name] // 10}.{prices[name] % 10}",
                    "time_us": time_us,
                }
            )
    return lines(*stream)


def test_an_engine_killed_in_mid_stream_goes_on_as_if_nothing_had_happened(folder: Folder) -> None:
    """A1: kill -9 while frames are written, beside a log that verifies at that very moment; the next engine decides
    what one that was never killed decides, with the same state.
    """
    stream = busy_stream(6_000)
    (folder.path / "undisturbed").mkdir()
    undisturbed = Folder(folder.path / "undisturbed", folder.capture)
    for each in (folder, undisturbed):
        each.publish(stream)
    undisturbed.drain()
    with start("run", "--log", folder.log, "--clock", "events", stdin=None) as engine:
        eventually(lambda: frames(folder) > 1, "some frames are written")
        engine.kill()
        assert engine.wait() == -signal.SIGKILL
    (found,) = objects(folder.call("verify", "--json").stdout)
    assert 0 < found["inputs"] < stream.count(b"\n"), "killed too late to prove anything"
    folder.drain()
    (resumed,), (whole,) = (objects(each.call("verify", "--json").stdout) for each in (folder, undisturbed))
    for name in ("inputs", "decisions", "accounts", "account_links", "state"):
        assert resumed[name] == whole[name]
    assert resumed["decisions"]["liquidations"] > 0
    assert resumed["epochs"] == 2


def test_a_log_verifies_while_an_engine_writes_it(folder: Folder) -> None:
    """Each verification beside a running engine covers what stood in the journal when it began."""
    folder.publish(busy_stream(6_000))
    seen: list[int] = []
    with start("run", "--log", folder.log, "--clock", "events", stdin=None) as engine:
        eventually(lambda: frames(folder) > 1, "the engine writes")
        for _ in range(2):
            (found,) = objects(folder.call("verify", "--json").stdout)
            seen.append(found["seq"])
            folder.publish(busy_stream(10))
            eventually(lambda: frames(folder) > seen[-1], "the engine goes on")
        engine.terminate()
        assert engine.wait() == 0
    assert seen[0] < seen[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_engine_finishes_its_frame_and_releases_the_shard(number: signal.Signals, folder: Folder) -> None:
    """Asked to stop in mid-stream, the engine ends with status 0; its last frame is a release, inputs are left."""
    folder.publish(busy_stream(6_000))
    with start("run", "--log", folder.log, "--clock", "events", stdin=None) as engine:
        eventually(lambda: frames(folder) > 1, "some frames are written")
        engine.send_signal(number)
        assert engine.wait() == 0
    assert folder.tail("journal", "--from", "-1")[0]["kind"] == "release"
    (status,) = objects(folder.call("status", "--json").stdout)
    assert status["released"]
    assert sum(source["lag"] for source in status["sources"]) > 0


def test_a_second_engine_ends_or_waits_as_it_is_told(folder: Folder) -> None:
    """While one engine owns the shard a second one stops with `shard_owned`, or follows until the first is killed."""
    folder.publish(LADDER)
    with start("run", "--log", folder.log, "--clock", "events", stdin=None) as first:
        assert told(first) == ["following", "owner"]
        refused = folder.call("run", "--no-stand-by", status=1)
        assert "ringfence: shard_owned: " in refused.stderr
        with start("run", "--log", folder.log, "--clock", "events", stdin=None) as second:
            assert told(second, 1) == ["following"]
            first.kill()
            assert told(second, 1) == ["owner"]
            second.terminate()
            assert second.wait() == 0
    assert [frame["kind"] for frame in folder.tail("journal")].count("epoch") == 2


def told(engine: subprocess.Popen[bytes], count: int = 2) -> list[str]:
    """The next states that an engine tells."""
    assert engine.stderr is not None
    return [engine.stderr.readline().decode().split()[-1] for _ in range(count)]


def frames(folder: Folder) -> int:
    """How many frames stand in the file."""
    with sqlite3.connect(f"file:{folder.path / 'risk.db'}?mode=ro", uri=True, timeout=60) as connection:
        count: int = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
    connection.close()
    return count
