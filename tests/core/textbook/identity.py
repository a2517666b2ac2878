"""What makes two inputs the same one."""

from typing import Any

from tests.core.textbook.numbers import exact

DECIMAL_FIELDS = frozenset(
    {
        "amount",
        "backstop",
        "close_fee_rate",
        "default_leverage",
        "fee",
        "fee_rate",
        "floor",
        "full_below",
        "initial_rate",
        "leverage",
        "maintenance_amount",
        "maintenance_rate",
        "maintenance_rate_long",
        "maintenance_rate_short",
        "margin",
        "margin_call_levels",
        "max_jump",
        "max_leverage",
        "max_price",
        "min_price",
        "multiplier",
        "notional",
        "price",
        "price_tick",
        "quantity",
        "quantity_step",
        "rate",
        "recover",
        "slippage_rate",
        "taker",
        "target",
        "weights",
    }
)

IDENTITY = {
    "deposit": ("account", "transfer_id"),
    "withdrawal": ("account", "transfer_id"),
    "set_leverage": ("account", "command_id"),
    "add_margin": ("account", "command_id"),
    "remove_margin": ("account", "command_id"),
    "fill": ("account", "fill_id"),
    "liquidation_report": ("account", "report_id"),
    "funding": ("instrument", "funding_id"),
    "settlement": ("instrument", "settlement_id"),
    "fund_deposit": ("instrument", "transfer_id"),
}
"""Whose ids they are, and which field holds them."""


def identity(event: dict[str, Any]) -> tuple[str, ...] | None:
    """Under which name an input is remembered; None for inputs without an id of their own."""
    if event["type"] not in IDENTITY:
        return None
    owner, name = IDENTITY[event["type"]]
    return owner, event[owner], name, event[name]


def contents(value: object, name: str = "") -> object:
    """What makes two inputs the same: every field that is given, decimals by their value."""
    if isinstance(value, dict):
        given = {key: item for key, item in value.items() if item is not None}
        return {key: contents(item, key) for key, item in given.items()}
    if isinstance(value, list):
        return [contents(item, name) for item in value]
    return exact(value) if name in DECIMAL_FIELDS and isinstance(value, str | int) else value
