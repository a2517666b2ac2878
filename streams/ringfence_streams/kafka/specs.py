"""Every topic that the engine needs, and why it is configured as it is: one table.

`ringfence topics create` makes them so; `ringfence topics check` and the engine's start compare with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence_schemas.topics import DEAD_LETTER_SUFFIX, DECISION_TOPICS, INPUT_TOPICS, JOURNAL, VIEW_TOPICS
from ringfence_streams import brokerlog

SNAPSHOTS: Final = "snapshots"
"""Snapshots of the shards' states, in chunks."""

CLEANUP_POLICY: Final = "cleanup.policy"
MAX_MESSAGE_BYTES: Final = "max.message.bytes"
MIN_COMPACTION_LAG: Final = "min.compaction.lag.ms"
MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"
RETENTION_BYTES: Final = "retention.bytes"
RETENTION_MS: Final = "retention.ms"
TIMESTAMP_BEFORE: Final = "message.timestamp.before.max.ms"
TIMESTAMP_TYPE: Final = "message.timestamp.type"
UNCLEAN_ELECTION: Final = "unclean.leader.election.enable"

NO_LIMIT: Final = "-1"
FOREVER_MS: Final = str(2**63 - 1)
MENDING_MS: Final = 60_000
"""P4: a view that a late writer replaced is found again below it for at least so long."""

_MIB: Final = 1 << 20


class Role(Enum):
    """What a topic is for."""

    INPUT = "input"
    JOURNAL = "journal"
    DECISIONS = "decisions"
    VIEWS = "views"
    DEAD_LETTERS = "dead letters"
    SNAPSHOTS = "snapshots"


ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(INPUT_TOPICS, Role.INPUT),
    JOURNAL: Role.JOURNAL,
    **dict.fromkeys(DECISION_TOPICS, Role.DECISIONS),
    **dict.fromkeys(VIEW_TOPICS, Role.VIEWS),
    **{topic + DEAD_LETTER_SUFFIX: Role.DEAD_LETTERS for topic in INPUT_TOPICS},
    SNAPSHOTS: Role.SNAPSHOTS,
}
"""Every topic by its logical name."""

SHARDED_TOPICS: Final = frozenset({*brokerlog.SHARDED_TOPICS, SNAPSHOTS})
"""Topics with one partition per shard: all but the inputs that every shard reads whole."""

_EVERYWHERE: Final = {
    # Inputs merge by the time that their sender gave them, and retention goes by it.
    TIMESTAMP_TYPE: "CreateTime",
    # A replica that lags behind must never become the leader: acknowledged records would be lost (R3).
    UNCLEAN_ELECTION: "false",
}
_KEPT: Final = {CLEANUP_POLICY: "delete", RETENTION_MS: NO_LIMIT, RETENTION_BYTES: NO_LIMIT}
_COMPACTED: Final = {
    CLEANUP_POLICY: "compact",
    # The segment being written is never compacted, and a reader begins at the first one.
    "segment.bytes": str(64 * _MIB),
    "min.cleanable.dirty.ratio": "0.3",
}
_WRITTEN: Final = {MAX_MESSAGE_BYTES: str(2 * _MIB)}

CONFIGS: Final[Mapping[Role, Mapping[str, str]]] = {
    # A history keeps its own times: no broker may find them implausible.
    Role.INPUT: _EVERYWHERE | _KEPT | {MAX_MESSAGE_BYTES: str(_MIB), TIMESTAMP_BEFORE: FOREVER_MS},
    Role.JOURNAL: _EVERYWHERE | _KEPT | _WRITTEN,
    Role.DECISIONS: _EVERYWHERE | _KEPT | _WRITTEN,
    Role.VIEWS: _EVERYWHERE | _COMPACTED | _WRITTEN | {MIN_COMPACTION_LAG: str(MENDING_MS)},
    Role.DEAD_LETTERS: _EVERYWHERE | _KEPT | _WRITTEN,
    Role.SNAPSHOTS: _EVERYWHERE | _COMPACTED | _WRITTEN,
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How one topic is to be made."""

    topic: str
    """Its logical name."""
    partitions: int
    configs: Mapping[str, str]
    """The broker's settings of the topic, all of them as text."""

    @property
    def role(self) -> Role:
        """What the topic is for."""
        return ROLES[self.topic]


def specs(shards: int, *, replication: int = 1, input_retention_ms: int | None = None) -> list[TopicSpec]:
    """Every topic for so many shards, inputs first.

    `replication`: copies of each record.  With three or more, two must have a record before it is acknowledged.
    `input_retention_ms`: how long inputs are kept; None keeps them.  What the engine has read is in the journal.
    """
    durable = {MIN_INSYNC_REPLICAS: "2" if replication > 2 else "1"}  # noqa: PLR2004 -- one of three may fail
    retained = {} if input_retention_ms is None else {RETENTION_MS: str(input_retention_ms)}
    return [
        TopicSpec(
            topic,
            shards if topic in SHARDED_TOPICS else 1,
            {**CONFIGS[role], **durable, **(retained if role is Role.INPUT else {})},
        )
        for topic, role in ROLES.items()
    ]
