"""Alerts: posted to a real receiver that fails, until it accepts each of them once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS, POSITIONS
from ringfence_streams.app.alerts import alert_of
from tests.streams.app.cluster import Topics, eventually
from tests.streams.app.outcomes import liquidation_completed, liquidation_started, margin_call, position
from tests.streams.app.receiver import Receiver, receiving
from tests.streams.app.workers import Workers

ALICE, CAROL = "alice|BTC-USDT-PERP", "carol|BTC-USDT-PERP"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver that accepts."""
    with receiving() as running:
        yield running


def call(topics: Topics, number: int, account: str, status: str = "called", level: str | None = "3") -> None:
    """Shard 0 publishes a decision about a call."""
    topics.say(0, MARGIN_CALLS, number, margin_call(0, number, account, status, level), account)


def recorded(topics: Topics) -> int:
    """How many alerts about alice are still to be sent, as the changelog says."""
    rows = [record.value for record in topics.read("views-alerts-changelog") if record.key == f"{ALICE}|c1".encode()]
    return len(json.loads(rows[-1])["pending"])


def test_one_message_is_sent_per_case_and_level_although_the_receiver_fails(
    topics: Topics, workers: Workers, receiver: Receiver
) -> None:
    """Refused three times an alert comes a fourth; a repeat, a level left and reached again, and a restart add none.

    A receiver that never answers one case's alert delays neither another case nor a projection.
    """
    refused = {"left": 3}

    def answer(alert: dict[str, str]) -> int:
        if alert["account"] == "carol":
            return 503
        refused["left"] -= 1
        return 500 if refused["left"] >= 0 else 200

    receiver.answer = answer
    settings = {"shards": "off", "alert_url": receiver.url, "alert_retry_us": "20000", "alert_retry_limit_us": "200000"}
    worker = workers.start(**settings)
    call(topics, 1, "carol")
    call(topics, 2, "alice")
    call(topics, 2, "alice")
    call(topics, 3, "alice", "escalated", "2")
    call(topics, 4, "alice", "eased", "3")
    call(topics, 5, "alice", "escalated", "2")
    topics.say(0, POSITIONS, 1, position("carol"), CAROL)
    expected = [f"{ALICE}|c1|3", f"{ALICE}|c1|2"]
    eventually(lambda: receiver.accepted == expected, "two alerts about alice")
    assert worker.ready().get("/accounts/carol/positions/BTC-USDT-PERP").status == 200
    assert [alert["id"] for alert in receiver.attempts if alert["account"] == "alice"] == 4 * expected[:1] + expected[
        1:
    ]
    assert set(receiver.keys) == {f"{CAROL}|c1|3", *expected}
    eventually(lambda: worker.metric("ringfence_alerts_pending") == 1, "carol's is still pending")
    assert worker.metric("ringfence_alerts_total", result="accepted") == 2
    eventually(lambda: recorded(topics) == 0, "the changelog says that alice's were accepted")

    worker.kill()
    receiver.answer = lambda _: 200
    again = workers.start(**settings)
    call(topics, 6, "alice", "recovered", None)
    topics.say(0, LIQUIDATIONS, 1, liquidation_started(0, 1, "carol", f"{CAROL}|c1"), "carol")
    topics.say(0, LIQUIDATIONS, 2, liquidation_completed(0, 2, "carol"), "carol")
    call(topics, 7, "carol", "closed", None)
    eventually(lambda: len(receiver.accepted) >= 6, "what was pending, and the end of both cases")
    eventually(lambda: again.metric("ringfence_alerts_pending") == 0, "nothing is pending")
    assert sorted(receiver.accepted) == sorted(
        [
            *expected,
            f"{ALICE}|c1|recovered",
            f"{CAROL}|c1|3",
            f"{CAROL}|c1|liquidation|{CAROL}|l1",
            f"{CAROL}|c1|closed",
        ]
    )
    again.stop()


def test_an_alert_has_the_decision_and_what_names_the_case() -> None:
    """The same members for a call and for a liquidation, whose level is none."""
    called = alert_of(margin_call(0, 1, "alice"))
    assert called is not None
    assert (called.kind, called.status, called.level, called.case_id) == ("margin_call", "called", "3", f"{ALICE}|c1")
    started = alert_of(liquidation_started(0, 1, "alice"))
    assert started is not None
    assert (started.kind, started.status, started.level) == ("liquidation", "started", None)
    assert started.id == f"{ALICE}|l1|liquidation|{ALICE}|l1"
    assert alert_of(liquidation_completed(0, 1, "alice")) is None
