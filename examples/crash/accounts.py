"""The generated part of the example: who trades, with how much, how leveraged, and when they come in.

No public file holds real accounts' fills with their collateral, so the accounts are generated from a seed.
Their distribution:

- strategy: 44 % hold and never answer a margin call, 24 % top up, 14 % reduce, 5 % flip to the other side, 12 % swing
  (in and out all day, average holding time 5 hours), 1 % are market makers;
- deposit: log-normal, median 1,500 USDT, sigma 1.3, within 50 and 150,000 USDT; market makers 100,000 to 500,000 USDT;
- leverage: 3x 25 %, 5x 33 %, 10x 26 %, 20x 12 %, 25x 4 %; market makers 3x;
- positions: one instrument 80 %, two 15 %, three 5 %; market makers all four;
- side: 64 % long, each position on its own;
- initial margin: 25 to 90 % of the deposit over all positions, of those who top up 20 to 50 %; a position's notional is
  capped where the venue's brackets stop allowing its leverage;
- entry: half within the first twentieth of the window, the others evenly over its first nine tenths.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from examples.crash.market import INSTRUMENTS
from examples.crash.venue import DEFAULT_LEVERAGE

CENT = Decimal("0.01")


class Strategy(StrEnum):
    """What an account does when it is called, or beside."""

    HOLDS = "holds, never answers"
    TOPS_UP = "tops up"
    REDUCES = "reduces"
    FLIPS = "flips to the other side"
    SWINGS = "swings in and out"
    MAKES_MARKETS = "makes markets"


STRATEGY_SHARES = {
    Strategy.HOLDS: 0.44,
    Strategy.TOPS_UP: 0.24,
    Strategy.REDUCES: 0.14,
    Strategy.FLIPS: 0.05,
    Strategy.SWINGS: 0.12,
    Strategy.MAKES_MARKETS: 0.01,
}
LEVERAGE_SHARES = {3: 0.25, 5: 0.33, 10: 0.26, 20: 0.12, 25: 0.04}
POSITION_SHARES = {1: 0.8, 2: 0.15, 3: 0.05}
LONG_SHARE = 0.64
DEPOSIT_MEDIAN, DEPOSIT_SIGMA = 1_500, 1.3
DEPOSIT_LEAST, DEPOSIT_MOST = 50, 150_000
EARLY_SHARE, EARLY_PART, LAST_ENTRY = 0.5, 0.05, 0.9


@dataclass(frozen=True, slots=True)
class Plan:
    """One position that an account means to open: initial margin in USDT, entry in minutes after the window's start."""

    instrument: str
    is_long: bool
    leverage: int
    margin: Decimal
    entry_minute: int

    @property
    def notional(self) -> Decimal:
        """Size of the position in USDT, below the bracket at which the venues allow less than the plan's leverage."""
        ceiling = Decimal(350_000) if self.leverage > DEFAULT_LEVERAGE else Decimal(700_000)
        return min(self.margin * self.leverage, ceiling)


@dataclass(frozen=True, slots=True)
class Trader:
    """One generated account; ``deposit`` is what it brings, in USDT."""

    name: str
    strategy: Strategy
    deposit: Decimal
    plans: tuple[Plan, ...]


def generate(seed: int, count: int, minutes: int) -> list[Trader]:
    """``count`` accounts for a window of ``minutes``, always the same for the same arguments."""
    rng = random.Random(seed)
    strategies = _apportion(count)
    rng.shuffle(strategies)
    return [_trader(rng, f"A{number:05d}", strategy, minutes) for number, strategy in enumerate(strategies, 1)]


def _apportion(count: int) -> list[Strategy]:
    """As many of each strategy as its share says, the remainder holds; never without a market maker."""
    counts = {strategy: int(count * share) for strategy, share in STRATEGY_SHARES.items()}
    counts[Strategy.MAKES_MARKETS] = max(1, counts[Strategy.MAKES_MARKETS])
    counts[Strategy.HOLDS] = count - sum(n for strategy, n in counts.items() if strategy is not Strategy.HOLDS)
    return [strategy for strategy, n in counts.items() for _ in range(n)]


def _trader(rng: random.Random, name: str, strategy: Strategy, minutes: int) -> Trader:
    if strategy is Strategy.MAKES_MARKETS:
        return Trader(name, strategy, Decimal(rng.randint(100, 500) * 1000), ())
    amount = rng.lognormvariate(math.log(DEPOSIT_MEDIAN), DEPOSIT_SIGMA)
    deposit = Decimal(min(max(amount, DEPOSIT_LEAST), DEPOSIT_MOST)).quantize(CENT)
    used = rng.uniform(0.2, 0.5) if strategy is Strategy.TOPS_UP else rng.uniform(0.25, 0.9)
    chosen = rng.sample(INSTRUMENTS, _pick(rng, POSITION_SHARES))
    margin = (deposit * Decimal(used) / len(chosen)).quantize(CENT)
    entry = _entry_minute(rng, minutes)
    plans = [
        Plan(instrument, rng.random() < LONG_SHARE, _pick(rng, LEVERAGE_SHARES), margin, entry) for instrument in chosen
    ]
    return Trader(name, strategy, deposit, tuple(plans))


def _pick(rng: random.Random, shares: dict[int, float]) -> int:
    return rng.choices(list(shares), list(shares.values()))[0]


def _entry_minute(rng: random.Random, minutes: int) -> int:
    until = EARLY_PART if rng.random() < EARLY_SHARE else LAST_ENTRY
    return int(minutes * until * rng.random())


def count_by_strategy(traders: Sequence[Trader]) -> dict[Strategy, int]:
    """How many accounts follow each strategy, in the order of ``Strategy``."""
    counts = Counter(trader.strategy for trader in traders)
    return {strategy: counts[strategy] for strategy in Strategy}
