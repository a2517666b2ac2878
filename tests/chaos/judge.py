"""The judge of every fault test: reads what survived with a client that is not ours, and asserts what is guaranteed.

docs/guide/chaos.md says what is judged.  The chain is walked and the inputs are compared with code written for this
page alone; outcomes come from folding the chain's inputs again, and are then compared byte for byte with what a
subscriber finds, who uses the reader that we ship.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import msgspec

from ringfence.replica import Replica
from ringfence_schemas.frames import Settings, decode_frame
from ringfence_schemas.subscriber import Reading, SubscriberReader
from ringfence_streams.port import OutcomeRecord
from tests.chaos.cluster import Contents, Stored

ACCOUNT_TOPICS = ("fills", "deposits", "commands")
BROADCAST_TOPICS = ("instruments", "ticks")
DECISION_TOPICS = ("margin-calls", "liquidations", "risk-parameters", "refusals", "ledger")
VIEW_TOPICS = ("positions", "wallets")
DEAD_LETTERS = tuple(f"{topic}.dlq" for topic in ACCOUNT_TOPICS + BROADCAST_TOPICS)

Place = tuple[str, int, int]
"""Topic, partition and offset of an input."""


@dataclass
class Link:
    """One frame, decoded by position as docs/concepts/journal.md describes it."""

    record: Stored
    kind: str
    epoch: int
    seq: int
    prev: bytes
    inputs: list[list[Any]]
    positions: list[list[Any]]
    session: bytes

    @property
    def hash(self) -> bytes:
        """What the next frame's `prev` must be."""
        return blake2b(self.record.value or b"", digest_size=32).digest()


class Walk:
    """R1, written a second time: of all frames that extend the head, the first in the log."""

    def __init__(self) -> None:
        self.chain: list[Link] = []
        self.dead: list[Link] = []
        self.ends: dict[tuple[str, int], int] = {}
        """How far the chain has read each source."""
        self._epoch, self._seq, self._head = 0, 0, bytes(32)

    def take(self, record: Stored) -> None:
        """The next record of the journal."""
        link = read_link(record)
        begins = link.kind == "epoch"
        expected = self._head, self._seq + 1, self._epoch + begins
        if (link.prev, link.seq, link.epoch) != expected or not (begins or self._epoch):
            self.dead.append(link)
            return
        self._epoch, self._seq, self._head = link.epoch, link.seq, link.hash
        self.chain.append(link)
        for topic, partition, _, end, *_ in link.positions:
            self.ends[topic, partition] = end

    @property
    def epochs(self) -> int:
        """How many ownerships there were."""
        return sum(link.kind == "epoch" for link in self.chain)

    @property
    def silences_ms(self) -> list[int]:
        """How long the chain had rested when somebody took it over whose predecessor had not released it.

        A claim extends the frame that its sender had seen for a whole lease, so no machine is too slow for this to be
        at least the lease: frames and claims bear the times at which they were sent.
        """
        return [
            claim.record.timestamp_ms - last.record.timestamp_ms
            for last, claim in pairwise(self.chain)
            if claim.kind == "epoch" and last.kind != "release"
        ]

    @property
    def inputs(self) -> int:
        """How many inputs are on the chain."""
        return sum(len(link.inputs) for link in self.chain)

    @property
    def dead_inputs(self) -> int:
        """How many inputs dead frames hold: had any of them counted, an input would have been folded twice."""
        return sum(len(link.inputs) for link in self.dead)


@dataclass
class Verdict:
    """What the judge found on one shard, for a test to assert that its fault fired."""

    shard: int
    walk: Walk = field(default_factory=Walk)
    repeats: int = 0
    """Decisions that stand on their topics more than once."""
    digest: bytes = b""
    decisions: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """By topic and number."""
    codes: Counter[str] = field(default_factory=Counter)
    """Refusals by code."""
    liquidations: int = 0

    def told(self) -> str:
        """What a reader of the report wants to know."""
        walk = self.walk
        return (
            f"{walk.inputs} inputs in {len(walk.chain)} frames of {walk.epochs} ownerships, "
            f"{len(walk.dead)} dead frames with {walk.dead_inputs} inputs, "
            f"{len(self.decisions)} decisions, {self.repeats} of them repeated"
        )


def judge(contents: Contents, shards: int = 1) -> list[Verdict]:
    """Judge every shard.  Raises AssertionError with what is wrong."""
    verdicts = []
    for shard in range(shards):
        verdict = Verdict(shard)
        for record in contents["journal", shard]:
            verdict.walk.take(record)
        inputs_once(contents, verdict)
        outcomes = refold(verdict)
        subscribe(contents, verdict, outcomes)
        views(contents, verdict, outcomes)
        evidence(contents, verdict)
        verdicts.append(verdict)
    return verdicts


def read_link(record: Stored) -> Link:
    """Decode a frame without its Struct."""
    _, kind, epoch, seq, prev, _, inputs, positions, _, _, _, _, opening = msgspec.msgpack.decode(record.value or b"")
    return Link(record, kind, epoch, seq, prev, inputs, positions, opening[0] if opening else b"")


def inputs_once(contents: Contents, verdict: Verdict) -> None:
    """Each input of the shard's sources is on the chain exactly once, with its bytes and its time."""
    found: dict[Place, list[Any]] = {}
    ends: dict[tuple[str, int], int] = {}
    for link in verdict.walk.chain:
        for topic, partition, start, end, *_ in link.positions:
            source = topic, partition
            reached = ends.get(source, contents[source][0].offset if contents[source] else 0)
            assert start == reached, f"shard {verdict.shard}, seq {link.seq}: {source} read from {start}, not {reached}"
            ends[source] = end
        for source_index, delta, *rest in link.inputs:
            topic, partition, start, end, *_ = link.positions[source_index]
            place = topic, partition, start + delta
            assert place not in found, f"{place} is on the chain twice"
            assert place[2] < end, f"{place} is outside the range of its frame"
            found[place] = rest
    for topic, partition in sources(contents, verdict.shard):
        for record in contents[topic, partition]:
            place = topic, partition, record.offset
            assert place in found, f"{record.place} is not on the chain of shard {verdict.shard}"
            timestamp_us, data, _, omitted = found.pop(place)
            assert timestamp_us == record.timestamp_ms * 1_000, record.place
            value = record.value or b""
            kept = blake2b(value, digest_size=16).digest() if omitted else value
            assert data == kept, f"{record.place} has other bytes on the chain"
    assert not found, f"inputs on the chain that are nowhere else: {list(found)[:3]}"


def sources(contents: Contents, shard: int) -> list[tuple[str, int]]:
    """What a shard reads: its own partition of each account topic, and all of the others."""
    return [
        (topic, partition)
        for topic, partition in contents
        if topic in BROADCAST_TOPICS or (topic in ACCOUNT_TOPICS and partition == shard)
    ]


def refold(verdict: Verdict) -> list[tuple[int, OutcomeRecord]]:
    """Fold the chain from nothing; every digest in it must come out again.  Returns outcomes with their frame's seq."""
    replica = Replica(Settings(shard=verdict.shard))
    outcomes: list[tuple[int, OutcomeRecord]] = []
    for link in verdict.walk.chain:
        frame = decode_frame(link.record.value or b"")
        if frame.opening is not None:
            replica.adopt(frame.opening.settings)
        if frame.kind not in {"epoch", "release"}:
            folded = replica.fold_inputs(frame.seq, frame.clock_us, frame.positions, frame.inputs)
            assert (folded.count, folded.digest) == (frame.outcome_count, frame.outcome_digest), f"seq {frame.seq}"
            outcomes += [(frame.seq, record) for record in folded.records]
        assert replica.digest() == frame.state_digest, f"shard {verdict.shard}: another state at seq {frame.seq}"
    verdict.digest = replica.digest()
    return outcomes


def subscribe(contents: Contents, verdict: Verdict, outcomes: list[tuple[int, OutcomeRecord]]) -> None:
    """A subscriber with our reader gets every decision once, in order; what comes again is the same record."""
    shard = verdict.shard
    expected = {(o.topic, o.number): o for _, o in outcomes if o.number is not None}
    for topic in DECISION_TOPICS + DEAD_LETTERS:
        reader, last = SubscriberReader(), 0
        for record in contents.get((topic, shard), ()):
            number = int(header(record, "ce_id").rpartition("-")[2])
            outcome = expected.get((topic, number))
            assert outcome is not None, f"{record.place}: {topic} {number} is not on the chain"
            check_record(record, outcome, shard, number)
            reading = reader.decision(header(record, "ce_id"), record.value or b"")
            assert reading in {Reading.NEW, Reading.REPEATED}, f"{record.place}: {reading}"
            if reading is Reading.NEW:
                last = number
                verdict.decisions[topic, number] = record.value or b""
            else:
                verdict.repeats += 1
        most = max((n or 0 for t, n in expected if t == topic), default=0)
        assert last == most, f"{topic}/{shard}: published through {last}, the chain has {most}"


def check_record(record: Stored, outcome: OutcomeRecord, shard: int, place: int) -> None:
    """A published record is the outcome: key, bytes and headers."""
    assert (record.key or b"").decode() == outcome.key, record.place
    assert record.value == outcome.value, f"{record.place}: {record.value!r} is not {outcome.value!r}"
    headers = dict(record.headers)
    assert headers["ce_source"] == f"ringfence/{shard}".encode()
    assert headers["ce_type"] == outcome.type.encode()
    assert headers["ce_subject"] == outcome.key.encode()
    assert headers["ce_id"].startswith(f"{shard}-{outcome.topic}-{place}".encode())
    for name, value in outcome.headers:
        assert headers[name] == value, f"{record.place}: {name}"


def views(contents: Contents, verdict: Verdict, outcomes: list[tuple[int, OutcomeRecord]]) -> None:
    """Every view was drawn by the fold, and after compaction the newest one of each key is left."""
    drawn = {(o.topic, o.version, o.key): o for _, o in outcomes if o.version is not None}
    newest = {(topic, key): version for topic, version, key in drawn}
    for topic in VIEW_TOPICS:
        left: dict[str, int] = {}
        for record in contents.get((topic, verdict.shard), ()):
            version, key = int(header(record, "version")), (record.key or b"").decode()
            assert (topic, version, key) in drawn, f"{record.place}: no frame published version {version} of {key}"
            check_record(record, drawn[topic, version, key], verdict.shard, version)
            left[key] = version
        expected = {key: version for (where, key), version in newest.items() if where == topic}
        assert left == expected, f"{topic}/{verdict.shard}: {sorted(left.items() ^ expected.items())[:4]}"


def evidence(contents: Contents, verdict: Verdict) -> None:
    """No liquidation that its own evidence does not support; refusals are counted by code."""
    for (topic, _), value in verdict.decisions.items():
        if topic == "refusals":
            verdict.codes[json.loads(value)["code"]] += 1
        if topic != "liquidations" or b'"liquidation_started"' not in value:
            continue
        said = json.loads(value)
        verdict.liquidations += 1
        key, threshold = (Fraction(int(top), int(bottom)) for top, bottom in (said["key"], said["threshold"]))
        excess = key - threshold if Fraction(said["quantity"]) > 0 else threshold - key
        assert excess >= 0, f"the key is on the safe side of its threshold: {said}"
        assert Fraction(said["equity"]) <= Fraction(said["maintenance_margin"]), said
        cause = said["cause"]
        if cause.get("topic") == "ticks":
            place = cause["topic"], cause["partition"]
            tick = next(r for r in contents[place] if r.offset == cause["offset"])
            event = json.loads(tick.value or b"")
            if event["type"] == "tick" and event["instrument"] == said["instrument"]:
                assert Fraction(event["price"]) == Fraction(said["mark_price"]), said


def header(record: Stored, name: str) -> str:
    """A header's text."""
    return dict(record.headers)[name].decode()
