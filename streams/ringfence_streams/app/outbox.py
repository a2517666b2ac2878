"""A producer whose every record is acknowledged before its cause is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service

from ringfence_schemas.partitioning import partition_of
from ringfence_streams.kafka.connection import Connection

logger = logging.getLogger(__name__)

_RETRY_S: Final = 0.5
_RETRY_LIMIT_S: Final = 30.0
_LARGEST_REQUEST_BYTES: Final = 8_388_608


class Letter(NamedTuple):
    """A record to be sent; it goes to `partition`, or where its key hashes to (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class Outbox(Service):
    """Sends letters and returns once all of them are acknowledged by every replica in sync."""

    def __init__(self, connection: Connection, **options: Any) -> None:
        super().__init__(**options)
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()

    async def on_start(self) -> None:
        """Connect."""
        self._producer = await self._connected()

    async def on_stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, letters: Sequence[Letter]) -> None:
        """Send in order and wait for the acknowledgements, however long that takes.

        A letter whose acknowledgement failed is sent again, so it may arrive twice, never not at all.
        """
        pause_s = _RETRY_S
        while letters:
            producer = self._producer
            assert producer is not None, "the outbox is started before whoever sends"
            letters = await self._try(producer, letters)
            if letters:
                logger.warning("%d records were not acknowledged; trying again in %.1f s", len(letters), pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_LIMIT_S)
                await self._renew(producer)

    async def _connected(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._connection.for_aiokafka(),
            enable_idempotence=True,
            acks="all",
            max_request_size=_LARGEST_REQUEST_BYTES,
        )
        await producer.start()
        return producer

    async def _renew(self, failed: AIOKafkaProducer) -> None:
        """Another session: one that lost a record for good may refuse every record after it."""
        async with self._renewing:
            current = self._producer is failed
            if current:
                try:
                    await failed.stop()
                    self._producer = await self._connected()
                except KafkaError as error:
                    logger.warning("The cluster cannot be reached: %s", error)

    async def _try(self, producer: AIOKafkaProducer, letters: Sequence[Letter]) -> list[Letter]:
        """Send once; returns what was not acknowledged."""
        acknowledgements: list[tuple[Letter, Awaitable[object] | None]] = []
        for letter in letters:
            try:
                acknowledgements.append((letter, await _hand_over(producer, letter)))
            except KafkaError as error:
                logger.warning("%s refused a record: %s", letter.topic, error)
                acknowledgements.append((letter, None))
        missing = []
        for letter, acknowledgement in acknowledgements:
            try:
                if acknowledgement is not None:
                    await acknowledgement
                    continue
            except KafkaError as error:
                logger.warning("%s did not acknowledge a record: %s", letter.topic, error)
            missing.append(letter)
        return missing


async def _hand_over(producer: AIOKafkaProducer, letter: Letter) -> Awaitable[object]:
    partition = letter.partition
    if partition is None and letter.key is not None:
        partition = partition_of(letter.key, len(await producer.partitions_for(letter.topic)))
    sent: Awaitable[object] = await producer.send(
        letter.topic,
        letter.value,
        key=letter.key,
        partition=partition,
        timestamp_ms=letter.timestamp_ms,
        headers=list(letter.headers),
    )
    return sent
