"""The crash example as a whole: a small run around the fall of 6 February, its summary, its report, its log."""

import asyncio
import importlib
import io
import json
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from examples.crash.market import HOUR_US, INSTRUMENTS
from examples.crash.run import Options, Result, run
from examples.crash.venue import FUND_SEED
from ringfence_schemas.inputs import Deposit, Withdrawal
from ringfence_schemas.outcomes import LiquidationCompleted, LiquidationStarted, MarginCall
from ringfence_schemas.reading import decode_input
from ringfence_streams.audit import ShardAudit
from ringfence_streams.sqlite import SqliteLog

pytestmark = pytest.mark.xdist_group("crash")  # one run for all claims

ROOT = Path(__file__).parents[2]
BEFORE_THE_FALL_US = 1_770_336_000_000_000 - HOUR_US // 2
"""2026-02-05 23:30 UTC."""


def options(out: Path) -> Options:
    """Two hours with 800 accounts."""
    return Options(3, 800, BEFORE_THE_FALL_US, BEFORE_THE_FALL_US + 2 * HOUR_US, out)


def printed_run(out: Path) -> tuple[Result, str]:
    """A run and what it printed."""
    console = Console(file=io.StringIO(), width=140)
    result = asyncio.run(run(options(out), console))
    assert isinstance(console.file, io.StringIO)
    return result, console.file.getvalue()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, str, Path]:
    """One run, its words, and the directory that it left behind."""
    out = tmp_path_factory.mktemp("crash")
    return *printed_run(out), out


async def applied_transfers(out: Path) -> Decimal:
    """Deposits less withdrawals in the log, USDT."""
    log = SqliteLog(out / "crash.sqlite")
    total, offset = Decimal(0), 0
    while records := await log.read("deposits", 0, offset, 1_000):
        offset = records[-1].offset + 1
        for record in records:
            event = decode_input(record.value or b"")
            assert isinstance(event, Deposit | Withdrawal)
            total += Decimal(event.amount) if isinstance(event, Deposit) else -Decimal(event.amount)
    await log.close()
    return total


async def audited_frames(path: Path) -> int:
    """What ``ringfence verify`` does; the number of frames it folded."""
    log = SqliteLog(path)
    audit = ShardAudit(log, 0, 1, unbranched=True)
    await audit.run(lambda _audit: None)
    await log.close()
    return audit.findings.frames


def test_two_runs_from_one_seed_decide_the_same(first: tuple[Result, str, Path], tmp_path: Path) -> None:
    """A second run gives the same decisions digest, the same figures, and prints the digest."""
    result, _, _ = first
    again, words = printed_run(tmp_path)
    assert again.digest == result.digest
    assert again.figures == result.figures
    assert result.digest in words


def test_the_fall_calls_liquidates_and_costs_the_funds_something(first: tuple[Result, str, Path]) -> None:
    """In two hours positions are called, restored, closed, taken over, with shortfalls; nothing leaves its bucket."""
    figures = first[0].figures
    assert figures.calls["called"] > 100
    assert min(figures.liquidations[result] for result in ("restored", "closed", "taken_over")) > 10
    assert figures.shortfalls > 0
    assert figures.contained
    assert figures.loss <= figures.collateral


def test_the_summary_agrees_with_the_ledger(first: tuple[Result, str, Path]) -> None:
    """The funds are those of the ledger, external is what was paid in and out, and every asset sums to zero."""
    result, _, out = first
    ledger = {name: Decimal(held.get("USDT", "0")) for name, held in result.history.ledger.items()}
    assert result.figures.fund_after == {name: ledger[f"fund|{name}"] for name in INSTRUMENTS}
    assert sum(ledger.values()) == 0
    seeds = Decimal(FUND_SEED) * len(INSTRUMENTS)
    assert result.figures.refusals["insufficient_wallet"] == 0
    assert ledger["external"] == -(asyncio.run(applied_transfers(out)) + seeds)


def test_the_fund_that_takes_positions_over_lives_on_what_is_left_of_them(first: tuple[Result, str, Path]) -> None:
    """LINK pays no liquidation fee: its fund is its seed, plus the residuals that went to it, less its shortfalls."""
    result = first[0]
    ended = [done for done in result.story.chronicle.every(LiquidationCompleted) if done.instrument == "LINK-USDT-PERP"]
    change = sum((Decimal(done.residual) - Decimal(done.shortfall) for done in ended), Decimal(0))
    assert {done.residual_to for done in ended} == {"fund", None}
    assert result.figures.fund_after["LINK-USDT-PERP"] == Decimal(FUND_SEED) + change


def test_a_liquidation_leaves_the_wallet_alone_but_for_the_residual(first: tuple[Result, str, Path]) -> None:
    """On every certificate the wallet after is the wallet before, plus the residual where that went to the account."""
    for done in first[0].story.chronicle.every(LiquidationCompleted):
        residual = Decimal(done.residual) if done.residual_to == "account" else 0
        assert Decimal(done.wallet_after) == Decimal(done.wallet_before) + residual, done.liquidation_id


def test_the_report_holds_its_plots_and_needs_no_network(first: tuple[Result, str, Path]) -> None:
    """Seven plots, each a figure that plotly accepts, with the run's number of calls and liquidations; no link."""
    result, _, out = first
    page = (out / "crash.html").read_text(encoding="utf-8")
    embedded = re.search(r"const figures = (\{.*\});\n", page)
    assert embedded
    figures = json.loads(embedded[1])
    assert list(figures) == ["prices", "minutes", "account", "containment", "funds", "requirement", "strategies"]
    for anchor, figure in figures.items():
        importlib.import_module("plotly.graph_objects").Figure(figure)
        assert f'<div id="{anchor}">' in page
    calls, *liquidations = (sum(trace["y"]) for trace in figures["minutes"]["data"])
    assert calls == sum(one.status == "called" for one in result.story.chronicle.every(MarginCall))
    assert sum(liquidations) == len(result.story.chronicle.every(LiquidationStarted))
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    assert "Accounts are generated" in page


def test_no_liquidation_lies_above_the_diagonal_of_the_report(first: tuple[Result, str, Path]) -> None:
    """In the plot of loss against collateral every dot's loss is at most its collateral."""
    page = (first[2] / "crash.html").read_text(encoding="utf-8")
    embedded = re.search(r"const figures = (\{.*\});\n", page)
    assert embedded
    *dots, diagonal = json.loads(embedded[1])["containment"]["data"]
    pairs = [(x, y) for trace in dots for x, y in zip(trace["x"], trace["y"], strict=True)]
    assert len(pairs) > 50
    assert all(loss <= collateral for collateral, loss in pairs)
    assert diagonal["x"] == diagonal["y"]


def test_a_killed_run_leaves_a_log_that_verifies_and_the_next_one_replaces_it(tmp_path: Path) -> None:
    """SIGKILL in the middle: what is in the log folds again; the next run says that it replaces it and begins anew."""
    log = tmp_path / "crash.sqlite"
    command = [sys.executable, "-m", "examples.crash", "--accounts", "400", "--hours", "24", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not log.exists() or log.stat().st_size < 500_000):
            time.sleep(0.05)
        process.kill()
    frames = asyncio.run(audited_frames(log))
    assert 10 < frames < 1_440
    result, words = printed_run(tmp_path)
    assert "Replacing the log that an earlier run left" in words
    assert result.findings.epochs == 1
