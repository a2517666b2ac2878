"""The trigger index: nobody is missed, whatever the tiers, the price or the funding do.

Every step of a desk is watched: after it each bucket stands where a scan without the index says (I5, I6).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.index import CEILING_FACTOR, STALE_ALLOWANCE
from ringfence.scales import ONE
from tests.core.desk import Desk, tiers, told

STEEP = tiers(("0", "0.05"), ("1000", "0.4"))
"""Maintenance 0.4 * N - 350 from a notional of 1000 on: three times that grows faster than the position does."""


def price_of(value: int) -> int:
    """A mark in price units, in whole prices."""
    return value // ONE**2


def test_a_rising_price_calls_a_long_whose_tier_is_steep() -> None:
    """Twenty contracts paid in full are worth 20 * P and must hold three times 8 * P - 350: called from 262.5 upwards,
    recovered, at five per cent more than that, from 212.02 downwards.
    """
    desk = Desk(tiers=STEEP, margin_call_levels=["3"])
    desk.deposit("ann", "2000")
    desk.tick("100")
    desk.buy("ann", "20", "100", margin="2000")
    said = [told(desk.tick(price)) for price in ("262", "263", "264", "213", "212", "262", "263")]
    assert said == [[], ["called"], [], [], ["recovered"], [], ["called"]]


def test_the_safe_interval_ends_where_the_steep_tier_begins() -> None:
    """Twenty contracts reach the steep tier at a price of 50: from there on every tick looks at them."""
    desk = Desk(tiers=STEEP, margin_call_levels=["3"])
    desk.deposit("ann", "2000")
    desk.tick("45")
    desk.buy("ann", "20", "45", margin="2000")
    assert price_of(desk.book.index.high) == 50
    desk.tick("50")
    assert desk.book.index.high <= desk.book.mark  # type: ignore[operator]  # there is a mark


def test_a_table_may_be_steep_from_its_first_tier_on() -> None:
    """With half of the notional to be held twice over, a long with 10 beyond its price is never called, one with
    nothing beyond it always, and a change of price changes neither.
    """
    desk = Desk(tiers=tiers(("0", "0.5")), margin_call_levels=["2"])
    for account, margin in (("ann", "110"), ("bob", "100")):
        desk.deposit(account, "500")
        desk.buy(account, "1", "100", margin=margin)
    assert [told(desk.tick(price)) for price in ("100", "50", "400")] == [["called"], [], []]
    assert (desk.bucket("ann").level, desk.bucket("bob").level) == (0, 2 * ONE)


def test_the_way_back_up_may_be_level() -> None:
    """Where recovery asks for exactly what the position is worth, no price brings it and money does: bob, worth 25 less
    than his contract, recovers with 25 more, at any price, and not with a cent less.
    """
    desk = Desk(tiers=tiers(("0", "0.5")), margin_call_levels=["1.6"], recover="0.25")
    desk.deposit("bob", "500")
    desk.tick("100")
    assert told(desk.buy("bob", "1", "100", margin="75")) == ["called"]
    assert [told(desk.tick(price)) for price in ("124", "126", "1500", "51")] == [[], [], [], []]
    assert told(desk.command("add_margin", "bob", amount="24.99")) == []
    assert told(desk.tick("1500")) == []
    assert told(desk.command("add_margin", "bob", amount="0.01")) == ["recovered"]


def test_the_way_back_up_of_an_inverse_short_may_be_level() -> None:
    """The same where a unit is worth 1 / P: a short of 1000 dollars asks for exactly what it is worth, at any price."""
    desk = Desk(contract="inverse", tiers=tiers(("0", "0.5")), margin_call_levels=["1.6"], recover="0.25")
    desk.deposit("bob", "500")
    desk.tick("100")
    assert told(desk.sell("bob", "1000", "100", margin="7.5")) == ["called"]
    assert [told(desk.tick(price)) for price in ("95", "101", "180", "110")] == [[], [], [], []]
    assert told(desk.command("add_margin", "bob", amount="2.49999999")) == []
    assert told(desk.tick("180")) == []
    assert told(desk.command("add_margin", "bob", amount="0.00000001")) == ["recovered"]


def test_positions_without_a_mark_are_in_no_tier_yet() -> None:
    """Where the tier at the mark counts, the first price finds everybody's, and the one beyond its maintenance."""
    desk = Desk(tier_mode="whole", tiers=tiers(("0", "0.01"), ("1000", "0.25")))
    for account, quantity in (("ann", "9"), ("bob", "11"), ("cat", "9")):
        desk.deposit(account, "200")
        desk.buy(account, quantity, "100", margin="150")
    desk.sell("cat", "9", "100")
    assert told(desk.tick("100"))[0] == "liquidation_started"
    assert [account for account in ("ann", "bob") if desk.bucket(account).liquidation] == ["bob"]


@pytest.mark.parametrize("prices", [("1599", "1600", "1601", "52499", "52500"), ("52499", "52500"), ("52500",)])
def test_a_price_above_the_ceiling_enters_everybody_anew(prices: tuple[str, ...]) -> None:
    """One contract entered at 100 lies sixteen times below its steep tier; a price that leaps there still calls it at
    52500, where P stands at 3 * (0.4 * P - 3500), and not at 52499.
    """
    desk = Desk(tiers=tiers(("0", "0.05"), ("10000", "0.4")), margin_call_levels=["3"])
    desk.deposit("ann", "100")
    desk.buy("ann", "1", "100", margin="100")
    desk.tick("100")
    assert price_of(desk.book.index.ceiling) == 100 * CEILING_FACTOR
    said = [told(desk.tick(price)) for price in prices]
    assert said == [[]] * (len(prices) - 1) + [["called"]]


def test_a_bucket_opened_above_the_ceiling_is_watched_at_once() -> None:
    """The ceiling stands around the first price; a position opened far above it is judged like any other."""
    desk = Desk(tiers=tiers(("0", "0.05"), ("10000", "0.4")), margin_call_levels=["3"])
    for account in ("ann", "bob"):
        desk.deposit(account, "100000")
    desk.buy("ann", "1", "100", margin="100")
    desk.tick("60000")
    assert told(desk.buy("bob", "1", "60000", margin="60000")) == ["called"]


@pytest.mark.parametrize("sign", ["", "-"])
def test_funding_that_leaves_the_horizon_enters_everybody_once(sign: str) -> None:
    """The horizon of a price of 100 is an eighth, 12.5 per contract, either way: funding of 12 stays inside, one more
    leaves it and moves the anchor there, one more stays inside the new one.
    """
    desk = Desk(tiers=STEEP)
    for account in ("ann", "bob"):
        desk.deposit(account, "2000")
    desk.tick("100")
    desk.buy("ann", "15", "100", margin="900")
    desk.sell("bob", "15", "100", margin="900")
    anchors = []
    for rate in ("0.12", "0.01", "0.01"):
        desk.funding(sign + rate)
        anchors.append(desk.book.index.anchor_funding // ONE**2)
    moved = -13 if sign else 13
    assert anchors == [0, moved, moved]


def test_stale_entries_are_swept() -> None:
    """An account that takes out its margin unit by unit leaves an entry behind each time; no order ever holds more than
    twice what counts in it and a small allowance, and the trigger price is still met to the tick.
    """
    desk = Desk(tiers=tiers(("0", "0.05")))
    desk.deposit("ann", "1000")
    desk.tick("100")
    desk.buy("ann", "10", "100", margin="500")
    desk.command("set_leverage", "ann", leverage="20")
    for _ in range(3 * STALE_ALLOWANCE):
        assert desk.command("remove_margin", "ann", amount="1") == []
        assert all(len(order.heap) <= 2 * order.live + STALE_ALLOWANCE for order in desk.book.index.orders)
    assert sum(order.live for order in desk.book.index.orders) == 1
    assert desk.position("ann")["liquidation_price"] == "72"
    assert told(desk.tick("73")) == []
    assert told(desk.tick("72"))[0] == "liquidation_started"


def test_slots_of_closed_positions_are_used_again() -> None:
    """A hundred positions of which two are open at a time need two slots."""
    desk = Desk()
    desk.tick("100")
    for number in range(50):
        for account in (f"a{number}", f"b{number}"):
            desk.deposit(account, "100")
            desk.buy(account, "1", "100", margin="50")
        for account in (f"a{number}", f"b{number}"):
            desk.sell(account, "1", "100")
    assert len(desk.book.index.slots) == 2


def test_positions_without_a_mark_are_judged_by_the_first_tick() -> None:
    """Funding and fills before the first price judge nobody; the first price judges everybody."""
    desk = Desk()
    desk.deposit("ann", "100")
    assert desk.buy("ann", "1", "100", margin="10") == []
    assert desk.funding("0.02", price="100") == []
    assert told(desk.tick("97")) == []
    assert told(desk.tick("96"))[0] == "liquidation_started"


KINDS = ("tick", "tick", "tick", "tick", "funding", "add_margin", "remove_margin", "trade")
acts = st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(1, 60), st.booleans())


@given(table=st.sampled_from([STEEP, tiers(("0", "0.34")), tiers(("0", "0.2"), ("300", "0.5"), ("900", "0.95"))]),
       acts=st.lists(acts, min_size=10, max_size=40))  # fmt: skip
def test_the_index_finds_whom_a_scan_finds(table: list[dict[str, str]], acts: list[tuple[str, int, int, bool]]) -> None:
    """Under steep tables, for both sides, through leaps of price and funding, everybody stands after every step where
    a scan of all positions says.
    """
    desk = Desk(tiers=table, margin_call_levels=["3", "1.5"], recover="0.1")
    desk.tick("20")
    for number in range(6):
        desk.deposit(f"a{number}", "9000")
        fill = desk.buy if number % 2 else desk.sell
        fill(f"a{number}", str(5 + 9 * number), "20", margin=str(80 * (number + 1)))
    for kind, number, amount, up in acts:
        account = f"a{number}"
        match kind:
            case "tick":
                desk.tick(str(amount * (20 if number == 5 else 1)))
            case "funding":
                desk.funding(("" if up else "-") + str(amount), price="0.05")
            case "trade":
                (desk.buy if up else desk.sell)(account, str(amount), "20")
            case _:
                desk.command(kind, account, amount=str(amount * 5))


def test_new_parameters_lay_the_index_out_again() -> None:
    """New tiers hold for everybody open, even where there is no price yet: with 8 % instead of 5 % a long at 100 that
    has 10 of margin stands until 97.83.
    """
    desk = Desk()
    desk.change(2)
    desk.deposit("ann", "100")
    desk.buy("ann", "1", "100", margin="10")
    desk.change(3, tiers=tiers(("0", "0.08")))
    assert told(desk.tick("98")) == []
    assert told(desk.tick("97"))[0] == "liquidation_started"


def test_who_came_back_after_the_levels_went_is_judged_once() -> None:
    """Ann is called, the levels are abolished, she closes and opens anew: the next price liquidates her once."""
    desk = Desk(margin_call_levels=["3"])
    desk.deposit("ann", "100")
    desk.tick("100")
    assert told(desk.buy("ann", "1", "100", margin="10")) == ["called"]
    desk.change(2)
    assert told(desk.sell("ann", "1", "100")) == ["closed"]
    desk.buy("ann", "1", "100", margin="10")
    assert told(desk.tick("90")) == ["liquidation_started", "liquidation_order"]


@pytest.mark.parametrize(("prices", "said"), [(["99", "98.9"], [[], ["escalated"]]), (["99", "100"], [[], ["eased"]])])
def test_a_level_that_was_abolished_is_held_until_a_price_decides(prices: list[str], said: list[list[str]]) -> None:
    """Called at 1.5, ann has 1.212 of her maintenance under new levels 2 and 1.2: too little to ease, enough not to
    escalate.  Her level stands, and the next price that decides it is not missed.
    """
    desk = Desk(margin_call_levels=["1.5"])
    desk.deposit("ann", "700")
    desk.tick("100")
    assert told(desk.buy("ann", "100", "100", margin="700")) == ["called"]
    desk.change(2, margin_call_levels=["2", "1.2"])
    assert [told(desk.tick(price)) for price in prices] == said


def test_an_own_event_after_the_change_judges_by_the_new_levels() -> None:
    """Money added after the level 1.5 was abolished eases ann to level 2 at once; the next price says no more."""
    desk = Desk(margin_call_levels=["1.5"])
    desk.deposit("ann", "800")
    desk.tick("100")
    desk.buy("ann", "100", "100", margin="700")
    desk.change(2, margin_call_levels=["2", "1.2"])
    assert told(desk.command("add_margin", "ann", amount="1")) == ["eased"]
    assert desk.bucket("ann").level == 2 * ONE
    assert told(desk.tick("100")) == []
