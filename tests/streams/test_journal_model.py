"""Claims about the protocol itself: searched in a model, before any code of the shard is run."""

from __future__ import annotations

import pytest

from tests.streams.journal_model import Rules
from tests.streams.journal_search import COMPLETE, HOLES, TRUNCATED, explore


@pytest.mark.parametrize("world", COMPLETE)
def test_with_all_rules_no_interleaving_breaks_a_guarantee(world: str) -> None:
    """Every reachable state of these worlds: one chain, inputs once, outcomes only from it, and all work gets done."""
    verdict = explore(Rules(), COMPLETE[world])
    assert verdict.wrong is None, "\n".join(verdict.run)
    assert verdict.states > 30_000, "the world has become too small to prove anything"


@pytest.mark.parametrize("rule", HOLES)
def test_leaving_out_one_rule_opens_the_hole_that_it_closes(rule: str) -> None:
    """For each of these rules there is a run without it that breaks a guarantee: none of them is superfluous."""
    rules, world = HOLES[rule]
    assert explore(rules, world).wrong is not None
    assert explore(Rules(), world).wrong is None, "the same world is safe when the rule is in force"


def test_a_log_that_loses_acknowledged_records_is_outside_the_guarantee() -> None:
    """No rule of a writer makes good what the log lost after acknowledging it; readers notice by R3 and stop."""
    wrong = explore(Rules(), TRUNCATED).wrong
    assert wrong is not None
    assert "not on the chain" in wrong
