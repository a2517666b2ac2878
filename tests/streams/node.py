"""A broker in memory on which everything arrives at once, with one engine process after another."""

from __future__ import annotations

import msgspec

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import TICKS
from ringfence_streams.brokerlog import BrokerLog
from ringfence_streams.memory import MemoryBroker, MemorySnapshots
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Message, Record
from ringfence_streams.shard import Shard
from ringfence_streams.snapshots import decode_snapshot
from tests.streams.counting import CountingReplicas
from tests.streams.world import audit

MOTION = MotionSettings(batch_inputs=2, lease_us=0, heartbeat_us=0, snapshot_every=4, snapshot_rest=0)
SETTINGS = Settings(engine="engine test")


class Node:
    """Topics, snapshots and processes."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_all()
        self.snapshots = MemorySnapshots()
        self.written = 0

    def log(self) -> BrokerLog:
        """The log, as a new process opens it."""
        return BrokerLog(self.broker.client(), self.snapshots)

    def shard(self, motion: MotionSettings = MOTION) -> Shard:
        """A new process."""
        return Shard(self.log(), SETTINGS, CountingReplicas(), motion=motion)

    async def write(self, text: str) -> None:
        """Publish one input for each letter: the letter is the key of the view that it touches."""
        messages = []
        for letter in text:
            self.written += 1
            messages.append(Message(TICKS, letter, f"{letter} {self.written}".encode(), self.written))
        await self.log().publish(messages)

    def records(self, topic: str) -> list[Record]:
        """What stands on a topic."""
        return self.broker.partition(topic, 0).records

    def repeat(self, topic: str, offset: int) -> None:
        """A zombie's request arrives: a record that stands there already is appended once more."""
        record = self.records(topic)[offset]
        session = self.broker.open_session(self.broker.client("zombie"))
        self.broker.accept(session, msgspec.structs.replace(record, offset=-1))

    def forge(self, topic: str, offset: int) -> None:
        """Write other bytes over a record, so that no checksum tells."""
        records = self.records(topic)
        records[offset] = msgspec.structs.replace(records[offset], value=b"forged")

    def snapshot_offset(self) -> int:
        """Where the frame of the newest snapshot stands in the journal."""
        return decode_snapshot(self.snapshots.visible[0][0][1], 0).head_offset

    async def audit(self) -> None:
        """Assert all guarantees."""
        await audit(self.log(), SETTINGS, self.written)
