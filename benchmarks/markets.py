"""What concerns a whole instrument at once: funding, a mark that was stale, new tiers."""

from __future__ import annotations

from functools import partial
from typing import Final

from benchmarks.figures import Figure, Scale
from benchmarks.folding import Engine
from benchmarks.inputs import INSTRUMENT, OTHERS, PRICE, Inputs
from benchmarks.timing import MICROSECONDS, Samples
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Whole instruments: nobody's level changes; half of the positions are in the instrument"
RUNS: Final = 15
RARE_RUNS: Final = 3
HOUR_US: Final = 3_600_000_000
MAX_AGE_US: Final = 24 * HOUR_US
"""So old a mark may be; nothing that is prepared takes so long."""


def measure(scale: Scale, seed: int) -> list[Figure]:
    """On states of every size."""
    return [figure for positions in (scale.small, *scale.large) for figure in _measured(positions, seed)]


def _measured(positions: int, seed: int) -> list[Figure]:
    inputs, engine = Inputs(seed), Engine()
    engine.prepare(inputs.market((INSTRUMENT, *OTHERS), mark={"max_age_us": MAX_AGE_US}))
    engine.prepare(inputs.population(positions))
    tune_garbage_collection()
    funding, fresh, tiers, wallets = Samples(1), Samples(1), Samples(1), Samples(1)
    for _ in range(RUNS):
        funding.run(partial(engine.prepare, [inputs.funding("0.0001")]))
        inputs.pass_time(2 * MAX_AGE_US)
        engine.prepare([inputs.deposit(0)])
        fresh.run(partial(engine.prepare, [inputs.tick(str(PRICE))]))
    for _ in range(RARE_RUNS):
        tiers.run(partial(engine.prepare, [inputs.changed()]))
    engine.prepare([inputs.changed(funding_payer="free_balance_first")])
    for _ in range(RARE_RUNS):
        wallets.run(partial(engine.prepare, [inputs.funding("0.0001")]))
    name, concerned = f"{positions:,} positions", positions / 2
    return [
        Figure(f"{name}: funding", funding.microseconds(), "us", RUNS),
        Figure(f"{name}: the first tick after a stale mark", fresh.microseconds(), "us", RUNS),
        Figure(f"{name}: a new version, re-entered once", tiers.microseconds().times(1 / MICROSECONDS), "s", RARE_RUNS),
        Figure("the same, each position", tiers.microseconds().times(1 / concerned), "us", RARE_RUNS),
        Figure(f"{name}: funding that wallets pay", wallets.microseconds().times(1 / MICROSECONDS), "s", RARE_RUNS),
        Figure("the same, each position", wallets.microseconds().times(1 / concerned), "us", RARE_RUNS),
    ]
