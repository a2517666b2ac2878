"""Outcomes as a shard publishes them, made by hand."""

from __future__ import annotations

from typing import Any

from ringfence_schemas.outcomes import (
    Cause,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationStarted,
    MarginCall,
    Position,
)
from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS

_JUDGEMENT: dict[str, Any] = {
    "equity": "500",
    "maintenance_margin": "230",
    "mark_price": "57500",
    "margin_ratio": "0.46",
    "tier": 0,
}


def position(account: str, quantity: str = "1", instrument: str = "BTC-USDT-PERP") -> Position:
    """An open position."""
    return Position(
        account=account,
        instrument=instrument,
        quantity=quantity,
        entry_price="60000",
        mark_price=None,
        notional=None,
        collateral="3000",
        unrealised_pnl=None,
        realised_pnl="0",
        funding="0",
        equity=None,
        initial_margin=None,
        maintenance_margin=None,
        maintenance_rate=None,
        maintenance_amount=None,
        tier=None,
        leverage="20",
        margin_ratio=None,
        liquidation_price=None,
        bankruptcy_price="57000",
        margin_call_prices=[],
        max_removable=None,
        status="open",
        case_id=None,
        liquidation_id=None,
        sequence=1,
        hash="00",
    )


def margin_call(shard: int, number: int, account: str, status: str = "called", level: str | None = "3") -> MarginCall:
    """One step of an account's first case."""
    return MarginCall(
        id=f"{shard}-{MARGIN_CALLS}-{number}",
        time_us=number,
        cause=Cause(topic="ticks", partition=0, offset=number),
        account=account,
        instrument="BTC-USDT-PERP",
        parameters=1,
        status=status,  # type: ignore[arg-type]  # the words are the statuses of a call
        case_id=f"{account}|BTC-USDT-PERP|c1",
        level=level,
        previous_level=None,
        margin_shortfall="190",
        liquidation_price="57228.9",
        distance_percent="0.47",
        **_JUDGEMENT,
    )


def liquidation_started(shard: int, number: int, account: str, case_id: str | None = None) -> LiquidationStarted:
    """A liquidation begins."""
    return LiquidationStarted(
        **_liquidation(shard, number, account),
        case_id=case_id,
        no_call_reason=None if case_id else "gap",
        quantity="1",
        mode="order",
        key=("57000", "1"),
        threshold=("284856", "5"),
        **_JUDGEMENT,
    )


def liquidation_order(shard: int, number: int, account: str) -> LiquidationOrder:
    """Its first order."""
    return LiquidationOrder(
        **_liquidation(shard, number, account),
        step=1,
        side="sell",
        quantity="0.206",
        limit_price="57000",
        deadline_us=10_000_005,
    )


def liquidation_completed(shard: int, number: int, account: str) -> LiquidationCompleted:
    """Its end."""
    amounts: dict[str, Any] = dict.fromkeys(
        ("collateral", "loss", "fees", "residual", "shortfall", "wallet_before", "wallet_after"), "0"
    )
    return LiquidationCompleted(
        **_liquidation(shard, number, account),
        result="closed",
        residual_to=None,
        covered_by=None,
        contained=True,
        **amounts,
    )


def _liquidation(shard: int, number: int, account: str) -> dict[str, Any]:
    return {
        "id": f"{shard}-{LIQUIDATIONS}-{number}",
        "time_us": number,
        "cause": Cause(topic="ticks", partition=0, offset=number),
        "account": account,
        "instrument": "BTC-USDT-PERP",
        "parameters": 1,
        "liquidation_id": f"{account}|BTC-USDT-PERP|l1",
    }
