"""One tick, where it changes nobody's level and where it changes one."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from benchmarks.figures import Figure, Scale, Target
from benchmarks.folding import Engine
from benchmarks.inputs import INSTRUMENT, OTHERS, PRICE, TIERS, Inputs
from benchmarks.peers.plain import scan
from benchmarks.timing import Samples, Span, Stopwatch
from ringfence.scales import PRICE_ONE
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.reading import decode_input
from ringfence_streams.cli.garbage import tune_garbage_collection

TITLE = "Ticks: bytes in, decoded and folded; half of the positions in the instrument that ticks"
RUNS = 30
SCAN_RUNS = 5
SCAN_LARGEST = 100_000
PRICE_DECIMALS = 36
GRID = 10 ** (PRICE_DECIMALS - 18)
"""The finest price that an input can state."""


class Venue:
    """A state with so many open positions, and what was measured on it."""

    def __init__(self, positions: int, scale: Scale, seed: int) -> None:
        self.positions = positions
        self.inputs, self._engine = Inputs(seed), Engine()
        self._engine.prepare(self.inputs.market((INSTRUMENT, *OTHERS)))
        self._engine.prepare(self.inputs.population(positions))
        self.single, self.packed = Samples(scale.ticks), Samples(scale.ticks // 10 * 10)
        self.crossing = Samples(1)
        """Time of each decision that a crossing led to."""
        self._crossings = scale.crossings

    def tick_inside(self) -> None:
        """Ticks inside the safe interval, one by one and packed by ten."""
        lines, packs = self.inputs.quiet_ticks(self.single.items), self.inputs.quiet_packs(self.packed.items // 10)
        self.single.run(lambda: self._engine.prepare(lines))
        self.packed.run(lambda: self._engine.prepare(packs))

    def tick_outside(self) -> None:
        """Ticks that each reach the nearest trigger below the mark, and whoever shares it.

        The price is the lower end of the safe interval, so each next one is known only after the one before.
        """
        engine, index = self._engine, self._engine.fold.state.books[INSTRUMENT].index
        decisions, stopwatch = 0, Stopwatch()
        for _ in range(self._crossings):
            lowest = index.low // GRID * GRID
            decisions += engine.run([self.inputs.tick(decimal_text(lowest, PRICE_DECIMALS))])
        span = stopwatch.span()
        self.crossing.spans.append(Span(span.cpu_s / decisions, span.wall_s / decisions))

    def scanned(self) -> Samples:
        """The peer: every position of the instrument judged at every tick."""
        book = self._engine.fold.state.books[INSTRUMENT]
        positions = [(bucket.size, bucket.cash) for bucket in book.buckets.values()]
        samples = Samples(1)
        for line in self.inputs.quiet_ticks(SCAN_RUNS):
            samples.run(partial(_scanned_tick, line, positions))
        return samples


def _scanned_tick(line: bytes, positions: list[tuple[int, int]]) -> int:
    decode_input(line)
    return scan(positions, PRICE * PRICE_ONE, Fraction(TIERS[0][1]))


def measure(scale: Scale, seed: int) -> list[Figure]:
    """Ticks on a small state and on large ones, taken in turns."""
    small = Venue(scale.small, scale, seed)
    figures: list[Figure] = []
    for positions in scale.large:
        large = Venue(positions, scale, seed)
        tune_garbage_collection()
        for _ in range(RUNS):
            small.tick_inside()
            large.tick_inside()
        for _ in range(RUNS // 3):
            small.tick_outside()
            large.tick_outside()
        if not figures:
            figures += _described(small)
        figures += _described(large)
        figures += [
            Figure(
                f"inside, {large.positions:,} to {small.positions:,} positions",
                large.single.ratio_to(small.single),
                "x",
                RUNS,
                Target("at most", 1.3),
            ),
            Figure(
                f"outside, each decision, {large.positions:,} to {small.positions:,} positions",
                large.crossing.ratio_to(small.crossing),
                "x",
                RUNS // 3,
            ),
        ]
        small.single.spans.clear()
        small.packed.spans.clear()
        small.crossing.spans.clear()
    return figures


def _described(venue: Venue) -> list[Figure]:
    single, packed, crossing = venue.single, venue.packed, venue.crossing
    name = f"{venue.positions:,} positions"
    figures = [
        Figure(f"{name}: inside, a tick a line", single.microseconds(), "us", RUNS),
        Figure("the same", single.microseconds().per_second(), "ticks/s", RUNS, Target("at least", 500_000)),
        Figure(f"{name}: inside, ten a line, each", packed.microseconds(), "us", RUNS),
        Figure("the same", packed.microseconds().per_second(), "ticks/s", RUNS, Target("at least", 500_000)),
        Figure(f"{name}: outside, each decision", crossing.microseconds(), "us", RUNS // 3),
    ]
    if venue.positions <= SCAN_LARGEST:
        scanned = venue.scanned()
        figures.append(Figure(f"peer: {name} scanned", scanned.microseconds(), "us", SCAN_RUNS))
    return figures
