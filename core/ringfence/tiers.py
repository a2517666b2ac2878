"""The maintenance lines of one side of an instrument: which tier a notional is in, and what it must hold."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from ringfence.scales import ONE


class Line(NamedTuple):
    """One line of maintenance, notional * rate - amount: a decimal, and money."""

    tier: int | None
    """Index of the tier it belongs to; None: it is that of volatility."""
    rate: int
    amount: int


@dataclass(frozen=True, slots=True)
class SideTiers:
    """The maintenance lines of one side: tier t charges `notional * rates[t] - amounts[t]`.

    `floors` and `amounts` are money, `rates` decimals: the tier's maintenance rate plus slippage and close fee.
    In mode `marginal` amounts follow cum_1 = 0, cum_n = floor_n * (m_n - m_(n-1)) + cum_(n-1), so maintenance is
    continuous and equals the greatest of the lines.  In mode `whole` there are none, in mode `given` they are as
    stated.

    A notional is a fraction of money over `per` (see `ringfence.contracts.Value`), and so is what is returned of it.
    """

    floors: tuple[int, ...]
    rates: tuple[int, ...]
    amounts: tuple[int, ...]
    greatest: bool
    """Whether maintenance is the greatest of the lines: mode `marginal`."""
    least_rate: int = 0
    """What maintenance charges at least, whatever the tier: the rate of volatility, slippage and close fee; 0: none."""

    def tier_of(self, notional: int, per: int = 1) -> int:
        """Return the index of the tier that holds `notional` (money); a floor belongs to the tier it opens."""
        return bisect_right(self.floors, notional // per) - 1

    def maintenance(self, notional: int, per: int = 1) -> int:
        """Return the maintenance margin of `notional` in 10^-18 money: N(B)*k - cum, never below zero."""
        return self.maintenance_in(bisect_right(self.floors, notional // per) - 1, notional, per)

    def maintenance_in(self, tier: int, notional: int, per: int = 1) -> int:
        """Return the same for a notional whose tier is known."""
        charge = notional * self.rates[tier] - self.amounts[tier] * ONE * per
        return max(0, charge, notional * self.least_rate) if self.least_rate else max(0, charge)

    def line_at(self, notional: int, per: int = 1) -> Line:
        """Return the line that binds at `notional`: that of its tier, or that of volatility where it asks for more."""
        tier = self.tier_of(notional, per)
        line = Line(tier, self.rates[tier], self.amounts[tier])
        if self.least_rate and notional * self.least_rate > max(0, notional * line.rate - line.amount * ONE * per):
            return Line(None, self.least_rate, 0)
        return line
