"""Snapshots in a compacted topic, cut into chunks, two generations of each shard.

A snapshot's chunks have keys of their own, so nobody who writes at the same time can spoil them.  Releasing it is one
record more, the manifest; only then is it there for a reader.  A snapshot beyond the second generation, and chunks
that were never released, are deleted by records without a value.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from ringfence_streams.broker import Broker, Outgoing, Producer, SendFailed
from ringfence_streams.errors import OwnershipLost, SnapshotRefused
from ringfence_streams.kafka.specs import SNAPSHOTS
from ringfence_streams.port import Record
from ringfence_streams.snapshots import GENERATIONS

_CHUNK_BYTES: Final = 480 * 1024
_READ_RECORDS: Final = 64
_UNKNOWN: Final = -1
_LEVEL: Final = 1
"""Of compression: the fastest, which already shrinks a snapshot several times."""


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The record that releases a snapshot."""

    seq: int
    name: str
    """Stands in the keys of its chunks."""
    chunks: int
    offset: int
    """Where the first of its chunks stands, or a place before it; the others follow."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Manifest)


class KafkaSnapshots:
    """The store of every shard's snapshots; partition p holds those of shard p."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._producer: Producer | None = None
        self._written: dict[int, Manifest] = {}
        self._released: dict[int, list[Manifest]] = {}

    async def write(self, shard: int, seq: int, data: bytes) -> None:
        """Append the chunks.  Raises OwnershipLost when the broker does not take them."""
        name = os.urandom(8).hex()
        packed = zlib.compress(data, _LEVEL)
        chunks = [packed[start : start + _CHUNK_BYTES] for start in range(0, len(packed), _CHUNK_BYTES)]
        offsets = await self._append(
            shard, [Outgoing(_chunk_key(name, number), chunk) for number, chunk in enumerate(chunks)]
        )
        self._written[shard] = Manifest(seq, name, len(chunks), offsets[0])

    async def release(self, shard: int, seq: int) -> None:
        """Append the manifest, then delete what is older than the second generation."""
        manifest = self._written.pop(shard)
        assert manifest.seq == seq, "another snapshot was written than is released"
        await self._append(shard, [Outgoing(_manifest_key(manifest.name), _encoder.encode(manifest))])
        if shard not in self._released:
            self._released[shard] = await self._manifests(shard)
        else:
            self._released[shard].insert(0, manifest)
        for old in self._released[shard][GENERATIONS:]:
            keys = [_manifest_key(old.name), *(_chunk_key(old.name, number) for number in range(old.chunks))]
            await self._append(shard, [Outgoing(key, None) for key in keys])
        del self._released[shard][GENERATIONS:]

    async def released(self, shard: int) -> AsyncIterator[bytes]:
        """Newest first; one that lost a chunk comes as bytes that no reader accepts."""
        for manifest in await self._manifests(shard):
            try:
                yield await self._load(shard, manifest)
            except SnapshotRefused:
                yield b""

    async def close(self) -> None:
        """End the session that wrote."""
        if self._producer is not None:
            await self._producer.cancel()
            self._producer = None

    async def _append(self, shard: int, records: Sequence[Outgoing]) -> list[int]:
        if self._producer is None:
            self._producer = self._broker.producer()
        offsets = []
        try:
            for append in self._producer.send(SNAPSHOTS, shard, records):
                offset = await append.acknowledgement
                offsets.append(_UNKNOWN if offset is None else offset)
        except SendFailed as failure:
            await self.close()
            raise OwnershipLost(f"a snapshot could not be written: {failure}") from failure
        return offsets

    async def _manifests(self, shard: int) -> list[Manifest]:
        """Those that are not deleted, newest first."""
        bounds = await self._broker.bounds(SNAPSHOTS, shard)
        found: dict[bytes, Manifest] = {}
        position = bounds.begin
        while position < bounds.end:
            records = await self._broker.read(SNAPSHOTS, shard, position, _READ_RECORDS)
            if not records:
                break
            position = records[-1].offset + 1
            for record in records:
                _note(found, record)
        return sorted(found.values(), key=lambda manifest: manifest.seq, reverse=True)

    async def _load(self, shard: int, manifest: Manifest) -> bytes:
        chunks: list[bytes] = []
        position = max(manifest.offset, (await self._broker.bounds(SNAPSHOTS, shard)).begin)
        while len(chunks) < manifest.chunks:
            records = await self._broker.read(SNAPSHOTS, shard, position, _READ_RECORDS)
            if not records:
                raise SnapshotRefused(f"chunk {len(chunks)} of {manifest.chunks} is gone")
            position = records[-1].offset + 1
            for record in records:
                if record.key == _chunk_key(manifest.name, len(chunks)) and record.value is not None:
                    chunks.append(record.value)
        try:
            return zlib.decompress(b"".join(chunks))
        except zlib.error as error:
            raise SnapshotRefused(f"it cannot be unpacked: {error}") from error


def _note(found: dict[bytes, Manifest], record: Record) -> None:
    key = record.key or b""
    if not key.startswith(b"manifest-"):
        return
    if record.value is None:
        found.pop(key, None)
        return
    try:
        found[key] = _decoder.decode(record.value)
    except msgspec.DecodeError:
        found.pop(key, None)


def _manifest_key(name: str) -> bytes:
    return f"manifest-{name}".encode()


def _chunk_key(name: str, number: int) -> bytes:
    return f"chunk-{name}-{number}".encode()
