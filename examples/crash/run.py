"""One run from the first bar to the report: set up, close the loop, fold the journal again, sum up, write the page."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from examples.crash import terminal
from examples.crash.accounts import generate
from examples.crash.case import case_of, choose
from examples.crash.chronicle import Figures, figures
from examples.crash.embedded import Embedded
from examples.crash.history import History
from examples.crash.market import read_minutes
from examples.crash.report import Story, write_report
from examples.crash.simulation import Simulation
from ringfence_schemas.frames import Settings
from ringfence_schemas.outcomes import LiquidationStarted
from ringfence_streams.audit import Findings, ShardAudit
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
    figures: Figures
    findings: Findings
    history: History
    story: Story


async def run(options: Options, console: Console) -> Result:
    """The whole example.  Raises LogError or Divergence when the log is not sound."""
    stopwatch = Stopwatch()
    with stopwatch.part("set-up"):
        minutes = read_minutes(options.from_us, options.to_us)
        traders = generate(options.seed, options.accounts, len(minutes))
        simulation = Simulation(options.seed, minutes, traders)
        terminal.show_start(console, options.seed, minutes, traders)
        _start_fresh(options, console)
    # Killing the process loses nothing.  After a power failure this log is made again, so no commit waits for the disk.
    log = SqliteLog(options.log, synchronous="NORMAL")
    try:
        with stopwatch.part("run"), terminal.Display(console, minutes) as display:
            await _close_the_loop(log, simulation, len(minutes), display)
        liquidated = {(start.account, start.instrument) for start in simulation.chronicle.every(LiquidationStarted)}
        key = choose(simulation.crowd.top_ups, liquidated)
        history = History(key)
        with stopwatch.part("verification"), terminal.verifying(console) as advance:
            findings = await _verify(log, history, advance)
    finally:
        await log.close()
    funds = {name: points[-1][1] for name, points in history.funds.items()}
    summary = figures(simulation.chronicle, simulation.crowd.topped_up, funds)
    shown = case_of(key, history.views, simulation.crowd.top_ups) if key and history.views else None
    digest = simulation.decisions_digest
    story = Story(options.seed, digest, minutes, traders, simulation.chronicle, summary, history.funds, shown)
    terminal.show_figures(console, summary)
    with stopwatch.part("report"):
        written = _report(options.report, story, console)
    result = Result(digest, summary, findings, history, story)
    terminal.show_proof(console, digest, findings, stopwatch.seconds)
    terminal.show_next(console, options.log, options.report if written else None)
    return result


def _report(path: Path, story: Story, console: Console) -> bool:
    """Write the page; without plotly say what is missing and go on.  Returns whether it was written."""
    try:
        write_report(path, story)
    except ModuleNotFoundError:
        console.print("No report: its plots need the extra [bold]ringfence\\[report][/].\n")
        return False
    return True


def _start_fresh(options: Options, console: Console) -> None:
    """A run begins with an empty log: one that an earlier run left is removed, whole or killed half-way."""
    options.out.mkdir(parents=True, exist_ok=True)
    left = sorted(options.out.glob(f"{options.log.name}*"))
    for path in left:
        path.unlink()
    if left:
        console.print(f"Replacing the log that an earlier run left in {terminal.shown(options.log)}.\n")


async def _close_the_loop(log: Log, simulation: Simulation, minutes: int, display: terminal.Display) -> None:
    """Minute by minute: prices in, decisions out, reactions in."""
    engine = Engine(log, [Settings(clock="events")], CoreReplicas())
    embedded = Embedded(log, engine)
    for number in range(minutes):
        observed = simulation.observe(await embedded.turn(simulation.turn(number)))
        simulation.react(number, observed)
        display.show(number, simulation.desk, simulation.chronicle, embedded.inputs)
    simulation.observe(await embedded.turn(simulation.last_turn()))
    await engine.release()


async def _verify(log: Log, history: History, advance: Callable[[int, int], None]) -> Findings:
    """What ``ringfence verify`` does.  Raises Divergence when the log does not hold what the fold gives."""

    def watch(audit: ShardAudit) -> None:
        history.note(audit)
        advance(audit.offset, audit.end)

    audit = ShardAudit(log, 0, 1, unbranched=True)
    await audit.run(watch)
    history.close(audit)
    return audit.findings
