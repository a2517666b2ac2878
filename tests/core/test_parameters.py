"""Parameters that change while positions are open, and money that a change of leverage moves."""

from typing import Any

import pytest

from ringfence.explain import explain_position
from tests.core.desk import Desk, instrument, tiers, told


def position(margin: str, **options: Any) -> Desk:
    """A desk on which ann holds ten contracts bought at 100, with this margin and 500 in her wallet, without a mark."""
    desk = Desk(**options)
    desk.deposit("ann", "500")
    desk.deposit("ann", margin)
    desk.buy("ann", "10", "100", margin=margin)
    return desk


def test_a_stricter_version_liquidates_at_the_next_tick_and_says_why() -> None:
    """With 12 % instead of 5 % ann's 100 are too little: nothing happens at the change, the next tick at the same price
    liquidates her, uncalled because the parameters changed.
    """
    desk = position("100", margin_call_levels=["1.5"])
    assert told(desk.tick("100")) == []
    assert told(desk.change(2, margin_call_levels=["1.5"], tiers=tiers(("0", "0.12")))) == ["instrument_changed"]
    started, _order = desk.tick("100")
    assert (started["type"], started["no_call_reason"], started["parameters"]) == (
        "liquidation_started",
        "parameter_change",
        2,
    )


def test_after_that_tick_the_change_is_no_reason_any_more() -> None:
    """Whom the first tick after the change spared is, when the price falls through her level, a gap."""
    desk = position("130", margin_call_levels=["1.01"])
    desk.tick("100")
    desk.change(2, margin_call_levels=["1.01"], tiers=tiers(("0", "0.12")))
    assert told(desk.tick("100")) == []
    assert desk.tick("90")[0]["no_call_reason"] == "gap"


def test_a_later_version_supersedes_one_that_is_still_pending() -> None:
    """Version 3, effective at 50, replaces version 2, announced for 60; version 4 is announced behind it.  The first
    tick past each date puts it in force, at its own due time.
    """
    desk = position("100")
    assert told(desk.change(2, effective_us=60)) == ["requirement_announced"]
    assert told(desk.change(3, effective_us=50)) == ["requirement_announced"]
    assert told(desk.change(4, effective_us=70)) == ["requirement_announced"]
    assert [event.version for event in desk.book.pending] == [3, 4]
    assert desk.tick("100", time_us=49) == []
    (changed,) = desk.tick("100", time_us=50)
    assert (changed["version"], changed["previous_version"]) == (3, 1)
    assert changed["cause"] == {"timer": "effective_date", "due_us": 50}
    assert [decision["version"] for decision in desk.tick("100", time_us=99)] == [4]


def test_two_versions_may_take_effect_at_one_tick() -> None:
    """A tick past both dates puts one in force after the other."""
    desk = position("100")
    desk.change(2, effective_us=50)
    desk.change(3, effective_us=60)
    assert [decision["version"] for decision in desk.tick("100", time_us=60)] == [2, 3]


def test_an_asset_may_be_stated_after_its_first_use_and_must_agree() -> None:
    """The first use of an unstated asset fixes eight decimals: stating eight afterwards is fine, and the second time no
    news; six is refused.
    """
    desk = Desk()
    desk.deposit("ann", "1")
    assert told(desk.play("asset", asset="USDT", decimals=6)) == ["immutable_field"]
    assert desk.play("asset", asset="USDT", decimals=8) == []
    assert desk.play("asset", asset="USDT", decimals=8) == []
    assert (desk.fold.applied, desk.fold.already_applied, desk.fold.refused) == (3, 1, 1)


def test_a_source_without_numbers_gives_a_price_each_time() -> None:
    """A tick that names its source but no sequence is a new observation whenever it comes."""
    desk = Desk()
    assert desk.tick("100", source="feed") == desk.tick("100", source="feed") == []
    assert (desk.fold.applied, desk.fold.already_applied) == (3, 0)


@pytest.mark.parametrize(("wallet", "said"), [("99.99999999", ["insufficient_wallet"]), ("100", []), ("100.1", [])])
def test_rebalancing_to_a_lower_leverage_needs_the_whole_difference(wallet: str, said: list[str]) -> None:
    """From 10 times to 5 times a position of 1000 takes another 100 from the wallet, all or nothing."""
    desk = Desk(default_leverage="10")
    desk.deposit("ann", "100")
    desk.buy("ann", "10", "100")
    desk.deposit("ann", wallet)
    assert told(desk.command("set_leverage", "ann", leverage="5", rebalance=True)) == said
    assert desk.position("ann")["collateral"] == ("100" if said else "200")


def test_rebalancing_to_a_higher_leverage_needs_a_mark() -> None:
    """What would be freed is judged at the mark; without one it is refused."""
    desk = position("500")
    assert told(desk.command("set_leverage", "ann", leverage="10", rebalance=True)) == ["no_mark"]
    desk.tick("100")
    assert told(desk.command("set_leverage", "ann", leverage="10", rebalance=True)) == []
    assert desk.position("ann")["collateral"] == "100"


@pytest.mark.parametrize(("price", "said"), [("99", ["not_removable"]), ("100", []), ("101", [])])
def test_rebalancing_never_frees_more_than_may_be_removed(price: str, said: list[str]) -> None:
    """At the entry price, and above it, 400 of 500 are free at 10 times leverage; a price below leaves a loss to stand
    behind, and nothing is moved at all.
    """
    desk = position("500")
    desk.tick(price)
    assert told(desk.command("set_leverage", "ann", leverage="10", rebalance=True)) == said
    assert desk.position("ann")["collateral"] == ("500" if said else "100")


def test_a_fraction_of_a_unit_is_not_moved() -> None:
    """At 3 times leverage 333.33333334 stand behind 1000, rounded up; rebalancing to the same leverage leaves it."""
    desk = Desk(default_leverage="3")
    desk.deposit("ann", "1000")
    desk.buy("ann", "10", "100")
    assert desk.command("set_leverage", "ann", leverage="3", rebalance=True) == []
    assert desk.position("ann")["collateral"] == "333.33333334"


def test_packed_ticks_let_the_dates_they_reach_pass_in_order_before_any_price() -> None:
    """Y changes at 50, X at 60 and again at 80: packed ticks of time 60, X first, put Y and then X in force and leave
    the date they do not reach.
    """
    desk = Desk()
    desk.play(**instrument(instrument="Y"))
    desk.change(2, effective_us=60)
    desk.change(3, effective_us=80)
    desk.play(**instrument(instrument="Y", version=2, effective_us=50))
    changes = desk.play("ticks", source="feed", prices=[["X", "100"], ["Y", "100"]], time_us=60)
    assert [(change["instrument"], change["cause"]["due_us"]) for change in changes] == [("Y", 50), ("X", 60)]
    assert [event.version for event in desk.book.pending] == [3]


def test_no_liquidation_starts_in_a_halt_and_the_first_tick_after_it_judges() -> None:
    """Equity is gone at 80; the call says so, every tick looks again, and lifting the halt alone decides nothing."""
    desk = Desk(default_leverage="5", margin_call_levels=["2"], halted=True)
    desk.deposit("ann", "200")
    desk.buy("ann", "10", "100")
    assert told(desk.tick("80")) == ["called"]
    assert told(desk.tick("79")) == []
    assert told(desk.command("add_margin", "ann", amount="1")) == ["insufficient_wallet"]
    assert "The instrument is halted: no liquidation starts." in explain_position(desk.bucket("ann")).notes
    assert told(desk.change(2, default_leverage="5", margin_call_levels=["2"])) == ["instrument_changed"]
    assert told(desk.tick("79")) == ["liquidation_started", "liquidation_order"]
