"""The venue's books: wallets, buckets, marks, funding, and every movement of money between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from tests.core.textbook.ledger import Ledger
from tests.core.textbook.marking import Feed
from tests.core.textbook.numbers import down, up
from tests.core.textbook.position import Position
from tests.core.textbook.terms import Terms
from tests.core.textbook.volatility import Measured

DEFAULT_DECIMALS = 8


@dataclass
class Market:
    """An instrument: the version in force, every one ever accepted, those still to come, its mark, its funding."""

    terms: Terms
    versions: dict[int, object]
    pending: list[Terms] = field(default_factory=list)
    mark: Fraction | None = None
    funding_index: Fraction = Fraction(0)
    last_funding: Fraction | None = None
    """What the last funding payment was, per unit of size."""
    market_us: int = 0
    measured: Measured = field(default_factory=Measured)
    changed: bool = False
    """Whether the parameters changed since the last tick."""
    closed: bool = False
    orders: list[tuple[int, Fraction]] = field(default_factory=list)
    """Liquidation orders under a throttle: when the interval began that they were published in, and their notional."""
    release_us: int | None = None
    """When those that wait are looked at again."""
    feed: Feed | None = None
    """What the mark is made of, where the instrument says how."""
    doubts: int = 0
    """Ticks ever held back."""

    @property
    def stale(self) -> bool:
        """Whether no source of the mark is fresh."""
        return self.feed is not None and self.feed.stale


class Books:
    """Who owns what.  A wallet's balance is that of its ledger account."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.decimals: dict[str, int] = {}
        self.used_assets: set[str] = set()
        self.markets: dict[str, Market] = {}
        self.accounts: set[str] = set()
        self.wallet_assets: set[tuple[str, str]] = set()
        self.positions: dict[tuple[str, str], Position] = {}
        self.leverages: dict[tuple[str, str], Fraction] = {}

    def decimals_of(self, asset: str) -> int:
        """Decimals of an asset: 8 until an `asset` event states them."""
        return self.decimals.get(asset, DEFAULT_DECIMALS)

    def wallet(self, account: str, asset: str) -> Fraction:
        """Free collateral of an account."""
        return self.ledger.balance(f"wallet|{account}", asset)

    def leverage(self, account: str, instrument: str) -> Fraction:
        """Leverage chosen for (account, instrument), else the instrument's default."""
        default = self.markets[instrument].terms.default_leverage
        return self.leverages.get((account, instrument), default)

    def positions_of(self, instrument: str) -> Iterator[Position]:
        """The open positions of an instrument, in order of account id."""
        keys = [key for key in self.positions if key[1] == instrument]
        for key in sorted(keys, key=lambda key: key[0].encode()):
            if key in self.positions:
                yield self.positions[key]

    def move(self, account: str, asset: str, amount: Fraction, other: str) -> None:
        """Move `amount` into the account's wallet from the ledger account `other`."""
        if amount != 0:
            self.accounts.add(account)
            self.wallet_assets.add((account, asset))
        self.ledger.post(other, f"wallet|{account}", asset, amount)

    def commit(self, position: Position, amount: Fraction) -> None:
        """Wallet to bucket."""
        asset = self.markets[position.instrument].terms.settle_asset
        self.move(position.account, asset, -amount, bucket(position))
        position.put(amount)

    def release(self, position: Position, amount: Fraction) -> None:
        """Bucket to wallet."""
        asset = self.markets[position.instrument].terms.settle_asset
        self.move(position.account, asset, amount, bucket(position))
        position.take(amount)

    def charge(self, position: Position, amount: Fraction, receiver: str) -> None:
        """A fee out of the bucket, to the ledger account `receiver`."""
        asset = self.markets[position.instrument].terms.settle_asset
        self.ledger.post(bucket(position), receiver, asset, amount)
        position.collateral -= amount
        position.fees += amount
        if position.liquidation is not None:
            position.liquidation.fees += amount

    def trade(self, position: Position, size: Fraction, price: Fraction) -> None:
        """Book a trade of signed `size`: increase, reduce or close, never through zero."""
        market = self.markets[position.instrument]
        asset = market.terms.settle_asset
        own = bucket(position)
        trading, funding = f"trading|{position.instrument}", f"funding|{position.instrument}"
        cost = size * position.value(price)
        if position.inverse:
            cost = up(cost, self.decimals_of(asset))
        self.ledger.open(own, trading)
        self.ledger.post(own, trading, asset, cost)
        self.ledger.post(funding, own, asset, size * market.funding_index)
        if position.size == 0 or (position.size > 0) == (size > 0):
            position.increase(size, price, cost)
        else:
            position.reduce(size, price, cost)

    def dissolve(self, position: Position, receiver: str) -> tuple[Fraction, Fraction]:
        """Empty the bucket of a closed position; returns (residual, shortfall), whole units.

        What is left goes to `receiver`; what is missing comes from the insurance fund.  The
        fraction of a unit that either leaves behind goes to `rounding`.
        """
        asset = self.markets[position.instrument].terms.settle_asset
        decimals = self.decimals_of(asset)
        rest = position.collateral
        residual = down(max(rest, Fraction(0)), decimals)
        shortfall = up(max(-rest, Fraction(0)), decimals)
        self.ledger.post(f"fund|{position.instrument}", bucket(position), asset, shortfall)
        if receiver.startswith("wallet|"):
            self.move(position.account, asset, residual, bucket(position))
        else:
            self.ledger.post(bucket(position), receiver, asset, residual)
        self.ledger.post(bucket(position), "rounding", asset, rest + shortfall - residual)
        del self.positions[position.account, position.instrument]
        return residual, shortfall

    def examine(self) -> None:
        """The average-price bookkeeping agrees with the ledger; the ledger sums to zero."""
        for asset, total in self.ledger.totals().items():
            assert total == 0, f"{asset} is not conserved: {total}"
        for (account, instrument), position in self.positions.items():
            market = self.markets[instrument]
            balance = self.ledger.balance(bucket(position), market.terms.settle_asset)
            cash = position.collateral - position.size * (position.value(position.entry) - market.funding_index)
            assert cash == balance, f"bucket of {account} in {instrument}: {cash} != {balance}"
            assert position.size != 0
        for account, asset in self.wallet_assets:
            assert self.wallet(account, asset) >= 0, f"wallet of {account} is below zero"


def bucket(position: Position) -> str:
    """Ledger account of a bucket."""
    return f"bucket|{position.account}|{position.instrument}"
