"""Ownership over a broker: appending a frame is a compare-and-swap on the log (W1-W9, T2)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from ringfence.chain import Head, accepts
from ringfence_schemas.frames import Published, frame_hash
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.broker import Broker, Outgoing, SendFailed
from ringfence_streams.clock import Clock
from ringfence_streams.errors import OwnershipLost
from ringfence_streams.folding import read_frame
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Entry, Standing
from ringfence_streams.publisher import Publisher

logger = logging.getLogger(__name__)

_READ_RECORDS = 64


class ChainedOwnership:
    """One ownership of one shard: two producer sessions that end with it (W1)."""

    def __init__(
        self, broker: Broker, shard: int, outputs: Sequence[str], motion: MotionSettings, clock: Clock
    ) -> None:
        self._broker = broker
        self._shard = shard
        self._outputs = outputs
        self._motion = motion
        self._clock = clock
        self._journal = broker.producer()  # W1: the journal's producer is not the outputs'
        self._output_producer = broker.producer()
        self._publisher = Publisher(broker, self._output_producer, shard)
        self._head = Head(0, 0, b"")
        self._expected = 0
        self._in_flight: deque[tuple[Entry, asyncio.Future[int | None]]] = deque()
        self._stalled = False

    @property
    def stalled(self) -> bool:
        """W9: whether an acknowledgement is overdue; it is still waited for."""
        return self._stalled

    async def claim(self, entry: Entry, standing: Standing) -> int:
        """T2: append the epoch frame, read back through its offset; owner iff it was the next frame of the chain."""
        offset = await self._acknowledged(self._append(entry))
        if offset is None or offset < standing.position:
            raise OwnershipLost(f"the claim was acknowledged at {offset}, expected {standing.position} or beyond (W6)")
        if await self._accepted(standing.head, standing.position, offset) != [entry.hash]:
            raise OwnershipLost("another owner extended the chain first (T2)")
        self._head, self._expected = entry.head, offset + 1
        return offset

    async def publish_outstanding(self, standing: Standing) -> None:
        """V4, V5."""
        await self._publisher.begin(standing, self._outputs)

    async def commit(self, entry: Entry) -> None:
        """W3: append; return when few enough frames are in flight."""
        self._in_flight.append((entry, self._append(entry)))
        await self._settle(self._motion.in_flight - 1)
        await self._publisher.harvest(at_most=self._motion.unacknowledged_outcomes)

    async def settle(self) -> None:
        """Return when no frame is in flight."""
        await self._settle(0)
        await self._publisher.harvest(at_most=self._motion.unacknowledged_outcomes)

    async def drain(self) -> None:
        """Return when no frame is in flight and every outcome is acknowledged."""
        await self._settle(0)
        await self._publisher.harvest(at_most=0)

    def committed(self) -> tuple[Head, int]:
        """The committed head and the next expected offset of the journal."""
        return self._head, self._expected

    def acknowledged_seq(self) -> int:
        """P5: the last frame up to which every outcome is acknowledged."""
        return self._publisher.acknowledged_seq()

    def published(self) -> list[Published]:
        """F3: per output topic the last acknowledged outcome, as far as it is news."""
        return self._publisher.published()

    async def inspect(self) -> None:
        """P4 for a quiet owner."""
        await self._publisher.inspect()

    async def abandon(self) -> None:
        """W7: both sessions end here; what they sent may still arrive, and every reader can deal with it."""
        await self._journal.cancel()
        await self._output_producer.cancel()

    def _append(self, entry: Entry) -> asyncio.Future[int | None]:
        key = str(self._shard).encode()
        (append,) = self._journal.send(JOURNAL, self._shard, [Outgoing(key, entry.value)])
        return append.acknowledgement

    async def _settle(self, remaining: int) -> None:
        """W3: settle acknowledgements strictly in order, those that are there and as many more as it takes."""
        while self._in_flight and (len(self._in_flight) > remaining or self._in_flight[0][1].done()):
            entry, acknowledgement = self._in_flight[0]
            offset = await self._acknowledged(acknowledgement)
            if offset is None or offset < self._expected:  # W6
                raise OwnershipLost(
                    f"seq {entry.frame.seq} was acknowledged at {offset}, expected {self._expected} (W6)"
                )
            if offset > self._expected:  # W5
                await self._explain_gap(entry, offset)
            self._in_flight.popleft()
            self._head, self._expected = entry.head, offset + 1  # W4: committed
            self._publisher.publish(entry)  # P2

    async def _explain_gap(self, entry: Entry, offset: int) -> None:
        """W5: somebody else's records, or repeats of mine, stand in between; only the chain rule tells."""
        if await self._accepted(self._head, self._expected, offset) != [entry.hash]:
            raise OwnershipLost(f"seq {entry.frame.seq} landed at {offset} after a frame of another owner (W5)")

    async def _accepted(self, head: Head, position: int, last_offset: int) -> list[bytes]:
        """R1 over the records from `position` through `last_offset`: the hashes of those that extend the chain."""
        accepted: list[bytes] = []
        while position <= last_offset:
            records = await self._broker.read(JOURNAL, self._shard, position, _READ_RECORDS)
            if not records:
                raise OwnershipLost(f"the journal ends at {position}, {last_offset} was acknowledged (R3)")
            for record in records:
                if record.offset > last_offset:
                    return accepted
                frame = read_frame(record)
                position = record.offset + 1
                if accepts(head, frame):
                    head = Head(frame.epoch, frame.seq, frame_hash(record.value or b""))
                    accepted.append(head.hash)
        return accepted

    async def _acknowledged(self, acknowledgement: asyncio.Future[int | None]) -> int | None:
        """W9: wait for as long as it takes, and say so.  A failed append counts as unknown (W6)."""
        try:
            while not acknowledgement.done():
                timer = asyncio.ensure_future(self._clock.sleep(self._motion.stalled_us))
                either: tuple[asyncio.Future[Any], ...] = (acknowledgement, timer)
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    timer.cancel()
                if not acknowledgement.done() and not self._stalled:
                    self._stalled = True
                    logger.warning("Shard %d is stalled: no acknowledgement", self._shard)
            self._stalled = False
            return acknowledgement.result()
        except SendFailed:
            return None
