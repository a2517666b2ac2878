"""A generated executor: turns the engine's liquidation orders into fills, or fails to.

Each order is tried once in the minute it was published, at the minute's close with slippage of up to a quarter
of the minute's range:

- 74 % are filled whole, 14 % in part (30 to 80 %), the rest of those in the next minute;
- 5 % are reported `rejected`, 4 % `unfilled`, 3 % get no answer at all, so that the engine's deadline decides;
- when the price is beyond the order's limit (the bankruptcy price), 70 % of the orders are reported `unfilled` and the
  others are filled all the same: that is where a position loses more than its bucket and the insurance fund pays.
"""

import random
from dataclasses import dataclass, field
from decimal import Decimal

from examples.crash.desk import Desk
from examples.crash.outbox import Outbox, to_quantity
from ringfence_schemas.outcomes import LiquidationCompleted, LiquidationOrder

FILLED_WHOLE, FILLED_IN_PART, REJECTED, UNFILLED = 0.74, 0.14, 0.05, 0.04
SWEEPS_BEYOND_LIMIT = 0.3
IMPACT = 0.25


@dataclass(slots=True)
class Executor:
    """Remembers only what is left of partly filled orders, by liquidation id."""

    rng: random.Random
    rests: dict[str, tuple[LiquidationOrder, Decimal]] = field(default_factory=dict)

    def forget(self, completed: LiquidationCompleted) -> None:
        """The liquidation is over: nothing of it is left to fill."""
        self.rests.pop(completed.liquidation_id, None)

    def work(self, orders: list[LiquidationOrder], desk: Desk, outbox: Outbox) -> None:
        """Answer this minute's orders, after filling what is left of earlier ones that were not replaced."""
        fresh = {order.liquidation_id: order for order in orders}
        for liquidation_id, (order, rest) in self.rests.items():
            if liquidation_id not in fresh:
                self._fill(order, rest, desk, outbox)
        self.rests = {}
        for order in fresh.values():
            self._answer(order, desk, outbox)

    def _answer(self, order: LiquidationOrder, desk: Desk, outbox: Outbox) -> None:
        quantity, draw = Decimal(order.quantity), self.rng.random()
        if self._beyond_limit(order, desk) and self.rng.random() >= SWEEPS_BEYOND_LIMIT:
            outbox.report(order, "unfilled")
        elif draw < FILLED_WHOLE:
            self._fill(order, quantity, desk, outbox)
        elif draw < FILLED_WHOLE + FILLED_IN_PART:
            part = to_quantity(order.instrument, quantity * Decimal(self.rng.uniform(0.3, 0.8)))
            self._fill(order, part or quantity, desk, outbox)
            if part:
                self.rests[order.liquidation_id] = (order, quantity - part)
        elif draw < FILLED_WHOLE + FILLED_IN_PART + REJECTED:
            outbox.report(order, "rejected")
        elif draw < FILLED_WHOLE + FILLED_IN_PART + REJECTED + UNFILLED:
            outbox.report(order, "unfilled")

    def _beyond_limit(self, order: LiquidationOrder, desk: Desk) -> bool:
        if order.limit_price is None:
            return False
        close, limit = desk.closes[order.instrument], Decimal(order.limit_price)
        return close < limit if order.side == "sell" else close > limit

    def _fill(self, order: LiquidationOrder, quantity: Decimal, desk: Desk, outbox: Outbox) -> None:
        buys = order.side == "buy"
        price = desk.taker_price(order.instrument, buys=buys, rng=self.rng, impact=IMPACT)
        signed = quantity if buys else -quantity
        outbox.trade(order.account, order.instrument, signed, price, liquidation_id=order.liquidation_id)
