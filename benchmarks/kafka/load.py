"""The load that every contestant reads: the same bytes for the same seed, and what they must add up to."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import orjson

from benchmarks.inputs import Inputs
from ringfence_schemas.topics import DEPOSITS, FILLS, INSTRUMENTS, TICKS

_PLACE = {
    "asset": (INSTRUMENTS, "asset"),
    "instrument": (INSTRUMENTS, "instrument"),
    "deposit": (DEPOSITS, "account"),
    "tick": (TICKS, "instrument"),
    "fill": (FILLS, "account"),
}
"""Topic and key of each type, from the contract: nothing of the engine takes part in making the load."""


class Outgoing(NamedTuple):
    """One input on its way to a topic."""

    topic: str
    key: bytes
    value: bytes
    time_us: int


def outgoing(line: bytes) -> Outgoing:
    """Address an input by what it says."""
    fields = orjson.loads(line)
    topic, key = _PLACE[fields["type"]]
    return Outgoing(topic, fields[key].encode(), line, fields["time_us"])


class Load:
    """A market, a wallet for each account, then ticks and fills, half and half, that call nobody."""

    def __init__(self, seed: int, accounts: int, events: int) -> None:
        inputs = Inputs(seed)
        self.beginning = [outgoing(line) for line in inputs.market()]
        self.beginning += [outgoing(inputs.deposit(account)) for account in range(accounts)]
        self.mixed = [outgoing(line) for line in inputs.mixed(events, accounts, 0.5)]
        """What is measured."""

    def counts(self) -> dict[str, int]:
        """How many inputs stand on each topic in the end."""
        counts = dict.fromkeys((INSTRUMENTS, DEPOSITS, TICKS, FILLS), 0)
        for message in (*self.beginning, *self.mixed):
            counts[message.topic] += 1
        return counts


class Book(NamedTuple):
    """What an account's fills add up to: signed quantity in thousandths, signed cost in ten-thousandths, and how many
    they are.
    """

    quantity: int
    cost: int
    fills: int


def books(messages: Iterable[Outgoing]) -> dict[str, Book]:
    """Add up the fills of every account."""
    totals: dict[str, Book] = {}
    for message in messages:
        if message.topic == FILLS:
            fill = orjson.loads(message.value)
            quantity = int(Decimal(fill["quantity"]) * 1000) * (1 if fill["side"] == "buy" else -1)
            held = totals.get(fill["account"], Book(0, 0, 0))
            cost = held.cost + quantity * int(Decimal(fill["price"]) * 10)
            totals[fill["account"]] = Book(held.quantity + quantity, cost, held.fills + 1)
    return totals
