"""What the generated accounts can see: the prices of the minute, and what the engine has published about them."""

import random
from dataclasses import dataclass, field
from decimal import Decimal

from examples.crash.market import Minute
from examples.crash.outbox import to_price
from ringfence_schemas.outcomes import Position, Wallet


@dataclass(slots=True)
class Desk:
    """A read model of the views `positions` and `wallets`, and the closing prices (USDT) and ranges of the minute."""

    closes: dict[str, Decimal] = field(default_factory=dict)
    ranges: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    wallets: dict[str, Decimal] = field(default_factory=dict)

    def see_minute(self, minute: Minute) -> None:
        """The minute is over: its closes are the prices to trade at."""
        self.closes = minute.closes
        self.ranges = minute.ranges

    def see_position(self, key: str, view: Position | None) -> None:
        """The view of `account|instrument`; None when the position was closed."""
        account, _, instrument = key.partition("|")
        if view is None:
            self.positions.pop((account, instrument), None)
        else:
            self.positions[account, instrument] = view

    def see_wallet(self, view: Wallet) -> None:
        """The free collateral of an account."""
        self.wallets[view.account] = Decimal(view.balance)

    def quantity(self, account: str, instrument: str) -> Decimal:
        """Signed contracts that ``account`` holds, zero without a position."""
        view = self.positions.get((account, instrument))
        return Decimal(0) if view is None else Decimal(view.quantity)

    def wallet(self, account: str) -> Decimal:
        """Free collateral in USDT."""
        return self.wallets.get(account, Decimal(0))

    def taker_price(self, instrument: str, *, buys: bool, rng: random.Random, impact: float = 0.1) -> Decimal:
        """The close, worse for the taker by 1 to 6 basis points and up to ``impact`` of the minute's range."""
        worse = Decimal(rng.uniform(0.0001, 0.0006)) + self.ranges[instrument] * Decimal(rng.uniform(0, impact))
        return to_price(instrument, self.closes[instrument] * (1 + worse if buys else 1 - worse))
