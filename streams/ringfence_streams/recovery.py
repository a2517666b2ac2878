"""How a process comes back to the chain: V1, V2, V6 and R3."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ringfence.chain import Head
from ringfence_schemas.frames import Settings, TopicIdentity, content_hash
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.clock import Clock, MachineClock
from ringfence_streams.errors import RecordsLost, SnapshotRefused, SourceReplaced
from ringfence_streams.folding import check_settings
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.port import Log, Replicas, Source
from ringfence_streams.snapshots import Snapshot, decode_snapshot

logger = logging.getLogger(__name__)


async def recover(log: Log, shard: int, settings: Settings, replicas: Replicas, clock: Clock | None = None) -> Follower:
    """V1, V2: the newest usable snapshot, or the beginning, and every frame after it.

    Raises RecordsLost, JournalDamaged, Diverged, SettingsConflict.
    """
    identities = await log.identities()
    follower = await _from_snapshot(log, shard, settings, replicas, identities, clock or MachineClock())
    if follower is None:
        follower = Follower(shard, ChainState(replicas.new(settings), settings))
    await follower.catch_up(log)
    return follower


async def check_sources(log: Log, follower: Follower) -> None:
    """V6: every source is still the one that was read: same topic, same last record.  Raises SourceReplaced."""
    now = {identity.topic: identity.identity for identity in await log.identities()}
    for held in follower.state.topics:
        if now.get(held.topic) != held.identity:
            raise SourceReplaced(f"Topic {held.topic} was deleted or created anew since the journal read from it")
    for source, read in follower.state.positions.items():
        bounds = await log.bounds(source.topic, source.partition)
        if read.last_offset < bounds.begin:
            continue  # retained away: the journal's copy is the truth
        there = read.last_offset < bounds.end
        records = await log.read(source.topic, source.partition, read.last_offset, 1) if there else []
        found = records[0] if records and records[0].offset == read.last_offset else None
        if found is None or content_hash(found.value or b"") != read.last_hash:
            raise SourceReplaced(
                f"Record {source.topic}/{source.partition}@{read.last_offset} "
                + ("is gone" if found is None else "has other bytes than the journal read there")
            )


async def _from_snapshot(
    log: Log,
    shard: int,
    settings: Settings,
    replicas: Replicas,
    identities: Sequence[TopicIdentity],
    clock: Clock,
) -> Follower | None:
    """V1: resume from the newest snapshot that can be used."""
    journal = next((identity.identity for identity in identities if identity.topic == JOURNAL), "")
    async for data in log.snapshots.released(shard):
        try:
            snapshot = decode_snapshot(data, shard)
            check_settings(settings, snapshot.settings)
            follower = await clock.aside(_resume, shard, snapshot, replicas)
        except SnapshotRefused as refused:
            logger.warning("Shard %d: snapshot refused: %s", shard, refused)
            continue
        if snapshot.journal != journal:
            raise RecordsLost(f"The snapshot of shard {shard} was taken over another journal than this one")
        # The snapshot proves that its head was acknowledged, so a log without it has lost records (R3).
        await follower.check_head(log)
        return follower
    return None


def _resume(shard: int, snapshot: Snapshot, replicas: Replicas) -> Follower:
    """A follower that stands where the snapshot was taken."""
    state = ChainState(
        replica=replicas.restore(snapshot.state, snapshot.settings),
        settings=snapshot.settings,
        head=Head(snapshot.epoch, snapshot.seq, snapshot.hash),
        clock_us=snapshot.clock_us,
        released=False,
        positions={Source(source.topic, source.partition): source for source in snapshot.positions},
        numbers=dict(snapshot.numbers),
        published={place.topic: place for place in snapshot.published},
        topics=list(snapshot.topics),
    )
    return Follower(shard, state, position=snapshot.position, head_offset=snapshot.head_offset)
