"""Whether the nodes of a cluster answer, asked as a client would ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from ringfence_streams.localkafka.node import HOST


async def every_node_knows(ports: Mapping[int, int]) -> bool:
    """Tell whether each node, given by id and port, answers and takes each of the others for alive."""
    with _silent(logging.getLogger("aiokafka")):
        found = await asyncio.gather(*map(_nodes_known_at, ports.values()))
    return all(known >= ports.keys() for known in found)


async def _nodes_known_at(port: int) -> set[int]:
    client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{port}")
    try:
        await client.bootstrap()
        return {broker.nodeId for broker in client.cluster.brokers()}
    except (KafkaError, OSError):
        return set()
    finally:
        await client.close()


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """That a node which is starting cannot be reached is no news."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
