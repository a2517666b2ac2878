"""What a requirement that follows volatility would have asked for: one market's ticks folded once more, by themselves.

The venue of the example has no such requirement, so nothing here touches its accounts.
"""

from collections.abc import Sequence

from examples.crash.market import HOUR_US, INSTRUMENTS, MINUTE_US, Minute
from examples.crash.venue import real_tiers
from ringfence.fold import Fold
from ringfence.origins import LineOrigin
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Instrument, Tick, Volatility
from ringfence_schemas.outcomes import Decision, RequirementAnnounced, RequirementChanged

SHOWN = INSTRUMENTS[0]
VOLATILITY = Volatility(
    interval_us=5 * MINUTE_US,
    decay="0.98",
    multiplier="4",
    horizon_us=HOUR_US,
    step="0.01",
    cap="0.25",
    notice_us=15 * MINUTE_US,
    hold_us=6 * HOUR_US,
    stress="0.01",
    stress_weight="0.25",
)
"""Chosen for the example: four standard deviations of an hour, a quarter of them those of a stressed market."""

Announced = list[RequirementAnnounced | RequirementChanged]


def follow(minutes: Sequence[Minute]) -> Announced:
    """What the engine says about the requirement, tick by tick, in order of time."""
    fold, origin = Fold(Settings()), LineOrigin()
    said: list[Decision] = fold.apply(_instrument(minutes[0].open_us), origin, 1)
    for minute in minutes:
        for ticks in minute.ticks():
            price = dict(ticks.prices)[SHOWN]
            said += fold.apply(Tick(instrument=SHOWN, price=price, time_us=ticks.time_us), origin, 1)
    return [each for each in said if isinstance(each, RequirementAnnounced | RequirementChanged)]


def _instrument(time_us: int) -> Instrument:
    return Instrument(
        instrument=SHOWN,
        version=1,
        contract="linear",
        settle_asset="USDT",
        price_tick="0.001",
        quantity_step="1",
        tiers=real_tiers()[SHOWN],
        volatility=VOLATILITY,
        time_us=time_us,
    )
