"""A member of ``zombies``: one consume-transform-produce in one aiokafka transaction, committed when told to.

``python -m benchmarks.transactions.transfer_worker BOOTSTRAP PREFIX TRANSACTIONAL_ID MEMBER`` joins the group, takes
what is not committed yet, sends one result for each record and prints ``ready``.  After a line on its standard input
it sends the offsets, commits, and prints ``accepted`` or the name of the error.
"""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

SESSION_TIMEOUT_MS = 6_000
TRANSACTION_TIMEOUT_MS = 60_000


async def transfer(bootstrap: str, prefix: str, transactional_id: str, member: str) -> None:
    """Take, transform, wait, commit."""
    group = f"{prefix}transfer"
    consumer = AIOKafkaConsumer(
        f"{prefix}inputs",
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )
    await consumer.start()
    taken: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
    while not taken:
        taken = await consumer.getmany(timeout_ms=200)
    # The assignment is ours: whoever held this id before is fenced by what start() sends.
    await producer.start()
    await producer.begin_transaction()
    ((partition, records),) = taken.items()
    for record in records:
        await producer.send_and_wait(f"{prefix}results", value=record.value, key=member.encode(), partition=0)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await producer.send_offsets_to_transaction({partition: records[-1].offset + 1}, group)
        await producer.commit_transaction()
    except KafkaError as error:
        print(f"refused: {type(error).__name__}", flush=True)
    else:
        print("accepted", flush=True)


if __name__ == "__main__":
    asyncio.run(transfer(*sys.argv[1:]))
