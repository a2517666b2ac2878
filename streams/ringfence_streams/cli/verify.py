"""`ringfence verify`: fold the whole journal again and compare."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import typer

from ringfence_streams.audit import Divergence, ShardAudit
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.logs import LogOption, opened_log
from ringfence_streams.cli.problems import Exit, Problem


def verify(
    *,
    log: LogOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object a shard.")] = False,
) -> None:
    """Fold the whole journal again and compare everything that was recorded or published.

    Checked are the hash chain of the frames, the digests of state and outcomes, every decision and dead letter byte
    for byte, every view, the ledger (each asset sums to zero), the hash chains of the accounts, and the snapshots.
    The first divergence is named by epoch, seq and offset, and the exit status is 1.  An engine may be running.

    ```sh
    ringfence verify --log sqlite:risk.db
    ```
    """
    tune_garbage_collection()
    with opened_log(log) as opened:
        for shard in range(opened.shards):
            audit = ShardAudit(opened.log, shard, opened.shards, unbranched=opened.unbranched)
            started = time.perf_counter()
            with console.progress(f"Verifying shard {shard}") as progress:

                def watch(audit: ShardAudit) -> None:
                    progress.update(audit.offset, f"seq {audit.head.seq:,}", audit.end)

                try:
                    opened.run(audit.run(watch))
                except Divergence as divergence:
                    raise _problem(divergence) from divergence
            summary = summary_of(audit, time.perf_counter() - started)
            write_out(orjson.dumps(summary) + b"\n" if as_json else ("\n".join(_lines(summary)) + "\n").encode())


def summary_of(audit: ShardAudit, seconds: float) -> dict[str, Any]:
    """Return what an audit found, in the words of its JSON output."""
    findings, state = audit.findings, audit.replica.fold.state
    return {
        "shard": audit.replica.settings.shard,
        "frames": findings.frames,
        "epochs": findings.epochs,
        "inputs": findings.inputs,
        "decisions": dict(sorted(findings.decisions.items())),
        "views": findings.views,
        "snapshots": findings.snapshots,
        "expired": findings.expired,
        "accounts": len(state.accounts),
        "account_links": sum(account.sequence for account in state.accounts.values()),
        "epoch": audit.head.epoch,
        "seq": audit.head.seq,
        "head": audit.head.hash.hex(),
        "state": audit.replica.digest().hex(),
        "inputs_per_second": round(findings.inputs / seconds),
    }


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    yield f"shard {summary['shard']}: verified through epoch {summary['epoch']}, seq {summary['seq']}"
    yield f"  head {summary['head']}, state {summary['state']}"
    read = (counted(summary[name], name[:-1]) for name in ("frames", "epochs", "inputs", "views", "snapshots"))
    yield f"  {', '.join(read)}"
    decisions = ", ".join(f"{topic} {count:,}" for topic, count in summary["decisions"].items())
    expired = f"; {summary['expired']:,} expired before" if summary["expired"] else ""
    yield f"  decisions: {decisions or 'none'}{expired}"
    chains = f"{counted(summary['accounts'], 'account')} with chains of {counted(summary['account_links'], 'link')}"
    yield f"  {chains}; every asset sums to zero"
    yield f"  {summary['inputs_per_second']:,} inputs/s"


def _problem(divergence: Divergence) -> Problem:
    before = "Every frame before it is sound" if divergence.frame else "The journal was not judged"
    return Problem(
        divergence.code,
        f"first divergence: {divergence}",
        f"{before}. Keep a copy of the log as it is, then restore it from one that verifies",
        Exit.FAILED,
    )
