"""The measurements stay alive: each runs at its smallest size.  How fast anything is, no test says."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.figures import SMALLEST, Figure, Target
from benchmarks.inputs import Inputs
from benchmarks.peers.plain import AveragePriceKeeper
from benchmarks.timing import Reading, Samples, Span


@pytest.mark.parametrize("name", program.MEASURES)
def test_every_measure_gives_figures_at_the_smallest_size(name: str) -> None:
    """Each measure ends, its made-up inputs are all accepted, and no two of its figures read the same."""
    found = program.in_own_process(program.MEASURES[name].run, SMALLEST, 1)
    assert found
    lines = [(figure.what, figure.unit) for figure in found if not figure.what.startswith(("the same", "peer", "in "))]
    assert len(lines) == len(set(lines))


def test_the_program_prints_the_conditions_and_writes_the_figures_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--only` chooses a measure; table and JSON file show its figures, under processor, load, Python and seed."""
    monkeypatch.setattr(program, "QUICK", SMALLEST)
    program.main(["--quick", "--only", "identities", "--seed", "7", "--json", str(tmp_path / "figures.json")])
    document = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert {"processor", "load average", "Python", "garbage collection", "inputs"} <= document["conditions"].keys()
    assert "seed 7" in document["conditions"]["inputs"]
    assert {figure["measure"] for figure in document["figures"]} == {"identities"}
    for figure in document["figures"]:
        assert figure["what"] in printed


def test_the_same_seed_makes_the_same_inputs() -> None:
    """Inputs are a function of the seed: equal for equal seeds, different for different ones."""
    one, again, other = (list(Inputs(seed).population(50)) for seed in (1, 1, 2))
    assert one == again != other


def test_the_peer_keeps_average_prices() -> None:
    """2 bought at 10 and 2 at 20 cost 60; selling 1 leaves 45; selling 5 more turns it: 2 sold at 30."""
    keeper = AveragePriceKeeper()
    for side, quantity, price in (("buy", 2, 10), ("buy", 2, 20), ("sell", 1, 30), ("sell", 5, 30)):
        fill = {"type": "fill", "fill_id": "f", "account": "a", "instrument": "I", "side": side, "time_us": 1}
        keeper.run([json.dumps({**fill, "quantity": str(quantity), "price": str(price)}).encode()])
        if quantity == 1:
            assert keeper.positions == {("a", "I"): (3 * 10**6, 45 * 10**12)}
    assert keeper.positions == {("a", "I"): (-2 * 10**6, -60 * 10**12)}
    assert keeper.counts == {"opened": 1, "grown": 1, "reduced": 1, "closed": 0, "turned": 1}


def test_a_median_ignores_one_slow_run_and_a_ratio_pairs_runs() -> None:
    """Runs of 10 things in 1, 2 and 9 s take 0.2 s a thing; against runs of 1 thing half as long the ratio is 0.2."""
    slow = Samples(10, [Span(1, 1), Span(2, 2), Span(9, 9)])
    short = Samples(1, [Span(0.5, 0.5), Span(1, 1), Span(4.5, 4.5)])
    assert slow.microseconds() == Reading(200_000, 200_000)
    assert slow.ratio_to(short) == Reading(0.2, 0.2)


def test_a_target_is_met_from_its_value_on() -> None:
    """At least 100 is met by 100 and missed by 99; at most 100 is met by 100 and missed by 101."""
    verdicts = [
        program.verdict(Figure("speed", Reading(value), "1/s", 1, target))
        for target, values in ((Target("at least", 100), (99, 100)), (Target("at most", 100), (100, 101)))
        for value in values
    ]
    assert verdicts == ["missed", "met", "met", "missed"]
