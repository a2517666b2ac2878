"""A whole node: facts go in on topics, answers come out of its web server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ringfence_schemas.frames import decode_frame
from ringfence_schemas.topics import JOURNAL
from ringfence_streams.app.metrics import NAMES
from tests.streams.app.cluster import Json, Topics, eventually
from tests.streams.app.workers import Worker, Workers

pytestmark = pytest.mark.xdist_group("node")  # one node for all claims

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "faust-app.md"
INSTRUMENT: Json = {
    "type": "instrument",
    "instrument": "BTC-USDT-PERP",
    "version": 1,
    "contract": "linear",
    "settle_asset": "USDT",
    "price_tick": "0.1",
    "quantity_step": "0.001",
    "tiers": [{"floor": "0", "maintenance_rate": "0.004", "max_leverage": "125"}],
    "default_leverage": "20",
    "margin_call_levels": ["3"],
    "time_us": 1,
}


def deposit(account: str, amount: str = "5000") -> Json:
    """Money from outside."""
    return {
        "type": "deposit",
        "transfer_id": "d1",
        "account": account,
        "asset": "USDT",
        "amount": amount,
        "time_us": 2,
    }


def fill(account: str, number: int = 1, quantity: str = "1") -> Json:
    """A purchase at 60000."""
    return {
        "type": "fill",
        "fill_id": f"f{number}",
        "account": account,
        "instrument": "BTC-USDT-PERP",
        "side": "buy",
        "quantity": quantity,
        "price": "60000",
        "time_us": 3,
    }


def tick(price: str, time_us: int) -> Json:
    """One price."""
    return {"type": "tick", "instrument": "BTC-USDT-PERP", "price": price, "time_us": time_us}


@pytest.fixture(scope="module")
def node(topics: Topics, workers: Workers) -> Worker:
    """A node that has folded the story of alice (shard 1) and carol (shard 0), who are called at 57500."""
    topics.publish([INSTRUMENT], timestamp_ms=1)
    topics.publish([deposit("alice"), deposit("carol"), deposit("dave")], timestamp_ms=2)
    topics.publish([fill("alice"), fill("carol")], timestamp_ms=3)
    topics.publish([tick("57500", 4)], timestamp_ms=4)
    worker = workers.start().ready()
    eventually(lambda: len(worker.get("/calls").json.get("calls", [])) == 2, "both calls")
    return worker


def test_an_account_is_shown_with_its_wallets_positions_and_calls(node: Worker) -> None:
    """Alice put 3000 of 5000 behind one bitcoin, and was called at a liquidation price of 57228.9."""
    alice = eventually(lambda: node.get("/accounts/alice").json, "alice")
    assert alice["account"] == "alice"
    assert [wallet["view"]["balance"] for wallet in alice["wallets"]] == ["2000"]
    assert [position["view"]["collateral"] for position in alice["positions"]] == ["3000"]
    assert [(call["status"], call["liquidation_price"]) for call in alice["calls"]] == [("called", "57228.9")]


def test_a_position_is_shown_with_the_call_that_concerns_it(node: Worker) -> None:
    """The view is the published one; the call is the last decision of the case."""
    answer = node.get("/accounts/carol/positions/BTC-USDT-PERP").json
    assert answer["position"]["view"]["status"] == "called"
    assert answer["call"]["case_id"] == answer["position"]["view"]["case_id"]
    assert answer["liquidations"] == []


def test_an_instrument_is_counted_by_every_shard(node: Worker) -> None:
    """Each shard counts its own accounts: one position and one call on either of them."""
    shards = node.get("/instruments/BTC-USDT-PERP").json["shards"]
    assert {name: (shard["positions"], shard["calls"]) for name, shard in shards.items()} == {"0": (1, 1), "1": (1, 1)}
    assert shards["0"]["changed"]["version"] == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/accounts/nobody", 404, "no_such_account"),
        ("/accounts/dave/positions/BTC-USDT-PERP", 404, "no_such_position"),
        ("/instruments/DOGE", 404, "no_such_instrument"),
        ("/nothing/here", 404, "no_such_path"),
    ],
)
def test_what_is_unknown_is_answered_with_404_and_its_own_code(node: Worker, path: str, status: int, code: str) -> None:
    """Nobody has to read a message to tell what is missing."""
    answer = node.get(path)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_the_server_is_only_read(node: Worker) -> None:
    """Whatever would change something is answered with 405, coded like every other error."""
    answer = node.get("/calls", method="DELETE")
    assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")


def test_the_metrics_are_those_of_the_table_in_the_guide(node: Worker) -> None:
    """Names and labels are those of the documentation, none more or less; the numbers are those of the story."""
    told = set(re.findall(r"^# TYPE (\S+)", node.get("/metrics").body.decode(), re.MULTILINE))
    assert {name.removesuffix("_total") for name in told} == NAMES.keys()
    rows = dict(re.findall(r"^\| `(ringfence_\w+)` \| ([^|]*?) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE))
    documented = {
        name + ("_total" if metric.kind == "counter" else ""): ", ".join(f"`{label}`" for label in metric.labels)
        for name, metric in NAMES.items()
    }
    assert rows == documented
    eventually(lambda: node.metric("ringfence_open_calls") == 2, "two calls")
    eventually(lambda: node.metric("ringfence_inputs_total") == 7 + 2, "the instrument and the tick on both shards")
    measured, frames = "ringfence_commit_latency_seconds_count", "ringfence_frames_total"
    eventually(lambda: node.metric(measured) == node.metric(frames), "as many measured as committed")
    assert node.metric("ringfence_shard_mode", mode="owning") == 2
    eventually(lambda: node.metric("ringfence_read_lag_records") == 0, "nothing left to project")


def test_refusals_are_counted_by_code(node: Worker, topics: Topics) -> None:
    """Every refused input of a committed frame is one of its code's."""
    before = node.metric("ringfence_refusals_total", code="unknown_instrument")
    topics.publish([{**fill("alice", 9), "instrument": "DOGE"}], timestamp_ms=5)
    eventually(
        lambda: node.metric("ringfence_refusals_total", code="unknown_instrument") == before + 1, "one more refusal"
    )


def test_a_read_side_that_stands_still_never_slows_a_shard(node: Worker, topics: Topics) -> None:
    """With the whole worker frozen by SIGSTOP its shards go on committing frames, and are asked for them afterwards."""
    inputs = node.metric("ringfence_inputs_total")
    node.pause()
    try:
        for number in range(20, 60):
            topics.publish([fill("alice", number, "0.001")], timestamp_ms=6)
        last = "the last fill is on the chain while nobody reads the reports"
        eventually(lambda: any(b'"f59"' in frame.value for frame in topics.read(JOURNAL)), last)
    finally:
        node.resume()
    eventually(lambda: node.metric("ringfence_inputs_total") >= inputs + 40, "the reports that were missed")
    assert node.metric("ringfence_shard_stood_down_total") == 0


def test_views_survive_a_kill_of_the_worker(node: Worker, workers: Workers, topics: Topics) -> None:
    """After kill -9 the next worker shows the same views, and its shards go on with the same chain.

    Asked to stop, it hands both shards over: the last frame of either is a release frame.
    """
    topics.publish([{**fill("dave", 1, "0.125"), "margin": "2000"}], timestamp_ms=6)
    eventually(lambda: node.get("/accounts/dave/positions/BTC-USDT-PERP").status == 200, "every fill so far")
    before = node.get("/accounts/alice").body, node.get("/calls").body
    node.kill()
    again = workers.start().ready()
    eventually(lambda: again.metric("ringfence_shard_mode", mode="owning") == 2, "the shards are owned again")
    assert (again.get("/accounts/alice").body, again.get("/calls").body) == before
    topics.publish([tick("57200", 7)], timestamp_ms=7)
    liquidations = eventually(lambda: again.get("/liquidations").json["liquidations"], "a liquidation")
    assert {held["started"]["account"] for held in liquidations} <= {"alice", "carol"}
    again.stop()
    heads = {frame.partition: decode_frame(frame.value) for frame in topics.read(JOURNAL)}
    assert {shard: head.kind for shard, head in heads.items()} == {0: "release", 1: "release"}
