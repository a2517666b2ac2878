"""A log on the shared broker for the contract tests, and what they do to it on the broker's own disk."""

from __future__ import annotations

import struct
from itertools import count
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.record._crc32c import crc as crc32c

from ringfence_schemas.topics import JOURNAL
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import Connection
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.kafka.specs import specs
from ringfence_streams.port import Log

_numbers: Final = count()

# A batch begins with its offset, its length, the epoch of its leader, the version of its format and a checksum.
_LENGTH_AT: Final = 8
_CHECKSUM_AT: Final = 17
_CHECKED_AT: Final = 21
_BEFORE_LENGTH: Final = 12


class KafkaStorage:
    """Topics of a test's own."""

    by_construction: frozenset[str] = frozenset()

    def __init__(self, bootstrap: str, data: Path, prefix: str, _folder: Path, shards: int) -> None:
        self.connection = Connection(bootstrap, f"{prefix}{next(_numbers)}.")
        self._data = data
        self._shards = shards
        with Administration(self.connection) as administration:
            administration.create(specs(shards), replication=1)

    def open(self) -> Log:
        """Another process, which runs every shard without asking the group."""
        return KafkaLog(self.connection, range(self._shards))

    def delay(self) -> None:
        """Nothing to do: an acknowledgement needs a way to the broker and back, and nobody waits for it."""

    def damage_journal(self, shard: int, offset: int) -> None:
        """Flip a bit on the broker's disk: its checksum will not fit."""
        self._flip(JOURNAL, shard, offset, checksum=False)

    def lose_journal(self, shard: int, end: int) -> None:
        """Make the topic anew with its first records alone, as a restored copy would have them."""
        kept = self._values(JOURNAL, shard)[:end]
        name = self.connection.physical(JOURNAL)
        admin = KafkaAdminClient(bootstrap_servers=self.connection.bootstrap)
        admin.delete_topics([name])
        admin.close()
        with Administration(self.connection) as administration:
            administration.create([spec for spec in specs(self._shards) if spec.topic == JOURNAL], replication=1)
        producer = KafkaProducer(bootstrap_servers=self.connection.bootstrap)
        for value in kept:
            producer.send(name, value, partition=shard).get(10)
        producer.close()

    def change_source(self, topic: str, offset: int) -> None:
        """Other bytes under a checksum that fits: the broker cannot know."""
        self._flip(topic, 0, offset, checksum=True)

    def _values(self, topic: str, partition: int) -> list[bytes]:
        consumer = KafkaConsumer(bootstrap_servers=self.connection.bootstrap, auto_offset_reset="earliest")
        place = TopicPartition(self.connection.physical(topic), partition)
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        values: list[bytes] = []
        while len(values) < end:
            for records in consumer.poll(1_000).values():
                values += [record.value for record in records]
        consumer.close()
        return values

    def _flip(self, topic: str, partition: int, offset: int, *, checksum: bool) -> None:
        value = self._values(topic, partition)[offset]
        folder = self._data / f"{self.connection.physical(topic)}-{partition}"
        (segment,) = folder.glob("*.log")
        content = bytearray(segment.read_bytes())
        place = content.find(value)
        assert place >= 0, "the record is not on the disk"
        content[place + len(value) // 2] ^= 1
        if checksum:
            _seal(content, place)
        with segment.open("r+b") as file:  # in place: the broker has the file open
            file.write(content)


def _seal(content: bytearray, place: int) -> None:
    """Compute the checksum of the batch around a place anew."""
    start = 0
    while True:
        (length,) = struct.unpack_from(">i", content, start + _LENGTH_AT)
        end = start + _BEFORE_LENGTH + length
        if start <= place < end:
            checked = bytes(content[start + _CHECKED_AT : end])
            struct.pack_into(">I", content, start + _CHECKSUM_AT, crc32c(checked))
            return
        start = end
