"""Claims about `ringfence topics` and about what an engine refuses to start on."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from functools import partial

import pytest
from kafka.partitioner.default import murmur2

from ringfence_schemas.frames import Frame, FrameInput, Published, Settings, SourceRange, encode_frame
from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPICS
from ringfence_streams.errors import LogUnsuitable
from ringfence_streams.kafka.administration import Administration, Partition, Topic
from ringfence_streams.kafka.findings import Severity
from ringfence_streams.kafka.specs import CONFIGS, ROLES, SHARDED_TOPICS, specs
from ringfence_streams.kafka.suitability import check_health, check_start, check_topics, frame_bytes
from ringfence_streams.motion import MotionSettings
from tests.streams.command import Json, call, eventually, objects, ringfence
from tests.streams.kafka.conftest import KafkaFolder
from tests.test_tidy import ROOT


def findings(on_kafka: KafkaFolder, *arguments: str, status: int) -> list[Json]:
    """What `topics check` finds."""
    return objects(on_kafka.topics("check", "--json", *arguments, status=status).stdout)


def finds(on_kafka: KafkaFolder, expected: list[tuple[str, str, str]]) -> bool:
    """Whether `topics check` finds exactly this, each with a remedy; changes take a moment to reach a broker."""
    printed = objects(call(on_kafka.capture, "topics", "check", "--json", "--log", on_kafka.log).stdout)
    assert all(each["message"] and each["remedy"] for each in printed)
    return sorted((each["code"], each["severity"], each["subject"]) for each in printed) == sorted(expected)


def test_topics_are_made_as_the_table_says_and_suit_the_engine(on_kafka: KafkaFolder) -> None:
    """Every topic of the table exists with its partitions and settings; `check` has nothing to say; made twice, nothing
    changes.
    """
    made = objects(on_kafka.topics("create", "--shards", "3", "--json").stdout)
    assert {each["topic"]: each["result"] for each in made} == dict.fromkeys(ROLES, "created")
    described = {each["topic"]: each for each in objects(on_kafka.topics("describe", "--json").stdout)}
    for spec in specs(3):
        assert described[spec.topic]["partitions"] == spec.partitions == (3 if spec.topic in SHARDED_TOPICS else 1)
        assert spec.configs.items() <= described[spec.topic]["configs"].items()
    assert findings(on_kafka, status=0) == []
    assert on_kafka.topics("check").stdout == b"Every topic suits the engine\n"
    again = objects(on_kafka.topics("create", "--json").stdout)
    assert {(each["result"], each["partitions"]) for each in again} == {("there", 3), ("there", 1)}


def test_what_differs_is_reported_and_altered_only_when_told(on_kafka: KafkaFolder) -> None:
    """A topic with other settings stays as it is until `--alter`; a larger limit will do; partitions never change."""
    on_kafka.topics("create", "--shards", "2")
    on_kafka.configure("journal", retention_ms="1000", max_message_bytes="9999999")
    eventually(partial(finds, on_kafka, [("journal_expires", "error", "journal")]), "the journal has other settings")
    told = on_kafka.topics("create", "--shards", "3").stdout.decode()
    assert "journal: differs: partitions 2, not 3, retention.ms 1000, not -1\n" in told
    assert "max.message.bytes" not in told
    on_kafka.topics("create", "--alter")
    eventually(partial(finds, on_kafka, []), "the journal is mended")
    assert "journal: there\n" in on_kafka.topics("create").stdout.decode()


def test_inputs_are_kept_for_as_long_as_is_asked(on_kafka: KafkaFolder) -> None:
    """`--input-retention` is that of the inputs alone, and a day of it is enough."""
    on_kafka.topics("create", "--input-retention", "36h")
    described = objects(on_kafka.topics("describe", "--json").stdout)
    kept = {each["topic"]: each["configs"]["retention.ms"] for each in described if each["topic"] in INPUT_TOPICS}
    assert kept == dict.fromkeys(INPUT_TOPICS, str(36 * 3_600_000))
    assert findings(on_kafka, status=0) == []


def test_a_description_for_people_is_a_table(on_kafka: KafkaFolder) -> None:
    """One line a topic, with what it holds; where there is nothing, what to do."""
    assert b"ringfence topics create" in on_kafka.topics("describe").stdout
    on_kafka.topics("create", "--input-retention", "90s")
    on_kafka.append("fills", 0, b"ann", b"{}")
    lines = [line.split() for line in on_kafka.topics("describe").stdout.decode().splitlines()]
    assert [line[1] for line in lines if line[0].endswith("fills")] == ["input"]
    assert [line[-4:] for line in lines if line[0].endswith(".fills")] == [["90000", "ms", "1,048,576", "1"]]
    assert [line[-3:] for line in lines if line[0].endswith("positions")] == [["h", "2,097,152", "0"]]


CHANGES: list[list[tuple[str, str, str, Json]]] = [
    [
        ("compacted", "error", "fills", {"cleanup_policy": "compact,delete"}),
        ("compacted", "error", "journal", {"cleanup_policy": "compact"}),
        ("inputs_expire", "warning", "ticks", {"retention_ms": "60000"}),
        ("insync_impossible", "error", "snapshots", {"min_insync_replicas": "2"}),
        ("mending_too_short", "warning", "positions", {"min_compaction_lag_ms": "0"}),
        ("not_compacted", "warning", "wallets", {"cleanup_policy": "delete", "retention_ms": "-1"}),
        ("outcomes_expire", "warning", "refusals", {"retention_ms": "604800000"}),
        ("records_too_small", "error", "fills.dlq", {"max_message_bytes": "400000"}),
        ("timestamp_type", "warning", "deposits", {"message_timestamp_type": "LogAppendTime"}),
    ],
    [
        ("journal_expires", "error", "journal", {"retention_ms": "3600000"}),
        ("records_too_small", "error", "wallets", {"max_message_bytes": "100000"}),
        ("timestamp_limit", "warning", "commands", {"message_timestamp_before_max_ms": "3600000"}),
    ],
    [
        ("journal_expires", "warning", "journal", {"retention_ms": "604800000"}),
        ("unclean_election", "warning", "liquidations", {"unclean_leader_election_enable": "true"}),
    ],
    [("journal_expires", "warning", "journal", {"retention_bytes": "1000000000"})],
    [("records_too_small", "error", "journal", {"max_message_bytes": "1048588"})],
]


def test_every_difference_that_matters_is_found_with_its_remedy(on_kafka: KafkaFolder) -> None:
    """Each change is found under its code, as bad as it is, on its topic; an error makes the status 1.  Altered back,
    nothing is left to say.
    """
    on_kafka.topics("create", "--shards", "2")
    for changes in CHANGES:
        for _, _, topic, configs in changes:
            on_kafka.configure(topic, **configs)
        expected = [(code, severity, topic) for code, severity, topic, _ in changes]
        eventually(partial(finds, on_kafka, expected), f"{expected} are found")
        on_kafka.topics("check", status=any(severity == "error" for _, severity, _ in expected))
        on_kafka.topics("create", "--alter")
        eventually(partial(finds, on_kafka, []), f"{expected} are mended")


def test_a_topic_that_is_missing_is_found_and_made(on_kafka: KafkaFolder) -> None:
    """Without one of its topics an engine cannot work."""
    on_kafka.topics("create")
    on_kafka.delete("ledger")
    eventually(partial(finds, on_kafka, [("topic_missing", "error", "ledger")]), "it is missing")
    on_kafka.topics("create")
    eventually(partial(finds, on_kafka, []), "it is there")


def test_a_topic_with_other_partitions_is_refused(on_kafka: KafkaFolder) -> None:
    """All sharded topics have as many partitions as the journal, or as is said; the text names them once."""
    on_kafka.topics("create", "--shards", "2")
    on_kafka.admin.create_partitions({on_kafka.connection.physical("fills"): 4})
    eventually(partial(finds, on_kafka, [("partitions", "error", "fills")]), "fills has more partitions")
    on_kafka.admin.create_partitions({on_kafka.connection.physical("deposits"): 4})
    both = [("partitions", "error", topic) for topic in ("deposits", "fills")]
    eventually(partial(finds, on_kafka, both), "deposits has more partitions")
    text = on_kafka.topics("check", status=1).stdout.decode()
    assert text.startswith("error: deposits, fills: it has 4 partitions, the log has 2 shards (partitions)\n  ")
    assert len(findings(on_kafka, "--shards", "4", status=1)) == len(SHARDED_TOPICS) - 2


def test_an_engine_refuses_to_start_on_topics_that_would_give_wrong_results(on_kafka: KafkaFolder) -> None:
    """The refusal lists every error with its remedy, and no warning; mended, the same check passes."""
    settings = Settings(shards=2)
    on_kafka.topics("create", "--shards", "2")
    check_start(on_kafka.connection, settings, MotionSettings())
    on_kafka.configure("refusals", retention_ms="604800000")
    eventually(partial(finds, on_kafka, [("outcomes_expire", "warning", "refusals")]), "refusals expire")
    check_start(on_kafka.connection, settings, MotionSettings())
    on_kafka.configure("journal", cleanup_policy="compact")
    on_kafka.configure("fills.dlq", max_message_bytes="1000")
    both = [("compacted", "error", "journal"), ("records_too_small", "error", "fills.dlq")]
    eventually(partial(finds, on_kafka, [*both, ("outcomes_expire", "warning", "refusals")]), "both are changed")
    with pytest.raises(LogUnsuitable) as refused:
        check_start(on_kafka.connection, settings, MotionSettings())
    for said in ("journal: it is compacted", "set cleanup.policy to delete", "fills.dlq: max.message.bytes is 1000"):
        assert said in str(refused.value)
    assert "refusals" not in str(refused.value)
    with pytest.raises(LogUnsuitable, match="the log has 3 shards"):
        check_start(on_kafka.connection, replace_shards(settings, 3), MotionSettings())


def replace_shards(settings: Settings, shards: int) -> Settings:
    """Settings of another number of shards."""
    return Settings(shard=settings.shard, shards=shards)


def test_keys_on_other_partitions_than_their_own_are_found(on_kafka: KafkaFolder) -> None:
    """A stray record is a warning; a topic whose producers partition in another way is refused."""
    on_kafka.topics("create", "--shards", "2")
    accounts = [f"account-{number}".encode() for number in range(9)]
    for account in accounts:
        on_kafka.append("fills", own_partition(account, 2), account, b"{}")
    assert findings(on_kafka, status=0) == []
    on_kafka.append("fills", 1 - own_partition(b"ann", 2), b"ann", b"{}")
    (stray,) = findings(on_kafka, status=0)
    assert (stray["code"], stray["severity"], stray["subject"]) == ("misplaced_keys", "warning", "fills")
    for account in accounts * 2:
        on_kafka.append("fills", 1 - own_partition(account, 2), account, b"{}")
    (foreign,) = findings(on_kafka, status=1)
    assert (foreign["code"], foreign["subject"]) == ("foreign_partitioner", "fills")
    with pytest.raises(LogUnsuitable, match="murmur2"):
        check_start(on_kafka.connection, Settings(shards=2), MotionSettings())


def own_partition(key: bytes, partitions: int) -> int:
    """Where kafka-python puts a key, as Java does."""
    number: int = murmur2(key)
    return (number & 0x7FFFFFFF) % partitions


def topic(name: str, *, replicas: int = 3, in_sync: int = 3, leader: int | None = 1, **configs: str) -> Topic:
    """A topic of a larger cluster, as the table makes it but for what is given."""
    partition = Partition(0, leader, tuple(range(replicas)), tuple(range(in_sync)))
    changed = {key.replace("_", "."): value for key, value in configs.items()}
    held = {**CONFIGS[ROLES[name]], "min.insync.replicas": "2", **changed}
    return Topic(name, name, "", (partition,), held, None)


def test_copies_are_judged_by_what_may_fail() -> None:
    """Three copies of which two acknowledge are right; fewer than the brokers allow, or one that acknowledges alone,
    is a warning.
    """

    def found(brokers: int, **changes: object) -> set[str]:
        topics = {name: topic(name, **changes) for name in ROLES}  # type: ignore[arg-type]  # as the test says
        return {each.code for each in check_topics(topics, MotionSettings(), shards=1, brokers=brokers)}

    assert found(3) == set()
    assert found(5) == set()
    assert found(3, min_insync_replicas="1") == {"acknowledged_alone"}
    assert found(3, replicas=2, min_insync_replicas="1") == {"replication"}
    assert found(1, replicas=1, min_insync_replicas="1") == set()


def test_partitions_that_cannot_be_written_are_found() -> None:
    """Without a leader, or with too few replicas in sync, a partition stands still; with one fewer it only warns."""

    def found(**changes: object) -> list[tuple[str, Severity]]:
        changed = topic("journal", **changes)  # type: ignore[arg-type]  # as the test says
        return [(each.code, each.severity) for each in check_health([changed])]

    assert found() == []
    assert found(in_sync=2) == [("under_replicated", Severity.WARNING)]
    assert found(in_sync=1) == [("not_enough_replicas", Severity.ERROR)]
    assert found(in_sync=0, leader=None) == [("no_leader", Severity.ERROR)]


def test_what_a_user_may_not_do_is_found() -> None:
    """An engine reads every topic and writes all but the inputs."""
    held = {name: replace(topic(name), operations=frozenset({"READ", "DESCRIBE"})) for name in ROLES}
    found = list(check_topics(held, MotionSettings(), shards=1, brokers=3))
    assert {each.code for each in found} == {"not_authorized"}
    assert {each.subject for each in found} == set(ROLES) - set(INPUT_TOPICS)


@pytest.mark.parametrize("broadcast_partitions", [1, 100])
def test_the_largest_frame_fits_into_the_record_that_is_asked_for(broadcast_partitions: int) -> None:
    """F4: no batch that the settings allow is larger than `frame_bytes`, whatever its times, offsets and headers."""
    motion, late = MotionSettings(), 2**62
    sources = [SourceRange("instruments", p, late, late, late, bytes(16)) for p in range(broadcast_partitions)]
    sources += [SourceRange(topic, 2**15, late, late, late, bytes(16)) for topic in sorted(ACCOUNT_TOPICS)]
    count = motion.batch_inputs
    share = motion.batch_bytes // (count - 1)
    rest = motion.batch_bytes - (count - 2) * share
    sizes = [share] * (count - 2) + [rest - 1, motion.input_bytes]
    inputs = [FrameInput(len(sources) - 1, late, late, bytes(size), "0" * 55) for size in sizes]
    published = [Published(topic, late, late) for topic in ROLES]
    frame = Frame(1, "batch", late, late, bytes(32), late, inputs, sources, published, late, bytes(16), bytes(16))
    size = len(encode_frame(frame))
    assert size < frame_bytes(motion, 1 << 20)
    assert frame_bytes(motion, 1 << 20) < 1.1 * size
    assert frame_bytes(motion, 1_000) < frame_bytes(motion, motion.input_bytes)


def test_a_cluster_that_cannot_be_used_is_a_problem_with_status_2(on_kafka: KafkaFolder) -> None:
    """Nobody listens, no cluster is named, the cluster refuses: a code, what is wrong, and no trace of Python."""
    refused = ringfence("topics", "describe", "--log", "kafka://127.0.0.1:1", status=2).stderr
    assert refused.startswith(b"ringfence: log_unavailable: The cluster at 127.0.0.1:1 does not answer: ")
    for log in ("sqlite:risk.db", "kafka:nowhere"):
        assert call(on_kafka.capture, "topics", "check", "--log", log).status == 2
    assert "no_cluster" in call(on_kafka.capture, "doctor", "--log", "sqlite:risk.db").stderr
    assert "log_unsuitable" in on_kafka.topics("create", "--replication", "9", status=2).stderr


def test_topics_may_have_other_names(
    on_kafka: KafkaFolder, monkeypatch: pytest.MonkeyPatch, kafka: str, prefix: str
) -> None:
    """A configuration file renames a topic, and every command goes by it."""
    properties = on_kafka.path / "client.properties"
    properties.write_text(f"topic.fills={prefix}their-executions\n")
    monkeypatch.setenv("RINGFENCE_KAFKA_CONFIG", str(properties))
    on_kafka.topics("create")
    named = {each["topic"]: each["name"] for each in objects(on_kafka.topics("describe", "--json").stdout)}
    assert named["fills"] == f"{prefix}their-executions"
    with Administration(on_kafka.connection) as administration:
        assert set(administration.topics(ROLES)) == set(ROLES) - {"fills"}
    assert json.loads(on_kafka.topics("create", "--json").stdout.splitlines()[4])["result"] == "there"


def test_every_finding_is_explained_and_no_other() -> None:
    """The tables of the guide have the codes of the source, each as bad as it can be there."""
    used: dict[str, set[str]] = {}
    for name in ("suitability", "diagnosis"):
        source = (ROOT / "streams/ringfence_streams/kafka" / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    func=ast.Name(id="error" | "warning" | "finding" as kind), args=[ast.Constant(str(code)), *_]
                ):
                    used.setdefault(code, set()).update({"error", "warning"} if kind == "finding" else {kind})
    guide = (ROOT / "docs/guide/checking-a-cluster.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (error|warning|error, warning) \|", guide, flags=re.MULTILINE)
    assert {code: set(severities.split(", ")) for code, severities in rows} == used
