"""What the fold remembers: accounts, their ring-fenced buckets, instruments, assets.

These classes hold; they decide nothing.  Money moves through `ringfence.ledger` only, so that every change of cash
has its counter-entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ringfence.index import TriggerIndex
from ringfence.mark_rules import Word
from ringfence.orders import Order
from ringfence.rules import Rules
from ringfence_schemas.inputs import Instrument

EMPTY_HASH: Final = bytes(16)
NEVER_US: Final = 10**30
"""Later than every time."""


class Account:
    """One account: the chain of its own inputs.  Wallets stand with their asset, buckets with their instrument."""

    __slots__ = ("hash", "name", "sequence")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = 0
        """Inputs applied to this account."""
        self.hash = EMPTY_HASH
        """H(previous hash, content of the input, what the input left behind)."""


class Asset:
    """A currency: its decimals, fixed by first use, and every wallet in it."""

    __slots__ = ("decimals", "external", "fees", "name", "rounding", "stated_us", "wallets")

    def __init__(self, name: str, decimals: int) -> None:
        self.name = name
        self.decimals = decimals
        self.stated_us: int | None = None
        """`time_us` of the asset event; None while the decimals are the default."""
        self.wallets: dict[str, int] = {}
        """Account -> free collateral, in units of the asset.  An entry exists from the first posting on."""
        self.external: int | None = None
        self.fees: int | None = None
        self.rounding: int | None = None
        """Fractions of a unit left by closed buckets, in 10^-72 of the asset; None: never posted."""


class Liquidation:
    """A liquidation in flight."""

    __slots__ = ("deadline_us", "fees", "filled", "number", "ordered", "passed_over", "step", "waiting", "whole")

    def __init__(self, number: int) -> None:
        self.number = number
        self.step = 0
        self.ordered = 0
        """Size of the present order, unsigned."""
        self.filled = 0
        self.deadline_us = 0
        self.fees = 0
        """Fees the bucket paid since the liquidation started, in units of the asset."""
        self.waiting = False
        """The order of this step waits for its instrument's throttle."""
        self.whole = False
        """The order that waits is for the whole position."""
        self.passed_over = False
        """Its turn has come once, and it did not fit."""


@dataclass(slots=True)
class Shown:
    """What a bucket's liquidation price rested on at its last view, and what it paid and was given since."""

    liquidation_price: int | None
    """As published, in price units: another version may have another grid."""
    size: int
    cash: int
    """Money."""
    entry_price: int
    funding_index: int
    drawn: int
    """What funding had taken from the wallet, as in `Bucket`."""
    version: int
    volatility_rate: int
    fees: int = 0
    """What the bucket paid as fees since, in units of the asset."""
    transferred: int = 0
    """What the account itself put in since, less what it took out, in units of the asset; not what its fills moved."""


class Bucket:
    """One position of one account, with the collateral that stands behind it and nothing else.

    A closed bucket stays as a shell: it numbers cases and liquidations and keeps the leverage chosen.
    """

    __slots__ = (
        "account",
        "book",
        "cases",
        "cash",
        "drawn",
        "engine_changed",
        "entry",
        "entry_price",
        "funding_paid",
        "level",
        "leverage",
        "liquidation",
        "liquidations",
        "order",
        "others",
        "overlay",
        "posted",
        "put_in",
        "realised",
        "returned",
        "shown",
        "size",
        "slot",
        "taken_out",
    )

    def __init__(self, account: Account, book: Book) -> None:
        self.account = account
        self.book = book
        self.size = 0
        """Signed size: contracts x multiplier."""
        self.cash = 0
        """c: signed money, in the frame of funding index zero."""
        self.entry_price = 0
        """E: average entry price, 18 decimals, rounded against nobody: down for a long, up for a short."""
        self.realised = 0
        """Price difference realised since the bucket opened, in 10^-(36 + d)."""
        self.funding_paid = 0
        """Sum of x*F over its fills (money): the part of the funding already in `cash`."""
        self.put_in = 0
        """Gross amount that came into the bucket since it opened, in units of the asset."""
        self.taken_out = 0
        """Gross amount that went to the wallet since it opened, in units of the asset."""
        self.returned = 0
        """Gross amount that its closings gave back to the wallet, over its whole life, in units of the asset."""
        self.drawn = 0
        """Gross amount that funding took from the wallet, over its whole life, in units of the asset."""
        self.level = 0
        """Margin call level, as its ratio in decimals: deeper is smaller.  0: none; otherwise a case is open."""
        self.cases = 0
        self.liquidations = 0
        self.liquidation: Liquidation | None = None
        self.leverage: int | None = None
        """Leverage chosen by the account, decimal; None: the instrument's default."""
        self.engine_changed = False
        """A judgement or a timer changed the bucket since the account's own last input on it."""
        self.overlay = 0
        """Term of the state digest while the engine's changes, or a status, stand beyond the account's own chain."""
        self.shown: Shown | None = None
        """What stood at its last view; None where views do not say why the liquidation price moved, and before the
        first one.
        """
        self.posted = False
        """Whether money ever moved through it."""
        self.slot = -1
        self.order: Order | None = None
        self.entry = 0
        self.others: tuple[tuple[Order, int], ...] | None = None

    @property
    def case_id(self) -> str | None:
        """The open margin-call case, `<account>|<instrument>|c<n>`."""
        return f"{self.account.name}|{self.book.name}|c{self.cases}" if self.level else None

    @property
    def liquidation_id(self) -> str | None:
        """The liquidation in flight, `<account>|<instrument>|l<n>`."""
        return f"{self.account.name}|{self.book.name}|l{self.liquidations}" if self.liquidation else None


class Quarantine:
    """A tick that is held back because it would move the mark too far, and what agreed with it since."""

    __slots__ = ("held", "last_us", "source", "ticks", "word")

    def __init__(self, source: str, word: Word) -> None:
        self.source = source
        self.word = word
        self.held: dict[str, Word] = {source: word}
        """Source -> its last tick that waits for confirmation, in order of arrival."""
        self.ticks = 0
        """Further ticks that agreed, each later than the one before."""
        self.last_us = word.time_us
        """Time of the last of them."""


class Guard:
    """What a mark is made of, where the instrument says how: the words of its sources, and the tick held back."""

    __slots__ = ("moment_us", "quarantine", "reference", "reviving", "stale", "timer_us", "words")

    def __init__(self) -> None:
        self.words: dict[str, Word] = {}
        """Source -> what it last said, in order of arrival; a tick without a source is that of the source ``""``."""
        self.quarantine: Quarantine | None = None
        self.moment_us = -1
        """Greatest `time_us` of its ticks; kept where jumps are bounded."""
        self.reference: int | None = None
        """What the mark was before the first tick of that time: what a jump is measured from."""
        self.stale = False
        """No source is fresh: no liquidation starts."""
        self.reviving = False
        """The tick that is judged has ended the staleness; False between inputs."""
        self.timer_us = 0
        """When the next timer looks whether the mark has become stale; 0: none does.  It follows from `words`."""


class Rise(NamedTuple):
    """A rise of the rate of volatility that was announced."""

    effective_us: int
    """Market time at which it takes effect."""
    rate: int
    announcement: str


class Sampling:
    """What was measured of the volatility of an instrument, and what is to come of it."""

    __slots__ = ("boundary_us", "fall", "price", "rises", "variance")

    def __init__(self) -> None:
        self.price: int | None = None
        """The mark last sampled, in price units."""
        self.variance = 0
        """36 decimals."""
        self.boundary_us = 0
        """The first mark at or after this market time is the next sample."""
        self.rises: list[Rise] = []
        """Announced and not yet in force, by date and by rate."""
        self.fall: tuple[int, int] | None = None
        """(since which market time less than the rate in force was asked for, the greatest rate asked for since)."""


class Book:
    """One instrument: its parameters in force, its market, and every bucket in it."""

    __slots__ = (
        "asset",
        "buckets",
        "changed",
        "dirty",
        "due_us",
        "fund",
        "funding",
        "funding_index",
        "funding_payment",
        "guard",
        "index",
        "mark",
        "market_time_us",
        "name",
        "ordered",
        "ordered_from_us",
        "pending",
        "plain",
        "quarantines",
        "release_us",
        "rules",
        "sampling",
        "settled",
        "sources",
        "term",
        "trading",
        "versions",
        "waiting",
    )

    def __init__(self, rules: Rules, asset: Asset) -> None:
        self.name = rules.event.instrument
        self.rules = rules
        self.asset = asset
        self.versions: dict[int, bytes] = {rules.version: rules.content}
        """Version -> hash of its content, of every version accepted."""
        self.pending: list[Instrument] = []
        """Accepted versions whose `effective_us` has not come, by version."""
        self.sampling = None if rules.volatility is None else Sampling()
        self.due_us = NEVER_US
        """Market time at which the next of these is due: a version, a rise, a sample.  `schedule` keeps it."""
        self.mark: int | None = None
        """Mark price, in price units: the last tick, or what `guard` makes of several."""
        self.guard: Guard | None = None
        """None where the last tick is the mark."""
        self.quarantines = 0
        """Ticks ever held back."""
        self.plain = True
        """Whether the next tick is the mark, without a question: neither guarded nor about to be, and not settled."""
        self.funding_index = 0
        """F: cumulative funding per unit of size, in price units."""
        self.funding_payment: int | None = None
        """What the last funding added to F; None: there has been none."""
        self.market_time_us = 0
        """Greatest `time_us` of the instrument's own inputs."""
        self.sources: dict[str, tuple[int, str]] = {}
        """Source -> (last sequence, its price as stated), for sources that number their ticks."""
        self.changed = False
        """The parameters changed since the last tick."""
        self.settled = False
        self.buckets: dict[str, Bucket] = {}
        self.fund: int | None = None
        """Insurance fund of this shard, in units of the asset; None: never posted."""
        self.trading: int | None = None
        self.funding: int | None = None
        """Counter-entries of fills, money; None: never posted."""
        self.ordered = 0
        """Notional ordered for liquidations in the present interval of the throttle, money."""
        self.ordered_from_us: int | None = None
        """When that interval began; None: nothing was ever ordered under a throttle."""
        self.release_us: int | None = None
        """When orders that wait are looked at again; None: no such timer runs."""
        self.waiting: dict[Bucket, None] = {}
        """Buckets whose order waits for the throttle."""
        self.index = TriggerIndex(rules)
        self.dirty = True
        """Changed since the digest last looked."""
        self.term = 0
        self.schedule()

    def schedule(self) -> None:
        """Find anew what is due next: after versions, rises or samples came or went."""
        self.due_us = NEVER_US if not self.pending else self.pending[0].effective_us or 0
        if self.sampling is not None:
            rises = self.sampling.rises
            self.due_us = min(self.due_us, self.sampling.boundary_us, rises[0].effective_us if rises else NEVER_US)

    def dates_us(self) -> list[int]:
        """Return the market times at which parameters are still to change."""
        rises = [] if self.sampling is None else self.sampling.rises
        return [event.effective_us or 0 for event in self.pending] + [rise.effective_us for rise in rises]

    @property
    def stale(self) -> bool:
        """Whether the mark is stale: no source of it is fresh."""
        return self.guard is not None and self.guard.stale
