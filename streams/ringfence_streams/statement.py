"""A state as JSON lines: what `ringfence fold --state` prints, and what tests compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.fold import Fold
from ringfence.ledger import balances
from ringfence.views import PositionView
from ringfence_schemas.decimals import decimal_text


def statement(fold: Fold) -> Iterator[dict[str, Any]]:
    """Yield every account in order of id, the ledger, and the digest with the counts, each ready to be encoded."""
    state = fold.state
    wallets: dict[str, dict[str, str]] = {}
    for name, asset in sorted(state.assets.items()):
        for account, balance in asset.wallets.items():
            wallets.setdefault(account, {})[name] = decimal_text(balance, asset.decimals)
    positions: dict[str, list[Any]] = {}
    for _, book in sorted(state.books.items()):
        for account, bucket in book.buckets.items():
            if bucket.size:
                positions.setdefault(account, []).append(PositionView.of(bucket).position())
    for account in sorted(state.accounts):
        yield {
            "type": "account",
            "account": account,
            "wallets": wallets.get(account, {}),
            "positions": positions.get(account, []),
        }
    yield {"type": "ledger", "balances": balances(state.assets, state.books)}
    yield {
        "type": "digest",
        "inputs": fold.inputs,
        "applied": fold.applied,
        "already_applied": fold.already_applied,
        "refused": fold.refused,
        "outcomes": fold.outcomes,
        "state": fold.digest().hex(),
    }
