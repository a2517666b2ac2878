"""A trading desk for tests: inputs in few words, and the invariants watch every step."""

import json

from ringfence.invariants import Watch
from ringfence.state import Book, Bucket
from ringfence_schemas.frames import Settings
from ringfence_schemas.reading import decode_input
from tests.core.engines import FoldEngine, Json

IDENTITIES = {
    "fund_deposit": "transfer_id",
    "settlement": "settlement_id",
    "funding": "funding_id",
    "deposit": "transfer_id",
    "withdrawal": "transfer_id",
    "fill": "fill_id",
    "liquidation_report": "report_id",
    "set_leverage": "command_id",
    "add_margin": "command_id",
    "remove_margin": "command_id",
}
"""The field of each input that identifies it."""


def instrument(**options: object) -> Json:
    """Instrument X: whole prices, whole contracts, a maintenance rate of 5 %, and whatever is asked for."""
    return {
        "type": "instrument",
        "instrument": "X",
        "version": 1,
        "contract": "linear",
        "settle_asset": "USDT",
        "price_tick": "1",
        "quantity_step": "1",
        "tiers": [{"floor": "0", "maintenance_rate": "0.05"}],
        "time_us": 1,
        **options,
    }


def tiers(*rows: tuple[str, str]) -> list[Json]:
    """A tier table of floors and maintenance rates."""
    return [{"floor": floor, "maintenance_rate": rate} for floor, rate in rows]


class Desk:
    """A fold that lists instrument X and is given inputs one by one, each with an id and a time of its own."""

    def __init__(self, settings: Settings | None = None, **options: object) -> None:
        self.engine = FoldEngine(settings)
        self.fold = self.engine.fold
        self.watch = Watch(self.fold)
        self.time_us = 0
        self.count = 0
        self.play(**instrument(**options))

    def play(self, type: str, **fields: object) -> list[Json]:  # noqa: A002  # the name of the field
        """Apply an input and return its decisions.  Raises `InvariantBroken` when the step breaks an invariant."""
        self.count += 1
        self.time_us += 1
        event: Json = {"type": type, "time_us": self.time_us, **fields}
        if type in IDENTITIES:
            event.setdefault(IDENTITIES[type], f"{type}-{self.count}")
        data = json.dumps(event).encode()
        decisions = self.engine.apply(data)
        self.watch.step(decode_input(data), self.engine.decisions)
        return decisions

    def change(self, version: int, **options: object) -> list[Json]:
        """Give X new parameters."""
        return self.play(**{**instrument(**options), "version": version, "time_us": self.time_us + 1})

    def deposit(self, account: str, amount: str) -> list[Json]:
        """Money for a wallet."""
        return self.play("deposit", account=account, asset="USDT", amount=amount)

    def buy(self, account: str, quantity: str, price: str, **fields: object) -> list[Json]:
        """A fill that buys X."""
        return self._fill("buy", account, quantity, price, fields)

    def sell(self, account: str, quantity: str, price: str, **fields: object) -> list[Json]:
        """A fill that sells X."""
        return self._fill("sell", account, quantity, price, fields)

    def _fill(self, side: str, account: str, quantity: str, price: str, fields: Json) -> list[Json]:
        named = {"account": account, "instrument": "X", "side": side, "quantity": quantity, "price": price}
        return self.play("fill", **{**named, **fields})

    def command(self, type: str, account: str, **fields: object) -> list[Json]:  # noqa: A002  # the name of the field
        """A command of an account about its position in X."""
        return self.play(type, account=account, instrument="X", **fields)

    def tick(self, price: str, **fields: object) -> list[Json]:
        """A price of X."""
        return self.play("tick", instrument="X", price=price, **fields)

    def funding(self, rate: str, **fields: object) -> list[Json]:
        """A funding payment of X."""
        return self.play("funding", instrument="X", rate=rate, **fields)

    @property
    def book(self) -> Book:
        """Instrument X as the fold holds it."""
        return self.fold.state.books["X"]

    def bucket(self, account: str) -> Bucket:
        """The bucket of an account in X as the fold holds it."""
        return self.book.buckets[account]

    def position(self, account: str) -> Json:
        """The view of an account's position in X."""
        (line,) = (line for line in self.engine.statement() if line.get("account") == account)
        position: Json = line["positions"][0]
        return position


def told(decisions: list[Json]) -> list[str]:
    """What each decision says in one word: its status, result, code or reason, else its type."""
    return [
        next(
            (str(decision[name]) for name in ("status", "result", "code", "reason") if name in decision),
            decision["type"],
        )
        for decision in decisions
    ]
