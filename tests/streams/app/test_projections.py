"""What a record of an output changes, and what it does not change the second time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from ringfence_schemas.outcomes import (
    Cause,
    Decision,
    InstrumentChanged,
    Outcome,
    RequirementAnnounced,
    RequirementChanged,
    Wallet,
    encode,
)
from ringfence_schemas.subscriber import Reading
from ringfence_schemas.topics import LIQUIDATIONS, MARGIN_CALLS, POSITIONS, RISK_PARAMETERS, WALLETS
from ringfence_streams.app.projections import OutputRecord, Projections, Tables, Unreadable
from tests.streams.app.outcomes import (
    liquidation_completed,
    liquidation_order,
    liquidation_started,
    margin_call,
    position,
)


class Rows(dict[tuple[int, str], bytes]):
    """A table without a changelog."""

    def find(self, partition: int, key: str) -> bytes | None:
        """A row."""
        return self.get((partition, key))

    def put(self, partition: int, key: str, value: bytes) -> None:
        """Set a row."""
        self[partition, key] = value

    def drop(self, partition: int, key: str) -> None:
        """Remove a row."""
        self.pop((partition, key), None)


class Desk:
    """Projections over plain tables."""

    def __init__(self) -> None:
        self.positions, self.wallets, self.calls = Rows(), Rows(), Rows()
        self.liquidations, self.instruments, self.numbers = Rows(), Rows(), Rows()
        self.decided: list[Decision] = []
        self.readings: Counter[Reading] = Counter()
        self.projections = self.restart()

    def restart(self) -> Projections:
        """Another worker goes on with the same tables."""
        tables = Tables(self.positions, self.wallets, self.calls, self.liquidations, self.instruments, self.numbers)
        self.projections = Projections(
            tables,
            decided=lambda _, decision: self.decided.append(decision),
            read=lambda _topic, _partition, reading: self.readings.update([reading]),
        )
        return self.projections

    def view(self, topic: str, version: int, key: str, outcome: Outcome | None, shard: int = 0) -> None:
        """A view arrives."""
        value = encode(outcome) if outcome is not None else None
        self.projections.apply(OutputRecord(topic, shard, key, value, {"version": str(version).encode()}))

    def decision(self, decision: Decision, topic: str = MARGIN_CALLS, shard: int = 0) -> None:
        """A decision arrives."""
        self.projections.apply(
            OutputRecord(topic, shard, "alice", encode(decision), {"ce_id": decision.id.encode()})  # type: ignore[arg-type]  # every decision is an outcome
        )


@pytest.fixture
def desk() -> Desk:
    """Empty tables."""
    return Desk()


def test_a_view_replaces_an_older_one_and_a_null_closes_it(desk: Desk) -> None:
    """The row of a position is its newest view; the row of a closed one is gone."""
    desk.view(POSITIONS, 3, "alice|BTC-USDT-PERP", position("alice", "1"))
    desk.view(POSITIONS, 5, "alice|BTC-USDT-PERP", position("alice", "2"))
    assert desk.positions[0, "alice|BTC-USDT-PERP"] == b"5 " + encode(position("alice", "2"))
    desk.view(POSITIONS, 6, "alice|BTC-USDT-PERP", None)
    assert not desk.positions


@pytest.mark.parametrize("restarted", [False, True])
def test_a_view_that_is_not_newer_changes_nothing(desk: Desk, restarted: bool) -> None:
    """C2: what a zombie wrote late, or a crash repeated, is skipped, also by a worker that just started."""
    desk.view(WALLETS, 5, "alice|USDT", Wallet(account="alice", asset="USDT", balance="7"))
    if restarted:
        desk.restart()
    for version in (4, 5):
        desk.view(WALLETS, version, "alice|USDT", Wallet(account="alice", asset="USDT", balance="0"))
    assert desk.wallets[0, "alice|USDT"].endswith(b'"balance":"7"}')
    assert desk.readings == {Reading.NEW: 1, Reading.REPEATED: 2}


def test_a_closed_position_is_not_opened_again_by_a_late_view(desk: Desk) -> None:
    """C2 holds for the null record as well."""
    desk.view(POSITIONS, 6, "alice|BTC-USDT-PERP", None)
    desk.view(POSITIONS, 5, "alice|BTC-USDT-PERP", position("alice"))
    assert not desk.positions


def test_a_call_is_open_until_it_recovers_or_closes(desk: Desk) -> None:
    """The row is the last decision of the case."""
    for number, status in enumerate(("called", "escalated", "eased"), start=1):
        desk.decision(margin_call(0, number, "alice", status))
        assert f'"status":"{status}"'.encode() in desk.calls[0, "alice|BTC-USDT-PERP"]
    desk.decision(margin_call(0, 4, "alice", "recovered", None))
    assert not desk.calls
    desk.decision(margin_call(0, 5, "alice"))
    desk.decision(margin_call(0, 6, "alice", "closed", None))
    assert not desk.calls


def test_a_liquidation_is_in_flight_from_its_start_to_its_completion(desk: Desk) -> None:
    """The row has the decisions by kind."""
    desk.decision(liquidation_started(0, 1, "alice"), LIQUIDATIONS)
    desk.decision(liquidation_order(0, 2, "alice"), LIQUIDATIONS)
    row = desk.liquidations[0, "alice|BTC-USDT-PERP|l1"]
    assert row.startswith(b'{"started":{"type":"liquidation_started"')
    assert b'"order":{"type":"liquidation_order"' in row
    desk.decision(liquidation_completed(0, 3, "alice"), LIQUIDATIONS)
    assert not desk.liquidations


def test_a_repeated_decision_is_skipped_and_other_bytes_under_its_number_are_an_alarm(desk: Desk) -> None:
    """C1 and C3: the first of two contradicting records stands."""
    desk.decision(margin_call(0, 1, "alice"))
    desk.decision(margin_call(0, 1, "alice"))
    desk.decision(margin_call(0, 1, "mallory"))
    assert [decision.id for decision in desk.decided] == ["0-margin-calls-1"]
    assert (0, "mallory|BTC-USDT-PERP") not in desk.calls
    assert desk.readings == {Reading.NEW: 1, Reading.REPEATED: 1, Reading.CONTRADICTED: 1}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_gap_is_an_alarm_and_what_follows_it_is_projected(desk: Desk, restarted: bool) -> None:
    """C1: number 3 after number 1 says that 2 was lost, also when a restart lies between."""
    desk.decision(margin_call(0, 1, "alice"))
    if restarted:
        desk.restart()
    desk.decision(margin_call(0, 3, "carol"))
    assert (0, "carol|BTC-USDT-PERP") in desk.calls
    assert desk.readings == {Reading.NEW: 1, Reading.AFTER_GAP: 1}


def test_what_is_read_again_after_a_kill_is_projected_again(desk: Desk) -> None:
    """A number says that nothing before it is missing, not that its rows were saved: they may not have been."""
    desk.decision(margin_call(0, 1, "alice"))
    desk.decision(margin_call(0, 2, "carol"))
    desk.calls.clear()  # the changelog of numbers was faster than that of calls
    desk.restart()
    desk.decision(margin_call(0, 1, "alice"))
    desk.decision(margin_call(0, 2, "carol"))
    desk.decision(margin_call(0, 3, "alice", "escalated", "2"))
    assert set(desk.calls) == {(0, "alice|BTC-USDT-PERP"), (0, "carol|BTC-USDT-PERP")}
    assert desk.readings == {Reading.NEW: 5}


def test_two_shards_may_say_the_same_about_an_instrument(desk: Desk) -> None:
    """Rows belong to the shard that wrote them, whatever their key."""
    for shard in (0, 1):
        desk.decision(margin_call(shard, 1, "alice"), shard=shard)
    assert set(desk.calls) == {(0, "alice|BTC-USDT-PERP"), (1, "alice|BTC-USDT-PERP")}


def test_an_instrument_has_its_last_change_announcement_and_rate(desk: Desk) -> None:
    """The rate of volatility in force stands beside the announcement of the next one and the version in force."""
    about: dict[str, Any] = {"time_us": 1, "cause": Cause(line=1), "instrument": "X", "parameters": 1}
    rates: dict[str, Any] = {"announcement": "X|v1|1", "old_rate": "0", "new_rate": "0.05"}
    rehearsed: dict[str, Any] = dict.fromkeys(("would_call_notional", "would_liquidate_notional"), "0")
    said = [
        InstrumentChanged(id=f"0-{RISK_PARAMETERS}-1", **about, version=1, previous_version=None),
        RequirementAnnounced(
            id=f"0-{RISK_PARAMETERS}-2", **about, **rates, **rehearsed, version=1, effective_us=9,
            would_call=0, would_liquidate=0,
        ),
        RequirementChanged(id=f"0-{RISK_PARAMETERS}-3", **about, **rates),
    ]  # fmt: skip
    for decision in said:
        desk.decision(decision, topic=RISK_PARAMETERS)
    row = orjson.loads(desk.instruments[0, "X"])
    assert (row["changed"]["version"], row["announced"]["effective_us"]) == (1, 9)
    assert row["requirement"]["new_rate"] == "0.05"


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (OutputRecord(POSITIONS, 0, "k", b"{}", {}), "no_version"),
        (OutputRecord(POSITIONS, 0, "k", b"{}", {"version": b"x"}), "no_version"),
        (OutputRecord(POSITIONS, 0, "k", b"{}", {"version": b"1"}), "malformed"),
        (OutputRecord(MARGIN_CALLS, 0, "k", None, {"ce_id": b"0-margin-calls-1"}), "no_value"),
        (OutputRecord(MARGIN_CALLS, 0, "k", b"{}", {}), "no_id"),
        (OutputRecord(MARGIN_CALLS, 0, "k", b"{}", {"ce_id": b"1-margin-calls-1"}), "wrong_stream"),
        (OutputRecord(MARGIN_CALLS, 0, "k", b"\xff", {"ce_id": b"0-margin-calls-1"}), "malformed"),
        (OutputRecord(MARGIN_CALLS, 0, "k", encode(position("a")), {"ce_id": b"0-margin-calls-1"}), "malformed"),
    ],
)
def test_what_is_no_outcome_is_unreadable_and_changes_nothing(desk: Desk, record: OutputRecord, code: str) -> None:
    """Each way to be wrong has its code, and the number that it claimed is still free."""
    with pytest.raises(Unreadable) as caught:
        desk.projections.apply(record)
    assert caught.value.code == code
    desk.decision(margin_call(0, 1, "alice"))
    assert desk.readings == {Reading.NEW: 1}
