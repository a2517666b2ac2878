"""When two engines agree: every field that the second one states, the first one states alike."""

from fractions import Fraction
from itertools import zip_longest

from tests.core.engines import Json


def agree(actual: list[Json], expected: list[Json], where: str) -> None:
    """Assert that `actual` says what `expected` says, entry by entry; it may say more about each."""
    for ours, theirs in zip_longest(actual, expected):
        assert ours is not None, f"{where}: missing {theirs}"
        assert theirs is not None, f"{where}: unexpected {ours}"
        assert shown(with_excess(ours), theirs) == theirs, where


def shown(ours: object, theirs: object) -> object:
    """The part of `ours` that `theirs` speaks about."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and theirs.get("type") != "ledger":
        return {name: shown(ours[name], value) for name, value in theirs.items() if name in ours}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [shown(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    return ours


def with_excess(decision: Json) -> Json:
    """Say how far the key of a liquidation is beyond its threshold: the textbook has no keys, but knows that."""
    if "key" not in decision:
        return decision
    key, threshold = (Fraction(int(top), int(bottom)) for top, bottom in (decision["key"], decision["threshold"]))
    return {**decision, "excess_of_key": key - threshold}
