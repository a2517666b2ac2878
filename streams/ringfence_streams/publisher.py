"""Publishing over a broker: P1-P5, and V4 and V5 when an ownership begins."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ringfence_schemas.frames import Published
from ringfence_streams.broker import Broker, Outgoing, Producer, SendFailed
from ringfence_streams.envelope import headers_of, is_view, ordinal, published_ordinal
from ringfence_streams.errors import OutputsDiverged, OwnershipLost, RecordsLost
from ringfence_streams.port import Entry, OutcomeRecord, Record, Standing

_READ_RECORDS = 500

Identity = tuple[str, int, str]


@dataclass(slots=True)
class _Sent:
    """Records of one frame on their way to an output, together."""

    seq: int
    keys: list[bytes | None]
    ordinal: int
    """That of the last one."""
    acknowledgement: asyncio.Future[int | None]
    closes_frame: bool
    """Whether they end with the frame's last record on this topic: only then has it all of that frame's views."""


@dataclass(slots=True)
class _Output:
    """One output topic's partition, as this ownership sees it."""

    topic: str
    next_offset: int
    """P4: acknowledgements count densely from here."""
    last: int
    """V4: the last ordinal in the tail, not below the chain's `published`."""
    sent: deque[_Sent] = field(default_factory=deque)


class Publisher:
    """Publishes the outcomes of committed frames of one shard, in chain order, without gaps."""

    def __init__(self, broker: Broker, producer: Producer, shard: int) -> None:
        self._broker = broker
        self._producer = producer
        self._shard = shard
        self._outputs: dict[str, _Output] = {}
        self._open: dict[int, int] = {}
        """Outcomes not yet acknowledged, per frame, oldest first."""
        self._published: dict[str, Published] = {}
        self._reported: dict[str, Published] = {}
        self._waiting = 0
        self._seq = 0

    async def begin(self, standing: Standing, topics: Sequence[str]) -> None:
        """V4, V5: compare every output's tail with the chain, then publish what is missing.

        Raises OutputsDiverged, and RecordsLost when acknowledged outcomes are gone.
        """
        expected = {
            _identity(record.topic, ordinal(record), record.key): record
            for entry in standing.unpublished
            for record in entry.outcomes
        }
        for topic in topics:
            self._outputs[topic] = await self._scan(topic, standing, expected)
        self._seq = standing.head.seq
        for entry in standing.unpublished:
            self._send_frame(entry, [record for record in entry.outcomes if self._missing(record)])

    def publish(self, entry: Entry) -> None:
        """P1, P2: send the outcomes of a frame that was just committed."""
        self._seq = entry.frame.seq
        if entry.outcomes:
            self._send_frame(entry, entry.outcomes)

    async def harvest(self, *, at_most: int) -> None:
        """P3, P4: take acknowledgements in order until at most so many are outstanding.

        Raises OwnershipLost when an output failed: the next owner publishes what is missing.
        """
        for output in self._outputs.values():
            while output.sent and (self._waiting > at_most or output.sent[0].acknowledgement.done()):
                await self._acknowledge(output, output.sent.popleft())

    def acknowledged_seq(self) -> int:
        """P5: the last frame up to which every outcome is acknowledged."""
        return next(iter(self._open)) - 1 if self._open else self._seq

    def published(self) -> list[Published]:
        """F3: what was acknowledged since the last call, per topic."""
        news = [place for topic, place in self._published.items() if self._reported.get(topic) != place]
        self._reported.update(self._published)
        return news

    async def inspect(self) -> None:
        """P4: a quiet view may have been overwritten by a zombie as well; compare the end of the log."""
        for output in self._outputs.values():
            if is_view(output.topic) and not output.sent:
                end = (await self._broker.bounds(output.topic, self._shard)).end
                if end > output.next_offset:
                    await self._mend(output, end)
                    output.next_offset = max(output.next_offset, end)

    def _missing(self, record: OutcomeRecord) -> bool:
        """V5: decisions with a greater n, views with a version greater or equal."""
        last = self._outputs[record.topic].last
        return ordinal(record) >= last if record.version is not None else ordinal(record) > last

    def _send_frame(self, entry: Entry, records: Sequence[OutcomeRecord]) -> None:
        by_topic: dict[str, list[OutcomeRecord]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        if records:
            self._open[entry.frame.seq] = len(records)
        for topic, group in by_topic.items():
            outgoing = [Outgoing(r.key.encode(), r.value, headers_of(self._shard, r)) for r in group]
            self._append(topic, entry.frame.seq, [ordinal(record) for record in group], outgoing, closes_frame=True)

    def _append(
        self, topic: str, seq: int, ordinals: Sequence[int], records: Sequence[Outgoing], *, closes_frame: bool = False
    ) -> None:
        """P1: to the shard's own partition of the output, whatever the keys."""
        start = 0
        for append in self._producer.send(topic, self._shard, records):
            end = start + append.records
            keys = [record.key for record in records[start:end]]
            closes = closes_frame and end == len(records)
            sent = _Sent(seq, keys, ordinals[end - 1], append.acknowledgement, closes)
            self._outputs[topic].sent.append(sent)
            self._waiting += append.records
            start = end

    async def _acknowledge(self, output: _Output, sent: _Sent) -> None:
        try:
            offset = await asyncio.shield(sent.acknowledgement)
        except SendFailed as failure:
            raise OwnershipLost(f"output {output.topic} failed (P3): {failure}") from failure
        if offset is None or offset < output.next_offset:
            raise OwnershipLost(f"output {output.topic} was acknowledged at {offset}, not {output.next_offset} (P3)")
        if offset > output.next_offset and is_view(output.topic):
            await self._mend(output, offset)
        count = len(sent.keys)
        output.next_offset = max(output.next_offset, offset + count)
        self._waiting -= count
        if sent.closes_frame:
            self._published[output.topic] = Published(output.topic, sent.ordinal, offset + count - 1)
        if sent.seq in self._open:  # a mended view belongs to no frame of this ownership
            self._open[sent.seq] -= count
            if not self._open[sent.seq]:
                del self._open[sent.seq]

    async def _mend(self, output: _Output, end: int) -> None:
        """P4: somebody wrote to a view in between; where it is older than what stood before, publish that again."""
        begin = (await self._broker.bounds(output.topic, self._shard)).begin
        newest: dict[bytes, Record] = {}
        final: dict[bytes, Record] = {}
        for record in await self._read(output.topic, begin, end):
            key = record.key or b""
            final[key] = record
            if key not in newest or _version(record) >= _version(newest[key]):
                newest[key] = record
        on_its_way = {key for sent in output.sent for key in sent.keys}
        for key, record in final.items():
            if (
                record.offset >= output.next_offset
                and _version(record) < _version(newest[key])
                and key not in on_its_way
            ):
                mended = newest[key]
                self._append(output.topic, -1, [_version(mended)], [Outgoing(key, mended.value, mended.headers)])

    async def _scan(self, topic: str, standing: Standing, expected: dict[Identity, OutcomeRecord]) -> _Output:
        """V4: find the last ordinal in the tail of an output and compare what is there with the chain."""
        known = standing.published.get(topic)
        bounds = await self._broker.bounds(topic, self._shard)
        if known and bounds.end <= known.offset:
            raise RecordsLost(
                f"Output {topic}/{self._shard} ends at {bounds.end}, offset {known.offset} was acknowledged"
            )
        start = max(bounds.begin, known.offset) if known else bounds.begin
        last = known.number if known else 0
        beyond = standing.head.seq if is_view(topic) else standing.numbers.get(topic, 0)
        for record in await self._read(topic, start, bounds.end):
            place = published_ordinal(record)
            where = f"Output {topic}/{self._shard}, offset {record.offset}"
            if place is None or place > beyond:
                raise OutputsDiverged(f"{where}: {place} is beyond the chain, which ends at {beyond}")
            key = (record.key or b"").decode()
            ours = expected.get(_identity(topic, place, key))
            if ours is not None and (ours.key, ours.value) != (key, record.value):
                raise OutputsDiverged(f"{where}: {place} has other bytes than the chain gives it")
            last = max(last, place)
        return _Output(topic, bounds.end, last)

    async def _read(self, topic: str, start: int, end: int) -> list[Record]:
        records: list[Record] = []
        while start < end:
            chunk = await self._broker.read(topic, self._shard, start, _READ_RECORDS)
            if not chunk:
                break
            records += [record for record in chunk if record.offset < end]
            start = chunk[-1].offset + 1
        return records


def _identity(topic: str, place: int, key: str) -> Identity:
    """What tells one outcome from every other: a decision's number does, a view's version needs the key too."""
    return topic, place, key if is_view(topic) else ""


def _version(record: Record) -> int:
    return published_ordinal(record) or 0
