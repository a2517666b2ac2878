"""Explaining a number: which formulas stand behind a decision or a position, and what is to be said besides.

Nothing here decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence import figures, formulas, solutions
from ringfence.formulas import Condition, Given, Judged, Step
from ringfence.state import Bucket
from ringfence_schemas.outcomes import (
    Decision,
    DeleverageRequested,
    LiquidationOrder,
    LiquidationStarted,
    MarginCall,
    Refused,
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the figures of one position came about."""

    given: tuple[Given, ...] = ()
    steps: tuple[Step, ...] = ()
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()


def explain_position(bucket: Bucket) -> Explanation:
    """Explain a position as it stands: what it is worth, what it must be worth, and where it would be liquidated."""
    if not bucket.size:
        return Explanation(formulas.given(bucket), notes=("There is no position.",))
    now = Judged.now(bucket)
    marked = (*formulas.judgement(now), *formulas.removable(now)) if now else ()
    judged = (formulas.liquidated(now, "at the mark"),) if now else ()
    return Explanation(
        formulas.given(bucket),
        (*marked, *solutions.crossing(bucket), *solutions.crossing_after_funding(bucket)),
        (*judged, *solutions.boundary(bucket)),
        _limits(bucket),
    )


def explain_decision(decision: Decision, bucket: Bucket | None) -> Explanation:
    """Explain a decision about a bucket that stands as it stood when the decision was recorded."""
    if bucket is None:
        return Explanation()
    now = Judged.now(bucket) if bucket.size else None
    match decision:
        case _ if now is None:
            return explain_position(bucket)
        case MarginCall():
            return _explain_call(decision, now)
        case LiquidationStarted():
            return _explain_start(decision, now)
        case LiquidationOrder():
            return _explain_order(decision, now)
        case DeleverageRequested():
            return _explain_request(decision, now)
        case Refused(code="not_removable"):
            return Explanation(formulas.given(bucket), (*formulas.judgement(now), *formulas.removable(now)))
    return Explanation(formulas.given(bucket), formulas.judgement(now), (formulas.liquidated(now, "at the mark"),))


def _explain_call(call: MarginCall, now: Judged) -> Explanation:
    bucket, rules = now.bucket, now.rules
    levels = [condition for level in rules.call_levels for condition in formulas.level(now, level)]
    steps = [*formulas.judgement(now), *solutions.crossing(bucket)]
    if bucket.level:
        steps.append(formulas.shortfall(call, now))
    before, after = (f"level {level}" if level else "no level" for level in (call.previous_level, call.level))
    note = f"From {before} to {after}: a level is entered where it is reached, and left where it is no longer held."
    return Explanation(
        formulas.given(bucket), tuple(steps), (*levels, *solutions.boundary(bucket)), (note, *_limits(bucket))
    )


def _explain_start(started: LiquidationStarted, now: Judged) -> Explanation:
    key, threshold, crossed = formulas.evidence(started, now)
    reasons = {
        None: f"Margin call {started.case_id} was open before.",
        "not_configured": "No margin call came before it: the instrument has no margin_call_levels.",
        "parameter_change": "No margin call came before it: the parameters had changed since the price before.",
        "stale_then_fresh": "No margin call came before it: the mark was stale until this price.",
        "gap": "No margin call came before it: one step led past every level.",
    }
    return Explanation(
        formulas.given(now.bucket),
        (*formulas.judgement(now), key, threshold),
        (formulas.liquidated(now, "at the mark"), crossed),
        (reasons[started.no_call_reason],),
    )


def _explain_order(order: LiquidationOrder, now: Judged) -> Explanation:
    """The quantity is right if it restores the position and one step less does not.

    A single step has nothing less beside it: what waited for the throttle may need none at the price of its release.
    """
    bucket, rules, run = now.bucket, now.rules, now.bucket.liquidation
    assert run is not None
    steps = (*formulas.judgement(now), *formulas.bankruptcy(order, now))
    liquidated = formulas.liquidated(now, "at the mark")
    if run.ordered == abs(bucket.size):
        note = "It is for the whole position: no part of it restores the position, or none is to be tried."
        return Explanation(formulas.given(bucket), steps, (liquidated,), (note,))
    step = rules.size_of(rules.quantity_step)
    parts = [part for part in (run.ordered, run.ordered - step) if part]
    conditions = (liquidated, *(formulas.restored(now, part) for part in parts))
    note = "It is the least multiple of the quantity step that restores the position."
    if run.ordered == step:
        note = "It is one quantity step, the least that is ordered, and restores the position."
    return Explanation(formulas.given(bucket), steps, conditions, (note,))


def _explain_request(asked: DeleverageRequested, now: Judged) -> Explanation:
    note = f"The loss that nobody covers is {asked.uncovered_loss}; place {asked.rank} on this shard."
    steps = (*formulas.judgement(now), formulas.score(now))
    return Explanation(formulas.given(now.bucket), steps, (formulas.borne(asked, now),), (note,))


def _limits(bucket: Bucket) -> tuple[str, ...]:
    """What keeps the conditions from having their way."""
    book, reached = bucket.book, figures.liquidation_price(bucket) is not None
    limits = {
        "No price on the grid from one tick to 10^18 would liquidate it.": not reached,
        "The instrument is halted: no liquidation starts.": book.rules.halted,
        "The mark is stale: no liquidation starts before a source is fresh again.": book.stale,
    }
    return tuple(limit for limit, holds in limits.items() if holds)
