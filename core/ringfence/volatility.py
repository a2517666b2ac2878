"""How the requirement follows the volatility of the mark: the arithmetic, in exact integers.

From one sample to the next the mark changes by a part r of itself.  The variance forgets by `decay` (lambda on the
wire), and what it says is mixed with a stressed value and never below a floor, so that a quiet market does not lower
the requirement to what the next crash will not bear (EMIR, RTS 153/2013, article 28):

    v <- lambda*v + (1 - lambda)*r^2        sigma = sqrt(v)        sigma_eff = max(floor, (1 - w)*sigma + w*stress)
    rate = multiplier * sigma_eff * sqrt(horizon / interval), up to a multiple of `step`, at most `cap`

r has 18 decimals, v 36, both roots and sigma_eff 18; all are rounded down, only the rate is rounded up.  So no
platform can differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from ringfence.refusals import InvalidInstrument
from ringfence.scales import ONE, PRICE_ONE, ceil_divide
from ringfence_schemas.decimals import units
from ringfence_schemas.inputs import Volatility


@dataclass(frozen=True, slots=True)
class VolatilityRules:
    """The parameters of one instrument version that make its requirement follow volatility; decimals and times."""

    interval_us: int
    decay: int
    floor: int
    stress: int
    stress_weight: int
    multiplier: int
    horizon_us: int
    step: int
    cap: int
    notice_us: int
    hold_us: int

    def variance_after(self, variance: int, before: int, mark: int) -> int:
        """Return the variance, 36 decimals, after the mark went from one sample to the next."""
        change = abs(mark - before) * ONE // before
        return (self.decay * variance + (ONE - self.decay) * change * change) // ONE

    def rate_of(self, variance: int) -> int:
        """Return the rate, a decimal, that this variance asks for."""
        mixed = ((ONE - self.stress_weight) * isqrt(variance) + self.stress_weight * self.stress) // ONE
        root = isqrt(self.horizon_us * PRICE_ONE // self.interval_us)
        steps = ceil_divide(self.multiplier * max(self.floor, mixed) * root, self.step * PRICE_ONE)
        return min(steps * self.step, self.cap)

    def goes_on(self, other: VolatilityRules) -> bool:
        """Tell whether a variance measured under the other rules means the same under these."""
        return (self.interval_us, self.decay) == (other.interval_us, other.decay)


def read_volatility(stated: Volatility | None, added: int) -> VolatilityRules | None:
    """Scale the parameters of an instrument; `added` is its slippage rate and close fee.

    Raises `InvalidInstrument` naming the field.
    """
    if stated is None:
        return None
    rules = VolatilityRules(
        interval_us=stated.interval_us,
        decay=units[stated.decay],
        floor=units[stated.floor or "0"],
        stress=units[stated.stress or "0"],
        stress_weight=units[stated.stress_weight or "0"],
        multiplier=units[stated.multiplier],
        horizon_us=stated.horizon_us,
        step=units[stated.step],
        cap=units[stated.cap],
        notice_us=stated.notice_us,
        hold_us=stated.hold_us,
    )
    limits = {
        "interval_us must be above 0": rules.interval_us > 0,
        "lambda must be from 0 to below 1": 0 <= rules.decay < ONE,
        "floor must not be negative": rules.floor >= 0,
        "stress must not be negative": rules.stress >= 0,
        "stress_weight must be from 0 to 1": 0 <= rules.stress_weight <= ONE,
        "multiplier must be above 0": rules.multiplier > 0,
        "horizon_us must be above 0": rules.horizon_us > 0,
        "step must be above 0": rules.step > 0,
        "cap must be above 0": rules.cap > 0,
        "cap plus slippage and close fee must stay below 1": rules.cap + added < ONE,
    }
    for text, holds in limits.items():
        if not holds:
            raise InvalidInstrument(f"volatility: {text}")
    return rules
