"""One account's position over time: chosen after the run, read from the engine while the journal is folded again."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ringfence_schemas.inputs import AddMargin
from ringfence_schemas.outcomes import Position


@dataclass(frozen=True, slots=True)
class Case:
    """A position after each frame of its life, with the top-ups (time, USDT) of its owner."""

    account: str
    instrument: str
    views: list[tuple[int, Position]]
    top_ups: list[tuple[int, Decimal]]

    @property
    def opened(self) -> Position:
        """The position as it was first seen."""
        return self.views[0][1]

    def equity_after(self, time_us: int) -> str | None:
        """Equity in USDT at the first view after ``time_us``; None after the last."""
        return next((view.equity for seen_us, view in self.views if seen_us > time_us), None)


def choose(top_ups: Sequence[AddMargin], liquidated: Collection[tuple[str, str]]) -> tuple[str, str] | None:
    """The position to show: never liquidated, topped up most often, then with most money; None without one."""
    times: Counter[tuple[str, str]] = Counter()
    money: Counter[tuple[str, str]] = Counter()
    for top_up in top_ups:
        times[top_up.account, top_up.instrument] += 1
        money[top_up.account, top_up.instrument] += int(Decimal(top_up.amount))
    saved = [key for key in times if key not in liquidated] or list(times)
    return max(saved, key=lambda key: (times[key], money[key], key), default=None)


def case_of(key: tuple[str, str], views: list[tuple[int, Position]], top_ups: Sequence[AddMargin]) -> Case:
    """The case of the position ``key``, an (account, instrument)."""
    own = [(one.time_us, Decimal(one.amount)) for one in top_ups if (one.account, one.instrument) == key]
    return Case(*key, views, own)
