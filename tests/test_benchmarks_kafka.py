"""The benchmark over Kafka: its load, its checks and its report.  How fast anything is, no test says."""

import json
import struct
from pathlib import Path

import pytest

from benchmarks.figures import Target
from benchmarks.kafka import __main__ as program
from benchmarks.kafka import report
from benchmarks.kafka.contest import Result, require_sums
from benchmarks.kafka.contestants import PEERS_BY_NAME
from benchmarks.kafka.load import Book, Load, Outgoing, books, outgoing
from benchmarks.kafka.ours import differences
from benchmarks.kafka.programs import ProgramFailed
from benchmarks.kafka.scale import SMALLEST
from benchmarks.kafka.shares import Share, of_samples
from benchmarks.peers.book import NOTHING, after
from ringfence_schemas.topics import DEPOSITS, FILLS, INSTRUMENTS, TICKS


def fill(account: str, side: str, quantity: str, price: str) -> dict[str, str]:
    """A fill as it stands on the wire, but its time."""
    terms = {"side": side, "quantity": quantity, "price": price}
    return {"type": "fill", "fill_id": "f", "account": account, "instrument": "I", **terms}


def sent(**fields: object) -> Outgoing:
    """An input on its way to its topic."""
    return outgoing(json.dumps({**fields, "time_us": 7}).encode())


FILLS_OF_TWO = [fill("a", "buy", "0.002", "10.5"), fill("b", "sell", "1", "3"), fill("a", "sell", "0.005", "20.1")]
SUMS_OF_TWO = {"a": Book(-3, 2 * 105 - 5 * 201, 2), "b": Book(-1_000, -30_000, 1)}


def test_the_same_seed_makes_the_same_load() -> None:
    """Beginning and measured part are functions of the seed: equal for equal seeds, different for different ones."""
    one, again, other = (Load(seed, 20, 100) for seed in (1, 1, 2))
    assert (one.beginning, one.mixed) == (again.beginning, again.mixed)
    assert one.mixed != other.mixed


def test_a_load_has_a_wallet_for_each_account_and_so_many_ticks_and_fills() -> None:
    """20 accounts and 100 events: 20 deposits before them, 100 ticks and fills, and the first tick of the market."""
    counts = Load(1, 20, 100).counts()
    assert (counts[DEPOSITS], counts[INSTRUMENTS], counts[TICKS] + counts[FILLS]) == (20, 2, 101)
    assert min(counts[TICKS], counts[FILLS]) > 30


def test_an_input_is_addressed_by_what_it_says() -> None:
    """A fill goes to `fills` under its account, a tick to `ticks` under its instrument."""
    assert sent(**FILLS_OF_TWO[1])[:2] == (FILLS, b"b")
    assert sent(type="tick", instrument="I", price="1")[:2] == (TICKS, b"I")


def test_the_fills_of_an_account_add_up_exactly() -> None:
    """0.002 bought at 10.5 and 0.005 sold at 20.1 are -0.003 at a cost of -0.0795; the other account is its own."""
    assert books(sent(**each) for each in FILLS_OF_TWO) == SUMS_OF_TWO


def test_a_peer_in_python_adds_up_what_the_load_does() -> None:
    """The fold that Faust and Quix Streams run comes to the load's own sums."""
    positions: dict[str, tuple[int, int, int]] = {}
    for each in FILLS_OF_TWO:
        positions[each["account"]] = after(positions.get(each["account"], NOTHING), each)
    assert {account: Book(*position) for account, position in positions.items()} == SUMS_OF_TWO


@pytest.mark.parametrize(
    "found",
    [
        {"a": SUMS_OF_TWO["a"]},
        {**SUMS_OF_TWO, "c": Book(0, 0, 0)},
        {**SUMS_OF_TWO, "b": SUMS_OF_TWO["b"]._replace(cost=-30_001)},
        {**SUMS_OF_TWO, "b": SUMS_OF_TWO["b"]._replace(fills=2)},
    ],
)
def test_a_peer_that_adds_up_wrongly_fails(found: dict[str, Book]) -> None:
    """An account that is missing, one too many, a cost that is off by one unit, a fill that counted twice."""
    require_sums(dict(SUMS_OF_TWO), SUMS_OF_TWO)
    with pytest.raises(ProgramFailed, match="1 accounts differ"):
        require_sums(found, SUMS_OF_TWO)


def test_a_position_that_differs_from_the_sums_is_counted_and_a_closed_one_is_none() -> None:
    """An account whose fills net to nothing has no view; a wrong, a missing and a needless view are three findings."""
    assert differences({"a": 5}, {"a": 5, "closed": 0}) == 0
    assert differences({"a": 5, "needless": 1}, {"a": 4, "missing": 2}) == 3


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("faust", b'"a"', b"[-3,-795,2]"),
        ("quix", b'"a"|"position"', b"[-3,-795,2]"),
        ("kafka-streams-rocksdb", b"a", struct.pack(">qqq", -3, -795, 2)),
        ("kafka-streams-memory", b"a", struct.pack(">qqq", -3, -795, 2)),
    ],
)
def test_the_changelog_of_each_peer_is_read(name: str, key: bytes, value: bytes) -> None:
    """Each peer keeps the position of account a in its own form."""
    assert PEERS_BY_NAME[name].entry(key, value) == ("a", SUMS_OF_TWO["a"])


def result(contestant: str, inputs: int, seconds: float) -> Result:
    """What a contestant did."""
    return Result(contestant, contestant.title(), "", inputs, seconds, 1.0, 2**20, "checked")


def test_ratios_are_of_rates_and_say_whether_they_are_met() -> None:
    """100 inputs in 1 s to 100 in 2 s are 2 x, as asked of Quix; Faust is to be twenty times slower, and is not."""
    found = report.ratios([result("ours", 100, 1), result("quix", 100, 2), result("faust", 100, 19)])
    assert [(figure.value, figure.verdict) for figure in found] == [(2, "met"), (19, "missed")]
    assert report.ratios([result("quix", 100, 2)]) == []


def test_a_figure_reads_the_same_in_a_table_of_the_documentation() -> None:
    """Value and unit, the target in words, the verdict; what has no number says what it has to."""
    figures = [report.Figure("wait", 12.345, "ms", Target("at most", 15)), report.Figure("state", None, "checked")]
    lines = report.markdown(figures).splitlines()
    assert lines[2:] == ["| wait | 12.3 ms | at most 15 ms | met |", "| state | checked |  |  |"]


def test_a_profile_leaves_start_and_recovery_out() -> None:
    """Three samples of folding and one of publishing are 75 and 25 per cent, however long the start took."""
    samples = {"folding": 3, "publishing": 1, "recovery": 90, "other": 200}
    assert of_samples(samples) == [Share("folding", 75), Share("publishing", 25)]


def test_the_engine_and_a_peer_fold_the_same_topics_of_a_real_broker(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the smallest size: both come to the load's sums, calls reach a subscriber, the JSON file has all of it."""
    monkeypatch.setattr(program, "QUICK", SMALLEST)
    chosen = [word for name in ("ours", "faust", "latency", "profile") for word in ("--only", name)]
    status = program.main(["--quick", "--broker", kafka, "--json", str(tmp_path / "found.json"), *chosen])
    printed = capsys.readouterr().out
    assert status == 0, printed
    document = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {"processor", "memory", "broker", "Java of the peers"} <= document["conditions"].keys()
    assert document["figures"].keys() == {"ours", "faust", "ratios", "latency", "profile"}
    assert "journal verified" in printed
    assert "5 calls" in printed
