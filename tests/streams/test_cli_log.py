"""Claims about the commands over a log: publish, run, tail, status, verify."""

import json
import os
import signal

import pytest

from ringfence_schemas.topics import INPUT_TOPICS
from tests.core.agreement import agree
from tests.core.desk import instrument
from tests.streams.command import LADDER, SCENARIOS, Folder, call, deposit, eventually, lines, objects, ringfence, start

Capture = pytest.CaptureFixture[bytes]

NO_TOPIC = (b"nonsense", b'{"type":"tock"}')
"""Lines that belong to no topic."""

UNUSABLE = (b'{"type":"fill","account":"alice"}', b'{"type":"deposit","account":"alice","time_us":"noon"}')
"""Lines of a known type that are no input."""


@pytest.fixture
def ladder(folder: Folder) -> Folder:
    """A log on which a whole scenario was folded."""
    folder.publish(LADDER)
    folder.drain()
    return folder


# --------------------------------------------------------------------------------------------------------- publish


def test_inputs_are_published_untouched_to_the_topics_of_their_types(folder: Folder) -> None:
    """Each line stands on the topic of its type, byte for byte and in order, and the counts are told."""
    told = folder.publish(b"# a comment\n\n" + LADDER.replace(b"\n", b"\r\n")).stderr
    published = {topic: folder.call("tail", topic).stdout.splitlines() for topic in INPUT_TOPICS}
    assert sorted(line for topic in published.values() for line in topic) == sorted(LADDER.splitlines())
    assert {json.loads(line)["type"] for line in published["commands"]} == {"add_margin", "remove_margin"}
    assert published["fills"] == [line for line in LADDER.splitlines() if b'"fill"' in line]
    assert "published commands 2, deposits 1, fills 5, instruments 3, ticks 7, through line 20" in told


def test_a_line_without_a_topic_is_reported_with_its_number_and_fails_the_command(folder: Folder) -> None:
    """Both such lines are named with their codes; everything else is published; the status is 2."""
    stream = NO_TOPIC[0] + b"\n" + LADDER + NO_TOPIC[1] + b"\n"
    told = folder.publish(stream, status=2).stderr
    assert "line 1: malformed: " in told
    assert "line 20: unknown_type: " in told
    assert "lines_rejected: 2 lines" in told
    assert sum(len(folder.tail(topic)) for topic in INPUT_TOPICS) == len(LADDER.splitlines())


def test_lines_without_a_topic_can_be_kept_and_forgiven(folder: Folder) -> None:
    """`--rejects` keeps their bytes, `--keep-going` makes the status 0; they are reported all the same."""
    rejects = folder.path / "rejects.jsonl"
    told = folder.publish(b"\n".join((*NO_TOPIC, LADDER)), "--rejects", str(rejects), "--keep-going").stderr
    assert rejects.read_bytes().splitlines() == list(NO_TOPIC)
    assert "line 2: unknown_type: " in told


def test_an_unusable_input_of_a_known_type_is_published_refused_and_kept(folder: Folder) -> None:
    """Its bytes go to its topic; the engine refuses it and keeps them, untouched, as a dead letter."""
    folder.publish(b"\n".join(UNUSABLE) + b"\n")
    folder.drain()
    assert [decision["code"] for decision in folder.tail("refusals")] == ["missing_field", "missing_field"]
    for topic, line in zip(("fills", "deposits"), UNUSABLE, strict=True):
        (letter,) = folder.tail(f"{topic}.dlq")
        assert letter["value"] == json.loads(line)
        assert letter["headers"]["__connect.errors.exception.class.name"] == "missing_field"


# ------------------------------------------------------------------------------------------------- run, tail, status


def test_the_engine_over_a_log_decides_what_the_filter_decides(ladder: Folder, capfdbinary: Capture) -> None:
    """The decisions on the topics are those of `ringfence fold`, number by number, but for where they came from."""
    filtered = objects(call(capfdbinary, "fold", SCENARIOS / "ladder.in.jsonl").stdout)
    topics = ("risk-parameters", "margin-calls", "liquidations", "refusals")
    on_log = [decision for topic in topics for decision in ladder.tail(topic)]
    for decision in filtered + on_log:
        decision["cause"] = decision["cause"].get("due_us")
    assert sorted(on_log, key=lambda d: d["id"]) == sorted(filtered, key=lambda d: d["id"])


def test_the_status_of_a_log_is_that_of_the_fold(ladder: Folder) -> None:
    """Counts, chain, lag, marks and what is open, before and after more is published."""
    ladder.publish(lines(deposit(20, "bob")))
    (found,) = objects(ladder.call("status", "--json").stdout)
    agree([found["counts"]], [{"inputs": 18, "applied": 14, "already_applied": 1, "refused": 3, "outcomes": 11}], "")
    assert (found["epoch"], found["seq"], found["released"], found["clock"]) == (1, 3, True, "events")
    assert {source["topic"]: source["lag"] for source in found["sources"] if source["lag"]} == {"deposits": 1}
    assert found["outputs"] == {"margin-calls": 2, "liquidations": 5, "risk-parameters": 1, "refusals": 3}
    assert found["marks"] == [
        {
            "instrument": "BTC-USDT-PERP",
            "mark_price": "56500",
            "time_us": 17_000_000,
            "age_us": 1_000_000,
            "settled": False,
            "stale": False,
        }
    ]
    frame = ladder.tail("journal", "--from", "-1")[0]
    assert found["head"] == frame["hash"]
    text = ladder.call("status").stdout.decode()
    assert f"epoch 1, seq 3, head {frame['hash']}" in text
    assert "18: 14 applied, 1 already applied, 3 refused" in text


def test_the_status_says_which_mark_is_stale(folder: Folder) -> None:
    """A second after the only tick of X, which counts for ten microseconds, the mark is there and stale."""
    folder.publish(
        lines(
            instrument(mark={"max_age_us": 10}),
            {"type": "tick", "instrument": "X", "price": "100", "time_us": 2},
            deposit(1),
        )
    )
    folder.drain()
    (found,) = objects(folder.call("status", "--json").stdout)
    assert [(mark["mark_price"], mark["stale"], mark["settled"]) for mark in found["marks"]] == [("100", True, False)]
    (line,) = (line for line in folder.call("status").stdout.decode().splitlines() if line.split()[:2] == ["X", "100"])
    assert line.split()[-1] == "stale"


def test_a_frame_of_the_journal_is_readable(ladder: Folder) -> None:
    """Epoch, inputs and release: the frames form a chain, and the inputs stand in them as they were sent."""
    opening, batch, release = ladder.tail("journal")
    assert [frame["kind"] for frame in (opening, batch, release)] == ["epoch", "batch", "release"]
    assert opening["opening"]["settings"]["clock"] == "events"
    assert [item["value"] for item in batch["inputs"]] == objects(LADDER)
    assert (batch["prev"], release["prev"]) == (opening["hash"], batch["hash"])


def test_tail_begins_where_it_is_told(ladder: Folder) -> None:
    """An offset, the last two, the end, and everything."""
    everything = ladder.tail("liquidations")
    assert ladder.tail("liquidations", "--from", "3") == everything[3:]
    assert ladder.tail("liquidations", "--from", "-2") == everything[-2:]
    assert ladder.tail("liquidations", "--from", "end") == []
    assert [record["value"] for record in ladder.tail("liquidations", "--envelope")] == everything


def test_tail_follows_what_is_published_later(ladder: Folder) -> None:
    """A waiting `tail --follow` prints a new record once it is there, and an interrupt ends it."""
    with start("tail", "--log", ladder.log, "wallets", "--follow", stdin=None) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["account"] == "alice"
        ladder.publish(lines(deposit(20, "bob")))
        ladder.drain()
        assert json.loads(following.stdout.readline())["account"] == "bob"
        following.send_signal(signal.SIGINT)
        assert following.wait() == 130


def test_a_log_of_two_shards_is_run_and_verified_as_one(folder: Folder) -> None:
    """Each account lives on one shard, both shards are verified, and another number of shards is refused."""
    accounts = [f"account-{number}" for number in range(8)]
    folder.publish(lines(*[deposit(n, account) for n, account in enumerate(accounts)]), "--shards", "2")
    folder.drain()
    shards = objects(folder.call("status", "--json").stdout)
    assert all(shard["accounts"] for shard in shards)
    assert sum(shard["accounts"] for shard in shards) == len(accounts)
    assert {wallet["account"] for wallet in folder.tail("wallets")} == set(accounts)
    assert [found["frames"] for found in objects(folder.call("verify", "--json").stdout)] == [3, 3]
    assert "log_unsuitable" in folder.call("run", "--shards", "3", "--drain", status=1).stderr


# ------------------------------------------------------------------------------------------------------------ verify


def test_a_log_that_nobody_touched_verifies(ladder: Folder) -> None:
    """Everything is counted, and the head and the state are those of the status."""
    (found,) = objects(ladder.call("verify", "--json").stdout)
    (status,) = objects(ladder.call("status", "--json").stdout)
    assert {name: found[name] for name in ("head", "state", "epoch", "seq")} == {
        name: status[name] for name in ("head", "state", "epoch", "seq")
    }
    assert (found["frames"], found["inputs"], found["account_links"]) == (3, 18, 5)
    assert found["decisions"] == status["outputs"]
    assert "every asset sums to zero" in ladder.call("verify").stdout.decode()


# ---------------------------------------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize("command", ["tail", "status", "verify"])
def test_a_log_that_is_not_there_is_not_made_by_reading_it(command: str, folder: Folder) -> None:
    """Status 2, the path is named, and no file appears."""
    told = folder.call(command, *(["fills"] if command == "tail" else []), status=2).stderr
    assert "log_missing" in told
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("kafka://localhost:1", "log_unavailable"),
        ("kafka:localhost", "bad_address"),
        ("redis://localhost", "unknown_scheme"),
        ("risk.db", "unknown_scheme"),
        ("sqlite:", "bad_address"),
        ("sqlite:/nowhere/at/all/risk.db", "log_unavailable"),
    ],
)
def test_an_address_that_leads_nowhere_is_explained(address: str, code: str, capfdbinary: Capture) -> None:
    """Status 2, a stable code, and what to write instead."""
    called = call(capfdbinary, "run", "--log", address, "--drain")
    assert called.status == 2
    assert called.stderr.startswith(f"ringfence: {code}: ")
    assert len(called.stderr.splitlines()) == 2


def test_a_file_of_something_else_is_no_log(folder: Folder) -> None:
    """A text file is refused and left as it is."""
    (folder.path / "risk.db").write_text("not a database, and longer than its header would be" * 10)
    assert "log_unsuitable" in folder.call("run", "--drain", status=2).stderr


def test_the_log_may_be_named_by_the_environment(
    ladder: Folder, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RINGFENCE_LOG stands for `--log`; without either the command says so."""
    assert "no_log" in call(capfdbinary, "verify").stderr
    monkeypatch.setenv("RINGFENCE_LOG", ladder.log)
    assert call(capfdbinary, "verify").status == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("tail", "fils"), "unknown_topic"),
        (("tail", "fills", "--partition", "1"), "no_such_partition"),
        (("tail", "fills", "--from", "noon"), "bad_offset"),
        (("run", "--id-window", "a while"), "bad_duration"),
        (("run", "--shard", "1"), "no_such_shard"),
    ],
)
def test_arguments_that_make_no_sense_are_explained(arguments: tuple[str, ...], code: str, ladder: Folder) -> None:
    """Status 2, and a stable code."""
    assert f"ringfence: {code}: " in ladder.call(*arguments, status=2).stderr


def test_messages_are_json_lines_on_request(ladder: Folder, capfdbinary: Capture) -> None:
    """Wherever `--json-logs` stands every line on stderr is an object with time, level and message."""
    for arguments in (["--json-logs", "run"], ["run", "--json-logs"]):
        done = ringfence(*arguments, "--log", ladder.log, "--drain", "--clock", "events")
        told = objects(done.stderr)
        assert [line["state"] for line in told] == ["following", "owner", "stopped"]
        assert all({"time", "level", "message"} <= set(line) for line in told)
    told = objects(call(capfdbinary, "--json-logs", "status", "--log", "none:").stderr.encode())
    assert [(line["level"], line["code"]) for line in told] == [("error", "unknown_scheme")]
    assert os.environ.get("RINGFENCE_JSON_LOGS") is None


def test_an_engine_that_waits_for_inputs_folds_them_as_they_come(folder: Folder) -> None:
    """What is published while the engine runs is decided by it."""
    with start("run", "--log", folder.log, "--clock", "events", stdin=None) as engine:
        assert engine.stderr is not None
        assert [engine.stderr.readline() for _ in range(2)][-1] == b"ringfence: shard 0: owner\n"
        folder.publish(lines(deposit(1)))
        eventually(lambda: bool(folder.tail("wallets")), "the deposit is folded")
        engine.terminate()
        assert engine.wait() == 0
        assert engine.stderr.read() == b"ringfence: shard 0: stopped after 1 input\n"
    assert folder.tail("journal")[-1]["kind"] == "release"
