"""Writing the load: whole batches, so that this program does not measure itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer

from benchmarks.kafka.load import Outgoing

BATCH_BYTES: Final = 256 * 1024


class Writer:
    """A producer that is handed whole batches; a context manager."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, acks="all")

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def write(self, messages: Iterable[Outgoing], names: Mapping[str, str]) -> None:
        """Append the messages in order to partition 0 of their topics, under the topics' real names.

        Returns when all of them are acknowledged.
        """
        sent = []
        batches: dict[str, Any] = {}
        for message in messages:
            batch = batches.get(message.topic)
            while batch is None or not _appended(batch, message):
                if batch is not None:
                    sent.append(await self._producer.send_batch(batch, names[message.topic], partition=0))
                batch = batches[message.topic] = self._producer.create_batch()
        for topic, batch in batches.items():
            sent.append(await self._producer.send_batch(batch, names[topic], partition=0))
        for acknowledged in sent:
            await acknowledged


def _appended(batch: Any, message: Outgoing) -> bool:
    """Whether there was room for it."""
    return batch.append(timestamp=message.time_us // 1_000, key=message.key, value=message.value) is not None
