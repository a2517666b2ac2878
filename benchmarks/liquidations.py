"""One tick that liquidates everybody."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import Figure, Scale
from benchmarks.folding import Engine
from benchmarks.inputs import PRICE, Inputs
from benchmarks.timing import MICROSECONDS, Samples
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Liquidation: one tick starts it for every position, mode `order`"
FALLEN_PRICE = PRICE * 8 // 10


def measure(scale: Scale, seed: int) -> list[Figure]:
    """Longs at tenfold leverage, and a tick a fifth below; the decisions are made, not yet encoded."""
    samples, decisions = Samples(scale.accounts), 0
    for run in range(scale.liquidations):
        inputs, engine = Inputs(seed + run), Engine()
        engine.prepare(inputs.market())
        engine.prepare(inputs.crowd(scale.accounts))
        tune_garbage_collection()
        before, fall = engine.fold.outcomes, [inputs.tick(str(FALLEN_PRICE))]
        samples.run(partial(engine.prepare, fall))
        decisions = engine.fold.outcomes - before
    each = samples.microseconds()
    total, runs = each.times(scale.accounts / MICROSECONDS), scale.liquidations
    return [
        Figure(f"{scale.accounts:,} positions, {decisions:,} decisions", total, "s", runs),
        Figure("each position", each, "us", runs),
    ]
