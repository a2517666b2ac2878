"""Margin calls: levels, cases, hysteresis.

A level is a ratio of equity to maintenance above 1; a bucket stands at the deepest level it has reached.  Going down
it is `called` or `escalated`, a jump through several levels is said once.  Coming up it must clear the level by
`recover` before it is `eased` or `recovered`.  A case lasts from `called` to `recovered` or `closed`; a running
liquidation suspends calls, and what follows it judges again.
"""

from __future__ import annotations

from ringfence import figures, margin
from ringfence.margin import Standing
from ringfence.rules import Rules
from ringfence.scales import ONE, ceil_divide
from ringfence.shard_state import State
from ringfence.state import Bucket
from ringfence_schemas.decimals import decimal_text
from ringfence_schemas.outcomes import MarginCall


def judge_level(state: State, bucket: Bucket, standing: Standing) -> None:
    """Move the bucket to the level its equity and maintenance say, and publish the move."""
    rules, now = bucket.book.rules, bucket.level
    deepest = deepest_level(rules, standing)
    if deeper(deepest, now):
        if not now:
            bucket.cases += 1
        _move(state, bucket, deepest, "escalated" if now else "called", standing)
    elif now:
        held = held_level(rules, standing)
        if deeper(now, held):
            _move(state, bucket, held, "eased" if held else "recovered", standing)


def deeper(level: int, other: int) -> bool:
    """Whether a level is nearer to liquidation than another; 0 is no level at all."""
    return level != 0 and (other == 0 or level < other)


def deepest_level(rules: Rules, standing: Standing) -> int:
    """The deepest level r with equity <= r * maintenance, 0 for none."""
    level = 0
    for call_ratio in rules.call_levels:
        if not margin.breaches(standing, call_ratio):
            break
        level = call_ratio
    return level


def held_level(rules: Rules, standing: Standing) -> int:
    """The deepest level r with equity < r * (1 + recover) * maintenance, or still reached; 0 for none.

    Where equity and maintenance are both zero a level is reached and yet not below its recovery.
    """
    level = 0
    for call_ratio in rules.call_levels:
        recovered = standing.equity * ONE**3 >= call_ratio * (ONE + rules.recover) * standing.maintenance
        if recovered and not margin.breaches(standing, call_ratio):
            break
        level = call_ratio
    return level


def _move(state: State, bucket: Bucket, level: int, status: str, standing: Standing) -> None:
    rules, previous = bucket.book.rules, bucket.level
    case_id = f"{bucket.account.name}|{bucket.book.name}|c{bucket.cases}"
    bucket.level = level
    state.engine_changed(bucket)
    trigger = figures.liquidation_price(bucket)
    state.record_of(
        MarginCall,
        bucket,
        status=status,
        case_id=case_id,
        level=_level_text(level),
        previous_level=_level_text(previous),
        margin_shortfall=_margin_shortfall(rules, standing, level) if level else "0",
        liquidation_price=figures.price(trigger),
        distance_percent=figures.distance_percent(bucket.book.mark, trigger),
        **figures.judgement(bucket),
        **({"uncertain": True} if bucket.book.stale else {}),
    )


def _level_text(level: int) -> str | None:
    return figures.decimal(level) if level else None


def _margin_shortfall(rules: Rules, standing: Standing, call_ratio: int) -> str:
    """ceil(r * maintenance - equity), not below zero."""
    equity, maintenance, per = standing
    missing = ceil_divide(call_ratio * maintenance - equity * ONE * ONE, ONE * ONE * rules.quantum * per)
    return decimal_text(max(0, missing), rules.asset_decimals)


def close_case(state: State, bucket: Bucket) -> None:
    """The position is gone: end its case, if one is open."""
    if not bucket.level:
        return
    case_id, previous = bucket.case_id, bucket.level
    bucket.level = 0
    state.record_of(
        MarginCall,
        bucket,
        status="closed",
        case_id=case_id,
        level=None,
        previous_level=_level_text(previous),
        margin_shortfall=None,
        liquidation_price=None,
        distance_percent=None,
        **figures.judgement(bucket),
    )
