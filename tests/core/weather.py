"""Bad weather: streams of inputs that are realistic and nasty, for the property tests.

Hypothesis draws moves, small tuples that shrink well; a `Forecast` turns them into inputs one by one, looking at the
textbook to aim where it hurts: at the liquidation price and a tick beside it, at a tier's floor, at the size that
closes a position exactly, at the id of a liquidation just started or long finished.
"""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from hypothesis import strategies as st

from tests.core.engines import Json
from tests.core.textbook import Venue
from tests.core.textbook.numbers import down, text
from tests.core.textbook.position import Position

ACCOUNTS = ("ann", "Bob", "cat")
INSTRUMENTS = ("X", "Y")

KINDS = (
    ("fill",) * 8
    + ("tick",) * 6
    + ("aimed_tick",) * 4
    + ("execution",) * 4
    + ("deposit", "deposit", "bucket_deposit", "withdrawal", "add_margin", "add_margin", "remove_margin")
    + ("set_leverage", "funding", "funding", "report", "repeat", "conflict", "ticks", "version", "fund_deposit")
    + ("echo", "echo")
)
FACTORS = "0.2 0.7 0.9 0.95 0.98 0.99 0.995 1 1 1.005 1.01 1.02 1.05 1.1 1.4 3".split()
SIZES = "1 1 2 5 10 0.3 0.000000000000000007 12.345678901234567 300".split()
FEES = (None, None, None, "0", "0.37", "0.123456789", "-0.25", "-0.000001", "40")
MARGINS = (None, None, None, "0", "1", "7.5", "33.333333", "250")
AMOUNTS = "0.01 1 5 20 33.33 120 1000 0.0000000001".split()
LEVERAGES = "0.5 1 3 10 19.999 20 51".split()
RATES = "0.0001 -0.0001 0.00375 -0.02 0.01 0.1 -0.000000000000000001".split()
STEPS_US = (0, 0, 1, 1, 3, 1_000, 400_000, 1_000_000, 2_500_000, -2, -900_000)
THROTTLES: tuple[Json | None, ...] = (
    None,
    None,
    {"notional": "150", "interval_us": 1_300_000},
    {"notional": "1", "interval_us": 700_000},
)
SCALES = "1 0.000001234 45678.9".split()
MARKS: list[Json | None] = [
    None,
    None,
    None,
    {"max_jump": "0.04", "confirm_ticks": 1},
    {"max_age_us": 400_000, "sources": ["feed"]},
    {"max_age_us": 2, "max_jump": "0.1", "confirm_ticks": 2, "confirm_sources": 1},
    {"method": "median", "sources": ["feed", "b", "c"], "max_age_us": 2_000_000},
    {"method": "median", "sources": ["feed", "b"], "max_jump": "0.02", "confirm_ticks": 3, "confirm_sources": 1},
    {"method": "weighted", "sources": ["b", "feed"], "weights": ["1.7", "0.3"], "min_price": "0.0001"},
    {"method": "weighted", "sources": ["c", "b", "feed"], "max_age_us": 3, "max_jump": "0.01", "confirm_sources": 2},
    {"min_price": "50", "max_price": "120"},
]
SOURCES = ("feed", "feed", "b", "c", None)


class Move(NamedTuple):
    """One draw: what happens, to whom, and four numbers that choose among what is possible."""

    kind: str
    account: str
    instrument: str
    first: int
    second: int
    third: int
    step_us: int


moves = st.lists(
    st.builds(
        Move,
        kind=st.sampled_from(KINDS),
        account=st.sampled_from(ACCOUNTS),
        instrument=st.sampled_from(INSTRUMENTS),
        first=st.integers(0, 30),
        second=st.integers(0, 30),
        third=st.integers(0, 30),
        step_us=st.sampled_from(STEPS_US),
    ),
    min_size=20,
    max_size=60,
)

VOLATILITIES: list[Json | None] = [
    None,
    None,
    {"interval_us": 1, "lambda": "0.5", "multiplier": "3", "horizon_us": 10, "step": "0.001", "cap": "0.9"}
    | {"notice_us": 400_001, "hold_us": 1_000_000, "floor": "0.01"},
    {"interval_us": 400_000, "lambda": "0.94", "multiplier": "1.7", "horizon_us": 1_000_000, "step": "0.0123"}
    | {"cap": "0.5", "notice_us": 0, "hold_us": 0, "stress": "0.2", "stress_weight": "0.25"},
    {"interval_us": 3, "lambda": "0", "multiplier": "2", "horizon_us": 2, "step": "0.05", "cap": "0.333"}
    | {"notice_us": 1, "hold_us": 2, "stress_weight": "1"},
]

TIERS: list[list[tuple[str, str, str | None]]] = [
    [("0", "0.01", "50")],
    [("0", "0.004", "125"), ("500", "0.005", "100"), ("2500.5", "0.025", "20"), ("10000", "0.5", "2")],
    [("0", "0", None), ("1", "0.1", "10"), ("1000", "0.1", "5")],
    [("0", "0.3333", "3"), ("777.777777", "0.9", None)],
]


@st.composite
def instruments(draw: st.DrawFn, name: str) -> Json:
    """An instrument, plain or odd."""

    def one(*options: object) -> object:
        return draw(st.sampled_from(options))

    document: Json = {
        "type": "instrument",
        "instrument": name,
        "version": 1,
        "contract": one("linear", "linear", "inverse"),
        "tier_mode": one(None, None, "whole", "given"),
        "settle_asset": "USDT",
        "price_tick": one("0.01", "0.5", "0.007", "0.000000000001"),
        "quantity_step": one("1", "0.1", "0.003"),
        "multiplier": one(None, "0.1", "1.7", "0.000000000000000003"),
        "default_leverage": one(None, "2"),
        "slippage_rate": one(None, "0.002"),
        "close_fee_rate": one(None, "0.0005"),
        "maintenance": one(None, None, {"basis": "entry"}),
        "trigger": one(None, "below"),
        "margin_call_levels": one(None, ["2"], ["3", "1.5", "1.2"], ["20", "1.000000000000000001"]),
        "recover": one(None, "0", "0.25"),
        "mark": one(*MARKS),
        "expiry_us": one(None, None, 2_000_000),
        "release_on_reduce": one(None, "none"),
        "funding_payer": one(None, "free_balance_first"),
        "volatility": draw(st.sampled_from(VOLATILITIES)),
        "attribution": one(True, None),
        "fees": one(None, {"taker": "0.0005"}),
        "time_us": 1,
    }
    document["tiers"] = [
        {"floor": floor, "maintenance_rate": rate, **({"max_leverage": most} if most else {})}
        for floor, rate, most in draw(st.sampled_from(TIERS))
    ]
    if document["tier_mode"] == "given":
        for row in document["tiers"]:
            row["maintenance_amount"] = one(None, "0", "2.5", "40")
    document["liquidation"] = {
        "mode": one("order", "order", "takeover"),
        "residual": one(None, "fund"),
        "target": one(None, "1", "1.5"),
        "full_below": one(None, "50"),
        "backstop": one(None, "0.5"),
        "max_steps": one(None, 1),
        "deadline_us": one(1_000_000, 1),
        "fee_rate": one(None, "0.005"),
        "takeover_price": one(None, "mark"),
    }
    if document["liquidation"]["mode"] == "order":
        document["liquidation"]["throttle"] = one(*THROTTLES)
    return plain(document)


def plain(document: Json) -> Json:
    """A document without what it does not state."""
    return {
        name: plain(value) if isinstance(value, dict) else [plain(row) for row in value] if name == "tiers" else value
        for name, value in document.items()
        if value is not None
    }


@st.composite
def worlds(draw: st.DrawFn) -> list[Json]:
    """What there is before anything happens: an asset, two instruments, some money, two marks."""
    decimals = draw(st.sampled_from([None, 0, 2, 6, 18]))
    scale = draw(st.sampled_from(SCALES))
    events: list[Json] = []
    if decimals is not None:
        events.append({"type": "asset", "asset": "USDT", "decimals": decimals, "time_us": 1})
    events += [draw(instruments(name)) for name in INSTRUMENTS]
    for document in events[-2:]:
        name, tick = document["instrument"], Fraction(document["price_tick"])
        price = text(max(down(100 * Fraction(scale), 18), tick))
        source = {"source": "feed"} if "mark" in document else {}
        events.append({"type": "tick", "instrument": name, "price": price, "time_us": 2, **source})
    for account in ACCOUNTS:
        transfer = {"transfer_id": "d0", "account": account, "asset": "USDT", "amount": "1000", "time_us": 3}
        events.append({"type": "deposit", **transfer})
    return events


@dataclass
class Forecast:
    """Turns moves into inputs; `venue` is the textbook that has folded everything so far."""

    venue: Venue
    time_us: int = 10
    count: int = 0
    sent: list[Json] = field(default_factory=list)
    liquidations: list[str] = field(default_factory=lambda: ["ann|X|l9"])
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INSTRUMENTS, 1))

    def event(self, move: Move) -> Json:
        """The input of a move."""
        self.time_us = max(10, self.time_us + move.step_us)
        self.count += 1
        event: Json = {**getattr(self, move.kind)(move)}
        event.setdefault("time_us", self.time_us)
        self.sent.append(event)
        return plain(event)

    def note(self, decisions: list[Json]) -> None:
        """Remember the liquidations that fills may name."""
        for decision in decisions:
            if decision["type"] == "liquidation_started":
                self.liquidations.append(decision["liquidation_id"])

    def name(self, prefix: str) -> str:
        """An id not used before."""
        return f"{prefix}{self.count}"

    def position(self, move: Move) -> Position | None:
        """The position the move is about."""
        return self.venue.books.positions.get((move.account, move.instrument))

    def price(self, move: Move) -> Fraction:
        """A price near the mark, or far from it; on the grid, or not."""
        market = self.venue.books.markets[move.instrument]
        mark = market.mark or Fraction(100)
        price = mark * Fraction(FACTORS[move.second % len(FACTORS)])
        if move.third % 4:
            price = price // market.terms.price_tick * market.terms.price_tick
        return min(max(down(price, 18), market.terms.price_tick), Fraction(10**15))

    def size(self, move: Move) -> str:
        """A size worth about so many hundreds, or exactly what closes, or more than that."""
        market, position = self.venue.books.markets[move.instrument], self.position(move)
        held = abs(position.size) / market.terms.multiplier if position is not None else Fraction(0)
        if held and move.first % 3 == 0:
            share = (Fraction(1), Fraction(1, 2), Fraction(3, 2), Fraction(1, 3))[move.first // 3 % 4]
            closing = down(held * share, 18)
            return text(closing) if closing else "1"
        worth = Fraction(SIZES[move.first % len(SIZES)]) * 100
        price = market.mark or Fraction(100)
        size = worth / ((1 / price if market.terms.inverse else price) * market.terms.multiplier)
        size = size // market.terms.quantity_step * market.terms.quantity_step if move.third % 5 else size
        return text(min(down(size, 18), Fraction(10**17)) or Fraction(1, 10**18))

    def fill(self, move: Move) -> Json:
        """A fill of either side."""
        return {
            "type": "fill",
            "fill_id": self.name("f"),
            "account": move.account,
            "instrument": move.instrument,
            "side": ("buy", "sell")[move.first % 2],
            "quantity": self.size(move),
            "price": text(self.price(move)),
            "fee": FEES[move.second % len(FEES)],
            "margin": MARGINS[move.third % len(MARGINS)],
        }

    def execution(self, move: Move) -> Json:
        """A fill under the id of a liquidation: of this position if there is one, else of any, ended or not."""
        position = self.position(move)
        identifier = self.liquidations[move.third % len(self.liquidations)]
        quantity, side = self.size(move), ("buy", "sell")[move.first % 2]
        if position is not None and position.liquidation is not None:
            identifier = position.liquidation.identifier
            side = "sell" if position.size > 0 else "buy"
            if move.first % 2:
                share = (1, Fraction(1, 2), Fraction(5, 4))[move.first // 2 % 3]
                quantity = text(down(position.liquidation.remaining * share, 18) or Fraction(1))
        return {**self.fill(move), "quantity": quantity, "side": side, "liquidation_id": identifier}

    def tick(self, move: Move) -> Json:
        """A price, numbered by its source now and then."""
        tick: Json = {"type": "tick", "instrument": move.instrument, "price": text(self.price(move))}
        if move.first % 5 == 0:
            tick |= {"source": "feed", "sequence": move.third}
        elif move.second % 2:
            tick["source"] = SOURCES[move.third % len(SOURCES)]
        return tick

    def aimed_tick(self, move: Move) -> Json:
        """A price at which something begins, or one tick beside it."""
        position, market = self.position(move), self.venue.books.markets[move.instrument]
        terms = market.terms
        targets: list[Fraction | None] = []
        if position is not None:
            targets = [position.liquidation_price(terms, market.mark), position.bankruptcy_price(terms)]
            targets += position.margin_call_prices(terms, market.mark)
            size = abs(position.size)
            targets += [size / edge if terms.inverse else edge / size for edge in terms.edges(position.side)]
        aims = [target for target in targets if target is not None and 0 < target < 10**15]
        if not aims:
            return self.tick(move)
        price = aims[move.first % len(aims)] + (move.second % 3 - 1) * terms.price_tick
        price = max(down(price, 18), terms.price_tick)
        source = SOURCES[move.third % len(SOURCES)]
        return {"type": "tick", "instrument": move.instrument, "price": text(price), "source": source}

    def echo(self, move: Move) -> Json:
        """A price near one that is held back, of the same source or another; or the mark again."""
        market = self.venue.books.markets[move.instrument]
        doubt = market.feed.doubt if market.feed is not None else None
        price = doubt.first.price if doubt is not None and move.second % 4 else market.mark or Fraction(100)
        nearby = down(price * (1, Fraction(101, 100), Fraction(99, 100))[move.first % 3], 18)
        source = SOURCES[move.third % len(SOURCES)]
        return {**self.tick(move), "sequence": None, "price": text(nearby or price), "source": source}

    def ticks(self, move: Move) -> Json:
        """A packed line with a wick in it."""
        price = self.price(move)
        tick = self.venue.books.markets[move.instrument].terms.price_tick
        wick = max(down(price * Fraction(FACTORS[move.first % len(FACTORS)]), 18), tick)
        prices = [[INSTRUMENTS[0], text(wick)], [INSTRUMENTS[1], text(price)], [INSTRUMENTS[0], text(price)]]
        return {"type": "ticks", "source": "feed", "prices": prices}

    def deposit(self, move: Move) -> Json:
        """Money for a wallet."""
        amount = AMOUNTS[move.first % len(AMOUNTS)]
        transfer = {"transfer_id": self.name("d"), "account": move.account, "asset": "USDT", "amount": amount}
        return {"type": "deposit", **transfer}

    def bucket_deposit(self, move: Move) -> Json:
        """Money straight into a bucket."""
        return {**self.deposit(move), "instrument": move.instrument}

    def withdrawal(self, move: Move) -> Json:
        """Money out of a wallet."""
        return {**self.deposit(move), "type": "withdrawal"}

    def fund_deposit(self, move: Move) -> Json:
        """Money for an insurance fund."""
        amount = AMOUNTS[move.first % len(AMOUNTS)]
        transfer = {"transfer_id": self.name("p"), "instrument": move.instrument, "amount": amount}
        return {"type": "fund_deposit", **transfer}

    def command(self, move: Move, kind: str) -> Json:
        """What all commands have."""
        return {
            "type": kind,
            "command_id": self.name("c"),
            "account": move.account,
            "instrument": move.instrument,
        }

    def add_margin(self, move: Move) -> Json:
        """Collateral for a bucket: some, or what cures it to the last unit."""
        return {**self.command(move, "add_margin"), "amount": AMOUNTS[move.first % len(AMOUNTS)]}

    def remove_margin(self, move: Move) -> Json:
        """Collateral out of a bucket: some, or all that may be removed."""
        market, position = self.venue.books.markets[move.instrument], self.position(move)
        amount = Fraction(AMOUNTS[move.first % len(AMOUNTS)])
        if position is not None and move.second % 2:
            leverage = self.venue.books.leverage(move.account, move.instrument)
            removable = position.max_removable(market.terms, market.mark, leverage)
            amount = down(removable or amount, self.venue.books.decimals_of("USDT")) or amount
        return {**self.command(move, "remove_margin"), "amount": text(amount)}

    def set_leverage(self, move: Move) -> Json:
        """A choice of leverage."""
        leverage = LEVERAGES[move.first % len(LEVERAGES)]
        rebalance = (None, True, False)[move.second % 3]
        return {**self.command(move, "set_leverage"), "leverage": leverage, "rebalance": rebalance}

    def funding(self, move: Move) -> Json:
        """A funding payment, with or without a price of its own."""
        price = text(self.price(move)) if move.second % 3 == 0 else None
        payment = {"funding_id": self.name("h"), "instrument": move.instrument, "price": price}
        return {"type": "funding", "rate": RATES[move.first % len(RATES)], **payment}

    def report(self, move: Move) -> Json:
        """An executor's report, on this position's liquidation or another."""
        position = self.position(move)
        identifier, step = self.liquidations[move.third % len(self.liquidations)], 1 + move.first % 2
        if position is not None and position.liquidation is not None:
            identifier, step = position.liquidation.identifier, position.liquidation.step - (move.second % 4 == 0)
        return {
            "type": "liquidation_report",
            "report_id": self.name("r"),
            "account": move.account,
            "instrument": move.instrument,
            "liquidation_id": identifier,
            "step": step,
            "result": "unfilled",
        }

    def version(self, move: Move) -> Json:
        """New parameters, in force at once or later."""
        market = self.venue.books.markets[move.instrument]
        self.versions[move.instrument] += 1
        document = json.loads(json.dumps(market.terms.document))
        document["version"] = self.versions[move.instrument]
        factor = Fraction(("0.5", "1", "1.5", "1.05")[move.first % 4])
        for row in document["tiers"]:
            row["maintenance_rate"] = text(min(Fraction(row["maintenance_rate"]) * factor, Fraction(9, 10)))
        document["margin_call_levels"] = ([], ["2"], ["5", "1.1"])[move.second % 3]
        document["funding_payer"] = (None, "free_balance_first")[move.first % 2]
        document["halted"] = (None, None, True)[move.first // 4 % 3]
        if document["liquidation"]["mode"] == "order":
            document["liquidation"]["throttle"] = THROTTLES[move.second % len(THROTTLES)]
        if move.third % 2:
            document["mark"] = MARKS[(move.first + move.second) % len(MARKS)]
        volatilities = (document.get("volatility"), document.get("volatility"), *VOLATILITIES)
        document["volatility"] = volatilities[(move.second + move.third) % len(volatilities)]
        document["attribution"] = (True, True, True, None)[(move.first + move.third) % 4]
        document["effective_us"] = (None, self.time_us + 5, self.time_us + 2_000_000)[move.third % 3]
        document["time_us"] = self.time_us
        return plain(document)

    def repeat(self, move: Move) -> Json:
        """Something sent before, sent again."""
        return self.sent[move.first % len(self.sent)] if self.sent else self.tick(move)

    def conflict(self, move: Move) -> Json:
        """Something sent before with one field changed."""
        event = dict(self.repeat(move))
        for name in ("amount", "quantity", "leverage", "rate"):
            if name in event:
                event[name] = "3.25"
        return event
