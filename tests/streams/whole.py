"""A partition from a place to its end: one read of a log gives as much as comes at once."""

from __future__ import annotations

from ringfence_streams.port import Log, Record


async def whole(log: Log, topic: str, partition: int, offset: int = 0) -> list[Record]:
    """Every record from an offset on."""
    records: list[Record] = []
    while found := await log.read(topic, partition, offset, 1_000):
        records += found
        offset = found[-1].offset + 1
    return records
