"""How far a chain has read its sources."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPICS
from ringfence_streams.follower import Follower
from ringfence_streams.port import Log, Source


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one shard's chain has read one source."""

    source: Source
    begin: int
    """The first offset that the source still holds."""
    position: int
    """The next offset that the journal has not read."""
    end: int

    @property
    def records(self) -> int:
        """Records that wait."""
        return self.end - max(self.position, self.begin)


async def lags(log: Log, follower: Follower) -> list[Lag]:
    """The lag of every source of a shard."""
    found = []
    for source in await log.topics():
        if source.topic not in INPUT_TOPICS or (source.topic in ACCOUNT_TOPICS and source.partition != follower.shard):
            continue
        begin, end = await log.bounds(*source)
        read = follower.state.positions.get(source)
        found.append(Lag(source, begin, read.end if read else begin, end))
    return found
