"""Marks that are made of several ticks: what is held back, whom it would have liquidated, and how old a mark is."""

import json
from typing import Any

import pytest

from ringfence.explain import explain_position
from ringfence.invariants import i8_snapshot_is_the_state
from ringfence.mark import shadow_list
from ringfence.scales import PRICE_ONE
from ringfence.snapshot import restore, snapshot
from ringfence_schemas.frames import Settings
from tests.core.desk import Desk, instrument, tiers, told
from tests.core.engines import Json

JUMP = {"max_jump": "0.1", "confirm_ticks": 1}


def crowd(size: int, **options: Any) -> Desk:
    """A desk with so many longs of ten at 100, the first with a margin of 60, each with one more than the one before,
    and a mark of 100.
    """
    desk = Desk(**options)
    for number in range(size):
        desk.deposit(f"a{number:03}", "1000")
        desk.buy(f"a{number:03}", "10", "100", margin=str(60 + number))
    desk.tick("100")
    return desk


def quarantined(desk: Desk, price: str, **fields: object) -> Json:
    """The decision that holds a tick of X back."""
    (decision,) = desk.tick(price, **fields)
    assert decision["type"] == "tick_quarantined"
    return decision


def test_the_shadow_list_looks_at_candidates_alone_and_changes_nothing() -> None:
    """At 89 the maintenance of ten is 44.5 and the loss 110: whoever put in 154 or less would go, 95 of 200.  The index
    names these, and gives the same snapshot and the same safe interval afterwards.
    """
    desk = crowd(200, mark=JUMP)
    index, before = desk.book.index, snapshot(desk.fold)
    standing = [(order.live, list(order.heap)) for order in index.orders], index.low, index.high
    assert len(index.reached(89 * PRICE_ONE, 0)) == 95
    assert [bucket.account.name for bucket in shadow_list(desk.book, 89 * PRICE_ONE)] == [
        f"a{number:03}" for number in range(95)
    ]
    assert snapshot(desk.fold) == before
    assert ([(order.live, list(order.heap)) for order in index.orders], index.low, index.high) == standing
    decision = quarantined(desk, "89")
    assert (decision["positions"], decision["notional"]) == (95, "84550")
    assert decision["accounts"] == [f"a{number:03}" for number in range(95)]


def test_the_shadow_list_is_who_goes_when_the_tick_is_confirmed() -> None:
    """Confirmed at the same price, the tick liquidates exactly those whom its quarantine counted."""
    desk = crowd(120, mark=JUMP, margin_call_levels=["1.5"])
    shadow = quarantined(desk, "88")
    decisions = desk.tick("88")
    assert decisions[0]["type"] == "tick_confirmed"
    gone = [decision["account"] for decision in decisions if decision["type"] == "liquidation_started"]
    assert (len(gone), gone[:100]) == (shadow["positions"], shadow["accounts"])


def test_a_hundred_accounts_are_named_and_all_are_counted() -> None:
    """At 50 all 103 would go; the first hundred are named."""
    decision = quarantined(crowd(103, mark=JUMP), "50")
    assert (decision["positions"], len(decision["accounts"]), decision["accounts"][-1]) == (103, 100, "a099")


def test_beyond_the_horizon_of_the_index_the_shadow_list_is_whole() -> None:
    """A steep tier bounds the index at sixteen times the price: at 1700 the short is found all the same, and the long
    that rose into the tier is not liquidated by it.
    """
    desk = Desk(mark=JUMP, tiers=tiers(("0", "0.05"), ("5000", "0.6")), margin_call_levels=["2"])
    desk.deposit("ann", "1000")
    desk.deposit("bob", "1000")
    desk.sell("ann", "10", "100", margin="1000")
    desk.buy("bob", "10", "100", margin="1000")
    desk.tick("100")
    assert quarantined(desk, "1700")["accounts"] == ["ann"]


def test_a_bucket_whose_level_is_gone_is_in_the_shadow_too() -> None:
    """Ann was called at 2; the next version has only 1.1, and she waits for every tick."""
    desk = Desk(mark=JUMP, margin_call_levels=["2"])
    desk.deposit("ann", "100")
    desk.buy("ann", "10", "100", margin="100")
    desk.tick("100")
    desk.change(2, mark=JUMP, margin_call_levels=["1.1"])
    assert quarantined(desk, "80")["accounts"] == ["ann"]


def test_in_a_halt_a_tick_held_back_would_have_liquidated_nobody() -> None:
    """No liquidation starts in a halt, and so none would have."""
    assert quarantined(crowd(3, mark=JUMP, halted=True), "50")["positions"] == 0


@pytest.mark.parametrize(("time_us", "positions"), [(399, 0), (400, 3), (401, 3)])
def test_a_tick_too_old_to_be_fresh_would_have_liquidated_nobody(time_us: int, positions: int) -> None:
    """At 500 a tick of 400 is just fresh under a limit of 100; one of 399 would have left the mark stale."""
    desk = crowd(3, mark={**JUMP, "max_age_us": 100})
    assert told(desk.play("deposit", account="z", asset="USDT", amount="1", time_us=500)) == ["mark_stale"]
    assert quarantined(desk, "50", time_us=time_us)["positions"] == positions


def test_a_clock_lets_a_mark_grow_stale_without_any_input() -> None:
    """A frame's clock moves engine time: at 107 the tick of 7 is a hundred old and fresh, at 108 it is not."""
    desk = crowd(2, mark={"max_age_us": 100})
    ticked_us = desk.time_us
    assert desk.fold.advance(ticked_us + 100) == []
    (stale,) = desk.fold.advance(ticked_us + 5_000)
    assert (type(stale).__name__, stale.time_us) == ("MarkStale", ticked_us + 101)
    assert (stale.cause.timer, stale.cause.due_us) == ("mark_age", ticked_us + 101)
    assert desk.fold.advance(ticked_us + 9_000) == []


def test_ticks_do_not_pile_up_timers() -> None:
    """A thousand ticks have one timer between them; it looks again when it was too early."""
    desk = Desk(mark={"max_age_us": 100})
    for _ in range(1000):
        assert desk.tick("100") == []
        assert len(desk.fold.state.timers) == 1
    assert told(desk.play("deposit", account="z", asset="USDT", amount="1", time_us=2_000)) == ["mark_stale"]
    assert desk.fold.state.timers == []


def test_a_source_that_takes_back_its_time_makes_the_mark_stale_sooner() -> None:
    """The only source says 100 at 60, then something of 30: a limit of 50 ends at 80, not at 110."""
    desk = Desk(mark={"max_age_us": 50})
    desk.tick("100", time_us=60)
    desk.tick("100", time_us=30)
    assert told(desk.play("deposit", account="z", asset="USDT", amount="1", time_us=80)) == []
    (stale,) = desk.play("deposit", account="z", asset="USDT", amount="1", time_us=100)
    assert (stale["time_us"], stale["newest_us"]) == (81, 30)
    assert desk.play("deposit", account="z", asset="USDT", amount="1", time_us=500) == []


def test_the_first_tick_of_all_may_be_stale() -> None:
    """An hour of silence, then a tick of long ago: there is a mark, and it is stale."""
    desk = Desk(mark={"max_age_us": 50})
    desk.deposit("ann", "70")
    desk.buy("ann", "10", "100", margin="40", time_us=3_600)
    assert told(desk.tick("100", time_us=5)) == ["mark_stale"]
    assert explain_position(desk.bucket("ann")).notes == (
        "The mark is stale: no liquidation starts before a source is fresh again.",
    )
    assert told(desk.tick("100", time_us=3_600)) == ["mark_fresh", "liquidation_started", "liquidation_order"]


def test_a_guard_that_is_taken_away_leaves_only_the_number_of_quarantines() -> None:
    """After a version without `mark` the next tick is the mark; a snapshot keeps the count, and the next is q2."""
    desk = crowd(1, mark=JUMP)
    quarantined(desk, "50")
    assert told(desk.change(2)) == ["instrument_changed", "parameter_change"]
    assert (desk.book.guard, desk.book.plain, desk.book.quarantines) == (None, True, 1)
    i8_snapshot_is_the_state(desk.fold)
    copy = restore(snapshot(desk.fold), Settings())
    assert (copy.state.books["X"].plain, copy.state.books["X"].quarantines) == (True, 1)
    desk.change(3, mark=JUMP)
    assert quarantined(desk, "50")["quarantine_id"] == "X|q2"


def test_a_guard_that_is_announced_holds_back_the_tick_that_brings_it() -> None:
    """The version takes effect at 50: the tick of that time is the first one that is held back."""
    desk = crowd(1)
    ways = [desk.book.plain]
    desk.change(2, mark=JUMP, effective_us=50)
    ways.append(desk.book.plain)
    assert ways == [True, False]
    desk.tick("95", time_us=49)
    assert told(desk.tick("60", time_us=50)) == ["instrument_changed", "tick_quarantined"]


def test_a_settled_instrument_takes_no_price_whatever_made_its_mark() -> None:
    """Its ticks are refused as those of any settled instrument, and its age interests nobody."""
    desk = crowd(1, mark={**JUMP, "max_age_us": 10})
    desk.play("settlement", instrument="X", price="100")
    assert told(desk.tick("100", time_us=500)) == ["instrument_closed"]
    assert desk.fold.state.timers == []


def test_what_waits_is_part_of_the_digest() -> None:
    """Two engines that differ in nothing but a tick held back differ in their digest, and so do two whose sources
    arrived in another order.
    """
    waiting, calm = crowd(1, mark=JUMP), crowd(1, mark=JUMP)
    waiting.tick("50", time_us=50)
    calm.tick("100", time_us=50)
    numbers = waiting.fold.state.numbers, calm.fold.state.numbers
    numbers[1].update(numbers[0])
    assert waiting.fold.digest() != calm.fold.digest()
    desks = [Desk(mark={"max_age_us": 9}), Desk(mark={"max_age_us": 9})]
    for desk, order in zip(desks, ("ab", "ba"), strict=True):
        for source in order:
            desk.tick("100", source=source, time_us=5)
    assert desks[0].fold.digest() != desks[1].fold.digest()


def test_how_many_agreed_is_part_of_the_digest() -> None:
    """One engine heard two ticks agree and the other only the second of them: the same waits in both, but the next tick
    confirms only the first one's.
    """
    desks = [crowd(1, mark={"max_jump": "0.1", "confirm_ticks": 3}) for _ in range(2)]
    for desk, times in zip(desks, ((50, 51, 52), (50, 52)), strict=True):
        for time_us in times:
            desk.tick("60", time_us=time_us)
    assert desks[0].fold.digest() != desks[1].fold.digest()
    assert [bool(desk.tick("60", time_us=53)) for desk in desks] == [True, False]


def test_what_makes_the_mark_does_not_depend_on_what_accounts_do() -> None:
    """Engine time has gone to 500 on one shard and stands at 60 on another: the mark is the mean of both sources on
    both, for by market time neither is old.  On the first it is stale.
    """
    marks = []
    for busy in (True, False):
        desk = Desk(mark={"method": "median", "sources": ["a", "b"], "max_age_us": 100})
        desk.tick("100", source="a", time_us=10)
        desk.tick("102", source="b", time_us=50)
        if busy:
            desk.play("deposit", account="z", asset="USDT", amount="1", time_us=500)
        desk.tick("104", source="a", time_us=60)
        assert desk.book.stale is busy
        marks.append(desk.book.mark)
    assert marks == [103 * PRICE_ONE, 103 * PRICE_ONE]


def test_a_word_taken_in_meanwhile_does_not_come_back_with_the_confirmation() -> None:
    """Under the median of five c's 78 waits; a agrees without moving anything, and then says 300.  When d confirms with
    84 the median is that of 78, 78, 84, 100 and 300.
    """
    desk = Desk(mark={"method": "median", "sources": list("abcde"), "max_jump": "0.1", "confirm_ticks": 2})
    for source in "abcde":
        desk.tick("100", source=source)
    desk.tick("78", source="a")
    desk.tick("78", source="b")
    assert told(desk.tick("78", source="c")) == ["tick_quarantined"]
    assert desk.tick("79", source="a") == desk.tick("300", source="a") == []
    (confirmed,) = desk.tick("84", source="d")
    assert (confirmed["type"], confirmed["mark_price"]) == ("tick_confirmed", "84")


def test_a_jump_that_others_have_announced_begins_a_movement_of_its_own() -> None:
    """b follows a to 80 without a doubt.  Back to 91 at the same time is a jump from 80, though near the 100 before."""
    desk = Desk(mark={"method": "median", "sources": ["a", "b", "c"], "max_jump": "0.1", "confirm_sources": 1})
    for source, price in (("a", "100"), ("b", "100"), ("c", "103")):
        desk.tick(price, source=source)
    desk.tick("80", source="a", time_us=50)
    assert desk.tick("80", source="b", time_us=50) == []
    assert desk.book.mark == 80 * PRICE_ONE
    assert told(desk.tick("91", source="b", time_us=50)) == ["tick_quarantined"]


def test_new_parameters_begin_a_new_movement() -> None:
    """Measured from 100 a tick of 88 would be a jump; after a new version of the same time it is measured from 95."""
    desk = crowd(0, mark=JUMP)
    desk.tick("95", time_us=50)
    desk.play(**instrument(mark=JUMP, version=2, time_us=50))
    assert desk.tick("88", time_us=50) == []


def test_a_mark_of_its_own_is_no_business_of_another_instrument() -> None:
    """One packed line: X holds its price back, Y has no bounds and takes its own."""
    desk = crowd(1, mark=JUMP)
    desk.play(**instrument(instrument="Y"))
    line = {"source": "feed", "prices": [["X", "50"], ["Y", "50"]]}
    assert told(desk.play("ticks", **line)) == ["tick_quarantined"]
    marks = {name: book.mark for name, book in desk.fold.state.books.items()}
    assert marks == {"X": 100 * PRICE_ONE, "Y": 50 * PRICE_ONE}


def test_held_ticks_too_old_at_their_confirmation_drop_out() -> None:
    """Under a median of three b waits with a, and is silent; when c confirms much later only c and a count."""
    sources = {"method": "median", "sources": ["a", "b", "c"], "max_age_us": 100}
    desk = Desk(mark={**sources, "max_jump": "0.1", "confirm_sources": 2})
    for source in "abc":
        desk.tick("100", source=source, time_us=10)
    desk.tick("50", source="a", time_us=20)
    assert told(desk.tick("50", source="b", time_us=20)) == ["tick_quarantined"]
    desk.tick("49", source="a", time_us=115)
    (stale, confirmed, fresh) = desk.tick("48", source="c", time_us=121)
    assert (stale["type"], fresh["type"]) == ("mark_stale", "mark_fresh")
    assert (confirmed["mark_price"], confirmed["sources"]) == ("48.5", 2)


def test_a_restored_engine_holds_back_and_grows_stale_as_the_live_one() -> None:
    """From the middle of a quarantine: confirmation, staleness and return are the same in both."""
    live = crowd(3, mark={"max_jump": "0.1", "confirm_ticks": 2, "max_age_us": 100})
    live.tick("60", source="a")
    live.tick("61", source="b")
    copy = crowd(0)
    copy.engine.fold = restore(snapshot(live.fold), Settings())
    copy.engine.line = live.engine.line
    for time_us, price in ((live.time_us + 1, "62"), (live.time_us + 900, "63")):
        event = {"type": "tick", "instrument": "X", "price": price, "time_us": time_us}
        decisions = live.engine.apply(json.dumps(event).encode())
        assert decisions
        assert copy.engine.apply(json.dumps(event).encode()) == decisions
        assert copy.engine.fold.digest() == live.engine.fold.digest()
