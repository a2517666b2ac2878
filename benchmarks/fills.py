"""Decoding and folding one fill."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import Figure, Scale, Target
from benchmarks.folding import Engine
from benchmarks.inputs import Inputs
from benchmarks.peers.plain import AveragePriceKeeper
from benchmarks.timing import Samples
from ringfence_schemas.reading import decode_input
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Fills: bytes in, decoded and folded"


def measure(scale: Scale, seed: int) -> list[Figure]:
    """Fills of accounts that all have a wallet and a position, decoded alone, kept by the peer, and folded."""
    inputs, engine, keeper = Inputs(seed), Engine(), AveragePriceKeeper()
    engine.prepare(inputs.market())
    engine.prepare(inputs.deposit(account) for account in range(scale.accounts))
    openings = [inputs.opening(account) for account in range(scale.accounts)]
    engine.prepare(openings)
    keeper.run(openings)
    keeper.counts = dict.fromkeys(keeper.counts, 0)
    tune_garbage_collection()
    decoding, keeping, folding = (Samples(scale.batch) for _ in range(3))
    for _ in range(scale.fills // scale.batch):
        lines = inputs.trades(scale.batch, scale.accounts)
        decoding.run(partial(_decode, lines))
        keeping.run(partial(keeper.run, lines))
        folding.run(partial(engine.prepare, lines))
    runs, total = len(folding.spans), scale.fills // scale.batch * scale.batch
    mix = ", ".join(f"{100 * count // total} % {kind}" for kind, count in keeper.counts.items())
    per_fill = folding.microseconds()
    return [
        Figure(f"fills of {scale.accounts:,} accounts: {mix}", per_fill, "us", runs),
        Figure("the same", per_fill.per_second(), "fills/s", runs, Target("at least", 100_000)),
        Figure("peer: decoding alone", decoding.microseconds(), "us", runs),
        Figure("peer: average-price keeper, decoding included", keeping.microseconds(), "us", runs),
        Figure("the fold to the keeper", folding.ratio_to(keeping), "x", runs),
    ]


def _decode(lines: list[bytes]) -> None:
    for line in lines:
        decode_input(line)
