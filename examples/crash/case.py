"""One account's position over time: between the engine's views its equity follows the mark."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from examples.crash.market import INSTRUMENTS, MINUTE_US, TICK_OFFSETS_US, Minute
from examples.crash.venue import real_tiers
from ringfence_schemas.inputs import AddMargin, Funding, Tier
from ringfence_schemas.outcomes import Position

PADDING_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A position at every tick: prices in USDT per contract, money in USDT, None while there is no position."""

    account: str
    instrument: str
    times_us: list[int]
    marks: list[Decimal]
    equities: list[Decimal | None]
    maintenance_margins: list[Decimal | None]
    liquidation_prices: list[str | None]
    top_ups: list[tuple[int, Decimal]]
    opened: Position

    def equity_at(self, time_us: int) -> Decimal:
        """Equity at the first tick after ``time_us`` that has one, in USDT; zero after the end of the position."""
        start = bisect_right(self.times_us, time_us)
        return next((equity for equity in self.equities[start:] if equity is not None), Decimal(0))


def choose(top_ups: Sequence[AddMargin], liquidated: Collection[tuple[str, str]]) -> tuple[str, str] | None:
    """The position to show: never liquidated, topped up most often, then with most money; None without one."""
    times = Counter((top_up.account, top_up.instrument) for top_up in top_ups)
    money = Counter[tuple[str, str]]()
    for top_up in top_ups:
        money[top_up.account, top_up.instrument] += int(Decimal(top_up.amount))
    saved = [key for key in times if key not in liquidated] or list(times)
    return max(saved, key=lambda key: (times[key], money[key], key), default=None)


def build(
    key: tuple[str, str],
    views: Sequence[tuple[int, Position | None]],
    minutes: Sequence[Minute],
    fundings: Sequence[Funding],
    top_ups: Sequence[AddMargin],
) -> Case | None:
    """The case of position ``key`` from its views (time, view), the ticks and the funding; None without a view."""
    account, instrument = key
    opened = next((view for _, view in views if view is not None), None)
    if opened is None:
        return None
    tiers, column = real_tiers()[instrument], INSTRUMENTS.index(instrument)
    rates = {funding.time_us: Decimal(funding.rate) for funding in fundings if funding.instrument == instrument}
    case = Case(account, instrument, [], [], [], [], [], _top_ups_of(key, top_ups), opened)
    starts = [_since(time_us, view) for time_us, view in views]
    funded, current = Decimal(0), -1
    for time_us, mark in _ticks(minutes, column, starts):
        found = bisect_right(starts, time_us) - 1
        if found != current:
            funded, current = Decimal(0), found
        view = views[found][1] if found >= 0 else None
        if view is not None and time_us in rates:
            funded -= Decimal(view.quantity) * rates[time_us] * mark
        case.times_us.append(time_us)
        case.marks.append(mark)
        case.equities.append(None if view is None else _equity(view, mark) + funded)
        case.maintenance_margins.append(None if view is None else maintenance(tiers, view, mark))
        case.liquidation_prices.append(None if view is None else view.liquidation_price)
    return case


def _since(published_us: int, view: Position | None) -> int:
    """From when a view holds: a minute's frame begins with the reactions that changed it and is published at its end."""
    return published_us if view is None else published_us - published_us % MINUTE_US


def _top_ups_of(key: tuple[str, str], top_ups: Sequence[AddMargin]) -> list[tuple[int, Decimal]]:
    return [(one.time_us, Decimal(one.amount)) for one in top_ups if (one.account, one.instrument) == key]


def _ticks(minutes: Sequence[Minute], column: int, starts: Sequence[int]) -> list[tuple[int, Decimal]]:
    """The ticks from a little before the first view to a little after the last, or to the end of the window."""
    first = next(n for n, minute in enumerate(minutes) if minute.open_us + TICK_OFFSETS_US[-1] >= starts[0])
    return [
        (minute.open_us + offset_us, Decimal(price))
        for minute in minutes[max(0, first - PADDING_MINUTES) :]
        for offset_us, price in zip(TICK_OFFSETS_US, minute.bars[column].path(), strict=True)
    ]


def _equity(view: Position, mark: Decimal) -> Decimal:
    """Collateral plus unrealised profit: W + q*(P - E)."""
    return Decimal(view.collateral) + Decimal(view.quantity) * (mark - Decimal(view.entry_price))


def maintenance(tiers: Sequence[Tier], view: Position, mark: Decimal) -> Decimal:
    """Maintenance margin at ``mark``: the greatest of N*m - cum over the tiers (marginal brackets)."""
    notional = abs(Decimal(view.quantity)) * mark
    return max(notional * Decimal(tier.maintenance_rate or 0) - Decimal(tier.maintenance_amount or 0) for tier in tiers)
