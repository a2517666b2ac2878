"""The second look: the journal is folded again from its first frame, and the report's histories come from that fold."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from examples.crash.market import INSTRUMENTS
from examples.crash.venue import ASSET_DECIMALS
from ringfence.ledger import balances
from ringfence.replica import Replica
from ringfence_schemas.frames import Settings
from ringfence_schemas.outcomes import Position
from ringfence_schemas.topics import POSITIONS
from ringfence_streams.follower import ChainState, Follower
from ringfence_streams.port import FrameOutcomes, Log

FRAMES_A_READ = 64

decode_position = msgspec.json.Decoder(Position).decode


@dataclass(slots=True)
class Audit:
    """What folding again gave: every fund's balance after each frame, one position's views, the ledger at the end."""

    key: tuple[str, str] | None
    frames: int = 0
    outcomes: int = 0
    funds: dict[str, list[tuple[int, Decimal]]] = field(default_factory=lambda: {name: [] for name in INSTRUMENTS})
    views: list[tuple[int, Position | None]] = field(default_factory=list)
    ledger: dict[str, dict[str, str]] = field(default_factory=dict)

    def note(self, replica: Replica, outcomes: FrameOutcomes) -> None:
        """One more frame is folded."""
        state = replica.fold.state
        self.frames += 1
        self.outcomes += outcomes.count
        for name, book in state.books.items():
            points, balance = self.funds[name], Decimal(book.fund or 0).scaleb(-ASSET_DECIMALS)
            if not points or points[-1][1] != balance:
                points.append((state.time_us, balance))
        key = "|".join(self.key) if self.key else None
        for record in outcomes.records:
            if record.topic == POSITIONS and record.key == key:
                self.views.append((record.time_us, None if record.value is None else decode_position(record.value)))

    def fund(self, name: str) -> Decimal:
        """Balance of an instrument's fund at the end, in USDT."""
        return self.funds[name][-1][1]


async def fold_again(log: Log, key: tuple[str, str] | None, advance: Callable[[int, int], None]) -> Audit:
    """Fold the whole journal and compare each frame's digests; ``advance`` is told frames done and in all.

    Raises Diverged, RecordsLost or JournalDamaged when the journal does not give what it says it gave.
    """
    settings = Settings()
    replica, audit = Replica(settings), Audit(key)
    follower = Follower(settings.shard, ChainState(replica, settings))
    bounds = await log.journal_bounds(settings.shard)
    while follower.position < bounds.end:
        for record in await log.read_journal(settings.shard, follower.position, FRAMES_A_READ):
            outcomes = follower.take(record)
            if outcomes is not None:
                audit.note(replica, outcomes)
        advance(follower.position, bounds.end)
    state = replica.fold.state
    audit.ledger = balances(state.assets, state.books)
    return audit
