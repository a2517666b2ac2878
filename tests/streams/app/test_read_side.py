"""The read side as processes of its own: it follows the outputs, whoever writes them, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence_schemas.outcomes import Wallet, encode
from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS, POSITIONS, WALLETS
from ringfence_streams.envelope import standard_headers
from tests.streams.app.cluster import Topics, eventually
from tests.streams.app.outcomes import liquidation_started, margin_call, position
from tests.streams.app.workers import Worker, Workers

OPEN = "ringfence_open_positions"
CROWD = 3_000
"""Positions on each shard that are there when the workers start: most are fetched when the partitions first move."""
SHARD = {"carol": 0, "alice": 1}
"""Where the accounts of these tests hash to, of two shards."""


def say_positions(topics: Topics, version: int, quantity: str) -> None:
    """Every shard publishes the position of its account."""
    for account, shard in SHARD.items():
        topics.say(shard, POSITIONS, version, position(account, quantity), f"{account}|BTC-USDT-PERP")


def quantity(worker: Worker, account: str) -> str | None:
    """What a worker shows of an account; None when it does not."""
    answer = worker.get(f"/accounts/{account}/positions/BTC-USDT-PERP")
    return answer.json["position"]["view"]["quantity"] if answer.status == 200 else None


@pytest.fixture
def reader(topics: Topics, workers: Workers) -> Iterator[Worker]:
    """A worker without shards."""
    worker = workers.start(shards="off").ready().holds(0, 1)
    yield worker
    worker.stop()


def test_a_record_that_cannot_be_projected_goes_to_the_dead_letters_with_its_reason(
    reader: Worker, topics: Topics
) -> None:
    """The bytes are untouched, the headers say where they stood and why, and the records after it are projected."""
    topics.say(0, WALLETS, 1, b"no wallet", "carol|USDT")
    topics.say(0, WALLETS, 2, Wallet(account="carol", asset="USDT", balance="7"), "carol|USDT")
    eventually(lambda: reader.get("/accounts/carol").status == 200, "the wallet after it")
    (dead,) = topics.read("views.dlq")
    headers = dict(dead.headers)
    assert (dead.partition, dead.key, dead.value) == (0, b"carol|USDT", b"no wallet")
    assert headers["__connect.errors.topic"] == topics.connection.physical(WALLETS).encode()
    assert (headers["__connect.errors.partition"], headers["__connect.errors.offset"]) == (b"0", b"0")
    assert headers["__connect.errors.exception.class.name"] == b"malformed"
    assert headers["ce_id"] == b"0-wallets-1-carol|USDT"
    assert reader.metric("ringfence_read_dead_letters_total", topic="wallets") == 1


def test_gaps_and_contradictions_are_alarms_in_the_metrics(reader: Worker, topics: Topics) -> None:
    """C1 and C3, seen by whoever watches the metrics."""
    topics.say(0, MARGIN_CALLS, 1, margin_call(0, 1, "carol"), "carol")
    topics.say(0, MARGIN_CALLS, 1, margin_call(0, 1, "mallory"), "mallory")
    topics.say(0, MARGIN_CALLS, 3, margin_call(0, 3, "carol", "escalated", "2"), "carol")
    eventually(
        lambda: reader.metric("ringfence_read_records_total", topic="margin-calls", reading="after_gap") == 1, "a gap"
    )
    assert reader.metric("ringfence_read_records_total", topic="margin-calls", reading="contradicted") == 1
    assert [call["level"] for call in reader.get("/calls").json["calls"]] == ["2"]


def test_two_workers_share_the_shards_and_say_who_holds_which(topics: Topics, workers: Workers) -> None:
    """Each answers for its shard and sends on for the other's; when one is killed the other takes over its views.

    However the partitions move while thousands of records are on their way, none is lost.
    """
    for number in range(CROWD):
        for shard in SHARD.values():
            key = f"{number}|BTC-USDT-PERP"
            headers = list(standard_headers(shard, POSITIONS, key, "position", 0, 1))
            topics.send(POSITIONS, encode(position(str(number))), key, partition=shard, headers=headers)
    say_positions(topics, 1, "1")
    first, second = workers.start(shards="off"), workers.start(shards="off")
    topics.say(1, MARGIN_CALLS, 1, margin_call(1, 1, "alice"), "alice")
    topics.say(0, LIQUIDATIONS, 1, liquidation_started(0, 1, "carol"), "carol")
    eventually(lambda: {shards_of(first), shards_of(second)} == {(0,), (1,)}, "one shard each")
    held = {shards_of(worker)[0]: worker for worker in (first, second)}
    for account, shard in SHARD.items():
        answers_and_sends_on(held[shard], held[1 - shard], account)
    eventually(lambda: [worker.metric(OPEN) for worker in (first, second)] == 2 * [CROWD + 1], "nobody is lost")
    first.kill()
    say_positions(topics, 2, "2")
    second.holds(0, 1)
    eventually(lambda: [quantity(second, account) for account in SHARD] == ["2", "2"], "the newest views")
    assert called(second, "alice")
    assert [held["started"]["account"] for held in second.get("/liquidations").json["liquidations"]] == ["carol"]
    second.kill()
    restarted(topics, workers)


def answers_and_sends_on(there: Worker, away: Worker, account: str) -> None:
    """The worker that holds the account's shard answers, the other one says who that is."""
    eventually(lambda: quantity(there, account) == "1", f"{account} where it belongs")
    answer = away.get(f"/accounts/{account}")
    assert (answer.status, answer.json["error"]["code"]) == (307, "held_elsewhere")
    assert answer.location == f"{there.url}/accounts/{account}"
    assert away.get("/calls").json["elsewhere"] == {str(SHARD[account]): there.url}


def restarted(topics: Topics, workers: Workers) -> None:
    """After the last worker died one starts alone: rows come back, closed ones do not, and the rest is caught up."""
    topics.say(1, POSITIONS, 3, None, "alice|BTC-USDT-PERP")
    topics.say(1, MARGIN_CALLS, 2, margin_call(1, 2, "alice", "recovered", None), "alice")
    third = workers.start(shards="off").ready().holds(0, 1)
    eventually(lambda: third.metric(OPEN) == 2 * CROWD + 1, "the crowd, and carol")
    eventually(lambda: quantity(third, "carol") == "2", "the position that is open")
    eventually(lambda: third.get("/accounts/alice/positions/BTC-USDT-PERP").status == 404, "the one that closed")
    eventually(lambda: not called(third, "alice"), "no call is open")
    assert [held["started"]["account"] for held in third.get("/liquidations").json["liquidations"]] == ["carol"]
    assert third.metric("ringfence_read_records_total", reading="after_gap") == 0
    third.stop()


def called(worker: Worker, account: str) -> bool:
    """Whether a worker shows an open call of an account."""
    return any(call["account"] == account for call in worker.get("/calls").json["calls"])


def shards_of(worker: Worker) -> tuple[int, ...]:
    """The shards whose tables a worker holds."""
    answer = worker.get("/calls")
    return tuple(answer.json["shards"]) if answer.status == 200 else ()
