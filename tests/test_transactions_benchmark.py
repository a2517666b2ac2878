"""The experiments with Kafka transactions stay alive: each runs at its smallest size on a real broker."""

from collections import Counter

import pytest

from benchmarks.transactions import costs, hanging, zombies
from benchmarks.transactions.contenders import ACCOUNTS, Tally, account_of
from benchmarks.transactions.findings import SMALLEST
from benchmarks.transactions.kills import judge


def test_a_zombie_with_an_id_of_its_own_commits_and_one_with_the_id_of_its_successor_does_not(
    kafka: str, prefix: str
) -> None:
    """Two ways to choose a transactional id, a pause past the session: ten inputs have two results, or none has."""
    seen = [finding.seen for finding in zombies.measure(kafka, prefix, SMALLEST, 1)]
    assert seen == ["accepted", "accepted", "10", "accepted", "refused: ProducerFenced", "0"]


def test_a_transaction_that_nobody_ends_holds_up_readers_of_committed_records_alone(kafka: str, prefix: str) -> None:
    """A reader of everything has the later record at once, one of committed records waits for the timeout."""
    uncommitted, committed = (float(finding.seen.split()[1]) for finding in hanging.measure(kafka, prefix, SMALLEST, 1))
    (timeout_s,) = SMALLEST.transaction_timeouts_s
    assert committed > max(uncommitted, timeout_s)


def test_both_ways_to_commit_a_frame_are_measured_with_the_same_frames(kafka: str, prefix: str) -> None:
    """Three figures for each way and shape; how large they are no test says."""
    found = costs.measure(kafka, prefix, SMALLEST, 1)
    assert len(found) == 3 * len(costs.WAYS) * len(costs.SHAPES)
    assert {finding.case.split(":")[0] for finding in found if finding.case} == set(costs.WAYS)


@pytest.mark.parametrize(
    ("numbers", "lost", "wrong"),
    [(range(100), 0, 0), (range(1, 100), 1, 1), (range(50), 50, ACCOUNTS)],
)
def test_what_is_missing_is_counted(numbers: range, lost: int, wrong: int) -> None:
    """Of 100 inputs on 50 accounts: all there; the first missing; the second of every account missing."""
    totals = Counter(map(account_of, numbers))
    assert judge(100, Tally(Counter(numbers), dict(totals))) == (lost, wrong)
