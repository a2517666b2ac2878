"""Producer sessions: one idempotent aiokafka producer each, batches built here, one acknowledgement a batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from ringfence_streams.broker import Append, Outgoing, SendFailed
from ringfence_streams.errors import LogError, LogReadOnly, LogUnsuitable
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.port import Source

logger = logging.getLogger(__name__)

BATCH_BYTES: Final = 512 * 1024
"""Records sent together are cut into batches of at most so many bytes: a broker's limit counts per batch."""
REQUEST_BYTES: Final = 16 * 1024 * 1024
"""A single record may be as large as the broker allows: the topic's limit decides, not the client's."""
REQUEST_TIMEOUT_MS: Final = 10_000
"""After so long without an answer a request is repeated, with the same sequence number."""
_LAST_REQUESTS_S: Final = 0.5


class _Session(AIOKafkaProducer):  # type: ignore[misc] # aiokafka is not typed
    """An aiokafka producer that can end without flushing."""

    _closed: bool

    async def abandon(self) -> None:
        """W7: stop the sender before anything else; `stop` alone would first flush what is queued."""
        if self._closed:
            return
        self._closed = True
        sender = self._sender.sender_task
        if sender is not None:
            sender.cancel()
        await self.client.close()  # fails what is in flight, which a cancelled sender still waits for
        while sender is not None and not sender.done():
            # A cancelled sender waits for its requests, and one of them may wait for metadata that nobody fetches now.
            await asyncio.wait({sender}, timeout=_LAST_REQUESTS_S)
            sender.cancel()
        self._message_accumulator.fail_all(ProducerClosed())


class _Lane:
    """Batches on their way to one partition, handed over strictly in order (W3)."""

    def __init__(self, session: KafkaProducer, source: Source, topic: str) -> None:
        self._session = session
        self._source = source
        self._topic = topic
        self._waiting: asyncio.Queue[tuple[Any, asyncio.Future[int | None]]] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._run())

    def put(self, batch: Any) -> asyncio.Future[int | None]:
        """Queue a closed batch."""
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((batch, future))
        return future

    def fail(self) -> None:
        """Nothing queued here will ever be sent."""
        self.task.cancel()
        while not self._waiting.empty():
            _, future = self._waiting.get_nowait()
            _settle(future, SendFailed("the session has ended"))

    async def _run(self) -> None:
        while True:
            batch, future = await self._waiting.get()
            try:
                producer = await self._session.started()
                delivery = await self._enqueued(producer, batch)
            except (KafkaError, AssertionError, OSError) as error:  # aiokafka asserts that a partition exists
                _settle(future, _failure(self._topic, error))
            except asyncio.CancelledError:
                _settle(future, SendFailed("the session has ended"))
                raise
            else:
                delivery.add_done_callback(partial(self._delivered, future))

    async def _enqueued(self, producer: AIOKafkaProducer, batch: Any) -> asyncio.Future[RecordMetadata]:
        """W9: a queue without room for too long is a broker that is slow or away: waiting is right."""
        while True:
            with suppress(KafkaTimeoutError):
                sent: asyncio.Future[RecordMetadata] = await producer.send_batch(
                    batch, self._topic, partition=self._source.partition
                )
                return sent

    def _delivered(self, future: asyncio.Future[int | None], delivery: asyncio.Future[RecordMetadata]) -> None:
        if delivery.cancelled():
            _settle(future, SendFailed("the session has ended"))
        elif error := delivery.exception():
            _settle(future, _failure(self._topic, error))
        else:
            offset = delivery.result().offset
            _settle(future, offset if offset >= 0 else None)  # -1: a repeat whose place the broker has forgotten


class KafkaProducer:
    """One producer session (W1): what it sends to one partition arrives in order, once or not at all, possibly late."""

    def __init__(self, connection: Connection, ended: Callable[[KafkaProducer], None] = lambda _: None) -> None:
        """`ended`: called when the session has."""
        self._connection = connection
        self._tell_ended = ended
        self._producer = _Session(
            **connection.for_aiokafka(),
            enable_idempotence=True,
            acks="all",
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        self._starting: asyncio.Task[None] | None = None
        self._lanes: dict[Source, _Lane] = {}
        self._ended = False

    def send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> Sequence[Append]:
        """Append records in as few batches as their size allows."""
        source = Source(topic, partition)
        if source not in self._lanes:
            self._lanes[source] = _Lane(self, source, self._connection.physical(topic))
        lane = self._lanes[source]
        appends: list[Append] = []
        batch, count = self._producer.create_batch(), 0
        for key, value, headers, timestamp_us in records:
            timestamp = timestamp_us // 1_000 if timestamp_us else None
            if batch.append(timestamp=timestamp, key=key, value=value, headers=list(headers)) is None:
                appends.append(Append(count, self._put(lane, batch)))
                batch, count = self._producer.create_batch(), 0
                batch.append(timestamp=timestamp, key=key, value=value, headers=list(headers))
            count += 1
        if count:
            appends.append(Append(count, self._put(lane, batch)))
        return appends

    async def started(self) -> AIOKafkaProducer:
        """The producer, connected and with its producer id."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._producer.start())
        await asyncio.shield(self._starting)
        return self._producer

    async def cancel(self) -> None:
        """W7: send nothing more; never flush."""
        self._ended = True
        for lane in self._lanes.values():
            lane.fail()
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        await self._producer.abandon()
        for task in [lane.task for lane in self._lanes.values()] + ([self._starting] if self._starting else []):
            with suppress(asyncio.CancelledError, KafkaError):
                await task
        self._tell_ended(self)

    async def close(self) -> None:
        """The same: whoever waits for acknowledgements has done so before."""
        await self.cancel()

    def _put(self, lane: _Lane, batch: Any) -> asyncio.Future[int | None]:
        batch.close()
        if self._ended:
            future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            _settle(future, SendFailed("the session has ended"))
            return future
        return lane.put(batch)


def _failure(topic: str, error: BaseException) -> SendFailed | LogError:
    """What cannot get better by trying again needs a person; anything else leaves it unknown (W6)."""
    if isinstance(error, TopicAuthorizationFailedError | ClusterAuthorizationFailedError):
        return LogReadOnly(f"Topic {topic} may not be written: {error!r}")
    if isinstance(error, MessageSizeTooLargeError | InvalidTimestampError | AssertionError):
        return LogUnsuitable(f"Topic {topic} does not take this record: {error!r}")
    return SendFailed(f"topic {topic}: {error!r}")


def _settle(future: asyncio.Future[int | None], result: int | Exception | None) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # an owner that stood down no longer asks
    else:
        future.set_result(result)
