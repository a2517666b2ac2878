"""Whether the nodes of a cluster answer, asked as a client would ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from ringfence_streams.localkafka.node import HOST


async def every_node_knows(ports: Mapping[int, int]) -> bool:
    """Tell whether each node, given by id and port, answers and takes each of the others for alive."""
    found = await asyncio.gather(*map(_nodes_known_at, ports.values()))
    return all(known >= ports.keys() for known in found)


async def _nodes_known_at(port: int) -> set[int]:
    try:
        _, writer = await asyncio.open_connection(HOST, port)  # a client would log that nobody listens yet
    except OSError:
        return set()
    writer.close()
    client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{port}")
    try:
        await client.bootstrap()
        return {broker.nodeId for broker in client.cluster.brokers()}
    except KafkaError:
        return set()
    finally:
        await client.close()
