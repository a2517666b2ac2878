"""The wick of 10 October 2025: 71 trades of ATOMUSDT at one microsecond, from 1.688 down to 0.001.

Prices are real; their source stands beside them in `atomusdt_wick.csv`.  Accounts are made up.
"""

import csv
import json
from itertools import pairwise
from pathlib import Path

from ringfence.snapshot import restore, snapshot
from ringfence_schemas.frames import Settings
from tests.core.engines import FoldEngine, Json

WICK_US = 1_760_131_237_689_043
GUARD = {"max_jump": "0.1", "confirm_ticks": 3}

ACCOUNTS = {"ann": "250", "bob": "700", "cat": "1500"}
"""Who is long a thousand at 1.688, and the margin behind it: bankrupt at 1.438, 0.988 and 0.188."""


def trades() -> list[str]:
    """The prices, in order."""
    lines = Path(__file__).with_name("atomusdt_wick.csv").read_text(encoding="ascii").splitlines()
    return [row["price"] for row in csv.DictReader(line for line in lines if not line.startswith("#"))]


def before(**options: object) -> list[Json]:
    """An instrument with these options, three accounts with a position each, and the price a second before the wick."""
    instrument = {"type": "instrument", "instrument": "ATOM", "version": 1, "contract": "linear"}
    terms = {"settle_asset": "USDT", "price_tick": "0.001", "quantity_step": "1"}
    rates = [{"floor": "0", "maintenance_rate": "0.01"}]
    events: list[Json] = [{**instrument, **terms, "tiers": rates, **options, "time_us": 1}]
    for account, margin in ACCOUNTS.items():
        money = {"account": account, "asset": "USDT", "amount": "2000"}
        events.append({"type": "deposit", "transfer_id": "d", **money, "time_us": 2})
        fill = {"type": "fill", "fill_id": "f", "account": account, "instrument": "ATOM", "side": "buy"}
        events.append({**fill, "quantity": "1000", "price": "1.688", "margin": margin, "time_us": 3})
    return [*events, tick("1.688", WICK_US - 1_000_000)]


def tick(price: str, time_us: int) -> Json:
    """A price of ATOM."""
    return {"type": "tick", "instrument": "ATOM", "price": price, "time_us": time_us}


def wick() -> list[Json]:
    """The trades, all at their one microsecond."""
    return [tick(price, WICK_US) for price in trades()]


def play(engine: FoldEngine, events: list[Json]) -> list[Json]:
    """The decisions that these events lead to."""
    return [decision for event in events for decision in engine.apply(json.dumps(event).encode())]


def replayed(events: list[Json]) -> list[Json]:
    """What the events lead to: the same live, folded again, and from a snapshot taken before any of them."""
    live, again = FoldEngine(), FoldEngine()
    decisions = play(live, events)
    assert play(again, events) == decisions
    assert again.fold.digest() == live.fold.digest()
    for place in range(len(events)):
        first, rest = FoldEngine(), FoldEngine()
        told = play(first, events[:place])
        rest.fold, rest.line = restore(snapshot(first.fold), Settings()), first.line
        assert told + play(rest, events[place:]) == decisions
        assert rest.fold.digest() == live.fold.digest()
    return decisions


def of(decisions: list[Json], kind: str) -> list[Json]:
    """The decisions of one type."""
    return [decision for decision in decisions if decision["type"] == kind]


def test_there_are_71_trades_of_one_microsecond() -> None:
    """The file is whole: 71 prices that never rise, from 1.688 to 0.001.  Only two steps of them fall by more than a
    tenth of the price before: a bound on single steps would have let the mark down to 0.768.
    """
    prices = [int(price.replace(".", "").ljust(4, "0")) for price in trades()]
    assert (len(prices), prices[0], prices[-1]) == (71, 1688, 1)
    assert prices == sorted(prices, reverse=True)
    falls = [(before, after) for before, after in pairwise(prices) if 10 * after < 9 * before]
    assert falls == [(768, 240), (240, 1)]


def test_without_a_guard_the_wick_liquidates_everybody() -> None:
    """Every trade is judged in order: ann goes at 1.44, bob at 0.99 and cat at 0.001, and all stand on the record."""
    started = of(replayed([*before(), *wick()]), "liquidation_started")
    assert [(decision["account"], decision["mark_price"]) for decision in started] == [
        ("ann", "1.44"),
        ("bob", "0.99"),
        ("cat", "0.001"),
    ]


def test_behind_a_guard_of_ten_per_cent_nobody_is_liquidated_and_the_record_says_who_would_have_been() -> None:
    """Trades of one microsecond are one movement: down to 1.529 they pass, 1.512 is more than 10 % below 1.688 and is
    held back, and so is every level further down; the shadow grows from nobody to everybody.  The next price, a
    second later, speaks against the last one.
    """
    after = [tick("1.65", WICK_US + 1_000_000)]
    decisions = replayed([*before(mark=GUARD), *wick(), *after])
    shadows = [
        (decision["price"], decision["positions"], decision["notional"], decision["accounts"])
        for decision in of(decisions, "tick_quarantined")
    ]
    assert shadows == [
        ("1.512", 0, "0", []),
        ("1.353", 1, "1353", ["ann"]),
        ("1.21", 1, "1210", ["ann"]),
        ("1.086", 1, "1086", ["ann"]),
        ("0.97", 2, "1940", ["ann", "bob"]),
        ("0.823", 2, "1646", ["ann", "bob"]),
        ("0.24", 2, "480", ["ann", "bob"]),
        ("0.001", 3, "3", ["ann", "bob", "cat"]),
    ]
    discarded = of(decisions, "tick_discarded")
    assert [decision["reason"] for decision in discarded] == ["superseded"] * 7 + ["contradicted"]
    assert {decision["mark_price"] for decision in discarded} == {"1.529"}
    assert of(decisions, "liquidation_started") == []


def test_a_fall_that_lasts_is_confirmed_and_liquidates() -> None:
    """Had the price stayed at 0.97, three later ticks would have confirmed it: ann and bob go then, and not before."""
    down = [tick(price, WICK_US) for price in trades() if price >= "0.97"]
    later = [tick("0.97", WICK_US + second * 1_000_000) for second in (1, 2, 3)]
    decisions = replayed([*before(mark=GUARD), *down, *later])
    (confirmed,) = of(decisions, "tick_confirmed")
    assert (confirmed["price"], confirmed["ticks"], confirmed["time_us"]) == ("0.97", 3, WICK_US + 3_000_000)
    started = of(decisions, "liquidation_started")
    assert [(decision["account"], decision["time_us"]) for decision in started] == [
        ("ann", WICK_US + 3_000_000),
        ("bob", WICK_US + 3_000_000),
    ]


def test_three_sources_outvote_the_one_with_the_wick() -> None:
    """Under the median of three the wick of one venue moves the mark from 1.688 to 1.687, without a bound on jumps."""
    guard = {"method": "median", "sources": ["binance", "b", "c"], "max_age_us": 5_000_000}
    opening = [
        {**tick("1.688", WICK_US - 1_000_000), "source": "b"},
        {**tick("1.687", WICK_US - 900_000), "source": "c"},
    ]
    events = [*before(mark=guard), *opening, *({**event, "source": "binance"} for event in wick())]
    assert [decision["type"] for decision in replayed(events)] == ["instrument_changed"]
    engine = FoldEngine()
    play(engine, events)
    assert {line["positions"][0]["mark_price"] for line in engine.statement()[:3]} == {"1.687"}
