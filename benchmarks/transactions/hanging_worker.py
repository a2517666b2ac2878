"""The producer of ``hanging``: begins a transaction, sends one record, prints ``ready``, and never ends it.

``python -m benchmarks.transactions.hanging_worker BOOTSTRAP TOPIC TRANSACTIONAL_ID TRANSACTION_TIMEOUT_MS``
"""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaProducer


async def hang(bootstrap: str, topic: str, transactional_id: str, transaction_timeout_ms: str) -> None:
    """Leave a transaction open."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=transactional_id,
        transaction_timeout_ms=int(transaction_timeout_ms),
    )
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, value=b"never committed", partition=0)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hang(*sys.argv[1:]))
