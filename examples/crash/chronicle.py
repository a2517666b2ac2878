"""What happened: the engine's decisions of one run, and the figures a trader asks for first."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar, cast

from examples.crash.market import HOUR_US, INSTRUMENTS
from examples.crash.venue import CONTRACTS
from ringfence_schemas.outcomes import (
    Decision,
    LiquidationCompleted,
    LiquidationStarted,
    MarginCall,
    PositionTakenOver,
    Refused,
    ShortfallRecorded,
    UncoveredLoss,
)

Kind = TypeVar("Kind", bound=Decision)


class Chronicle:
    """The decisions of a run, kept by kind in the order they were made."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._filed: defaultdict[type[Decision], list[Decision]] = defaultdict(list)
        self.cases = 0
        """Margin cases opened so far."""
        for decision in decisions:
            self.record(decision)

    def record(self, decision: Decision) -> None:
        """File one decision."""
        self.cases += isinstance(decision, MarginCall) and decision.status == "called"
        self._filed[type(decision)].append(decision)

    def every(self, kind: type[Kind]) -> list[Kind]:
        """All decisions of one kind so far, oldest first."""
        return cast("list[Kind]", self._filed[kind])

    @property
    def count(self) -> int:
        """Decisions filed."""
        return sum(map(len, self._filed.values()))


@dataclass(frozen=True, slots=True)
class Hour:
    """The hour (its start since the epoch) in which the most collateral was lost to liquidations, in USDT."""

    start_us: int
    liquidations: int
    loss: Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """A run in numbers; amounts in USDT, `fund_*` by instrument.

    An account is *saved* when it was called, answered with a top-up, and that position was never liquidated.
    """

    calls: Counter[str]
    called_accounts: int
    saved_accounts: int
    liquidations: Counter[str]
    liquidated_accounts: int
    without_call: Counter[str]
    collateral: Decimal
    loss: Decimal
    contained: bool
    shortfalls: int
    shortfall: Decimal
    uncovered: Decimal
    takeovers: int
    fund_loss: Decimal
    fund_before: dict[str, Decimal]
    fund_after: dict[str, Decimal]
    worst_hour: Hour | None
    biggest: LiquidationCompleted | None
    refusals: Counter[str]


def figures(chronicle: Chronicle, topped_up: Collection[tuple[str, str]], funds: Mapping[str, Decimal]) -> Figures:
    """The figures of a run.

    Args:
        chronicle: its decisions.
        topped_up: the positions, as (account, instrument), whose owners answered a call with money.
        funds: balance of each instrument's insurance fund at the end, in USDT.
    """
    calls = chronicle.every(MarginCall)
    called = {(call.account, call.instrument) for call in calls if call.status == "called"}
    started = chronicle.every(LiquidationStarted)
    liquidated = {(start.account, start.instrument) for start in started}
    completed = chronicle.every(LiquidationCompleted)
    shortfalls, takeovers = chronicle.every(ShortfallRecorded), chronicle.every(PositionTakenOver)
    return Figures(
        calls=Counter(call.status for call in calls),
        called_accounts=len({account for account, _ in called}),
        saved_accounts=len({account for account, _ in (called & set(topped_up)) - liquidated}),
        liquidations=Counter(done.result for done in completed),
        liquidated_accounts=len({account for account, _ in liquidated}),
        without_call=Counter(start.no_call_reason for start in started if start.no_call_reason),
        collateral=_total(done.collateral for done in completed),
        loss=_total(done.loss for done in completed),
        contained=all(done.contained and Decimal(done.loss) <= Decimal(done.collateral) for done in completed),
        shortfalls=len(shortfalls),
        shortfall=_total(shortfall.amount for shortfall in shortfalls),
        uncovered=_total(loss.amount for loss in chronicle.every(UncoveredLoss)),
        takeovers=len(takeovers),
        fund_loss=_total(takeover.fund_loss or "0" for takeover in takeovers),
        fund_before={name: Decimal(CONTRACTS[name].fund_seed) for name in INSTRUMENTS},
        fund_after=dict(funds),
        worst_hour=_worst_hour(completed),
        biggest=max(completed, key=lambda done: Decimal(done.loss), default=None),
        refusals=Counter(refused.code for refused in chronicle.every(Refused)),
    )


def _total(amounts: Iterable[str]) -> Decimal:
    return sum(map(Decimal, amounts), Decimal(0))


def _worst_hour(completed: Iterable[LiquidationCompleted]) -> Hour | None:
    hours: defaultdict[int, list[Decimal]] = defaultdict(list)
    for done in completed:
        hours[done.time_us - done.time_us % HOUR_US].append(Decimal(done.loss))
    candidates = [Hour(start_us, len(losses), sum(losses, Decimal(0))) for start_us, losses in hours.items()]
    return max(candidates, key=lambda hour: (hour.loss, -hour.start_us), default=None)
