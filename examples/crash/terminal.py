"""What the terminal shows: the options of the run, progress while it runs, the summary at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from examples.crash.accounts import Trader, count_by_strategy
from examples.crash.chronicle import Chronicle, Figures
from examples.crash.desk import Desk
from examples.crash.market import INSTRUMENTS, SECOND_US, SYMBOLS, Minute
from ringfence_schemas.outcomes import LiquidationStarted
from ringfence_streams.audit import Findings

REPORT_EVERY_MINUTES = 360
WITHOUT_CALL = {"gap": "where the price jumped past every call level between two ticks (gap)"}


def clock(time_us: int) -> str:
    """Engine time to the minute, UTC."""
    return datetime.fromtimestamp(time_us // SECOND_US, UTC).strftime("%Y-%m-%d %H:%M")


def show_start(console: Console, seed: int, minutes: Sequence[Minute], traders: Sequence[Trader]) -> None:
    """What is real and what is generated."""
    first, last = clock(minutes[0].open_us), clock(minutes[-1].open_us)
    console.print(f"[bold]Prices, real:[/] {', '.join(SYMBOLS)} against USDT, one-minute bars {first} to {last} UTC.")
    console.print("Each bar becomes 4 ticks: open, low, high, close if it closes up, open, high, low, close if down.")
    deposits = sum((trader.deposit for trader in traders), Decimal(0))
    notional = sum((plan.notional for trader in traders for plan in trader.plans), Decimal(0))
    console.print(
        f"[bold]Accounts, generated[/] (seed {seed}): {len(traders):,} with {deposits:,.0f} USDT, meaning to open "
        f"{sum(len(trader.plans) for trader in traders):,} positions of {notional:,.0f} USDT:"
    )
    for strategy, count in count_by_strategy(traders).items():
        console.print(f"  {count:>7,}  {strategy.value}")
    console.print()


class Display:
    """Progress while the run goes on: a live line on a terminal, a line every six simulated hours elsewhere."""

    def __init__(self, console: Console, minutes: Sequence[Minute]) -> None:
        self._console = console
        self._minutes = minutes
        self._began = time.monotonic()
        self._progress = _bar(console, "{task.fields[time]}", "{task.fields[line]}")
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("", total=len(self._minutes), time="", line="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, number: int, desk: Desk, chronicle: Chronicle, inputs: int) -> None:
        """Minute ``number`` is done, ``inputs`` events since the start."""
        minute = self._minutes[number]
        rate = inputs / max(time.monotonic() - self._began, 0.001)
        prices = "  ".join(f"{symbol} {desk.closes[name]:f}" for symbol, name in zip(SYMBOLS, INSTRUMENTS, strict=True))
        counts = (
            f"[cyan]{len(desk.positions):,}[/] open  [yellow]{chronicle.cases:,}[/] calls  "
            f"[red]{len(chronicle.every(LiquidationStarted)):,}[/] liquidations  {rate:,.0f} events/s"
        )
        self._progress.update(self._task, completed=number + 1, time=clock(minute.open_us), line=f"{prices}\n{counts}")
        if not self._console.is_terminal and (number + 1) % REPORT_EVERY_MINUTES == 0:
            self._console.print(f"{clock(minute.open_us)}  {prices}  {counts}", soft_wrap=True)


def _bar(console: Console, before: str, after: str) -> Progress:
    columns = (TextColumn(before), BarColumn(bar_width=20), TextColumn(after))
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def verifying(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Progress of folding again; yields what is to be told frames done and frames in all."""
    with _bar(
        console, "verifying: the journal is folded again", "{task.completed:,.0f} of {task.total:,.0f} frames"
    ) as progress:
        task = progress.add_task("", total=1)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_figures(console: Console, figures: Figures) -> None:
    """The summary a trader understands."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _rows(figures):
        table.add_row(name, text)
    console.print(table)
    console.print()


def _rows(figures: Figures) -> Iterator[tuple[str, str]]:
    calls, results = figures.calls, figures.liquidations
    cases = f"{calls['called']:,} on {figures.called_accounts:,} accounts"
    yield "Margin calls", f"{cases}; {calls['escalated']:,} escalated, {calls['recovered']:,} recovered"
    saved = f"{figures.saved_accounts / max(1, figures.called_accounts):.1%}"
    yield "Saved by a top-up", f"{figures.saved_accounts:,} accounts, {saved} of those called"
    ends = f"{results['restored']:,} restored by a partial close, {results['cured']:,} cured by money"
    ends = f"{ends}, {results['closed']:,} closed, {results['taken_over']:,} taken over"
    yield "Liquidations", f"{results.total():,} ended on {figures.liquidated_accounts:,} accounts: {ends}"
    reasons = ", ".join(f"{count:,} {WITHOUT_CALL.get(why, why)}" for why, count in figures.without_call.items())
    yield "Without an open call", reasons or "none"
    verdict = "each within its own" if figures.contained else "[red]A LOSS LEFT ITS BUCKET[/]"
    yield "Losses in buckets", f"{figures.loss:,.2f} of {figures.collateral:,.2f} USDT collateral; {verdict}"
    yield (
        "Shortfalls",
        f"{figures.shortfalls:,}, {figures.shortfall:,.2f} USDT; uncovered {figures.uncovered:,.2f} USDT",
    )
    yield "Takeovers", f"{figures.takeovers:,}; at the mark the fund loses {figures.fund_loss:,.2f} USDT on them"
    for name, before in figures.fund_before.items():
        yield f"Fund {name}", f"{before:,.2f} before, {figures.fund_after[name]:,.2f} USDT after"
    if hour := figures.worst_hour:
        yield "Worst hour", f"from {clock(hour.start_us)} UTC: {hour.liquidations:,} ended, {hour.loss:,.2f} USDT lost"
    if biggest := figures.biggest:
        loss, collateral = Decimal(biggest.loss), Decimal(biggest.collateral)
        wallet = f"its wallet {Decimal(biggest.wallet_before):,.2f} before, {Decimal(biggest.wallet_after):,.2f} after"
        yield (
            "Biggest single loss",
            f"{loss:,.2f} of {collateral:,.2f} USDT collateral ({biggest.account}, {biggest.instrument}); {wallet}",
        )
    refusals = ", ".join(f"{count:,} {code}" for code, count in figures.refusals.most_common())
    yield "Refused inputs", refusals or "none"


def show_proof(console: Console, digest: str, findings: Findings, seconds: dict[str, float]) -> None:
    """What can be checked, and how long each part took."""
    decisions = findings.decisions.total()
    console.print(
        f"[bold]Verified:[/] the journal of {findings.frames:,} frames and {findings.inputs:,} inputs was folded anew; "
        f"state, {decisions:,} decisions, {findings.views:,} views and the ledger are the same to the byte."
    )
    console.print(f"[bold]Decisions digest:[/] {digest}; the same options give the same digest.")
    console.print("Seconds: " + ", ".join(f"{part} {duration:.1f}" for part, duration in seconds.items()) + ".\n")


def shown(path: Path) -> str:
    """A path as somebody in the current directory would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def show_next(console: Console, log: Path, report: Path | None) -> None:
    """How to look at what the run left behind."""
    address = f"sqlite:{shown(log)}"
    console.print(f"The log stays in {shown(log)} until the next run replaces it. Look at it with")
    for command in ("verify", "status", "tail"):
        topic = " liquidations" if command == "tail" else ""
        console.print(f"  .venv/bin/ringfence {command} --log {address}{topic}", highlight=False, soft_wrap=True)
    if report:
        console.print(f"Report with plots: [bold]{shown(report)}[/]", soft_wrap=True)
