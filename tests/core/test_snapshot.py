"""Snapshots: the state as bytes, and back, whatever is going on at the moment."""

import json

import pytest

from ringfence.invariants import i8_snapshot_is_the_state
from ringfence.snapshot import _BOOK, _BUCKET, VERSION, SnapshotUnreadable, restore, snapshot
from ringfence_schemas.frames import Settings
from tests.core.desk import Desk, tiers, told

MINUTE_US = 60_000_000


def busy() -> Desk:
    """A desk with a called bucket, a liquidation in flight, a pending version, numbered sources and an empty shell."""
    desk = Desk(margin_call_levels=["2", "1.5"], liquidation={"deadline_us": 1000, "max_steps": 5})
    for account in ("ann", "bob", "cat"):
        desk.deposit(account, "1000")
    desk.tick("100", source="feed", sequence=1)
    desk.buy("ann", "10", "100", margin="100")
    desk.buy("bob", "10", "100", margin="140")
    desk.sell("cat", "10", "100", margin="140")
    desk.command("set_leverage", "dan", leverage="7")
    desk.funding("0.0001")
    assert "liquidation_started" in told(desk.tick("94", source="feed", sequence=2))
    desk.change(2, tiers=tiers(("0", "0.06")), effective_us=500)
    return desk


@pytest.mark.parametrize("data", [b"", b"no JSON", b"\xff", b"[]", b"{}", b"5"])
def test_what_is_no_snapshot_is_said_to_be_none(data: bytes) -> None:
    """Bytes that hold no snapshot are unreadable, whatever they hold."""
    with pytest.raises(SnapshotUnreadable, match="not a snapshot"):
        restore(data, Settings())


def test_a_snapshot_that_lost_a_part_is_said_to_be_none() -> None:
    """Whichever part of a busy snapshot is missing, it is unreadable, not half a state."""
    whole = json.loads(snapshot(busy().fold))
    for part in whole:
        with pytest.raises(SnapshotUnreadable):
            restore(json.dumps({name: value for name, value in whole.items() if name != part}).encode(), Settings())


def test_a_snapshot_of_another_version_is_not_read() -> None:
    """The message names both versions."""
    content = {**json.loads(snapshot(Desk().fold)), "version": VERSION + 1}
    with pytest.raises(SnapshotUnreadable, match=f"version {VERSION + 1}, this engine reads {VERSION}"):
        restore(json.dumps(content).encode(), Settings())


def test_everything_in_flight_is_written_down() -> None:
    """With a call, a liquidation, a pending version and numbered sources open, the restored state has the same digest
    and the same bytes.
    """
    desk = busy()
    i8_snapshot_is_the_state(desk.fold)
    copy = restore(snapshot(desk.fold), Settings())
    book = copy.state.books["X"]
    run = book.buckets["ann"].liquidation
    assert run is not None
    assert (run.step, len(book.pending), sorted(book.sources), len(copy.state.timers)) == (1, 1, ["feed"], 1)
    assert (book.buckets["bob"].case_id, book.buckets["dan"].leverage) == ("bob|X|c1", 7 * 10**18)


def test_a_restored_engine_goes_on_as_the_live_one() -> None:
    """A repeated tick, a fill of the executor, the deadline, the pending version and a fall: both decide alike."""
    live, copy = busy(), busy()
    copy.engine.fold = restore(snapshot(copy.fold), Settings())
    story = [
        {"type": "tick", "instrument": "X", "price": "94", "source": "feed", "sequence": 2, "time_us": 11},
        {"type": "tick", "instrument": "X", "price": "94", "source": "feed", "sequence": 1, "time_us": 300},
        {"type": "tick", "instrument": "X", "price": "95", "time_us": 600},
        {"type": "tick", "instrument": "X", "price": "93", "time_us": 2000},
        {"type": "tick", "instrument": "X", "price": "70", "time_us": 2001},
    ]
    for event in story:
        data = json.dumps(event).encode()
        assert live.engine.apply(data) == copy.engine.apply(data)
        assert live.engine.fold.digest() == copy.engine.fold.digest()
    assert live.engine.fold.already_applied == copy.engine.fold.already_applied
    assert live.book.rules.version == 2


def test_an_id_that_expired_and_came_again_is_written_down_twice() -> None:
    """An id used at 10 seconds expires when the window begins at 20 and is used again at 30, in the same minute: the
    restored engine knows the second use.
    """
    desk = Desk(Settings(id_window_us=MINUTE_US))
    second_us = MINUTE_US // 60
    money = {"account": "ann", "asset": "USDT", "amount": "5", "transfer_id": "d"}
    desk.play("deposit", **money, time_us=MINUTE_US + 10 * second_us)
    desk.tick("100", time_us=2 * MINUTE_US + 20 * second_us)
    desk.play("deposit", **money, time_us=MINUTE_US + 30 * second_us)
    assert desk.fold.state.assets["USDT"].wallets["ann"] == 10 * 10**8
    i8_snapshot_is_the_state(desk.fold)
    copy = restore(snapshot(desk.fold), Settings(id_window_us=MINUTE_US))
    desk.engine.fold = copy
    assert desk.engine.apply(json.dumps({"type": "deposit", **money, "time_us": 90 * second_us}).encode()) == []
    assert copy.already_applied == 1


def test_what_wallets_paid_is_in_the_digest_even_after_the_bucket_closed() -> None:
    """A payment of one unit more or less, before or after the position is gone, is another state."""
    desk = Desk(funding_payer="free_balance_first", liquidation={"mode": "takeover"})
    desk.deposit("ann", "100")
    desk.buy("ann", "1", "100", margin="50")
    desk.tick("100")
    desk.funding("0.1")
    for price in ("100", "40"):
        desk.tick(price)
        i8_snapshot_is_the_state(desk.fold)
        other = json.loads(snapshot(desk.fold))
        (bucket,) = other["books"][0]["buckets"]
        bucket[1][_BUCKET.index("drawn")] += 1
        assert restore(json.dumps(other).encode(), Settings()).digest() != desk.fold.digest()
    assert not desk.bucket("ann").size


def test_the_last_funding_payment_is_in_the_digest() -> None:
    """Two states that predict another liquidation price after funding are two states."""
    desk = Desk()
    desk.funding("0.1", price="100")
    other = json.loads(snapshot(desk.fold))
    other["books"][0]["values"][_BOOK.index("funding_payment")] += 1
    assert restore(json.dumps(other).encode(), Settings()).digest() != desk.fold.digest()
