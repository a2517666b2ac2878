"""How the generated accounts trade: their planned entries and exits, market making, and their answers to margin calls.

Everything is decided from what an account can see (``Desk``) and a seeded generator; the inputs go into the outbox.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from examples.crash.accounts import Plan, Strategy, Trader
from examples.crash.desk import Desk
from examples.crash.market import INSTRUMENTS
from examples.crash.outbox import Outbox, to_price, to_quantity, to_units
from examples.crash.venue import DEFAULT_LEVERAGE, MAKER_REBATE
from ringfence_schemas.inputs import AddMargin
from ringfence_schemas.outcomes import MarginCall

ANSWERS_A_CALL = 0.85
MOST_TOP_UPS = 6
TOP_UP_RATIO = 10
BRINGS_NEW_MONEY = 0.3
HOLDING_MINUTES, PAUSE_MINUTES = 300, 120
QUOTES_A_MINUTE = 0.04
LOT_NOTIONAL = (1_000, 5_000)
INVENTORY_LIMIT = 40_000
MAKER_LEVERAGE = 3


@dataclass(frozen=True, slots=True)
class Step:
    """A planned entry, or the exit from it."""

    trader: Trader
    plan: Plan
    enters: bool


class Crowd:
    """All accounts: a diary of planned steps by minute, and what each strategy does when it is called."""

    def __init__(self, traders: Sequence[Trader], rng: random.Random) -> None:
        self._traders = {trader.name: trader for trader in traders}
        self._makers = [trader for trader in traders if trader.strategy is Strategy.MAKES_MARKETS]
        self._rng = rng
        self._funded: set[str] = set()
        self.top_ups: list[AddMargin] = []
        self._top_ups: Counter[tuple[str, str]] = Counter()
        self._flipped: set[tuple[str, str]] = set()
        self._diary: defaultdict[int, list[Step]] = defaultdict(list)
        for trader in traders:
            for plan in trader.plans:
                self._diary[plan.entry_minute].append(Step(trader, plan, enters=True))

    @property
    def topped_up(self) -> set[tuple[str, str]]:
        """The positions, as (account, instrument), whose owners have answered a call with a top-up."""
        return set(self._top_ups)

    def act(self, minute: int, desk: Desk, outbox: Outbox) -> None:
        """Planned steps of this minute, then the market makers."""
        for step in self._diary.pop(minute, ()):
            self._fund(step.trader, outbox)
            if step.enters:
                self._enter(step, minute, desk, outbox)
            else:
                self._exit(step, minute, desk, outbox)
        for maker in self._makers:
            if self._rng.random() < QUOTES_A_MINUTE:
                self._fund(maker, outbox)
                self._make(maker, desk, outbox)

    def answer(self, calls: Iterable[MarginCall], desk: Desk, outbox: Outbox) -> None:
        """What the called accounts do about it: one answer per position and minute, to its latest call."""
        latest = {(call.account, call.instrument): call for call in calls}
        for call in latest.values():
            if call.status not in {"called", "escalated"} or self._rng.random() >= ANSWERS_A_CALL:
                continue
            match self._traders[call.account].strategy:
                case Strategy.TOPS_UP:
                    self._top_up(call, desk, outbox)
                case Strategy.REDUCES:
                    self._trade_share(call, Decimal("-0.5"), desk, outbox)
                case Strategy.FLIPS:
                    self._flip(call, desk, outbox)
                case Strategy.HOLDS | Strategy.SWINGS | Strategy.MAKES_MARKETS:
                    pass

    def _fund(self, trader: Trader, outbox: Outbox) -> None:
        if trader.name not in self._funded:
            self._funded.add(trader.name)
            outbox.deposit(trader.name, trader.deposit)
            for plan in trader.plans:
                if plan.leverage != DEFAULT_LEVERAGE:
                    outbox.set_leverage(trader.name, plan.instrument, plan.leverage)
            if trader.strategy is Strategy.MAKES_MARKETS:
                for instrument in INSTRUMENTS:
                    outbox.set_leverage(trader.name, instrument, MAKER_LEVERAGE)

    def _enter(self, step: Step, minute: int, desk: Desk, outbox: Outbox) -> None:
        account, plan = step.trader.name, step.plan
        if desk.quantity(account, plan.instrument):
            return
        price = desk.taker_price(plan.instrument, buys=plan.is_long, rng=self._rng)
        quantity = to_quantity(plan.instrument, plan.notional / price)
        if (account in desk.wallets and desk.wallet(account) < plan.margin) or not quantity:
            return
        outbox.trade(account, plan.instrument, quantity if plan.is_long else -quantity, price)
        if step.trader.strategy is Strategy.SWINGS:
            self._diary[self._later(minute, HOLDING_MINUTES)].append(Step(step.trader, plan, enters=False))

    def _exit(self, step: Step, minute: int, desk: Desk, outbox: Outbox) -> None:
        """Close, take half of the profit that lies in the wallet out, and come back after a pause."""
        account, instrument = step.trader.name, step.plan.instrument
        held = desk.quantity(account, instrument)
        if held:
            price = desk.taker_price(instrument, buys=held < 0, rng=self._rng)
            outbox.trade(account, instrument, -held, price)
        profit = desk.wallet(account) - step.trader.deposit
        if profit > 1:
            outbox.withdraw(account, to_units(profit / 2))
        self._diary[self._later(minute, PAUSE_MINUTES)].append(Step(step.trader, step.plan, enters=True))

    def _later(self, minute: int, mean_minutes: int) -> int:
        return minute + 1 + int(self._rng.expovariate(1 / mean_minutes))

    def _make(self, maker: Trader, desk: Desk, outbox: Outbox) -> None:
        """One maker fill at the close, against the inventory when that is large, with a rebate for its fee."""
        instrument = self._rng.choice(INSTRUMENTS)
        held, close = desk.quantity(maker.name, instrument), desk.closes[instrument]
        buys = held < 0 if abs(held) * close > INVENTORY_LIMIT else self._rng.choice((True, False))
        quantity = to_quantity(instrument, self._rng.randint(*LOT_NOTIONAL) / close)
        price = to_price(instrument, close)
        rebate = to_units(quantity * price * MAKER_REBATE)
        outbox.trade(maker.name, instrument, quantity if buys else -quantity, price, fee=-rebate)

    def _top_up(self, call: MarginCall, desk: Desk, outbox: Outbox) -> None:
        """Bring the margin ratio back to 10, with new money if the wallet has not enough and the owner has some."""
        if call.equity is None or call.maintenance_margin is None:
            return
        free = desk.wallet(call.account)
        wanted = to_units(TOP_UP_RATIO * Decimal(call.maintenance_margin) - Decimal(call.equity))
        if self._top_ups[call.account, call.instrument] >= MOST_TOP_UPS or wanted <= 0:
            return
        if free < wanted and self._rng.random() < BRINGS_NEW_MONEY:
            outbox.deposit(call.account, wanted - free)
            free = wanted
        if amount := min(free, wanted):
            self._top_ups[call.account, call.instrument] += 1
            self.top_ups.append(outbox.add_margin(call.account, call.instrument, amount))

    def _flip(self, call: MarginCall, desk: Desk, outbox: Outbox) -> None:
        """Turn the position round, once; the second call finds the owner resigned."""
        if (call.account, call.instrument) not in self._flipped:
            self._flipped.add((call.account, call.instrument))
            self._trade_share(call, Decimal(-2), desk, outbox)

    def _trade_share(self, call: MarginCall, share: Decimal, desk: Desk, outbox: Outbox) -> None:
        """Trade ``share`` of the position: -0.5 halves it, -2 turns it round."""
        held = desk.quantity(call.account, call.instrument)
        quantity = to_quantity(call.instrument, held * share) or -held
        if quantity:
            price = desk.taker_price(call.instrument, buys=quantity > 0, rng=self._rng)
            outbox.trade(call.account, call.instrument, quantity, price)
