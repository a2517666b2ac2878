"""What a change of the requirement touches: its rehearsal and its effect concern those whom it moves, nobody else."""

from collections import Counter
from typing import Any

import pytest

from ringfence import judge, rehearsal
from ringfence.index import TriggerIndex
from tests.core.desk import Desk, tiers, told
from tests.core.test_volatility import LAST_CHANGE, SECOND_US


def crowd(size: int, **options: Any) -> Desk:
    """A desk with so many longs at 100 whose margin grows from 10 to 90 and that are called at twice the requirement;
    they are open, the rate is 0, and the price has stood still.
    """
    stated = LAST_CHANGE | {"hold_us": 10 * SECOND_US}
    desk = Desk(volatility=stated, margin_call_levels=["2"], tiers=tiers(("0", "0.01")), **options)
    for number in range(size):
        desk.deposit(f"a{number:04}", "100")
        desk.buy(f"a{number:04}", "1", "100", margin=str(10 + 80 * number // size))
    desk.tick("100", time_us=SECOND_US)
    return desk


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a bucket is entered in the index, judged, and tried in a rehearsal."""
    done: Counter[str] = Counter()

    def counting(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            done[name] += 1
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)

    counting(TriggerIndex, "place")
    counting(judge, "judge")
    counting(rehearsal, "standing")
    return done


@pytest.mark.parametrize("size", [50, 200])
def test_a_change_of_the_rate_touches_only_whom_it_moves(size: int, work: Counter[str]) -> None:
    """At 92 the rate of 8 per cent, 7.36 each, calls those with at most 14.72 and liquidates those with at most 7.36:
    the rehearsal tries just these, and the change judges just them and enters those it called, whatever the number of
    the others.
    """
    desk = crowd(size)
    equities = [2 + 80 * number // size for number in range(size)]
    liquidated, called = sum(equity <= 7.36 for equity in equities), sum(7.36 < equity <= 14.72 for equity in equities)
    assert 0 < liquidated < called < size // 5
    work.clear()
    (announced,) = desk.tick("92", time_us=2 * SECOND_US)
    assert (announced["would_call"], announced["would_call_notional"]) == (called, str(92 * called))
    assert (announced["would_liquidate"], announced["would_liquidate_notional"]) == (liquidated, str(92 * liquidated))
    assert work == {"standing": called + liquidated}
    work.clear()
    said = Counter(told(desk.tick("92", time_us=3 * SECOND_US)))
    assert said == {"requirement_changed": 1, "called": called, "liquidation_started": liquidated} | {
        "liquidation_order": liquidated
    }
    assert work == {"judge": called + liquidated, "place": called}


def test_under_basis_entry_a_change_enters_the_instrument_once(work: Counter[str]) -> None:
    """Maintenance stands with the key there: the rehearsal tries everybody, and the change enters everybody."""
    desk = crowd(50, maintenance={"basis": "entry"})
    (_, announced) = desk.tick("92", time_us=2 * SECOND_US)
    assert work["standing"] == 50
    work.clear()
    desk.tick("92", time_us=3 * SECOND_US)
    assert work["place"] == 50 + announced["would_call"]
