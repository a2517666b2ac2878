"""Where inputs come from: a partition of a log, or the lines of a stream."""

from __future__ import annotations

from typing import NamedTuple

from ringfence_schemas.outcomes import Cause


class RecordOrigin(NamedTuple):
    """One partition of an input topic; positions are offsets."""

    topic: str
    partition: int
    speaks: bool = True

    def cause(self, position: int) -> Cause:
        """Return topic, partition and offset."""
        return Cause(topic=self.topic, partition=self.partition, offset=position)


class LineOrigin(NamedTuple):
    """A stream of lines; positions are line numbers from 1."""

    speaks: bool = True

    def cause(self, position: int) -> Cause:
        """Return the line number."""
        return Cause(line=position)
