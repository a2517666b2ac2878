"""The agents: every record of an output is projected, or laid aside with its reason, before it is acknowledged.

Faust acknowledges a record when the loop over it goes on, and also when the loop's body raises or is cancelled.  So the
streams here acknowledge nothing by themselves: the last line of the body tells the consumer, once everything that the
record asked for has been done.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from faust.types import EventT, StreamT

from ringfence_streams.app.outbox import Letter, Outbox
from ringfence_streams.app.projections import OutputRecord, Projections, Unreadable
from ringfence_streams.app.tables import PartitionLost
from ringfence_streams.kafka.connection import Connection

logger = logging.getLogger(__name__)

DEAD_LETTERS: Final = "views.dlq"
"""Logical name of the topic for outputs that cannot be projected."""

_HEADER: Final = "__connect.errors."


def error_headers(event: EventT[Any], code: str, message: str) -> list[tuple[str, bytes]]:
    """The headers of a dead letter: where the record stands and why it is there, as Kafka Connect names them."""
    record = event.message
    return [
        *((name, value) for name, value in event.headers.items() if not name.startswith(_HEADER)),
        (f"{_HEADER}topic", record.topic.encode()),
        (f"{_HEADER}partition", str(record.partition).encode()),
        (f"{_HEADER}offset", str(record.offset).encode()),
        (f"{_HEADER}exception.class.name", code.encode()),
        (f"{_HEADER}exception.message", message.encode("utf-8", "replace")[:4096]),
    ]


async def keep_reading(stream: Any, handle: Callable[[EventT[Any]], Awaitable[None]]) -> None:
    """Handle every record of a stream, and let its offset be committed after that.

    `stream` is a `faust.Stream`.  `handle` raises PartitionLost, and nothing else, when the record is another worker's
    by now.
    """
    async for event in stream.noack().events():
        try:
            await handle(event)
        except PartitionLost:
            continue
        event.app.consumer.finish(event.message)


class Projector:
    """Projects outputs, and lays aside what cannot be projected."""

    def __init__(self, connection: Connection, projections: Projections, outbox: Outbox) -> None:
        self.dead_letters: Counter[str] = Counter()
        """By logical topic."""
        self._connection = connection
        self._projections = projections
        self._outbox = outbox

    def agents(self, app: faust.App, topics: dict[str, str]) -> None:
        """Declare one agent per topic; `topics`: logical name -> name on the cluster."""
        for logical, name in topics.items():
            channel = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
            app.agent(channel, name=f"project-{logical}")(self._agent(logical))

    def _agent(self, topic: str) -> Callable[[StreamT[Any]], Awaitable[None]]:
        async def project(stream: StreamT[Any]) -> None:
            await keep_reading(stream, lambda event: self._project(topic, event))

        return project

    async def _project(self, topic: str, event: EventT[Any]) -> None:
        message = event.message
        try:
            key = (message.key or b"").decode()
            self._projections.apply(OutputRecord(topic, message.partition, key, message.value, event.headers))
        except PartitionLost:
            raise
        except Unreadable as unreadable:
            await self._lay_aside(topic, event, unreadable.code, unreadable.message)
        except Exception as error:
            logger.exception("%s/%d, offset %d cannot be projected", topic, message.partition, message.offset)
            await self._lay_aside(topic, event, "projection_fault", f"{type(error).__name__}: {error}")

    async def _lay_aside(self, topic: str, event: EventT[Any], code: str, reason: str) -> None:
        message = event.message
        logger.error("%s/%d, offset %d: %s: %s", topic, message.partition, message.offset, code, reason)
        letter = Letter(
            self._connection.physical(DEAD_LETTERS),
            message.key,
            message.value,
            error_headers(event, code, reason),
            partition=message.partition,
        )
        await self._outbox.send([letter])
        self.dead_letters[topic] += 1
