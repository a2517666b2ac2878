"""Another rate of volatility: announced with its rehearsal, in force, fallen again."""

from __future__ import annotations

from functools import partial
from typing import Final

from benchmarks.figures import Figure, Scale
from benchmarks.folding import Engine
from benchmarks.inputs import INSTRUMENT, OTHERS, PRICE, Inputs
from benchmarks.timing import Samples
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Volatility: another rate, which changes nobody's level; half of the positions are in the instrument"
RUNS: Final = 15
SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
VOLATILITY: Final = {
    "interval_us": DAY_US,
    "lambda": "0",
    "multiplier": "10",
    "horizon_us": DAY_US,
    "step": "0.01",
    "cap": "0.02",
    "notice_us": SECOND_US,
    "hold_us": 0,
}
"""The rate is ten times the change of the last day, announced a second ahead; a tenth of each position is behind it."""
MOVED: Final = PRICE * 1_002 // 1_000


def measure(scale: Scale, seed: int) -> list[Figure]:
    """On states of every size."""
    return [figure for positions in (scale.small, *scale.large) for figure in _measured(positions, seed)]


def _measured(positions: int, seed: int) -> list[Figure]:
    inputs, engine = Inputs(seed), Engine()
    engine.prepare(inputs.market((INSTRUMENT, *OTHERS), volatility=VOLATILITY))
    engine.prepare(inputs.population(positions))
    tune_garbage_collection()
    announced, risen, fallen = Samples(1), Samples(1), Samples(1)
    for run in range(RUNS):
        for passed_us, samples in ((DAY_US, announced), (2 * SECOND_US, risen), (DAY_US, fallen)):
            inputs.pass_time(passed_us)
            tick = [inputs.tick(str(PRICE if run % 2 else MOVED))]
            samples.run(partial(engine.prepare, tick))
    name = f"{positions:,} positions"
    return [
        Figure(f"{name}: the tick that announces a rise, rehearsed", announced.microseconds(), "us", RUNS),
        Figure(f"{name}: the tick that it takes effect with", risen.microseconds(), "us", RUNS),
        Figure(f"{name}: the tick that it falls again with", fallen.microseconds(), "us", RUNS),
    ]
