"""What the engine is measured against: the least that plain Python could do.

They prove nothing about other systems.  They put this machine, this interpreter and the same inputs on both sides of
a ratio.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ringfence_schemas.inputs import Fill
from ringfence_schemas.reading import decode_input

MICRO = 10**6


class AveragePriceKeeper:
    """Signed quantity and average price per account, in integers: no margin, no ids, no digest, no checks."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], tuple[int, int]] = {}
        """(account, instrument) -> quantity and cost, in millionths."""
        self.counts = {"opened": 0, "grown": 0, "reduced": 0, "closed": 0, "turned": 0}

    def run(self, lines: Iterable[bytes]) -> None:
        """Decode and book every fill."""
        positions, counts = self.positions, self.counts
        for line in lines:
            fill = decode_input(line)
            assert isinstance(fill, Fill)
            key = fill.account, fill.instrument
            quantity, price = _millionths(fill.quantity), _millionths(fill.price)
            if fill.side == "sell":
                quantity = -quantity
            held, cost = positions.get(key, (0, 0))
            after = held + quantity
            if held * quantity >= 0:
                counts["grown" if held else "opened"] += 1
                positions[key] = after, cost + quantity * price
            elif held * after > 0:
                counts["reduced"] += 1
                positions[key] = after, cost * after // held
            else:
                counts["turned" if after else "closed"] += 1
                positions[key] = after, after * price


def _millionths(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * MICRO + int(fraction.ljust(6, "0") or "0")


def scan(positions: list[tuple[int, int]], mark: int, rate: Fraction) -> int:
    """Judge every position at a mark, without an index; returns how many have breached."""
    numerator, denominator = rate.as_integer_ratio()
    breached = 0
    for size, cash in positions:
        if (cash + size * mark) * denominator <= abs(size) * mark * numerator:
            breached += 1
    return breached
