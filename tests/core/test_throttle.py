"""The throttle: shares, who goes first, and that a queue survives a snapshot."""

import json

import pytest

from ringfence.snapshot import _BOOK, _LIQUIDATION, restore, snapshot
from ringfence_schemas.frames import Settings
from tests.core.desk import Desk, tiers
from tests.core.engines import Json


def crowd(notional: str, settings: Settings | None = None, **margins: str) -> Desk:
    """Longs of ten at 100, in liquidation at 94, where each orders three: 282."""
    throttle = {"notional": notional, "interval_us": 1_000}
    desk = Desk(settings, liquidation={"throttle": throttle, "max_steps": 9})
    for account, margin in margins.items():
        desk.deposit(account, "500")
        desk.buy(account, "10", "100", margin=margin)
    desk.tick("94")
    return desk


def ordered(decisions: list[Json]) -> list[str]:
    """Whose orders went out."""
    return [decision["account"] for decision in decisions if decision["type"] == "liquidation_order"]


def out(desk: Desk) -> set[str]:
    """Whose order is out."""
    return {name for name, bucket in desk.book.buckets.items() if bucket.liquidation and not bucket.liquidation.waiting}


@pytest.mark.parametrize(
    ("notional", "orders"),
    [
        ("1692", [2, 2, 2]),
        ("1691.99999999", [2, 2, 1]),
        ("1691.99999998", [2, 1, 1]),
        ("1691.99999997", [1, 1, 1]),
        ("3", [1, 1, 1]),
        ("0.00000002", [1, 1, 1]),
    ],
)
def test_the_first_shards_have_the_units_that_cannot_be_split(notional: str, orders: list[int]) -> None:
    """Three shards share 1692 as 564, two orders each; with one, two, three units less one after the other has room for
    one alone.  A share below one order, or of nothing, lets one go.
    """
    desks = [crowd(notional, Settings(shard=shard, shards=3), ann="100", bob="100", cat="100") for shard in range(3)]
    assert [len(out(desk)) for desk in desks] == orders


def test_the_least_margin_ratio_goes_first_and_equal_ones_by_name() -> None:
    """Dan goes first because he came first; then cat, who has least, then ann and bob, who have the same."""
    desk = crowd("282", dan="100")
    for account, margin in (("bob", "99"), ("cat", "98"), ("ann", "99")):
        desk.deposit(account, "500")
        desk.buy(account, "10", "100", margin=margin)
    went = [ordered(desk.tick("94", time_us=time_us)) for time_us in (1_000, 2_000, 3_000, 4_000)]
    assert went == [["cat"], ["ann"], ["bob"], []]


def test_where_nothing_is_to_be_maintained_those_without_equity_go_first_and_those_with_some_last() -> None:
    """Below a notional of 900 nothing is.  At 89 zoe's ten are worth 890 and she lacks 50, bob has 60; cat
    has twice as many, and lacks 60 of 440.  Ann's order was out before.
    """
    throttle = {"notional": "1", "interval_us": 1_000}
    desk = Desk(tiers=tiers(("0", "0"), ("900", "0.5")), liquidation={"throttle": throttle, "max_steps": 9})
    for account in ("ann", "bob", "cat", "zoe"):
        desk.deposit(account, "500")
    desk.buy("ann", "10", "100", margin="80")
    desk.sell("bob", "10", "80", margin="150")
    desk.buy("cat", "20", "100", margin="160")
    desk.buy("zoe", "10", "100", margin="60")
    assert ordered(desk.tick("94")) == ["ann"]
    desk.tick("89")
    went = [ordered(desk.tick("89", time_us=time_us)) for time_us in (1_000, 2_000, 3_000, 4_000)]
    assert went == [["zoe"], ["cat"], ["bob"], []]


def test_who_was_passed_over_is_the_first_of_the_next_interval() -> None:
    """Bob's order does not fit beside cat's.  Meanwhile dan is worse off, and still bob goes before him."""
    desk = crowd("300", ann="100", bob="99", cat="98")
    assert ordered(desk.tick("94", time_us=1_000)) == ["cat"]
    desk.deposit("dan", "500")
    desk.buy("dan", "10", "100", margin="90")
    assert ordered(desk.tick("94", time_us=2_000)) == ["bob"]
    assert ordered(desk.tick("94", time_us=3_000)) == ["dan"]


def test_a_deadline_at_the_moment_of_a_release_waits_behind_it() -> None:
    """Ann's deadline and bob's release are due at once: bob goes, and ann's next step waits for another interval."""
    desk = Desk(liquidation={"throttle": {"notional": "300", "interval_us": 1_000}, "deadline_us": 1_000 - 6})
    for account, margin in (("ann", "100"), ("bob", "99")):
        desk.deposit(account, "500")
        desk.buy(account, "10", "100", margin=margin)
    assert ordered(desk.tick("94")) == ["ann"]
    assert ordered(desk.tick("94", time_us=1_000)) == ["bob"]
    assert ordered(desk.tick("94", time_us=2_000)) == ["ann"]


def test_another_interval_begins_anew_unless_it_begins_at_the_same_moment() -> None:
    """An order is 282 of 300.  A new length whose interval begins at 500 has room; one that begins at 0 has none."""
    for interval_us, expected in ((500, ["bob"]), (2_000, [])):
        desk = crowd("300", ann="100")
        desk.deposit("bob", "500")
        desk.time_us = 600
        desk.change(2, liquidation={"throttle": {"notional": "300", "interval_us": interval_us}})
        assert ordered(desk.buy("bob", "10", "100", margin="100")) == expected


def test_a_queue_survives_a_snapshot_and_is_in_the_digest() -> None:
    """A restored queue has the same digest and lets the same orders go; each part that differs is another state."""
    desk = crowd("300", ann="100", bob="99", cat="98")
    desk.tick("94", time_us=1_000)
    data, digest = snapshot(desk.fold), desk.fold.digest()
    copy = Desk()
    copy.engine.fold = copy.fold = restore(data, Settings())
    assert copy.fold.digest() == digest
    assert snapshot(copy.fold) == data
    for name, value in (("ordered", 1), ("ordered_from_us", 0), ("release_us", 3_000)):
        changed = json.loads(data)
        changed["books"][0]["values"][_BOOK.index(name)] = value
        assert restore(json.dumps(changed).encode(), Settings()).digest() != digest
    for name in ("whole", "passed_over"):
        changed = json.loads(data)
        (bob,) = (bucket for bucket in changed["books"][0]["buckets"] if bucket[0] == "bob")
        bob[2][_LIQUIDATION.index(name)] ^= True
        assert restore(json.dumps(changed).encode(), Settings()).digest() != digest
    tick = json.dumps({"type": "tick", "instrument": "X", "price": "94", "time_us": 2_000}).encode()
    assert ordered(copy.engine.apply(tick)) == ordered(desk.engine.apply(tick)) == ["bob"]
    assert copy.fold.digest() == desk.fold.digest()
