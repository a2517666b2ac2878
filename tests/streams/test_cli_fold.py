"""Claims about `ringfence fold`: the filter from inputs to decisions."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence import snapshot
from ringfence.fold import Fold
from ringfence.ledger import Ledger
from ringfence.shard_state import Origin, State
from ringfence.state import Account, Asset
from ringfence_schemas.codes import CODES
from ringfence_schemas.inputs import Input
from ringfence_schemas.outcomes import Decision
from ringfence_streams.cli.console import PATIENCE_S
from ringfence_streams.cli.lines import opened_lines
from tests.core.agreement import agree
from tests.core.engines import FoldEngine
from tests.streams.command import LADDER, SCENARIOS, call, deposit, lines, objects, ringfence, start

SCENARIO_NAMES = ("gap", "ladder")

INSTRUMENT = {
    "type": "instrument",
    "instrument": "BTC",
    "version": 1,
    "contract": "linear",
    "settle_asset": "USDT",
    "price_tick": "0.1",
    "quantity_step": "0.001",
    "tiers": [{"floor": "0", "maintenance_rate": "0.01", "max_leverage": "10"}],
    "time_us": 1,
}

BAD_LINES = [
    # B1: numbers that are none, or none of ours
    (b'{"type":"tick","instrument":"BTC","price":"NaN","time_us":2}', "wrong_type"),
    (b'{"type":"tick","instrument":"BTC","price":"Infinity","time_us":2}', "wrong_type"),
    (b'{"type":"tick","instrument":"BTC","price":NaN,"time_us":2}', "malformed"),
    (b'{"type":"tick","instrument":"BTC","price":"1e999","time_us":2}', "out_of_range"),
    (b'{"type":"tick","instrument":"BTC","price":"-0","time_us":2}', "not_positive"),
    (b'{"type":"tick","instrument":"BTC","price":"cheap","time_us":2}', "wrong_type"),
    (b'{"type":"tick","instrument":"BTC","price":null,"time_us":2}', "missing_field"),
    (b'{"type":"tick","instrument":"BTC","price":"1000000000000000000000000000000","time_us":2}', "out_of_range"),
    (b'{"type":"tick","instrument":"BTC","price":"0.000000000000000000000000000001","time_us":2}', "out_of_range"),
    # B2: prices that may never liquidate anybody
    (b'{"type":"tick","instrument":"BTC","price":"0","time_us":2}', "not_positive"),
    (b'{"type":"tick","instrument":"BTC","price":"-5","time_us":2}', "not_positive"),
    # B19: bytes that are no input
    (b'{"type":"tick","instrument":"\xff","price":"1","time_us":2}', "malformed"),
    (b'{"type":"tick"', "malformed"),
    (b"null", "malformed"),
    (b'"tick"', "malformed"),
    (b'{"type":"tock","time_us":2}', "unknown_type"),
    (b'{"time_us":2}', "unknown_type"),
    (b'{"type":"tick","instrument":"BTC"}', "missing_field"),
    (b'{"type":"tick","instrument":"' + b"x" * 10_000_000 + b'","price":"1","time_us":2}', "bad_id"),
]


@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_the_filter_decides_what_was_worked_out_by_hand(name: str) -> None:
    """Decisions with their lines, every account, the ledger and the counts are those of the scenario; all invariants
    hold on the way.
    """
    stream = (SCENARIOS / f"{name}.in.jsonl").read_bytes()
    printed = objects(ringfence("fold", "--state", "--check", stdin=stream).stdout)
    agree(printed, objects((SCENARIOS / f"{name}.out.jsonl").read_bytes()), name)
    assert len(printed[-1]["state"]) == 32


def test_the_filter_prints_the_decisions_of_the_fold(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Line for line the decisions are those of a fold, cause included."""
    engine = FoldEngine()
    expected = [decision for line in LADDER.splitlines() for decision in engine.apply(line)]
    printed = objects(call(capfdbinary, "fold", SCENARIOS / "ladder.in.jsonl").stdout)
    assert printed == json.loads(json.dumps(expected))


def test_a_bad_line_is_a_refused_decision_with_its_line_number_and_changes_nothing(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Every bad line is refused under its code at its line, blank lines and comments are skipped, the state is that of
    the good lines alone, and the exit status is 0.
    """
    good = [INSTRUMENT, deposit(1), {"type": "tick", "instrument": "BTC", "price": "100", "time_us": 2_000_000}]
    bad = b"".join(b"\n# a comment\n \t\r\n" + line + b"\n" for line, _ in BAD_LINES)
    printed = objects(ringfence("fold", "--state", stdin=bad + lines(*good)).stdout)
    refused = [decision for decision in printed if decision["type"] == "refused"]
    assert [decision["code"] for decision in refused] == [code for _, code in BAD_LINES]
    assert [decision["cause"] for decision in refused] == [{"line": 4 * n} for n in range(1, len(BAD_LINES) + 1)]
    (tmp_path / "good.jsonl").write_bytes(lines(*good))
    alone = objects(call(capfdbinary, "fold", "--state", tmp_path / "good.jsonl").stdout)
    assert printed[-3:-1] == alone[-3:-1]
    assert printed[-1]["inputs"] == len(BAD_LINES) + len(good)
    assert printed[-1]["refused"] == len(BAD_LINES)
    assert {code for _, code in BAD_LINES} <= set(CODES)


def test_windows_line_ends_and_a_last_line_without_end_are_read_like_any_other(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The same decisions, hashes of refused bytes included, whatever ends a line."""
    stream, path = LADDER + b"nonsense\n" + lines(deposit(99)), tmp_path / "inputs.jsonl"
    printed = set()
    for text in (stream, stream.replace(b"\n", b"\r\n"), stream.rstrip(b"\n")):
        path.write_bytes(text)
        printed.add(call(capfdbinary, "fold", "--state", path).stdout)
    assert len(printed) == 1


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1 << 18])
def test_lines_are_the_same_however_their_bytes_arrive(
    chunk_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of any size give every line once, in order, under its own number."""
    monkeypatch.setattr("ringfence_streams.cli.lines.CHUNK_BYTES", chunk_bytes)
    text = b"one\n\n" + b"x" * 100 + b"\nlast"
    path = tmp_path / "text"
    path.write_bytes(text)
    with opened_lines(str(path)) as stream:
        found = [(number, line) for chunk in stream for number, line in enumerate(chunk.lines, chunk.first)]
    assert found == list(enumerate(text.split(b"\n"), start=1))


def test_a_decision_is_printed_before_more_input_is_waited_for() -> None:
    """A reader sees what a line decided while the writer still keeps the stream open."""
    with start("fold") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"type":"nonsense"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["cause"] == {"line": 1}
        process.stdin.write(b'{"type":"nonsense"}')
        process.stdin.close()
        assert json.loads(process.stdout.readline())["cause"] == {"line": 2}
        assert process.wait() == 0


def test_the_ledger_adds_its_postings_and_nothing_else(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With `--ledger` the postings stand among the same decisions, and no posting moves nothing."""
    decisions = objects(call(capfdbinary, "fold", SCENARIOS / "ladder.in.jsonl").stdout)
    printed = objects(call(capfdbinary, "fold", "--ledger", SCENARIOS / "ladder.in.jsonl").stdout)
    postings = [line for line in printed if line["type"] == "posting"]
    assert [line for line in printed if line["type"] != "posting"] == decisions
    assert [line["id"] for line in postings] == [f"0-ledger-{n}" for n in range(1, len(postings) + 1)]
    assert "0" not in {line["amount"] for line in postings}


# --------------------------------------------------------------------------------------------------- what --check finds


def money_from_nowhere(patch: pytest.MonkeyPatch) -> None:
    """A deposit without its counter-entry."""

    def deposit_from_nowhere(_ledger: Ledger, asset: Asset, account: str, amount: int) -> None:
        asset.wallets[account] = asset.wallets.get(account, 0) + amount

    patch.setattr(Ledger, "deposit", deposit_from_nowhere)


def an_overdrawn_wallet(patch: pytest.MonkeyPatch) -> None:
    """A fee a million times too high."""
    charge = Ledger.fee_from_wallet
    patch.setattr(
        Ledger, "fee_from_wallet", lambda self, asset, account, fee: charge(self, asset, account, fee * 10**6)
    )


def forgotten_ids(patch: pytest.MonkeyPatch) -> None:
    """A repetition that nobody recognises."""
    patch.setattr(Fold, "_repeats", lambda *_: False)


def a_snapshot_without_fees(patch: pytest.MonkeyPatch) -> None:
    """A snapshot that leaves out what was earned."""
    patch.setattr(snapshot, "_ASSET", tuple(field for field in snapshot._ASSET if field != "fees"))


def accounts_that_touch(patch: pytest.MonkeyPatch) -> None:
    """An account whose chain depends on how many others there were before it."""
    account = State.account

    def crowded(state: State, name: str) -> Account:
        found = account(state, name)
        found.sequence += len(state.accounts) if not found.sequence else 0
        return found

    patch.setattr(State, "account", crowded)


@pytest.mark.parametrize(
    ("name", "sabotage"),
    [
        ("I1", money_from_nowhere),
        ("I3", an_overdrawn_wallet),
        ("I7", forgotten_ids),
        ("I8", a_snapshot_without_fees),
        ("I9", accounts_that_touch),
    ],
)
def test_check_stops_at_a_broken_invariant_and_names_it(
    name: str,
    sabotage: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status 1 and the name of the invariant; without the sabotage the same stream passes."""
    path = tmp_path / "inputs.jsonl"
    path.write_bytes(LADDER + b"nonsense\n" + lines(deposit(19, "bob"), deposit(20, "carol")))
    assert call(capfdbinary, "fold", "--check", path).status == 0
    sabotage(monkeypatch)
    called = call(capfdbinary, "fold", "--check", path)
    assert called.status == 1
    assert re.match(rf"ringfence: invariant_broken: .*: {name}: ", called.stderr), called.stderr


def test_a_fault_of_the_engine_stops_it_after_what_was_decided_before(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A programmer's error names its line and has status 1; the decisions of the lines before are printed."""
    apply = Fold.apply

    def faulty(fold: Fold, event: Input, origin: Origin, position: int) -> list[Decision]:
        assert position != 3, "sabotage"
        return apply(fold, event, origin, position)

    monkeypatch.setattr(Fold, "apply", faulty)
    path = tmp_path / "inputs.jsonl"
    path.write_bytes(b"nonsense\n" + lines(*[deposit(n) for n in range(1, 4)]))
    called = call(capfdbinary, "fold", path)
    assert called.status == 1
    assert [decision["cause"] for decision in objects(called.stdout)] == [{"line": 1}]
    assert "engine_fault: line 3: AssertionError: sabotage" in called.stderr


# ------------------------------------------------------------------------------------------------------- how it may end


def test_input_that_cannot_be_read_is_status_2(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A missing file and a folder are named, with what to do."""
    for path, reason in ((tmp_path / "absent.jsonl", "No such file"), (tmp_path, "Is a directory")):
        called = call(capfdbinary, "fold", path)
        assert called.status == 2
        assert f"input_unreadable: {path}: {reason}" in called.stderr
    with (tmp_path / "empty").open("wb") as write_only, start("fold", stdin=write_only) as process:
        assert process.wait() == 2
        assert process.stderr is not None
        assert b"input_unreadable: standard input" in process.stderr.read()


def test_nobody_reading_ends_the_filter_quietly() -> None:
    """`ringfence fold | head -1` ends with the status of a broken pipe and no complaint."""
    with start("fold") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"nonsense\n" * 1_000)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE


def test_an_interrupt_ends_the_filter_quietly() -> None:
    """Ctrl-C while it waits for input: status 130, no traceback."""
    with start("fold") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"nonsense\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait() == 130


def test_progress_is_shown_on_a_terminal_and_only_after_a_second() -> None:
    """A terminal on stderr sees nothing at first, then how much was folded."""
    terminal, slave = pty.openpty()
    with start("fold", stdout=subprocess.DEVNULL, stderr=slave, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(slave)
        assert process.stdin is not None
        shown, number, started = b"", 0, time.monotonic()
        while b"Folding" not in shown and time.monotonic() < started + 30:
            number += 1
            process.stdin.write(lines(deposit(number)))
            process.stdin.flush()
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 1_000)
        process.stdin.close()
    os.close(terminal)
    assert b"Folding" in shown
    assert time.monotonic() - started > PATIENCE_S
