"""Fills: the facts that open, grow, shrink, close and turn positions.

A fill is never refused for money.  It is taken apart into what it closes and what it opens; each half moves cash in
the order of margin.md: fee first, then the trade, then collateral.
"""

from __future__ import annotations

from ringfence import liquidation, margin
from ringfence.ledger import Ledger
from ringfence.rules import Rules
from ringfence.scales import ONE, ceil_divide
from ringfence.shard_state import State
from ringfence.state import Bucket
from ringfence_schemas.decimals import decimal_text, units
from ringfence_schemas.inputs import Fill
from ringfence_schemas.outcomes import FillFlagged, Underfunded


def apply_fill(state: State, bucket: Bucket, fill: Fill, quantity: int, price: int) -> None:
    """Book a fill of `quantity` contracts (decimal) at `price` (price units) on the bucket.  Judging is left to the
    caller.
    """
    rules = bucket.book.rules
    bucket.posted = True
    size = quantity * rules.multiplier
    if fill.side == "sell":
        size = -size
    before = bucket.size
    if quantity % rules.quantity_step or price % rules.price_tick:
        _flag(state, bucket, fill, "off_grid")
    fee = _fee(rules, fill, size, price)
    if before == 0 or (before > 0) == (size > 0):
        _increase(state, bucket, fill, size, price, fee)
        return
    progress = liquidation.begin_fill(state, bucket, fill, size) if bucket.liquidation else None
    if abs(size) > abs(before):
        _reduce(state, bucket, -before, price, 0, fill, progress)
        _increase(state, bucket, fill, size + before, price, fee)
    else:
        _reduce(state, bucket, size, price, fee, fill, progress)


def _fee(rules: Rules, fill: Fill, size: int, price: int) -> int:
    """The fee in units of the asset: as stated, rounded up, else ceil(N(p) * fees.taker)."""
    if fill.fee is not None:
        return ceil_divide(units[fill.fee], 10 ** (18 - rules.asset_decimals))
    if not rules.taker_fee:
        return 0
    return ceil_divide(abs(size) * price * rules.taker_fee, rules.quantum * ONE)


def _flag(state: State, bucket: Bucket, fill: Fill, reason: str) -> None:
    state.record_of(FillFlagged, bucket, fill_id=fill.fill_id, reason=reason)


def _increase(state: State, bucket: Bucket, fill: Fill, size: int, price: int, fee: int) -> None:
    """Open or grow: the fee from the wallet, the rest of it from the bucket; then collateral, as far as the wallet
    has it.
    """
    book, ledger, account = bucket.book, state.ledger, bucket.account.name
    rules, asset = book.rules, book.asset
    before = bucket.size
    ledger.trade(bucket, size, price)
    bucket.size = after = before + size
    bucket.entry_price = _blended(bucket.entry_price, before, size, price, after)
    available = asset.wallets.get(account, 0)
    if fee:
        paid = min(fee, max(available, 0))
        if paid:
            ledger.fee_from_wallet(asset, account, paid)
            available -= paid
        if paid < fee:
            _charge_bucket(ledger, bucket, fee - paid)
    leverage = bucket.leverage if bucket.leverage is not None else rules.default_leverage
    notional = abs(size) * price
    if fill.margin is None:
        required = -(-notional * ONE // (leverage * rules.quantum))
    else:
        required = ceil_divide(units[fill.margin], 10 ** (18 - rules.asset_decimals))
    moved = min(required, available)
    if moved > 0:
        ledger.fund_bucket(bucket, moved, "margin")
        if bucket.liquidation:
            liquidation.try_cure(state, bucket)
    if moved < required:
        _underfunded(state, bucket, fill, required, available)
    if rules.max_leverages != (None,):
        _check_leverage(state, bucket, fill, leverage, after)


def _check_leverage(state: State, bucket: Bucket, fill: Fill, leverage: int, size: int) -> None:
    """Flag a fill that grew the position into a tier that does not allow its leverage."""
    mark = bucket.book.mark
    price = mark if mark is not None else bucket.entry_price * ONE
    limit = margin.max_leverage(bucket.book.rules, abs(size) * price)
    if limit is not None and leverage > limit:
        _flag(state, bucket, fill, "above_max_leverage")


def _blended(entry_price: int, before: int, size: int, price: int, after: int) -> int:
    """E after an increase: the weighted average, 18 decimals, down for a long and up for a short."""
    if not before:
        return price // ONE
    return (
        (before * entry_price * ONE + size * price) // (after * ONE)
        if after > 0
        else ceil_divide(-before * entry_price * ONE - size * price, -after * ONE)
    )


def _underfunded(state: State, bucket: Bucket, fill: Fill, required: int, available: int) -> None:
    decimals = bucket.book.asset.decimals
    state.record_of(
        Underfunded,
        bucket,
        fill_id=fill.fill_id,
        required=decimal_text(required, decimals),
        available=decimal_text(max(available, 0), decimals),
    )


def _charge_bucket(ledger: Ledger, bucket: Bucket, fee: int) -> None:
    ledger.fee_from_bucket(bucket, fee)
    if bucket.liquidation:
        bucket.liquidation.fees += fee


def _reduce(
    state: State, bucket: Bucket, size: int, price: int, fee: int, fill: Fill, progress: liquidation.Progress | None
) -> None:
    """Shrink or close: c -= fee, a rebate goes to the wallet; then the realised part, then what may be freed."""
    book, ledger, account = bucket.book, state.ledger, bucket.account.name
    before = bucket.size
    wallet_before = book.asset.wallets.get(account, 0)
    if fee > 0:
        _charge_bucket(ledger, bucket, fee)
    elif fee < 0:
        ledger.fee_from_wallet(book.asset, account, fee)
    ledger.trade(bucket, size, price)
    bucket.size = before + size
    bucket.realised -= size * (price // ONE - bucket.entry_price)
    charged = liquidation.charge_fee(state, bucket, size, price, progress) if progress else 0
    if bucket.size == 0:
        liquidation.close(state, bucket, "closed", wallet_before)
    elif progress is not None:
        liquidation.after_reduction(state, bucket, fill, progress, charged, wallet_before)
    elif book.rules.release:
        worth = bucket.cash + bucket.size * (price - book.funding_index)
        freed = worth * abs(size) // (abs(before) * book.rules.quantum)
        if freed > 0:
            ledger.release(bucket, freed, "release")
