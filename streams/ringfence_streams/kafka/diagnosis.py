"""What runs on a cluster, looked at from outside: chains, owners, clocks, lag, and whatever hangs.

Everything is read: from the topics themselves, and from the group by which engines share shards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.brokerlog import OUTPUTS
from ringfence_streams.envelope import is_view, published_ordinal
from ringfence_streams.errors import LogError
from ringfence_streams.follower import Follower
from ringfence_streams.kafka.administration import Administration, Member
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.findings import Finding, error, warning
from ringfence_streams.kafka.group import OWNERS
from ringfence_streams.kafka.specs import ROLES
from ringfence_streams.kafka.suitability import check_cluster, check_health
from ringfence_streams.lag import Lag, lags
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Replicas, Source
from ringfence_streams.recovery import check_sources, recover

_LOOK_S: Final = 0.02
_TAIL_RECORDS: Final = 200
_SNAPSHOTS_MISSED: Final = 5
_NOTICEABLE_SKEW_US: Final = 1_000_000


@dataclass(slots=True)
class ShardReport:
    """One shard."""

    shard: int
    follower: Follower
    lags: Sequence[Lag] = ()
    moved: bool = False
    """Whether a frame arrived while this program watched."""
    skew_us: int | None = None
    """How far the owner's clock is ahead of this machine's; None when no frame arrived."""
    last_frame_us: int | None = None
    """When the newest record of the journal was written, by the clock of who wrote it."""


@dataclass(slots=True)
class Diagnosis:
    """What was found."""

    brokers: int
    topics: int
    shards: list[ShardReport] = field(default_factory=list)
    owners: list[Member] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


async def diagnose(connection: Connection, log: Log, motion: MotionSettings, replicas: Replicas) -> Diagnosis:
    """Look at everything; takes as long as a lease when a shard is silent.  Raises LogUnavailable."""
    with Administration(connection) as administration:
        topics = administration.topics(ROLES)
        found = Diagnosis(administration.brokers(), len(topics))
        found.owners = administration.members(connection.group(OWNERS))
    found.findings += check_cluster(connection, motion)
    found.findings += check_health(topics.values())
    shards = len(topics[JOURNAL].partitions) if JOURNAL in topics else 0
    for shard in range(shards):
        try:
            follower = await recover(log, shard, Settings(shard=shard, shards=shards), replicas)
            await check_sources(log, follower)
        except LogError as stopped:
            found.findings.append(error(stopped.code, f"shard {shard}", stopped.message, stopped.remedy))
        else:
            found.shards.append(ShardReport(shard, follower, await lags(log, follower)))
    due = {report.shard: dict(report.follower.state.numbers) for report in found.shards}
    await _watch(log, found.shards, motion.lease_us)
    for report in found.shards:
        found.findings += await _judge(log, report, due[report.shard], motion, found.owners)
    return found


async def _watch(log: Log, reports: Sequence[ShardReport], lease_us: int) -> None:
    """Wait for a frame of every shard, no longer than a lease (T1); a frame that arrives tells its writer's clock."""
    ends = {report.shard: (await log.journal_bounds(report.shard)).end for report in reports}
    for report in reports:
        if ends[report.shard]:
            (last,) = await log.read_journal(report.shard, ends[report.shard] - 1, 1)
            report.last_frame_us = last.timestamp_us
    deadline = time.monotonic() + lease_us / 1_000_000
    while time.monotonic() < deadline and not all(report.moved for report in reports):
        await asyncio.sleep(_LOOK_S)
        for report in reports:
            end = (await log.journal_bounds(report.shard)).end
            if report.moved or end == ends[report.shard]:
                continue
            arrived_us = time.time_ns() // 1_000
            (last,) = await log.read_journal(report.shard, end - 1, 1)
            report.moved, report.last_frame_us = True, last.timestamp_us
            report.skew_us = last.timestamp_us - arrived_us


async def _judge(
    log: Log, report: ShardReport, due: Mapping[str, int], motion: MotionSettings, owners: Sequence[Member]
) -> list[Finding]:
    """Everything about one shard that is not as it should be, after it was watched."""
    before = {lag.source: lag for lag in report.lags}
    try:
        tails = await _tails(log, report.shard)
        await report.follower.catch_up(log)
        report.lags = await lags(log, report.follower)
    except LogError as stopped:
        return [error(stopped.code, f"shard {report.shard}", stopped.message, stopped.remedy)]
    return [
        *_ownership(report, owners),
        *_clock(report),
        *_chain(report, motion),
        *outputs_behind_or_beyond(report, due, tails),
        *_sources(report, before, motion),
    ]


# --------------------------------------------------------------------------------------------------------------- rules


def _ownership(report: ShardReport, owners: Sequence[Member]) -> Iterator[Finding]:
    state, subject = report.follower.state, f"shard {report.shard}"
    waiting = sum(lag.records for lag in report.lags)
    if report.moved:
        return
    if state.head.seq == 0:
        yield warning("shard_unused", subject, f"no engine ever ran, {waiting} inputs wait", "Start `ringfence run`")
    elif state.released:
        message = f"its owner released it and none followed; {waiting} inputs wait"
        yield warning("shard_released", subject, message, "Start `ringfence run`, unless it is stopped on purpose")
    else:
        assigned = [f"{owner.client} at {owner.host}" for owner in owners if report.shard in owner.partitions]
        message = f"no frame for a whole lease, though its head is no release frame; {waiting} inputs wait"
        remedy = (
            f"Look at what {assigned[0]} says: the shard is assigned to it"
            if assigned
            else "Start `ringfence run`: no process of the owners' group has this shard"
        )
        yield error("shard_silent", subject, message, remedy)


def _clock(report: ShardReport) -> Iterator[Finding]:
    settings, skew_us = report.follower.state.settings, report.skew_us
    if skew_us is None or abs(skew_us) < _NOTICEABLE_SKEW_US:
        return
    side = "ahead of" if skew_us > 0 else "behind"
    message = f"the clock of its owner is {abs(skew_us) // 1_000} ms {side} this machine's"
    severe = settings.clock == "wall" and abs(skew_us) > settings.skew_us
    finding = error if severe else warning
    yield finding("clock_skew", f"shard {report.shard}", message, "Let both machines set their clocks by NTP")


def _chain(report: ShardReport, motion: MotionSettings) -> Iterator[Finding]:
    follower, subject = report.follower, f"shard {report.shard}"
    if follower.ignored:
        seen = follower.frames + follower.ignored
        message = f"{follower.ignored} of the {seen} frames since the last snapshot are not on the chain"
        remedy = "Readers pass over them (R1): another owner had taken over.  Find out what paused the first one"
        yield warning("dead_frames", subject, message, remedy)
    if follower.frames > _SNAPSHOTS_MISSED * motion.snapshot_every:
        message = f"{follower.frames} frames stand after the last usable snapshot; a recovery folds all of them"
        yield warning("snapshots_missing", subject, message, "Look for messages of the owner about snapshots")


def outputs_behind_or_beyond(
    report: ShardReport, due: Mapping[str, int], tails: Mapping[str, int]
) -> Iterator[Finding]:
    """V4 from outside.  `due` was on the chain before the watch, `tails` were read after it."""
    numbers = report.follower.state.numbers
    for topic, last in tails.items():
        subject = f"{topic}/{report.shard}"
        if last < due.get(topic, 0):
            message = f"it ends with number {last}, the chain had reached {due[topic]}"
            if report.moved:
                remedy = "Its owner writes frames but publishes nothing: look at its messages, restart it"
                yield error("outputs_behind", subject, message, remedy)
            else:
                yield warning("outputs_behind", subject, message, "The next owner publishes them (V5)")
        elif last > numbers.get(topic, 0):
            message = f"it ends with number {last}, the chain with {numbers.get(topic, 0)}"
            remedy = "Find who else writes to this topic; subscribers may have acted on these records"
            yield error("outputs_diverged", subject, message, remedy)


def _sources(report: ShardReport, before: Mapping[Source, Lag], motion: MotionSettings) -> Iterator[Finding]:
    for lag in report.lags:
        subject = f"{lag.source.topic}/{lag.source.partition}"
        if lag.begin > lag.position:
            message = f"shard {report.shard} stands at {lag.position}, but the topic begins at {lag.begin}"
            remedy = "Inputs expired before they were read: lengthen the retention, publish them again"
            yield error("inputs_lost", subject, message, remedy)
        elif report.moved and lag.records > before[lag.source].records > motion.batch_inputs:
            message = f"{lag.records} records wait for shard {report.shard}, and they become more"
            yield warning("lag_grows", subject, message, "Add processes or shards if it goes on")


# ------------------------------------------------------------------------------------------------------------- reading


async def _tails(log: Log, shard: int) -> dict[str, int]:
    """The last number on each topic of decisions; repeats of a zombie may stand behind it."""
    tails = {}
    for topic, partition in await log.topics():
        if topic not in OUTPUTS or is_view(topic) or partition != shard:
            continue
        begin, end = await log.bounds(topic, shard)
        offset, last = max(begin, end - _TAIL_RECORDS), 0
        while offset < end and (records := await log.read(topic, shard, offset, _TAIL_RECORDS)):
            last = max(last, *(published_ordinal(record) or 0 for record in records))
            offset = records[-1].offset + 1
        tails[topic] = last
    return tails
