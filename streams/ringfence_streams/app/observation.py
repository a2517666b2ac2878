"""Watching shards from outside: a log around the log sees every frame that is committed, and nothing else (W2).

The shard loop does not know that it is watched, and the log underneath does not either: what a watcher needs passes the
port anyway.  It costs a few dictionary look-ups per frame.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from ringfence.replica import Replica as CoreReplica
from ringfence_schemas.frames import Settings, SourceRange
from ringfence_schemas.topics import REFUSALS
from ringfence_streams.app.reports import Latency, ShardReport, SourcePosition
from ringfence_streams.clock import Clock
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Entry, Log, Ownership, Replica, Replicas, Source, SourceReader, Standing
from ringfence_streams.shard import Shard

SAMPLE_US = 500_000
"""Times of markets are sampled at most this often."""


class ShardObservation:
    """What is known about one shard's committed frames."""

    def __init__(self, shard: int, clock: Clock) -> None:
        self.shard = shard
        self.replica: Replica | None = None
        self._clock = clock
        self._head_seq = 0
        self._published_seq = 0
        self._frames: Counter[str] = Counter()
        self._inputs = 0
        self._outcomes: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._positions: dict[Source, int] = {}
        self._market_times_us: dict[str, int] = {}
        self._sampled_us = 0
        self._latency = Latency()
        self._in_flight: deque[tuple[Entry, int, Mapping[str, int] | None]] = deque()

    def began(self, positions: Mapping[Source, SourceRange]) -> None:
        """An ownership begins where the chain says."""
        self._in_flight.clear()
        self._positions = {source: position.end for source, position in positions.items()}

    def handed(self, entry: Entry) -> None:
        """A frame goes to the log; the state is what it leaves behind."""
        now_us = self._clock.monotonic_us()
        sample = None
        if now_us - self._sampled_us >= SAMPLE_US or not self._sampled_us:
            self._sampled_us, sample = now_us, self._sample()
        self._in_flight.append((entry, now_us, sample))

    def committed(self, head_seq: int, published_seq: int) -> None:
        """The chain is known to reach `head_seq`, and every outcome up to `published_seq` to be acknowledged."""
        self._head_seq, self._published_seq = head_seq, published_seq
        now_us = self._clock.monotonic_us()
        while self._in_flight and self._in_flight[0][0].frame.seq <= head_seq:
            entry, since_us, sample = self._in_flight.popleft()
            self._count(entry)
            self._latency.add(now_us - since_us)
            if sample is not None:
                self._market_times_us = dict(sample)

    def report(self, shard: Shard) -> ShardReport:
        """All of it, with what the shard says about itself."""
        return ShardReport(
            shard=self.shard,
            mode=shard.mode.value,
            stalled=shard.stalled,
            head_seq=self._head_seq,
            published_seq=self._published_seq,
            stood_down=shard.progress.stood_down,
            frames=dict(self._frames),
            inputs=self._inputs,
            outcomes=dict(self._outcomes),
            refusals=dict(self._refusals),
            positions=[SourcePosition(*source, end) for source, end in self._positions.items()],
            market_times_us=self._market_times_us,
            latency=self._latency,
        )

    def _count(self, entry: Entry) -> None:
        frame = entry.frame
        self._frames[frame.kind] += 1
        self._inputs += len(frame.inputs)
        for position in frame.positions:
            self._positions[Source(position.topic, position.partition)] = position.end
        for outcome in entry.outcomes:
            self._outcomes[outcome.topic] += 1
            if outcome.topic == REFUSALS:
                self._refusals[_refusal_code(outcome.value or b"{}")] += 1

    def _sample(self) -> Mapping[str, int] | None:
        if not isinstance(self.replica, CoreReplica):
            return None
        return {name: book.market_time_us for name, book in self.replica.fold.state.books.items()}


class _Refusal(msgspec.Struct):
    code: str


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def _refusal_code(value: bytes) -> str:
    return _decode_refusal(value).code


class Observation:
    """Every shard of a process."""

    def __init__(self, shards: Sequence[int], clock: Clock) -> None:
        self.shards = {shard: ShardObservation(shard, clock) for shard in shards}

    def log(self, log: Log) -> Log:
        """The same log, watched."""
        return cast("Log", _ObservedLog(log, self.shards))  # the rest of the port is passed on by name

    def replicas(self, replicas: Replicas) -> Replicas:
        """The same replicas; which one a shard folds is remembered."""
        return _ObservedReplicas(replicas, self.shards)


class _ObservedLog:
    def __init__(self, log: Log, shards: Mapping[int, ShardObservation]) -> None:
        self._log = log
        self._shards = shards

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, shard: int, positions: Mapping[Source, SourceRange]) -> SourceReader:
        self._shards[shard].began(positions)
        return self._log.reader(shard, positions)

    def ownership(self, shard: int, motion: MotionSettings, clock: Clock) -> Ownership:
        ownership = _ObservedOwnership(self._log.ownership(shard, motion, clock), self._shards[shard])
        return cast("Ownership", ownership)  # the rest of the port is passed on by name


class _ObservedOwnership:
    def __init__(self, ownership: Ownership, observation: ShardObservation) -> None:
        self._ownership = ownership
        self._observation = observation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ownership, name)

    async def claim(self, entry: Entry, standing: Standing) -> int:
        self._observation.handed(entry)
        offset = await self._ownership.claim(entry, standing)
        self._look()
        return offset

    async def commit(self, entry: Entry) -> None:
        self._observation.handed(entry)
        await self._ownership.commit(entry)
        self._look()

    async def settle(self) -> None:
        await self._ownership.settle()
        self._look()

    async def drain(self) -> None:
        await self._ownership.drain()
        self._look()

    def _look(self) -> None:
        head, _ = self._ownership.committed()
        self._observation.committed(head.seq, self._ownership.acknowledged_seq())


class _ObservedReplicas:
    def __init__(self, replicas: Replicas, shards: Mapping[int, ShardObservation]) -> None:
        self._replicas = replicas
        self._shards = shards

    def new(self, settings: Settings) -> Replica:
        return self._noted(self._replicas.new(settings), settings)

    def restore(self, data: bytes, settings: Settings) -> Replica:
        return self._noted(self._replicas.restore(data, settings), settings)

    def _noted(self, replica: Replica, settings: Settings) -> Replica:
        self._shards[settings.shard].replica = replica
        return replica
