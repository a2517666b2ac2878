"""A reader that knows nothing of our code: kafka-python for the records, then the documentation alone.

What docs/concepts/journal.md says about bytes is written here a second time, with nothing but `hashlib`, `json` and
the few formats of MessagePack that a frame uses.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition


class Stored(NamedTuple):
    """A record as kafka-python gives it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass
class Chain:
    """The frames of one shard: those on the chain, in order, and how many others there are."""

    frames: list[list[Any]]
    dead: int
    head: str
    """The hash of the last frame on the chain, as hexadecimal digits."""

    @property
    def inputs(self) -> list[tuple[str, int, int, bytes]]:
        """Every input on the chain: topic, partition, offset and bytes."""
        found = []
        for frame in self.frames:
            for source, delta, _, data, *_ in frame[6]:
                topic, partition, start = frame[7][source][:3]
                found.append((topic, partition, start + delta, data))
        return found


class ForeignReader:
    """Reads the topics under one prefix."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix

    def records(self, topic: str, partition: int) -> list[Stored]:
        """Every record of a partition."""
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", group_id=None)
        try:
            place = TopicPartition(self._prefix + topic, partition)
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end = consumer.end_offsets([place])[place]
            found = []
            while consumer.position(place) < end:
                polled = consumer.poll(timeout_ms=1_000).get(place, ())
                found += [Stored(record.offset, record.key, record.value, dict(record.headers)) for record in polled]
            return found
        finally:
            consumer.close()

    def chain(self, shard: int) -> Chain:
        """The first frame in the log that extends the head is the next one; every other record is dead."""
        frames: list[list[Any]] = []
        head, epoch, seq, dead = bytes(32), 0, 0, 0
        for record in self.records("journal", shard):
            frame = unpack(record.value or b"")
            _, kind, its_epoch, its_seq, prev, *_ = frame
            if prev == head and its_seq == seq + 1 and its_epoch == epoch + (kind == "epoch"):
                frames.append(frame)
                head, epoch, seq = blake2b(record.value or b"", digest_size=32).digest(), its_epoch, its_seq
            else:
                dead += 1
        return Chain(frames, dead, head.hex())

    def decisions(self, topic: str, shard: int) -> list[dict[str, Any]]:
        """C1: each decision once, in order; a repeat must be the same bytes, and no number may be missing."""
        values: list[bytes] = []
        for record in self.records(topic, shard):
            name, text = f"{shard}-{topic}-", record.headers["ce_id"].decode()
            assert text.startswith(name), f"{text} stands on {topic}/{shard}"
            number = int(text.removeprefix(name))
            assert number <= len(values) + 1, f"{topic}/{shard}: number {len(values) + 1} is missing"
            if number == len(values) + 1:
                values.append(record.value or b"")
            assert values[number - 1] == record.value, f"{topic}/{shard}: number {number} has two contents"
        return [json.loads(value) for value in values]

    def views(self, topic: str, shard: int) -> dict[str, dict[str, Any]]:
        """C2: of each key the newest version; one whose value is null is closed."""
        versions: dict[str, int] = {}
        values: dict[str, bytes | None] = {}
        for record in self.records(topic, shard):
            key, version = (record.key or b"").decode(), int(record.headers["version"])
            if version > versions.get(key, 0):
                versions[key], values[key] = version, record.value
        return {key: json.loads(value) for key, value in values.items() if value is not None}


def unpack(data: bytes) -> Any:
    """One MessagePack value."""
    value, end = _unpack(data, 0)
    assert end == len(data), "bytes stand behind the value"
    return value


_SCALARS = {
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I"}
_TEXTS = (0xD9, 0xDA, 0xDB)
_ARRAYS = (0xDC, 0xDD)


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xE0:
        return tag - 0x100, at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in _SCALARS:
        (value,) = struct.unpack_from(_SCALARS[tag], data, at)
        return value, at + struct.calcsize(_SCALARS[tag])
    if 0x90 <= tag < 0xA0:
        return _array(data, at, tag & 0x0F)
    if 0xA0 <= tag < 0xC0:
        return data[at : at + (tag & 0x1F)].decode(), at + (tag & 0x1F)
    (size,) = struct.unpack_from(_SIZES[tag], data, at)
    at += struct.calcsize(_SIZES[tag])
    if tag in _ARRAYS:
        return _array(data, at, size)
    content = data[at : at + size]
    return content.decode() if tag in _TEXTS else content, at + size


def _array(data: bytes, at: int, size: int) -> tuple[list[Any], int]:
    values = []
    for _ in range(size):
        value, at = _unpack(data, at)
        values.append(value)
    return values, at
