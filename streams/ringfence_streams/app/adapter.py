"""Foreign topics attached by configuration: one agent per mapping."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import faust
from faust.types import EventT

from ringfence_schemas.topics import FILLS
from ringfence_streams.app.agents import error_headers, keep_reading
from ringfence_streams.app.mapping import FillMapping, ForeignRecord, ItemRefused, map_record
from ringfence_streams.app.outbox import Letter, Outbox
from ringfence_streams.kafka.connection import Connection

logger = logging.getLogger(__name__)

_TRACE: Final = "traceparent"
_ITEM: Final = "ringfence.item"
"""Header of a dead letter: which item of the record it is about, from 0."""


class ForeignFills:
    """Maps foreign fills onto ours.

    A foreign record is acknowledged once everything it became is: fills in the partition of their account, and for
    every item that gave none a copy of the record among the dead letters.  What a crash repeats has the same ids, and
    the engine knows them.
    """

    def __init__(self, app: faust.App, connection: Connection, outbox: Outbox, mappings: Sequence[FillMapping]) -> None:
        self._fills = connection.physical(FILLS)
        self._outbox = outbox
        self._counts: Counter[tuple[str, str]] = Counter()
        for mapping in mappings:
            channel = app.topic(
                mapping.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
            app.agent(channel, name=f"map-{mapping.name}")(self._agent(mapping))

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """What the metrics are made of."""
        for (mapping, result), count in self._counts.items():
            yield "ringfence_mapped_records", (mapping, result), count

    def _agent(self, mapping: FillMapping) -> Any:
        async def map_fills(stream: Any) -> None:
            await keep_reading(stream, lambda event: self._map(mapping, event))

        return map_fills

    async def _map(self, mapping: FillMapping, event: EventT[Any]) -> None:
        letters = self._letters(mapping, event)
        await self._outbox.send(letters)
        for letter in letters:
            self._counts[mapping.name, "mapped" if letter.topic == self._fills else "laid_aside"] += 1

    def _letters(self, mapping: FillMapping, event: EventT[Any]) -> list[Letter]:
        message = event.message
        timestamp_ms = round(message.timestamp * 1_000)
        record = ForeignRecord(
            message.topic, message.partition, message.offset, timestamp_ms, message.key, message.value
        )
        trace = event.headers.get(_TRACE)
        headers = [(_TRACE, trace)] if trace is not None else []
        letters = []
        try:
            for mapped in map_record(mapping, record):
                if mapped.refused is not None:
                    letters.append(self._dead(mapping, event, mapped.refused, mapped.item))
                else:
                    key = mapped.account.encode()
                    letters.append(Letter(self._fills, key, mapped.fill, headers, timestamp_ms=timestamp_ms))
        except ItemRefused as refused:
            letters.append(self._dead(mapping, event, refused, None))
        return letters

    def _dead(self, mapping: FillMapping, event: EventT[Any], refused: ItemRefused, item: int | None) -> Letter:
        message = event.message
        logger.warning("%s/%d, offset %d: %s", message.topic, message.partition, message.offset, refused)
        headers = error_headers(event, refused.code, refused.message)
        if item is not None:
            headers.append((_ITEM, str(item).encode()))
        return Letter(mapping.dead_letter_topic, message.key, message.value, headers)
