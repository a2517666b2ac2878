"""`ringfence doctor`: look at a cluster and at what runs on it, and say what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
import typer

from ringfence_streams.cli.cluster import ClusterOption, connected
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.rendering import age, table
from ringfence_streams.cli.status import StateReplicas, lag_object
from ringfence_streams.cli.topics import JsonOption, finding_lines, finding_object, findings_status, worst_first
from ringfence_streams.motion import MotionSettings

if TYPE_CHECKING:
    from ringfence_streams.kafka.diagnosis import Diagnosis, ShardReport


def doctor(*, log: ClusterOption = None, as_json: JsonOption = False) -> None:
    """Look at a Kafka cluster and at the engines on it, and say what is wrong.

    Looked at are the topics (as `topics check` does), their replicas, the chain, owner, lag and outputs of every shard,
    and the owners' clocks, which is why a frame of each shard is waited for, at most three seconds.  The state is
    folded from the last snapshot.  Nothing is written.  The exit status is 1 when anything needs a person.

    ```sh kafka
    ringfence topics create
    ringfence doctor
    ```
    """
    tune_garbage_collection()
    with connected(log) as connection, console.progress("Folding from the last snapshots") as progress:
        from ringfence_streams.kafka import diagnosis, synchronous  # noqa: PLC0415 -- the extra may be missing

        def watch(seq: int) -> None:
            progress.update(seq, f"seq {seq:,}")

        opened = synchronous.open_for_reading(connection)

        async def examine() -> Diagnosis:
            try:
                return await diagnosis.diagnose(connection, opened, MotionSettings(), StateReplicas(watch))
            finally:
                await opened.close()

        found = asyncio.run(examine())
    found.findings = worst_first(found.findings)
    if as_json:
        write_out(orjson.dumps(_object(found)) + b"\n")
    else:
        write_out("".join(f"{line}\n" for line in _lines(found)).encode())
    raise typer.Exit(findings_status(found.findings))


def _object(found: Diagnosis) -> dict[str, Any]:
    return {
        "brokers": found.brokers,
        "topics": found.topics,
        "owners": [
            {"client": owner.client, "host": owner.host, "shards": list(owner.partitions)} for owner in found.owners
        ],
        "shards": [_shard_object(report) for report in found.shards],
        "findings": [finding_object(finding) for finding in found.findings],
    }


def _shard_object(report: ShardReport) -> dict[str, Any]:
    follower = report.follower
    state = follower.state
    return {
        "shard": report.shard,
        "epoch": state.head.epoch,
        "seq": state.head.seq,
        "head": state.head.hash.hex(),
        "released": state.released,
        "engine": state.settings.engine,
        "clock": state.settings.clock,
        "moves": report.moved,
        "last_frame_us": report.last_frame_us,
        "skew_us": report.skew_us,
        "frames_since_snapshot": follower.frames,
        "dead_frames": follower.ignored,
        "sources": [lag_object(lag) for lag in report.lags],
    }


def _lines(found: Diagnosis) -> Iterator[str]:
    yield f"{counted(found.brokers, 'broker')}, {counted(found.topics, 'topic')}, {counted(len(found.shards), 'shard')}"
    heads = ("shard", "epoch", "seq", "head", "owner", "last frame", "clock", "lag")
    yield from table(heads, [_row(report, found) for report in found.shards])
    yield from finding_lines(found.findings)
    if not found.findings:
        yield "Nothing is wrong"


def _row(report: ShardReport, found: Diagnosis) -> list[str]:
    head = report.follower.state.head
    hosts = [f"{owner.client} at {owner.host}" for owner in found.owners if report.shard in owner.partitions]
    owner = hosts[0] if hosts else "nobody" if not report.moved else "a process outside the group"
    last_us = report.last_frame_us
    return [
        str(report.shard),
        str(head.epoch),
        f"{head.seq:,}",
        head.hash.hex()[:16],
        owner,
        "never" if last_us is None else f"{age(max(0, time.time_ns() // 1_000 - last_us))} ago",
        "not measured" if report.skew_us is None else f"{report.skew_us / 1_000:+.0f} ms",
        f"{sum(lag.records for lag in report.lags):,}",
    ]
