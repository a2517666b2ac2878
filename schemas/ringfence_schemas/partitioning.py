"""Which partition a key belongs to: Kafka's default, so that any Java, Python or Go producer agrees with the engine."""

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data` as a signed integer.

    Source: `org.apache.kafka.common.utils.Utils.murmur2` of Kafka's Java client, the default partitioner's hash.
    """
    length = len(data)
    whole = length - length % 4
    h = _SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


@lru_cache(maxsize=2**16)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, counted from 0, that owns `key` on a topic of so many `partitions` (> 0)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
