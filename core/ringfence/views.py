"""The views: what is published of positions and wallets.

A view is taken at the end of a frame and drawn when somebody looks at it.  What is taken are the few numbers that it
depends on, so the state may go on before the view is drawn, and a view that nobody looks at is never drawn.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from ringfence import margin
from ringfence.attribution import Between, moves
from ringfence.figures import decimal, price, ratio
from ringfence.rules import Rules
from ringfence.scales import MONEY_DECIMALS, ONE
from ringfence.state import Asset, Bucket
from ringfence_schemas.decimals import DECIMALS, decimal_text
from ringfence_schemas.outcomes import ABSENT, Position, Wallet, encode


class PositionView(NamedTuple):
    """One open position at the end of a frame."""

    account: str
    instrument: str
    rules: Rules
    mark: int | None
    funding_index: int
    size: int
    cash: int
    entry_price: int
    realised: int
    funding_paid: int
    leverage: int
    case_id: str | None
    liquidation_id: str | None
    sequence: int
    hash: bytes
    next_cost: int | None
    """What the last funding would cost the bucket if it came once more, money; None: there has been none."""
    between: Between | None
    """What changed since the view before, where this one says why the liquidation price moved."""

    @classmethod
    def of(cls, bucket: Bucket, between: Between | None = None) -> PositionView:
        """Take the view of a bucket as it stands; `between` is what changed since the view before."""
        account, book = bucket.account, bucket.book
        return cls(
            account.name,
            book.name,
            book.rules,
            book.mark,
            book.funding_index,
            bucket.size,
            bucket.cash,
            bucket.entry_price,
            bucket.realised,
            bucket.funding_paid,
            margin.leverage_of(bucket),
            bucket.case_id if bucket.level else None,
            bucket.liquidation_id if bucket.liquidation else None,
            account.sequence,
            account.hash,
            None if book.funding_payment is None else margin.funding_cost(bucket, book.funding_payment),
            between,
        )

    @property
    def status(self) -> Literal["open", "called", "liquidating"]:
        """Where the bucket stands in the life of a position."""
        if self.liquidation_id:
            return "liquidating"
        return "called" if self.case_id else "open"

    def draw(self) -> bytes:
        """Return what is published."""
        return encode(self.position())

    def position(self) -> Position:
        """Return everything that a holder may want to check."""
        rules, mark, size = self.rules, self.mark, self.size
        quantum, decimals, contract = rules.quantum, rules.asset_decimals, rules.contract
        funded = size * self.funding_index
        cost = funded - self.cash
        worth, per = contract.worth(size, self.entry_price * ONE)
        held = worth - cost * per, per
        start = self.entry_price * ONE if mark is None else mark
        required, crossings = rules.required_at_entry(size, self.entry_price), rules.crossings(size)
        *called, liquidated = [_price_at(crossing.point(size, cost, start, required), rules) for crossing in crossings]
        notional, profit, equity, initial, maintenance, rate, amount, tier, margin_ratio, removable = (
            self._unmarked(worth, per) if mark is None else self._marked(mark, cost, held)
        )
        return Position(
            account=self.account,
            instrument=self.instrument,
            quantity=decimal(size // rules.multiplier),
            entry_price=decimal_text(self.entry_price, DECIMALS),
            mark_price=price(mark),
            notional=notional,
            collateral=decimal_text(held[0] // (quantum * per), decimals),
            unrealised_pnl=profit,
            realised_pnl=decimal_text(self.realised * ONE // quantum, decimals),
            funding=decimal_text((self.funding_paid - funded) // quantum, decimals),
            equity=equity,
            initial_margin=initial,
            maintenance_margin=maintenance,
            maintenance_rate=rate,
            maintenance_amount=amount,
            tier=tier,
            leverage=decimal(self.leverage),
            margin_ratio=margin_ratio,
            liquidation_price=liquidated,
            bankruptcy_price=_price_at(contract.bankruptcy_point(size, cost, rules.price_tick), rules),
            margin_call_prices=called,
            max_removable=removable,
            status=self.status,
            case_id=self.case_id,
            liquidation_id=self.liquidation_id,
            sequence=self.sequence,
            hash=self.hash.hex(),
            liquidation_price_after_funding=ABSENT
            if self.next_cost is None
            else _price_at(crossings[-1].point(size, cost + self.next_cost, start, required), rules),
            liquidation_price_moves=ABSENT if self.between is None else moves(self.between, rules, mark),
        )

    def _marked(self, mark: int, cost: int, held: tuple[int, int]) -> Marked:
        """What depends on the mark: from `notional` to `max_removable`; the collateral is a fraction of money."""
        rules, size = self.rules, self.size
        at_mark, basis, per = rules.value(mark, self.entry_price)
        collateral, per_entry = held
        decimals, quantum = rules.asset_decimals, rules.quantum * per
        worth = rules.contract.sign * size * at_mark - cost * per
        maintained, initial, texts = self._required(abs(size) * basis, per)
        return (
            decimal_text(-(-abs(size) * at_mark // quantum), decimals),
            decimal_text((worth * per_entry - collateral * per) // (quantum * per_entry), decimals),
            decimal_text(worth // quantum, decimals),
            *texts,
            ratio(worth, maintained),
            decimal_text(margin.spare(rules, held, margin.Standing(worth, maintained, per), initial), decimals),
        )

    def _unmarked(self, worth: int, per: int) -> Unmarked:
        """The same without a mark: only what basis `entry` requires is known."""
        if not self.rules.entry_basis:
            return (None,) * 10
        _, _, texts = self._required(abs(worth), per)
        return (None, None, None, *texts, None, None)

    def _required(self, notional: int, per: int) -> tuple[int, tuple[int, int], Required]:
        """What a notional requires: maintenance (scaled), initial margin (a fraction), and as published."""
        rules = self.rules
        quantum, decimals, tiers = rules.quantum * per, rules.asset_decimals, rules.side(self.size)
        tier = tiers.tier_of(notional, per)
        maintained = tiers.maintenance_in(tier, notional, per)
        money, share = margin.initial(rules, self.leverage, notional, tier)
        rate, amount = tiers.rates[tier], tiers.amounts[tier]
        if tiers.least_rate:
            _, rate, amount = tiers.line_at(notional, per)
        texts = (
            decimal_text(-(-money // (share * quantum)), decimals),
            decimal_text(-(-maintained // (rules.scaled_quantum * per)), decimals),
            decimal(rate),
            _exact_money(amount, rules.extra_decimals),
            tier + 1,
        )
        return maintained, (money, share), texts


Required: TypeAlias = tuple[str, str, str, str, int]
"""From `initial_margin` to `tier`."""

Marked: TypeAlias = tuple[str, str, str, str, str, str, str, int, str | None, str]

Unmarked: TypeAlias = tuple[None, None, None, str | None, str | None, str | None, str | None, int | None, None, None]


class WalletView(NamedTuple):
    """One wallet at the end of a frame."""

    account: str
    asset: str
    balance: int
    decimals: int

    @classmethod
    def of(cls, account: str, asset: Asset) -> WalletView:
        """Take the view of an account's wallet as it stands."""
        return cls(account, asset.name, asset.wallets.get(account, 0), asset.decimals)

    def draw(self) -> bytes:
        """Return what is published."""
        balance = decimal_text(self.balance, self.decimals)
        return encode(Wallet(account=self.account, asset=self.asset, balance=balance))


def _price_at(point: int | None, rules: Rules) -> str | None:
    """The price of a point on the grid, exactly."""
    return None if point is None else decimal_text(point * rules.tick_digits, rules.tick_decimals)


@lru_cache(maxsize=1024)
def _exact_money(amount: int, extra_decimals: int) -> str:
    """A maintenance amount, exactly.  Kept, because a version of parameters has as many as it has tiers."""
    return decimal_text(amount, MONEY_DECIMALS + extra_decimals)
