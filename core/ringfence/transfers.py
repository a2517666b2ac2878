"""Deposits, withdrawals, margin moved by the account, leverage: everything an account does with its own money.

Each handler refuses in one column, in the order of precedence of docs/reference/refusals.md; after its last refusal
nothing may fail.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ringfence import liquidation, margin
from ringfence.refusals import refusal
from ringfence.scales import ONE, ceil_divide
from ringfence.shard_state import DEFAULT_ASSET_DECIMALS, State
from ringfence.state import Asset, Book, Bucket
from ringfence_schemas.decimals import decimal_text, units
from ringfence_schemas.inputs import AddMargin, Deposit, RemoveMargin, SetLeverage, Withdrawal

AMOUNT_DECIMALS: Final = 18


class Touched(NamedTuple):
    """What an account's own input changed."""

    asset: Asset
    bucket: Bucket | None


def open_book(state: State, instrument: str) -> Book:
    """Return the instrument, or refuse: it must exist and must not be settled."""
    book = state.books.get(instrument)
    if book is None:
        raise refusal("unknown_instrument", instrument)
    if book.settled:
        raise refusal("instrument_closed", instrument)
    return book


def open_bucket(state: State, account: str, instrument: str) -> Bucket:
    """Return the bucket of an open position, or refuse."""
    bucket = open_book(state, instrument).buckets.get(account)
    if bucket is None or not bucket.size:
        raise refusal("no_position", f"{account} in {instrument}")
    return bucket


def in_units(amount: str, decimals: int) -> int:
    """Return an amount in units of the asset, or refuse one that is finer."""
    unit: int = 10 ** (AMOUNT_DECIMALS - decimals)
    whole, finer = divmod(units[amount], unit)
    if finer:
        raise refusal("too_many_decimals", f"{amount} has more than {decimals} decimals")
    return whole


def apply_deposit(state: State, event: Deposit) -> Touched:
    """External money into the wallet, or straight into a bucket."""
    if event.instrument is not None:
        return _deposit_to_bucket(state, event, event.instrument)
    known = state.assets.get(event.asset)
    amount = in_units(event.amount, known.decimals if known else DEFAULT_ASSET_DECIMALS)
    asset = state.asset(event.asset)
    state.account(event.account)
    state.ledger.deposit(asset, event.account, amount)
    return Touched(asset, None)


def _deposit_to_bucket(state: State, event: Deposit, instrument: str) -> Touched:
    book = open_book(state, instrument)
    if event.asset != book.asset.name:
        raise refusal("wrong_asset", f"{instrument} settles in {book.asset.name}, not {event.asset}")
    bucket = open_bucket(state, event.account, instrument)
    amount = in_units(event.amount, book.asset.decimals)
    state.ledger.deposit_to_bucket(bucket, amount)
    _note(bucket, amount)
    liquidation.try_cure(state, bucket)
    return Touched(book.asset, bucket)


def _note(bucket: Bucket, amount: int) -> None:
    """Remember for the next view, if it says why the liquidation price moved, what the account itself put in."""
    if bucket.shown is not None:
        bucket.shown.transferred += amount


def apply_withdrawal(state: State, event: Withdrawal) -> Touched:
    """Wallet money out; a bucket is never withdrawn from."""
    known = state.assets.get(event.asset)
    amount = in_units(event.amount, known.decimals if known else DEFAULT_ASSET_DECIMALS)
    held = known.wallets.get(event.account, 0) if known else 0
    if known is None or amount > held:
        raise refusal("insufficient_wallet", f"{event.amount} {event.asset} asked, {_text(held, known)} held")
    state.ledger.withdraw(known, event.account, amount)
    return Touched(known, None)


def _text(amount: int, asset: Asset | None) -> str:
    return decimal_text(amount, asset.decimals if asset else 0)


def apply_add_margin(state: State, event: AddMargin) -> Touched:
    """Wallet to bucket."""
    bucket = open_bucket(state, event.account, event.instrument)
    asset = bucket.book.asset
    amount = in_units(event.amount, asset.decimals)
    held = asset.wallets.get(event.account, 0)
    if amount > held:
        raise refusal("insufficient_wallet", f"{event.amount} {asset.name} asked, {_text(held, asset)} held")
    state.ledger.fund_bucket(bucket, amount, "add_margin")
    _note(bucket, amount)
    liquidation.try_cure(state, bucket)
    return Touched(asset, bucket)


def apply_remove_margin(state: State, event: RemoveMargin) -> Touched:
    """Bucket to wallet; refused, never clipped, above `max_removable`."""
    bucket = open_bucket(state, event.account, event.instrument)
    asset, mark = bucket.book.asset, bucket.book.mark
    amount = in_units(event.amount, asset.decimals)
    if bucket.liquidation:
        raise refusal("liquidating", bucket.liquidation_id or "")
    if mark is None:
        raise refusal("no_mark", event.instrument)
    spare = margin.removable(bucket, mark, margin.leverage_of(bucket))
    if amount > spare:
        raise refusal("not_removable", f"{event.amount} {asset.name} asked, max_removable is {_text(spare, asset)}")
    state.ledger.release(bucket, amount, "remove_margin")
    _note(bucket, -amount)
    return Touched(asset, bucket)


def apply_set_leverage(state: State, event: SetLeverage) -> Touched:
    """Leverage for future fills; with `rebalance` the collateral W of a position becomes N(E)/L, all or nothing."""
    book = open_book(state, event.instrument)
    bucket, leverage = book.buckets.get(event.account), units[event.leverage]
    if book.rules.close_only(state.time_us) and (bucket is None or not bucket.size):
        raise refusal("no_position", f"{event.account} in {event.instrument}, which only closes since its expiry")
    if bucket is not None and bucket.liquidation:
        raise refusal("liquidating", bucket.liquidation_id or "")
    limit = _max_leverage(book, bucket)
    if limit is not None and leverage > limit:
        raise refusal(
            "leverage_too_high", f"{event.leverage} asked, the tier allows {decimal_text(limit, AMOUNT_DECIMALS)}"
        )
    moved = 0
    if bucket is not None and bucket.size:
        if leverage < margin.leverage_of(bucket) and not event.rebalance:
            raise refusal("rebalance_required", f"{event.instrument} holds a position")
        if event.rebalance:
            moved = _rebalancing(bucket, leverage)
    bucket = state.bucket(event.account, book)
    bucket.leverage = leverage
    if moved > 0:
        state.ledger.fund_bucket(bucket, moved, "rebalance")
    elif moved < 0:
        state.ledger.release(bucket, -moved, "rebalance")
    _note(bucket, moved)
    return Touched(book.asset, bucket)


def _max_leverage(book: Book, bucket: Bucket | None) -> int | None:
    """The limit of the tier of N(mark), of N(E) without a mark, of the first tier when flat."""
    if bucket is None or not bucket.size:
        return book.rules.max_leverages[0]
    return margin.max_leverage(book.rules, bucket.size, bucket.entry_price * ONE if book.mark is None else book.mark)


def _rebalancing(bucket: Bucket, leverage: int) -> int:
    """Return the units that must move from the wallet (negative: to the wallet) so that W = N(E)/L, or refuse."""
    rules, asset = bucket.book.rules, bucket.book.asset
    worth, per = rules.contract.worth(bucket.size, bucket.entry_price * ONE)
    held, _ = margin.collateral(bucket)
    missing, unit = abs(worth) * ONE - held * leverage, leverage * per * rules.quantum
    if missing >= 0:
        return _affordable(bucket, ceil_divide(missing, unit))
    freed = -missing // unit
    if not freed:
        return 0
    mark = bucket.book.mark
    if mark is None:
        raise refusal("no_mark", bucket.book.name)
    spare = margin.removable(bucket, mark, leverage)
    if freed > spare:
        raise refusal(
            "not_removable",
            f"{_text(freed, asset)} {asset.name} would be freed, max_removable is {_text(spare, asset)}",
        )
    return -freed


def _affordable(bucket: Bucket, needed: int) -> int:
    asset = bucket.book.asset
    held = asset.wallets.get(bucket.account.name, 0)
    if needed > held:
        raise refusal("insufficient_wallet", f"{_text(needed, asset)} {asset.name} needed, {_text(held, asset)} held")
    return needed
