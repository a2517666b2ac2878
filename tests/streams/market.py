"""A small market for tests that need the real fold: leveraged accounts, and a price that crosses their thresholds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import INPUT_TOPIC, key_of
from ringfence_streams.port import Message


def market_messages(ticks: int) -> list[Message]:
    """The market as messages, each a millisecond after the one before."""
    lines = [json.dumps(event).encode() for event in market(random.Random(7), ticks)]
    events = [decode_input(line) for line in lines]
    return [
        Message(INPUT_TOPIC[type(event)], key_of(event), line, 1_000 * number)
        for number, (event, line) in enumerate(zip(events, lines, strict=True), 1)
    ]


def market(rng: random.Random, ticks: int) -> Iterator[dict[str, object]]:
    """A small market: twenty accounts with leverage, and a price that falls and rises through their thresholds."""
    yield {"type": "asset", "asset": "USDT", "decimals": 6, "time_us": 1}
    yield {
        "type": "instrument",
        "instrument": "BTC-USDT-PERP",
        "version": 1,
        "contract": "linear",
        "settle_asset": "USDT",
        "price_tick": "0.1",
        "quantity_step": "0.001",
        "tiers": [{"floor": "0", "maintenance_rate": "0.005", "max_leverage": "100"}],
        "default_leverage": "20",
        "margin_call_levels": ["3", "1.5"],
        "time_us": 1,
    }
    for number in range(20):
        account = {"account": f"account-{number:02}", "time_us": 2}
        yield {"type": "deposit", "transfer_id": "first", "asset": "USDT", "amount": "9000", **account}
        side = "buy" if number % 2 else "sell"
        fill = {"instrument": "BTC-USDT-PERP", "side": side, "quantity": f"0.{number + 1:02}", "price": "60000"}
        yield {"type": "fill", "fill_id": "first", **fill, **account}
    price = 600_000
    for number in range(ticks):
        price = max(500_000, price + rng.randrange(-3_000, 3_001))
        tick = {"price": f"{price // 10}.{price % 10}", "time_us": 10 + number}
        yield {"type": "tick", "instrument": "BTC-USDT-PERP", **tick}
