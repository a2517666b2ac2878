"""The closed loop: a minute of prices in, the engine's decisions out, the accounts' and the executor's reactions in.

The reactions to a minute reach the engine before the next minute's first tick, stamped within the last second of the
minute they answer.  Everything random comes from generators seeded here, and the engine adds none, so the same seed
gives the same decisions.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from examples.crash.accounts import Trader
from examples.crash.chronicle import Chronicle
from examples.crash.desk import Desk
from examples.crash.executor import Executor
from examples.crash.market import SECOND_US, TICK_OFFSETS_US, Minute
from examples.crash.outbox import Outbox
from examples.crash.traders import Crowd
from examples.crash.venue import funding_due, opening
from ringfence_schemas.inputs import Funding, Input
from ringfence_schemas.outcomes import (
    Decision,
    LiquidationCompleted,
    LiquidationOrder,
    MarginCall,
    Outcome,
    Position,
    Wallet,
)
from ringfence_schemas.topics import POSITIONS, WALLETS
from ringfence_streams.port import Record

REACTION_US = TICK_OFFSETS_US[-1] + SECOND_US // 10
DIGEST_BYTES = 16

decode_decision = msgspec.json.Decoder(Outcome).decode
decode_position = msgspec.json.Decoder(Position).decode
decode_wallet = msgspec.json.Decoder(Wallet).decode


@dataclass(slots=True)
class Observed:
    """What the engine published about one turn, sorted for those who react to it."""

    calls: list[MarginCall] = field(default_factory=list)
    orders: list[LiquidationOrder] = field(default_factory=list)


class Simulation:
    """One run: ``turn`` gives the inputs of a minute, ``observe`` takes what they led to, ``react`` answers it."""

    def __init__(self, seed: int, minutes: Sequence[Minute], traders: Sequence[Trader]) -> None:
        self.chronicle = Chronicle()
        self.desk = Desk()
        self.crowd = Crowd(traders, random.Random(f"{seed} crowd"))
        self.fundings: list[Funding] = []
        self._executor = Executor(random.Random(f"{seed} executor"))
        self._funding = random.Random(f"{seed} funding")
        self._outbox = Outbox()
        self._minutes = minutes
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    @property
    def decisions_digest(self) -> str:
        """BLAKE2b over the bytes of every decision observed so far, in hexadecimal."""
        return self._digest.hexdigest()

    def turn(self, number: int) -> list[Input]:
        """The reactions to the minute before, then the four ticks of minute ``number``, funding after the first."""
        minute = self._minutes[number]
        inputs: list[Input] = opening(minute.open_us) if number == 0 else self._outbox.take()
        first, *others = minute.ticks()
        fundings = funding_due(minute.open_us, self._funding)
        self.fundings += fundings
        return [*inputs, first, *fundings, *others]

    def last_turn(self) -> list[Input]:
        """The reactions to the last minute."""
        return self._outbox.take()

    def observe(self, records: Iterable[Record]) -> Observed:
        """File decisions, refresh the views, and hand out what somebody reacts to."""
        observed = Observed()
        for record in records:
            key = (record.key or b"").decode()
            if record.topic == POSITIONS:
                self.desk.see_position(key, None if record.value is None else decode_position(record.value))
            elif record.topic == WALLETS and record.value is not None:
                self.desk.see_wallet(decode_wallet(record.value))
            elif record.value is not None:
                self._digest.update(record.value)
                self._file(decode_decision(record.value), observed)
        return observed

    def _file(self, decision: Decision, observed: Observed) -> None:
        self.chronicle.record(decision)
        match decision:
            case MarginCall(status="called" | "escalated"):
                observed.calls.append(decision)
            case LiquidationOrder():
                observed.orders.append(decision)
            case LiquidationCompleted():
                self._executor.forget(decision)
            case _:
                pass

    def react(self, number: int, observed: Observed) -> None:
        """The executor works the orders, the called answer, the others go on with their plans."""
        minute = self._minutes[number]
        self.desk.see_minute(minute)
        self._outbox.open(minute.open_us + REACTION_US)
        self._executor.work(observed.orders, self.desk, self._outbox)
        self.crowd.answer(observed.calls, self.desk, self._outbox)
        self.crowd.act(number, self.desk, self._outbox)
