"""The life of a liquidation: start, ladder of orders, cure, takeover, and the closing of a bucket with its certificate.

A loss never leaves the bucket.  Whatever the last trade leaves below zero is the insurance fund's, and is published;
the wallet is not touched. Once started a liquidation stands: a price that recovers does not undo it, money added
does.
"""

from __future__ import annotations

from heapq import heappush
from typing import Final, NamedTuple

from ringfence import calls, deleveraging, figures, margin, throttle
from ringfence.margin import Standing
from ringfence.rules import Rules
from ringfence.scales import ONE, ceil_divide
from ringfence.shard_state import State
from ringfence.state import Book, Bucket, Liquidation
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.inputs import Fill
from ringfence_schemas.outcomes import (
    FillFlagged,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationProgress,
    LiquidationStarted,
    PositionTakenOver,
    ShortfallRecorded,
    UncoveredLoss,
)

DEADLINE_TIMER: Final = "liquidation_deadline"
RELEASE_TIMER: Final = "liquidation_release"


class Progress(NamedTuple):
    """A reducing fill on a bucket in liquidation."""

    liquidation: Liquidation
    size: int
    """Unsigned size of the fill."""
    ours: bool
    """Whether it carries the id of this liquidation: the executor knows of it, and it pays the liquidation fee."""


# --------------------------------------------------------------------------------------------------------- start


def start(state: State, bucket: Bucket, standing: Standing) -> None:
    """Begin the liquidation of a bucket whose equity met its maintenance."""
    book = bucket.book
    bucket.liquidations += 1
    bucket.liquidation = Liquidation(bucket.liquidations)
    state.engine_changed(bucket)
    book.index.remove(bucket)
    key, threshold = _evidence(bucket)
    state.record_of(
        LiquidationStarted,
        bucket,
        liquidation_id=bucket.liquidation_id,
        case_id=bucket.case_id,
        no_call_reason=_no_call_reason(bucket),
        quantity=figures.quantity(bucket.size, book.rules),
        mode=book.rules.liquidation.mode,
        key=key,
        threshold=threshold,
        **figures.judgement(bucket),
    )
    if book.rules.liquidation.mode == "takeover":
        take_over(state, bucket)
    else:
        next_step(state, bucket, standing)


def _no_call_reason(bucket: Bucket) -> str | None:
    """Why no open case preceded the liquidation; None when one did."""
    if bucket.level:
        return None
    if not bucket.book.rules.call_levels:
        return "not_configured"
    if bucket.book.changed:
        return "parameter_change"
    guard = bucket.book.guard
    return "stale_then_fresh" if guard is not None and guard.reviving else "gap"


def _evidence(bucket: Bucket) -> tuple[tuple[str, str], tuple[str, str]]:
    """The key of the bucket and the threshold it crossed, on the line that binds at its notional.

    Where the notional falls as the bucket loses, for linear longs and inverse shorts, -(c + cum)/|q| against
    |V|*(1 - k); for the others (c + cum)/|q| against |V|*(1 + k); less F for a linear contract, plus F for an inverse
    one.  Under basis `entry` maintenance stands with the key, c - maintenance in place of c + cum, and k is nothing.
    """
    book, size, rules = bucket.book, bucket.size, bucket.book.rules
    contract, value = rules.contract.sign, rules.value(book.mark or 0, bucket.entry_price)
    sign = contract if size > 0 else -contract
    if rules.entry_basis:
        required, per = rules.required_at_entry(size, bucket.entry_price)
        beside, rate = -required, 0
    else:
        line = rules.side(size).line_at(abs(size) * value.basis, value.per)
        beside, per, rate = line.amount * ONE, 1, line.rate
        if abs(size) * value.basis * rate < beside * value.per:  # given amounts above the charge ask for nothing
            beside = rate = 0
    key = figures.fraction(-sign * (bucket.cash * ONE * per + beside), abs(size) * ONE**3 * per)
    index = contract * book.funding_index * ONE * value.per
    return key, figures.fraction(value.mark * (ONE - sign * rate) - index, ONE**3 * value.per)


# ------------------------------------------------------------------------------------------ the ladder of orders


def next_step(state: State, bucket: Bucket, standing: Standing, *, whole: bool = False) -> None:
    """Publish the next order, or hand the position to the fund when the ladder is exhausted."""
    run, book = bucket.liquidation, bucket.book
    assert run is not None and book.mark is not None
    run.step += 1
    state.engine_changed(bucket)
    if run.step > book.rules.liquidation.max_steps:
        take_over(state, bucket)
        return
    size = _size_to_order(bucket, standing, whole=whole)
    plan = book.rules.liquidation.throttle
    if plan is None or (not book.waiting and throttle.takes(state, book, size)):
        _order(state, bucket, size)
    else:
        _wait(state, bucket, throttle.next_interval_us(state, plan), whole=whole)


def _size_to_order(bucket: Bucket, standing: Standing, *, whole: bool) -> int:
    rules, mark, size = bucket.book.rules, bucket.book.mark, abs(bucket.size)
    assert mark is not None
    notional, per = rules.contract.worth(size, mark)
    small = abs(notional) < rules.liquidation.full_below * per
    whole = whole or small or margin.breaches(standing, rules.liquidation.backstop)
    return (None if whole else margin.restoring_size(bucket, mark)) or size


def _wait(state: State, bucket: Bucket, release_us: int, *, whole: bool) -> None:
    """Let the order of a step wait for the throttle: nothing is ordered until then, and no deadline runs."""
    run, book = bucket.liquidation, bucket.book
    assert run is not None
    run.waiting, run.whole = True, whole
    run.ordered = run.filled = run.deadline_us = 0
    book.waiting[bucket] = None
    _release_at(state, book, release_us)


def _release_at(state: State, book: Book, release_us: int) -> None:
    if book.release_us is None:
        book.release_us = release_us
        heappush(state.timers, (release_us, RELEASE_TIMER, book.name, "", 0, 0))


def release(state: State, book: Book) -> None:
    """A new interval: publish orders that waited, computed anew, as far as the throttle lets them, most urgent first.

    One that does not fit ends it, and is the first of the next interval.
    """
    mark, plan = book.mark, book.rules.liquidation.throttle
    book.release_us = None
    book.dirty = True
    for bucket in throttle.in_order_of_urgency(book):
        run = bucket.liquidation
        assert run is not None and mark is not None
        size = _size_to_order(bucket, margin.standing(bucket, mark), whole=run.whole)
        state.engine_changed(bucket)
        if not throttle.takes(state, book, size):
            assert plan is not None
            run.passed_over = True
            _release_at(state, book, throttle.next_interval_us(state, plan))
            return
        run.waiting = run.whole = run.passed_over = False
        del book.waiting[bucket]
        _order(state, bucket, size)


def _order(state: State, bucket: Bucket, size: int) -> None:
    run, rules = bucket.liquidation, bucket.book.rules
    assert run is not None
    run.ordered, run.filled = size, 0
    run.deadline_us = state.time_us + rules.liquidation.deadline_us
    heappush(
        state.timers, (run.deadline_us, DEADLINE_TIMER, bucket.book.name, bucket.account.name, run.number, run.step)
    )
    state.record_of(
        LiquidationOrder,
        bucket,
        liquidation_id=bucket.liquidation_id,
        step=run.step,
        side="sell" if bucket.size > 0 else "buy",
        quantity=figures.quantity(run.ordered, rules),
        limit_price=figures.price(figures.bankruptcy_price(bucket)),
        deadline_us=run.deadline_us,
    )


def step_failed(state: State, bucket: Bucket) -> None:
    """The deadline passed or the executor gave up: the next order is for the whole position."""
    mark = bucket.book.mark
    assert mark is not None
    next_step(state, bucket, margin.standing(bucket, mark), whole=True)


def begin_fill(state: State, bucket: Bucket, fill: Fill, size: int) -> Progress:
    """Look at a reducing fill before it is booked, and flag one that exceeds what its order still wanted."""
    run = bucket.liquidation
    assert run is not None
    ours = fill.liquidation_id is not None and fill.liquidation_id == bucket.liquidation_id
    if ours and abs(size) > run.ordered - run.filled:
        state.record_of(FillFlagged, bucket, fill_id=fill.fill_id, reason="excess")
    return Progress(run, min(abs(size), abs(bucket.size)), ours)


def charge_fee(state: State, bucket: Bucket, size: int, price: int, progress: Progress) -> int:
    """Charge the executor's fill fee_rate * N(p), rounded up, to the fund; at most what the bucket has left.  Returns
    units.
    """
    rules, mark = bucket.book.rules, bucket.book.mark
    if not progress.ours or not rules.liquidation.fee_rate or mark is None:
        return 0
    equity, per = margin.equity_at(bucket, mark)
    left = equity // (per * rules.quantum)
    worth, per = rules.contract.worth(size, price)
    fee = min(ceil_divide(abs(worth) * rules.liquidation.fee_rate, per * ONE * rules.quantum), max(0, left))
    if fee:
        state.ledger.bucket_to_fund(bucket, fee, "liquidation_fee")
        progress.liquidation.fees += fee
        if bucket.shown is not None:
            bucket.shown.fees += fee
    return fee


def after_reduction(state: State, bucket: Bucket, fill: Fill, progress: Progress, fee: int, wallet_before: int) -> None:
    """Count a reducing fill towards the order: restored, next step, or wait for the rest.

    `liquidation_progress` tells the executor what it cannot know: a fill of somebody else's counted, or its step is
    done and was not enough.
    """
    run, mark = progress.liquidation, bucket.book.mark
    assert mark is not None
    run.filled += progress.size
    standing = margin.standing(bucket, mark)
    if restores(bucket, standing):
        _complete(state, bucket, "restored", wallet_before)
        return
    if run.waiting:
        return
    remaining = max(0, run.ordered - run.filled)
    if not remaining or not progress.ours:
        rules = bucket.book.rules
        state.record_of(
            LiquidationProgress,
            bucket,
            liquidation_id=bucket.liquidation_id,
            step=run.step,
            fill_id=fill.fill_id,
            filled=figures.quantity(run.filled, rules),
            remaining=figures.quantity(remaining, rules),
            fee=decimal_text(fee, rules.asset_decimals),
            **figures.judgement(bucket),
        )
    if not remaining:
        next_step(state, bucket, standing)


def restores(bucket: Bucket, standing: Standing) -> bool:
    """equity >= target * maintenance."""
    return standing.equity * ONE * ONE >= bucket.book.rules.liquidation.target * standing.maintenance


def try_cure(state: State, bucket: Bucket) -> None:
    """Money was added to a bucket: end its liquidation if that restores it."""
    mark = bucket.book.mark
    if bucket.liquidation and mark is not None and restores(bucket, margin.standing(bucket, mark)):
        _complete(state, bucket, "cured", bucket.book.asset.wallets.get(bucket.account.name, 0))


def take_over(state: State, bucket: Bucket) -> None:
    """Pass the whole position to the insurance fund, at the bankruptcy price on the grid or at the mark."""
    book, rules, size = bucket.book, bucket.book.rules, bucket.size
    mark = book.mark
    assert mark is not None
    price = figures.bankruptcy_price(bucket) if rules.liquidation.takeover_price == "bankruptcy" else mark
    price = mark if price is None else price
    wallet_before = book.asset.wallets.get(bucket.account.name, 0)
    state.record_of(
        PositionTakenOver,
        bucket,
        liquidation_id=bucket.liquidation_id,
        side="sell" if size > 0 else "buy",
        quantity=figures.quantity(abs(size), rules),
        price=figures.price(price),
        mark_price=figures.price(mark),
        fund_loss=_fund_loss(rules, size, price, mark),
    )
    state.ledger.trade(bucket, -size, price)
    bucket.size = 0
    close(state, bucket, "taken_over", wallet_before, size, price)


def _fund_loss(rules: Rules, size: int, price: int, mark: int) -> str:
    """q * (V(price) - V(mark)): what a position taken over at one price loses at the mark against it, not below 0."""
    paid, per_paid = rules.contract.worth(size, price)
    worth, per = rules.contract.worth(size, mark)
    return figures.money_up(max(0, paid * per - worth * per_paid), rules, per_paid * per)


# ------------------------------------------------------------------------------------------- the end of a bucket


def close(state: State, bucket: Bucket, result: str, wallet_before: int, size: int, price: int) -> None:
    """Empty a bucket whose position, of this size, was closed at this price: what is left moves out, what is missing is
    the fund's, a fraction is rounded off.
    """
    book, ledger, run = bucket.book, state.ledger, bucket.liquidation
    loss_base = bucket.put_in - bucket.taken_out
    residual = shortfall = 0
    to_fund = run is not None and result != "settled" and book.rules.liquidation.residual == "fund"
    if bucket.cash < 0:
        shortfall, cost = book.rules.units_up(-bucket.cash), _cost_before(bucket, size, price)
        ledger.cover(bucket, shortfall)
        loss = _publish_shortfall(state, bucket, shortfall)
        if loss is not None and result != "settled":
            closed = deleveraging.Closed(size, cost, shortfall, min(shortfall, -(book.fund or 0)))
            deleveraging.request(state, bucket, closed, loss)
    else:
        residual = bucket.cash // book.rules.quantum
        if residual and to_fund:
            ledger.bucket_to_fund(bucket, residual, "residual")
        elif residual:
            ledger.release(bucket, residual, "close")
            bucket.returned += residual
    if bucket.cash:
        ledger.round_off(bucket)
    if run is not None:
        destination = None if not residual else ("fund" if to_fund else "account")
        certificate = _certificate(
            bucket, loss_base - run.fees - residual, residual, destination, shortfall, wallet_before
        )
        state.record_of(
            LiquidationCompleted, bucket, liquidation_id=bucket.liquidation_id, result=result, **certificate
        )
    calls.close_case(state, bucket)
    bucket.realised = bucket.funding_paid = bucket.put_in = bucket.taken_out = bucket.entry_price = 0
    bucket.shown = None
    _end(bucket)
    book.index.remove(bucket)
    state.engine_changed(bucket)
    state.touch_wallet(bucket.account.name, book.asset.name)


def _cost_before(bucket: Bucket, size: int, price: int) -> int:
    """What a position had to be worth for its equity to be zero, money, before it was closed at this price."""
    rules = bucket.book.rules
    return -rules.contract.cost(-size, price, rules.quantum) - bucket.cash


def _publish_shortfall(state: State, bucket: Bucket, amount: int) -> UncoveredLoss | None:
    asset, balance = bucket.book.asset, bucket.book.fund or 0
    fields = {
        "liquidation_id": bucket.liquidation_id,
        "asset": asset.name,
        "fund_balance": decimal_text(balance, asset.decimals),
    }
    state.record_of(ShortfallRecorded, bucket, amount=decimal_text(amount, asset.decimals), **fields)
    if balance >= 0:
        return None
    return state.record_of(UncoveredLoss, bucket, amount=decimal_text(min(amount, -balance), asset.decimals), **fields)


def _complete(state: State, bucket: Bucket, result: str, wallet_before: int) -> None:
    """End a liquidation that leaves the position in place."""
    run, mark = bucket.liquidation, bucket.book.mark
    assert run is not None and mark is not None
    equity, _, per = margin.standing(bucket, mark)
    left = ceil_divide(equity, per * bucket.book.rules.quantum)
    certificate = _certificate(bucket, bucket.put_in - bucket.taken_out - run.fees - left, 0, None, 0, wallet_before)
    state.record_of(LiquidationCompleted, bucket, liquidation_id=bucket.liquidation_id, result=result, **certificate)
    _end(bucket)
    state.engine_changed(bucket)


def _end(bucket: Bucket) -> None:
    """There is no liquidation any more, and nothing that waits for one."""
    if bucket.liquidation is not None:
        bucket.liquidation = None
        bucket.book.waiting.pop(bucket, None)


def _certificate(
    bucket: Bucket, loss: int, residual: int, destination: str | None, shortfall: int, wallet_before: int
) -> dict[str, object]:
    """The containment certificate: what the bucket lost is at most what was put into it (invariant I3), and the
    wallet saw nothing but the residual.
    """
    asset, run = bucket.book.asset, bucket.liquidation
    assert run is not None and loss <= bucket.put_in
    uncovered = min(shortfall, max(0, -(bucket.book.fund or 0)))
    covered_by = None
    if shortfall:
        covered_by = "fund" if not uncovered else "fund_in_part" if uncovered < shortfall else "uncovered"
    return {
        "collateral": decimal_text(bucket.put_in, asset.decimals),
        "loss": decimal_text(loss, asset.decimals),
        "fees": decimal_text(run.fees, asset.decimals),
        "residual": decimal_text(residual, asset.decimals),
        "residual_to": destination,
        "shortfall": decimal_text(shortfall, asset.decimals),
        "covered_by": covered_by,
        "contained": loss <= bucket.put_in,
        "wallet_before": decimal_text(wallet_before, asset.decimals),
        "wallet_after": decimal_text(asset.wallets.get(bucket.account.name, 0), asset.decimals),
    }
