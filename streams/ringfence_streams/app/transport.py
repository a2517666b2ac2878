"""Faust's Kafka consumer, with its accounting of offsets replaced: Faust's own loses records in a rebalance.

What was fetched and not yet handled when partitions move is thrown away, and read again from the committed offset.
In faust-streaming 0.15 that goes wrong in four places.  The first two were seen as lost records, when workers joined
and died while thousands of records were on their way; the others stand in its source:

- a partition of which nothing was committed stays where the fetching was;
- partitions are fetched again before they are sought, and a fetch that was under way meanwhile is delivered too;
- the record after a gap, and every compacted topic has gaps, counts as handled when it arrives;
- one unhandled record right after the committed offset does not stop the commit of those that follow.

Here a partition is fetched only after it was sought, a fetch that overlaps a seek is dropped and repeated, and what is
committed is what the agents say they have finished: they handle each partition in order, one record after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP, Message


class CarefulConsumer(Consumer):
    """A consumer that goes back to exactly what is not finished."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._finished: dict[TP, int] = {}
        """The offset after the last record that its agent has finished, since the partition was last sought."""
        self._awaiting_seek: set[TP] = set()
        """Partitions that are to be fetched as soon as they were sought."""
        self._seeks = 0
        """Grows when a seek begins and when it ends."""
        super().__init__(*arguments, **options)

    def finish(self, message: Message) -> None:
        """Take note that an agent has done everything that a record asks for."""
        if message.generation_id == self.app.consumer_generation_id:
            self._finished[message.tp] = message.offset + 1

    def next_offset(self, tp: TP) -> int:
        """The first offset of a partition that is not finished."""
        return self._finished.get(tp) or self._committed_offset[tp] or 0

    def is_changelog(self, tp: TP) -> bool:
        """Whether a partition is a table's, and not of records for agents."""
        return self._is_changelog_tp(tp)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Let partitions be fetched; those with records for agents only once `perform_seek` was there."""
        partitions = set(tps)
        changelogs = {tp for tp in partitions if self._is_changelog_tp(tp)}
        self._awaiting_seek |= partitions - changelogs
        super().resume_partitions(changelogs)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Let partitions not be fetched."""
        partitions = set(tps)
        self._awaiting_seek -= partitions
        super().pause_partitions(partitions)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets."""
        self._seeks += 1
        self._finished.clear()
        await super().perform_seek()
        self._seeks += 1
        sought, self._awaiting_seek = self._awaiting_seek, set()
        super().resume_partitions(sought)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to its committed offset, or to its first record."""
        committed = await super().seek_to_committed()
        uncommitted = [tp for tp, offset in committed.items() if not offset and not self._is_changelog_tp(tp)]
        if uncommitted:
            await self.seek_wait(await self.earliest_offsets(*uncommitted))
        return committed

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 -- Faust's signature
        """Fetch; what was fetched on either side of a seek is dropped and fetched again."""
        seeks = self._seeks
        records, active = await super()._wait_next_records(timeout)
        if records and seeks != self._seeks:
            await self.perform_seek()
            return {}, active
        return records, active

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._finished) if topics is None or tp in topics or tp.topic in topics)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        return {tp: self._finished[tp] for tp in tps if self._finished[tp] > (self._committed_offset[tp] or 0)}

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: where no record is, nothing has to be finished."""


class CarefulTransport(Transport):
    """The transport with that consumer."""

    Consumer = CarefulConsumer
