"""One run from the first bar to the report: set up, close the loop, fold the journal again, sum up, write the page."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from examples.crash import case, terminal
from examples.crash.accounts import generate
from examples.crash.audit import Audit, fold_again
from examples.crash.chronicle import Figures, figures
from examples.crash.embedded import Embedded
from examples.crash.market import INSTRUMENTS, read_minutes
from examples.crash.report import Story, write_report
from examples.crash.simulation import Simulation
from ringfence_schemas.frames import Settings
from ringfence_schemas.outcomes import LiquidationStarted
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.port import Log
from ringfence_streams.sqlite import SqliteLog


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen; times in microseconds since the epoch, ``out`` the directory of log and report."""

    seed: int
    accounts: int
    from_us: int
    to_us: int
    out: Path

    @property
    def log(self) -> Path:
        """The SQLite log that the run leaves behind."""
        return self.out / "crash.sqlite"

    @property
    def report(self) -> Path:
        """The page that the run writes."""
        return self.out / "crash.html"


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in each part of the run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time until the block ends to the part's."""
        begin = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave."""

    digest: str
    inputs: int
    figures: Figures
    audit: Audit
    story: Story


async def run(options: Options, console: Console) -> Result:
    """The whole example.  Raises LogError when the log or its journal is not sound."""
    stopwatch = Stopwatch()
    with stopwatch.part("set-up"):
        minutes = read_minutes(options.from_us, options.to_us)
        traders = generate(options.seed, options.accounts, len(minutes))
        simulation = Simulation(options.seed, minutes, traders)
        terminal.show_start(console, options.seed, minutes, traders)
        _start_fresh(options, console)
    log = SqliteLog(options.log)
    try:
        with stopwatch.part("run"), terminal.Display(console, minutes) as display:
            inputs = await _close_the_loop(log, simulation, len(minutes), display)
        liquidated = {(start.account, start.instrument) for start in simulation.chronicle.every(LiquidationStarted)}
        key = case.choose(simulation.crowd.top_ups, liquidated)
        with stopwatch.part("folding the journal again"), terminal.verifying(console) as advance:
            audit = await fold_again(log, key, advance)
    finally:
        await log.close()
    funds = {name: audit.fund(name) for name in INSTRUMENTS}
    summary = figures(simulation.chronicle, simulation.crowd.topped_up, funds)
    shown = key and case.build(key, audit.views, minutes, simulation.fundings, simulation.crowd.top_ups)
    digest = simulation.decisions_digest
    story = Story(options.seed, digest, minutes, traders, simulation.chronicle, summary, audit.funds, shown or None)
    terminal.show_figures(console, summary)
    with stopwatch.part("report"):
        write_report(options.report, story)
    result = Result(digest, inputs, summary, audit, story)
    terminal.show_proof(console, digest, simulation.chronicle.count, inputs, audit, stopwatch.seconds)
    terminal.show_next(console, options.log, options.report)
    return result


def _start_fresh(options: Options, console: Console) -> None:
    """A run begins with an empty log: one that an earlier run left is removed, whole or killed half-way."""
    options.out.mkdir(parents=True, exist_ok=True)
    left = sorted(options.out.glob(f"{options.log.name}*"))
    for path in left:
        path.unlink()
    if left:
        console.print(f"Replacing the log that an earlier run left in {terminal.shown(options.log)}.\n")


async def _close_the_loop(log: Log, simulation: Simulation, minutes: int, display: terminal.Display) -> int:
    """Minute by minute: prices in, decisions out, reactions in.  Returns the number of inputs."""
    engine = Engine(log, [Settings(clock="events")], CoreReplicas())
    embedded = Embedded(log, engine)
    for number in range(minutes):
        observed = simulation.observe(await embedded.turn(simulation.turn(number)))
        simulation.react(number, observed)
        display.show(number, simulation.desk, simulation.chronicle, embedded.inputs)
    simulation.observe(await embedded.turn(simulation.last_turn()))
    await engine.release()
    return embedded.inputs
