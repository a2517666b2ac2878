"""What every peer in Python folds: signed quantity, signed cost and number of an account's fills, in exact integers.

It stands here once so that peers differ in their library alone.  Nothing but the standard library is imported: one
peer runs in an environment of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

NOTHING = (0, 0, 0)


def after(held: Sequence[int], fill: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the position after one more fill: quantity in thousandths, cost in ten-thousandths, number of fills."""
    quantity = int(Decimal(fill["quantity"]).scaleb(3))
    if fill["side"] == "sell":
        quantity = -quantity
    return held[0] + quantity, held[1] + quantity * int(Decimal(fill["price"]).scaleb(1)), held[2] + 1


class Program:
    """What a peer is told on its command line, and what it tells."""

    def __init__(self, bootstrap: str, application: str, fills: str, ticks: str, inputs: str, folder: str) -> None:
        self.bootstrap = bootstrap
        self.application = application
        self.fills = fills
        self.ticks = ticks
        self.inputs = int(inputs)
        self.folder = Path(folder)
        self._left = self.inputs

    def counted(self) -> bool:
        """Count one input, tell when it is the first; returns whether it was the last."""
        if self._left == self.inputs:
            print(json.dumps({"started_us": time.time_ns() // 1_000}), flush=True)
        self._left -= 1
        return not self._left
