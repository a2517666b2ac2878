"""The whole state of one shard, and the one way decisions leave it.

Handlers receive a `State`, change what they are about, and `record` what the world must be told.  A decision gets its
dense number, engine time and cause here, so no handler can forget them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from ringfence.identities import Identities
from ringfence.ledger import Ledger
from ringfence.state import Account, Asset, Book, Bucket
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.frames import Settings
from ringfence_schemas.outcomes import Cause, Decision, Posting
from ringfence_schemas.topics import OUTCOME_TOPIC

DEFAULT_ASSET_DECIMALS: Final = 8

_TOPICS: Final[dict[type[Any], str]] = dict(OUTCOME_TOPIC.items())

Kind = TypeVar("Kind", bound=Decision)


class Origin(Protocol):
    """Where an input came from: turns a position (offset, line number) into the cause of what follows from it."""

    @property
    def speaks(self) -> bool:
        """Whether this shard is the one that publishes refusals of the source."""
        ...

    def cause(self, position: int) -> Cause:
        """Return the cause for the input at this position."""
        ...


class State:
    """Everything the fold knows.  One instance per shard; only handlers of the fold change it."""

    def __init__(self, settings: Settings) -> None:
        self.ledger = Ledger()
        self.time_us = 0
        """Engine time: the greatest time of anything folded so far."""
        self.adopt(settings)
        self.accounts: dict[str, Account] = {}
        self.assets: dict[str, Asset] = {}
        self.books: dict[str, Book] = {}
        self.identities = Identities()
        self.timers: list[tuple[int, str, str, str, int, int]] = []
        """Heap of (due_us, kind, instrument, account, liquidation number, step)."""
        self.numbers: dict[str, int] = {}
        """Decisions recorded so far, per topic."""
        self.account_terms = 0
        """Sum of the hashes of all accounts, part of the digest."""
        self.overlay_terms = 0
        self.unstated: dict[Bucket, None] = {}
        """Buckets whose overlay is out of date; empty between inputs."""
        self.touched_buckets: dict[Bucket, None] = {}
        self.touched_wallets: dict[tuple[str, str], None] = {}
        """(account, asset) of wallets changed since views were last drawn."""
        self.decisions: list[Decision] = []
        self.witness: Callable[[Decision], None] | None = None
        """Told of each decision as it is recorded, while the state is what led to it; only explaining needs one."""
        self._origin: Origin | None = None
        self._position = 0
        self._timer: Cause | None = None

    def adopt(self, settings: Settings) -> None:
        """Go on under these settings."""
        self.settings = settings
        self.horizon_us = self.time_us - settings.id_window_us
        """Ids with an earlier `time_us` are forgotten, inputs are too old."""
        self.ledger.observer = self._post if settings.ledger else None

    # ----------------------------------------------------------------------------------------------- what exists

    def account(self, name: str) -> Account:
        """Return the account, opened by its first applied input."""
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = Account(name)
        return account

    def asset(self, name: str) -> Asset:
        """Return the asset; the first use of an unstated one fixes eight decimals."""
        asset = self.assets.get(name)
        if asset is None:
            asset = self.assets[name] = Asset(name, DEFAULT_ASSET_DECIMALS)
        return asset

    def bucket(self, account: str, book: Book) -> Bucket:
        """Return the bucket of an account in an instrument, as an empty shell if it never existed."""
        bucket = book.buckets.get(account)
        if bucket is None:
            bucket = book.buckets[account] = Bucket(self.account(account), book)
        return bucket

    def touch(self, bucket: Bucket) -> None:
        """Remember that the view of a bucket changed."""
        self.touched_buckets[bucket] = None

    def engine_changed(self, bucket: Bucket) -> None:
        """Remember that a judgement or a timer changed a bucket: its view and its terms of the digest are due."""
        bucket.engine_changed = True
        bucket.book.dirty = True
        self.touched_buckets[bucket] = None
        self.unstated[bucket] = None

    def touch_wallet(self, account: str, asset: str) -> None:
        """Remember that the view of a wallet changed."""
        self.touched_wallets[account, asset] = None

    # ------------------------------------------------------------------------------------------- decisions leave

    def begin(self, origin: Origin, position: int) -> None:
        """From here on decisions are caused by this input."""
        self._origin, self._position, self._timer = origin, position, None

    def begin_timer(self, cause: Cause) -> None:
        """From here on decisions are caused by this timer."""
        self._timer = cause

    def end_timer(self) -> None:
        """Timers are done; the input that let them fire is the cause again."""
        self._timer = None

    def cause(self) -> Cause:
        """Return the cause of what is happening now."""
        if self._timer is not None:
            return self._timer
        assert self._origin is not None
        return self._origin.cause(self._position)

    def record(self, kind: type[Kind], **fields: Any) -> Kind:
        """Number a decision, stamp it with engine time and cause, and add it to the decisions of this input."""
        topic = _TOPICS[kind]
        number = self.numbers.get(topic, 0) + 1
        self.numbers[topic] = number
        decision = kind(
            id=f"{self.settings.shard}-{topic}-{number}", time_us=self.time_us, cause=self.cause(), **fields
        )
        self.decisions.append(decision)
        if self.witness is not None:
            self.witness(decision)
        return decision

    def record_of(self, kind: type[Kind], bucket: Bucket, **fields: Any) -> Kind:
        """Record a decision about a bucket: account, instrument and parameter version are filled in."""
        book = bucket.book
        return self.record(
            kind, account=bucket.account.name, instrument=book.name, parameters=book.rules.version, **fields
        )

    def _post(self, asset: str, debit: str, credit: str, amount: int, decimals: int, reason: str) -> None:
        account, instrument = _parties(debit, credit)
        text = decimal_text(amount, decimals)
        self.record(
            Posting,
            account=account,
            instrument=instrument,
            asset=asset,
            debit=debit,
            credit=credit,
            amount=text,
            reason=reason,
        )


def _parties(*names: str) -> tuple[str | None, str | None]:
    """Return the account and the instrument that two ledger accounts are about."""
    account = instrument = None
    for name in names:
        kind, *parts = name.split("|")
        if kind in ("wallet", "bucket"):
            account = parts[0]
        if kind in ("bucket", "trading", "funding", "fund"):
            instrument = parts[-1]
    return account, instrument
