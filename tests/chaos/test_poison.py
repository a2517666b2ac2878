"""B19, B20 over a real broker: whatever stands on an input topic, it is named and kept, and everything else goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import VIEW_TOPICS
from tests.chaos.cluster import Topics
from tests.chaos.conftest import MakeTopics
from tests.chaos.engines import ringfence
from tests.chaos.judge import ACCOUNT_TOPICS, BROADCAST_TOPICS, judge
from tests.chaos.reference import assert_undisturbed
from tests.chaos.watching import Watch
from tests.chaos.workload import Input, Market, account, publish

Tell = Callable[[str, object], None]

LARGEST_INPUT_BYTES = 400_000
FIRST_MS = 50_000_000
"""The timestamp of the first poisoned record: after the market."""

POISON: dict[str, bytes] = {
    "invalid UTF-8": b'{"type": "tick", "instrument": "\xff\xfe"}',
    "no JSON": b"not json at all",
    "cut short": b'{"type": "deposit", "transfer_id": "t',
    "empty": b"",
    "a zero byte": b"\x00",
    "a number": b"42",
    "a list": b"[]",
    "null": b"null",
    "no type": b'{"account": "ann"}',
    "wrong type": b'{"type": "teapot"}',
    "type is a number": b'{"type": 7}',
    "missing fields": b'{"type": "deposit", "account": "ann"}',
    "deep": b'{"type": "tick", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "large": b'{"type": "tick", "instrument": "' + b"X" * 500_000 + b'"}',
    "almost a megabyte": b'{"type": "fill", "fill_id": "' + b"9" * 1_000_000 + b'"}',
    "binary": bytes(range(256)) * 16,
    "another schema": b"\x00\x00\x00\x00\x01\x02Avro",
}
"""Values that are no input, by what is wrong with them."""

FILL = {
    "type": "fill",
    "fill_id": "u",
    "account": "ann",
    "side": "buy",
    "quantity": "1",
    "price": "1",
    "time_us": 9_000_000,
}

REFUSED: dict[str, tuple[str, bytes]] = {
    "NaN": ("ticks", b'{"type": "tick", "instrument": "BTC-USDT-PERP", "price": "NaN", "time_us": 1}'),
    "a float without end": ("ticks", b'{"type": "tick", "instrument": "BTC-USDT-PERP", "price": 1e999, "time_us": 1}'),
    "price zero": ("ticks", b'{"type": "tick", "instrument": "BTC-USDT-PERP", "price": "0", "time_us": 1}'),
    "negative amount": (
        "deposits",
        b'{"type": "deposit", "transfer_id": "n", "account": "ann", "asset": "USDT", "amount": "-1", "time_us": 1}',
    ),
    "unknown instrument": (
        "fills",
        json.dumps({**FILL, "instrument": "NO"}).encode(),
    ),
}
"""Inputs that can be read and are refused all the same."""


def poisoned(topics: Topics) -> list[Input]:
    """Every poison on every topic and partition, also without key, also without value."""
    records: list[Input] = []
    for topic in ACCOUNT_TOPICS + BROADCAST_TOPICS:
        for partition in range(topics.partitions(topic)):
            for number, value in enumerate([*POISON.values(), None]):
                key = None if number % 3 == 0 else b"\xff" if number % 3 == 1 else b"key"
                headers = (("traceparent", b"\xff\xfe"), ("traceparent", b"twice"), ("x", b""))
                at_ms = FIRST_MS + len(records)
                records.append(Input(topic, key, value, at_ms, partition, headers))  # type: ignore[arg-type]  # null is poison
    for topic, value in REFUSED.values():
        records.append(Input(topic, b"ann", value, FIRST_MS + len(records), 0))
    return records


def test_poison_on_every_topic_is_kept_untouched_with_its_reason_and_stops_nothing(
    make_topics: MakeTopics, record_property: Tell
) -> None:
    """Each record that cannot be read stands on `<topic>.dlq`, byte for byte, once; what comes after it is folded."""
    topics = make_topics(2)
    market = Market("poison")
    publish(topics, market.inputs(200))
    records = poisoned(topics)
    publish(topics, records)
    healthy = Input("deposits", account(1).encode(), b"", FIRST_MS + len(records))
    event = {"type": "deposit", "transfer_id": "after", "account": account(1), "asset": "USDT", "amount": "7"}
    publish(topics, [healthy._replace(value=json.dumps({**event, "time_us": 900_000_000}).encode())])
    with ringfence(topics, "run", "--clock", "events", "--drain") as drained:
        assert drained.wait() == 0, drained.said()
    contents = topics.read()
    verdicts = judge(contents, 2)
    assert_undisturbed(verdicts, contents)
    dead = [r for (topic, _), found in contents.items() if topic.endswith(".dlq") for r in found]
    refused = {value for _, value in REFUSED.values()}
    for topic in ACCOUNT_TOPICS + BROADCAST_TOPICS:
        sent = [record.value or b"" for record in records if record.topic == topic]
        kept = [letter.value or b"" for letter in dead if letter.topic == f"{topic}.dlq"]
        assert sorted(value for value in kept if value not in refused) == sorted(
            value for value in sent if value not in refused and len(value) <= LARGEST_INPUT_BYTES
        ), topic
    for letter in dead:
        headers = {name: value.decode() for name, value in letter.headers if name.startswith("__connect")}
        place = int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"])
        original = next(r for r in contents[headers["__connect.errors.topic"], place[0]] if r.offset == place[1])
        assert (original.value or b"") == letter.value
        assert headers["__connect.errors.exception.message"]
    codes = sum((verdict.codes for verdict in verdicts), start=type(verdicts[0].codes)())
    assert codes["too_large"] == 2 * (3 * 2 + 2), "two poisons on three topics of two partitions and two of one"
    assert sum(b'"after"' in (r.value or b"") for r in contents["deposits", partition_of(account(1).encode(), 2)]) == 1
    record_property("dead letters", len(dead))
    record_property("refusals", sum(codes.values()))


def test_a_record_on_the_wrong_partition_is_refused_and_folded_by_nobody(
    make_topics: MakeTopics, record_property: Tell
) -> None:
    """B20: a producer with another partitioner is told so, on every account topic; the accounts do not change."""
    topics = make_topics(2)
    market = Market("partition")
    inputs = market.inputs(300)
    publish(topics, inputs)
    strays = [
        each._replace(partition=1 - partition_of(each.key, 2), timestamp_ms=FIRST_MS + number)
        for number, each in enumerate(market.records(market.event() for _ in range(200)))
        if each.topic in ACCOUNT_TOPICS
    ]
    with ringfence(topics, "run", "--clock", "events", "--drain") as drained:
        assert drained.wait() == 0, drained.said()
    before = topics.read()
    with ringfence(topics, "run", "--clock", "events") as running, Watch(topics) as watch:
        for shard in range(2):
            running.owns(shard)
        publish(topics, strays)  # only now: an engine that finds them when it starts refuses the topic
        watch.caught_up()
        assert running.terminate() == 0, running.said()
    contents = topics.read()
    verdicts = judge(contents, 2)
    for place, found in contents.items():
        if place[0] in VIEW_TOPICS:
            assert found == before[place], "no account has changed"
    assert {topic for topic, *_ in strays} == set(ACCOUNT_TOPICS)
    assert sum(verdict.codes["wrong_partition"] for verdict in verdicts) == len(strays)
    assert not any(found for (topic, _), found in contents.items() if topic.endswith(".dlq")), "it can be read"
    record_property("refused", len(strays))


@pytest.mark.whole("the poison above is drained; this one stands in the way of a running engine")
def test_poison_under_a_running_engine_delays_nobody(make_topics: MakeTopics, record_property: Tell) -> None:
    """Between healthy inputs, while the engine runs: healthy ones are folded within seconds."""
    topics = make_topics(1)
    market = Market("running poison")
    publish(topics, market.inputs(100))
    with ringfence(topics, "run", "--clock", "events") as running, Watch(topics) as watch:
        running.owns()
        waits = []
        for number in range(5):
            poison = [Input("ticks", b"key", value, FIRST_MS + number) for value in POISON.values()]
            publish(topics, [*poison, *market.records(market.event() for _ in range(50))])
            began = time.monotonic()
            watch.caught_up()
            waits.append(time.monotonic() - began)
        assert running.terminate() == 0, running.said()
    contents = topics.read()
    judge(contents)
    record_property("folded after", f"{max(waits):.1f} s at most")
