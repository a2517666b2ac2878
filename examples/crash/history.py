"""What the report wants to know over time, noted frame by frame while the journal is folded again."""

from decimal import Decimal

from examples.crash.market import INSTRUMENTS
from examples.crash.venue import ASSET_DECIMALS
from ringfence.ledger import balances
from ringfence.views import PositionView
from ringfence_schemas.outcomes import Position
from ringfence_streams.audit import ShardAudit


class History:
    """Every fund's balance whenever it changed, one position after every frame, the ledger at the end."""

    def __init__(self, key: tuple[str, str] | None) -> None:
        self.funds: dict[str, list[tuple[int, Decimal]]] = {name: [] for name in INSTRUMENTS}
        self.views: list[tuple[int, Position]] = []
        self.ledger: dict[str, dict[str, str]] = {}
        self._key = key

    def note(self, audit: ShardAudit) -> None:
        """One more frame is folded."""
        state = audit.replica.fold.state
        for name, book in state.books.items():
            points, balance = self.funds[name], Decimal(book.fund or 0).scaleb(-ASSET_DECIMALS)
            if not points or points[-1][1] != balance:
                points.append((state.time_us, balance))
        if self._key and self._key[1] in state.books:
            account, instrument = self._key
            bucket = state.books[instrument].buckets.get(account)
            if bucket is not None and bucket.size:
                self.views.append((state.time_us, PositionView.of(bucket).position()))

    def close(self, audit: ShardAudit) -> None:
        """The whole journal is folded."""
        state = audit.replica.fold.state
        self.ledger = balances(state.assets, state.books)
        for points in self.funds.values():
            points.append((state.time_us, points[-1][1]))
