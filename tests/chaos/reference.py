"""The same inputs without any fault: what an undisturbed engine makes of them, over a broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from ringfence_schemas.frames import Settings
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.engine import Engine
from ringfence_streams.envelope import published_ordinal
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.memory import MemoryBroker, MemorySnapshots
from ringfence_streams.port import Record
from tests.chaos.cluster import Contents
from tests.chaos.judge import BROADCAST_TOPICS, DEAD_LETTERS, DECISION_TOPICS, Place, Verdict, sources


def undisturbed(contents: Contents, shards: int = 1, settings: Settings | None = None) -> list[Verdict]:
    """Fold the inputs of a log in the order of the merge rule, one engine, no fault; digests and decisions."""
    return asyncio.run(_undisturbed(contents, shards, settings or Settings()))


async def _undisturbed(contents: Contents, shards: int, settings: Settings) -> list[Verdict]:
    broker = MemoryBroker()
    broker.create_all(shards)
    for topic in BROADCAST_TOPICS:
        broker.create(topic, sum(name == topic for name, _ in contents))
    for topic, partition in {place for shard in range(shards) for place in sources(contents, shard)}:
        broker.partition(topic, partition).records += [
            Record(topic, partition, r.offset, r.timestamp_ms * 1_000, r.key, r.value, r.headers)
            for r in contents[topic, partition]
        ]
    each = [msgspec.structs.replace(settings, shard=shard, shards=shards) for shard in range(shards)]
    log = BrokerLog(broker.client(), MemorySnapshots())
    engine = Engine(log, each, CoreReplicas())
    await engine.drain()
    verdicts = []
    for shard, running in enumerate(engine.shards):
        assert running._owner is not None
        verdict = Verdict(shard, digest=running._owner.state.replica.digest())
        for topic in DECISION_TOPICS + DEAD_LETTERS:
            for record in broker.partition(topic, shard).records:
                verdict.decisions[topic, published_ordinal(record) or 0] = record.value or b""
        verdicts.append(verdict)
    await engine.release()
    return verdicts


def assert_undisturbed(verdicts: list[Verdict], contents: Contents) -> None:
    """Same state and same decisions as without the fault: the merge rule left no choice of order."""
    compare(verdicts, undisturbed(contents, len(verdicts)))


def assert_undisturbed_in_order(verdicts: list[Verdict], contents: Contents) -> None:
    """The same where inputs came while engines ran: without the fault, in the order in which they were folded."""
    for verdict in verdicts:
        compare([verdict], [undisturbed(in_order(contents, verdict), len(verdicts))[verdict.shard]])


def compare(verdicts: list[Verdict], references: list[Verdict]) -> None:
    """Decision by decision, byte by byte, and the state at the end."""
    for found, expected in zip(verdicts, references, strict=True):
        for place in found.decisions | expected.decisions:
            ours, theirs = found.decisions.get(place), expected.decisions.get(place)
            assert ours == theirs, f"shard {found.shard}, {place}: {ours!r}; without the fault {theirs!r}"
        assert found.digest == expected.digest, f"shard {found.shard} ended in another state than without the fault"


def in_order(contents: Contents, verdict: Verdict) -> Contents:
    """The log with timestamps that make the merge rule choose the order of a shard's chain."""
    order = {place: number for number, place in enumerate(folded(verdict))}
    mine = set(sources(contents, verdict.shard))
    return {
        source: [record._replace(timestamp_ms=order[record[:3]]) for record in records] if source in mine else records
        for source, records in contents.items()
    }


def folded(verdict: Verdict) -> Iterator[Place]:
    """Yield the inputs of a chain in its order."""
    for link in verdict.walk.chain:
        for source, delta, *_ in link.inputs:
            topic, partition, start = link.positions[source][:3]
            yield topic, partition, start + delta
