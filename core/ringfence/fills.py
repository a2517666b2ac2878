"""Fills: the facts that open, grow, shrink, close and turn positions.

A fill is never refused for money.  It is taken apart into what it closes and what it opens; each half moves cash in
the order of margin.md: fee first, then the trade, then collateral.
"""

from __future__ import annotations

from typing import NamedTuple

from ringfence import liquidation, margin
from ringfence.hashing import digest_of
from ringfence.ledger import Ledger
from ringfence.rules import Rules
from ringfence.scales import ONE
from ringfence.shard_state import State
from ringfence.state import Bucket
from ringfence_schemas.content import content_of
from ringfence_schemas.decimals import DecimalRefused, decimal_text, units
from ringfence_schemas.inputs import Fill
from ringfence_schemas.kinds import INTEGER_LIMIT, valid_identifier
from ringfence_schemas.outcomes import FillFlagged, Underfunded


class PreparedFill(NamedTuple):
    """What can be said of a fill before any state is known."""

    quantity: int
    """Contracts, decimal."""
    price: int
    """In price units."""
    tag: bytes
    """Hash of account and id: what it is remembered by."""
    content: bytes
    """Hash of its content."""
    plain: bool
    """Whether its values are sound and its rare fields absent, so that nothing but its names is left to check."""


def prepare(fill: Fill) -> PreparedFill:
    """Read and hash a fill.  For many fills this is done in one go: a short loop runs faster than the same steps in the
    long course of each.
    """
    quantity = price = 0
    try:
        quantity, price = units[fill.quantity], units[fill.price]
        plain = quantity > 0 < price and 0 <= fill.time_us < INTEGER_LIMIT and valid_identifier(fill.fill_id)
        plain = plain and (fill.fee is None or units[fill.fee] is not None)
        plain = plain and fill.fee_asset is fill.margin is fill.liquidation_id is None
        plain = plain and (fill.order_id is None or valid_identifier(fill.order_id))
    except DecimalRefused:
        plain = False
    tag = digest_of(b"%a|fill|%a" % (fill.account, fill.fill_id))
    return PreparedFill(quantity, price * ONE, tag, digest_of(content_of(fill)), plain)


def apply_fill(state: State, bucket: Bucket, fill: Fill, quantity: int, price: int) -> None:
    """Book a fill of `quantity` contracts (decimal) at `price` (price units); judging is left to the caller."""
    rules, before = bucket.book.rules, bucket.size
    size = quantity * rules.multiplier
    worth, per = rules.contract.worth(size, price)
    notional = abs(worth), per
    fee = _fee(rules, fill, notional)
    if fill.side == "sell":
        size = -size
    bucket.posted = True
    if quantity % rules.quantity_step or price % rules.price_tick:
        _flag(state, bucket, fill, "off_grid")
    grows = not before or (before > 0) == (size > 0)
    if rules.expiry_us is not None and rules.close_only(state.time_us) and (grows or abs(size) > abs(before)):
        _flag(state, bucket, fill, "close_only")
    if grows:
        _increase(state, bucket, fill, size, price, fee, notional)
        return
    progress = liquidation.begin_fill(state, bucket, fill, size) if bucket.liquidation else None
    after = before + size
    if after and (after > 0) != (before > 0):
        _reduce(state, bucket, -before, price, 0, fill, progress)
        worth, per = rules.contract.worth(after, price)
        _increase(state, bucket, fill, after, price, fee, (abs(worth), per))
    else:
        _reduce(state, bucket, size, price, fee, fill, progress)


def _fee(rules: Rules, fill: Fill, notional: tuple[int, int]) -> int:
    """The fee in units of the asset: as stated, rounded up, else ceil(N(p) * fees.taker), N(p) a fraction of money."""
    if fill.fee is not None:
        return -(-units[fill.fee] // rules.unit)
    money, per = notional
    return -(-money * rules.taker_fee // (per * rules.scaled_quantum))


def _flag(state: State, bucket: Bucket, fill: Fill, reason: str) -> None:
    state.record_of(FillFlagged, bucket, fill_id=fill.fill_id, reason=reason)


def _increase(
    state: State, bucket: Bucket, fill: Fill, size: int, price: int, fee: int, notional: tuple[int, int]
) -> None:
    """Open or grow: the fee from the wallet, the rest of it from the bucket; then collateral, as far as it goes."""
    book, ledger, before = bucket.book, state.ledger, bucket.size
    rules, wallets, account = book.rules, book.asset.wallets, bucket.account.name
    ledger.trade(bucket, size, price)
    bucket.size = after = before + size
    bucket.entry_price = rules.contract.blended(before, bucket.entry_price, size, price) if before else price // ONE
    available = wallets.get(account, 0)
    if fee:
        paid = min(fee, available)
        if paid:
            ledger.fee_from_wallet(book.asset, account, paid)
            available -= paid
        if paid < fee:
            _charge_bucket(ledger, bucket, fee - paid)
    leverage = rules.default_leverage if bucket.leverage is None else bucket.leverage
    if fill.margin is None:
        money, per = notional
        required = -(-money * ONE // (leverage * per * rules.quantum))
    else:
        required = -(-units[fill.margin] // rules.unit)
    moved = min(required, available)
    if moved:
        ledger.fund_bucket(bucket, moved, "margin")
        if bucket.liquidation:
            liquidation.try_cure(state, bucket)
    if moved < required:
        _underfunded(state, bucket, fill, required, available)
    limit = margin.max_leverage(rules, after, bucket.entry_price * ONE if book.mark is None else book.mark)
    if limit is not None and leverage > limit:
        _flag(state, bucket, fill, "above_max_leverage")


def _underfunded(state: State, bucket: Bucket, fill: Fill, required: int, available: int) -> None:
    decimals = bucket.book.asset.decimals
    state.record_of(
        Underfunded,
        bucket,
        fill_id=fill.fill_id,
        required=decimal_text(required, decimals),
        available=decimal_text(available, decimals),
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
    rules, before = book.rules, bucket.size
    wallet_before = book.asset.wallets.get(account, 0)
    if fee > 0:
        _charge_bucket(ledger, bucket, fee)
    elif fee < 0:
        ledger.fee_from_wallet(book.asset, account, fee)
    ledger.trade(bucket, size, price)
    bucket.size = before + size
    bucket.realised += rules.contract.realised(-size, bucket.entry_price, price, rules.extra_decimals)
    charged = liquidation.charge_fee(state, bucket, size, price, progress) if progress else 0
    if bucket.size == 0:
        liquidation.close(state, bucket, "closed", wallet_before, before, price)
    elif progress is not None:
        liquidation.after_reduction(state, bucket, fill, progress, charged, wallet_before)
    elif rules.release:
        equity, per = margin.equity_at(bucket, price)
        freed = equity * abs(size) // (abs(before) * per * rules.quantum)
        if freed > 0:
            ledger.release(bucket, freed, "release")
