"""Publishing over a broker: P1-P5, and V4 and V5 when an ownership begins."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ringfence_schemas.frames import Published
from ringfence_streams.broker import Broker, Producer, SendFailed
from ringfence_streams.envelope import headers_of, is_view, ordinal, published_ordinal
from ringfence_streams.errors import OutputsDiverged, OwnershipLost, RecordsLost
from ringfence_streams.port import Entry, OutcomeRecord, Record, Standing

_READ_RECORDS = 500

Identity = tuple[str, int, str]


@dataclass(slots=True)
class _Sent:
    """One record on its way to an output."""

    seq: int
    key: bytes
    ordinal: int
    acknowledgement: asyncio.Future[int | None]
    closes_frame: bool
    """Whether it is the frame's last record on this topic: only then has the topic all of that frame's views."""


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
        final = {record.topic: index for index, record in enumerate(records)}
        if records:
            self._open[entry.frame.seq] = len(records)
        for index, record in enumerate(records):
            self._send(entry.frame.seq, record, closes_frame=final[record.topic] == index)

    def _send(self, seq: int, record: OutcomeRecord, *, closes_frame: bool) -> None:
        repeat = Record(
            record.topic,
            self._shard,  # P1: the shard's own partition of every output, whatever the key
            -1,
            record.time_us,
            record.key.encode(),
            record.value,
            headers_of(self._shard, record),
        )
        self._append(seq, ordinal(record), repeat, closes_frame=closes_frame)

    def _append(self, seq: int, place: int, record: Record, *, closes_frame: bool = False) -> None:
        future = asyncio.ensure_future(
            self._producer.send(
                record.topic,
                self._shard,
                record.key,
                record.value,
                headers=record.headers,
                timestamp_us=record.timestamp_us,
            )
        )
        self._outputs[record.topic].sent.append(_Sent(seq, record.key or b"", place, future, closes_frame))
        self._waiting += 1

    async def _acknowledge(self, output: _Output, sent: _Sent) -> None:
        try:
            offset = await asyncio.shield(sent.acknowledgement)
        except SendFailed as failure:
            raise OwnershipLost(f"output {output.topic} failed (P3): {failure}") from failure
        if offset is None or offset < output.next_offset:
            raise OwnershipLost(f"output {output.topic} was acknowledged at {offset}, not {output.next_offset} (P3)")
        if offset > output.next_offset and is_view(output.topic):
            await self._mend(output, offset)
        output.next_offset = max(output.next_offset, offset + 1)
        self._waiting -= 1
        if sent.closes_frame:
            self._published[output.topic] = Published(output.topic, sent.ordinal, offset)
        if sent.seq in self._open:  # a mended view belongs to no frame of this ownership
            self._open[sent.seq] -= 1
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
        on_its_way = {sent.key for sent in output.sent}
        for key, record in final.items():
            if (
                record.offset >= output.next_offset
                and _version(record) < _version(newest[key])
                and key not in on_its_way
            ):
                self._append(-1, _version(newest[key]), newest[key])

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
