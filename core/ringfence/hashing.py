"""One hash function for everything the engine remembers or compares: BLAKE2b, 16 bytes."""

from hashlib import blake2b
from typing import Final

_EMPTY: Final = blake2b(digest_size=16)

MODULUS: Final = 1 << 128
"""Digests of state are sums of terms modulo this."""


def digest_of(data: bytes) -> bytes:
    """Return the 16-byte hash of `data`.  Copying an empty hasher costs half of making one."""
    hasher = _EMPTY.copy()
    hasher.update(data)
    return hasher.digest()


def term_of(data: bytes) -> int:
    """Return the hash of `data` as a term of the state digest."""
    return int.from_bytes(digest_of(data), "little")
