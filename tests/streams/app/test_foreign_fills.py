"""A venue's own topic, with other names, other keys, batches, and mistakes, attached by a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import FILLS
from tests.streams.app.cluster import Json, Topics, eventually
from tests.streams.app.test_node import INSTRUMENT, deposit
from tests.streams.app.workers import Workers

pytestmark = pytest.mark.xdist_group("foreign_fills")  # one venue's topic for both claims

EXAMPLE = Path(__file__).parents[3] / "examples" / "foreign_fills"
ACCOUNTS = [f"client{number}" for number in range(8)]
BATCHES, EACH = 80, 5


@pytest.fixture(scope="module")
def venue(topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The venue's topic of three partitions, and the example's mapping with only its names changed."""
    name = topics.foreign("venue.executions", 3)
    topics.foreign("venue.executions.dlq", 3)
    mapping = tmp_path_factory.mktemp("mapping") / "mapping.toml"
    mapping.write_text((EXAMPLE / "mapping.toml").read_text().replace('"venue.executions', f'"{name}'))
    return name, mapping


def execution(number: int, item: int) -> Json:
    """One execution of a lot of 0.001, without an id of its own in every second batch."""
    return {
        "kind": "TRADE",
        "client": {"id": ACCOUNTS[(number + item) % len(ACCOUNTS)]},
        "symbol": "XBTUSDTM",
        "direction": "B",
        "lots": 1,
        "px": 60000.5,
        **({"execution": f"x-{number}-{item}"} if number % 2 else {}),
    }


def batch(number: int) -> bytes:
    """A record of several executions."""
    executions = [execution(number, item) for item in range(EACH)]
    sent_at = "1970-01-01T00:00:00.000003Z"
    return json.dumps({"settlement": "USDT", "sent_at": sent_at, "executions": executions}).encode()


def ids_of(topics: Topics) -> set[str]:
    """The ids of all fills that were mapped."""
    return {json.loads(fill.value)["fill_id"] for fill in topics.read(FILLS)}


def test_foreign_batches_become_fills_once_each_whatever_dies(
    topics: Topics, workers: Workers, venue: tuple[str, Path]
) -> None:
    """400 executions in batches keyed by nothing of ours end as 0.4 bitcoin in eight accounts, across a kill -9.

    Every fill stands in the partition of its account; what the kill repeated has the same id, and counts once.
    """
    name, mapping = venue
    topics.publish([INSTRUMENT], timestamp_ms=1)
    topics.publish([deposit(account, "100000") for account in ACCOUNTS], timestamp_ms=2)
    for number in range(BATCHES):
        topics.send(name, batch(number), f"order-{number}", timestamp_ms=3)
    topics.flush()
    first = workers.start(mappings=str(mapping))
    eventually(lambda: len(topics.read(FILLS)) > BATCHES, "some fills")
    first.kill()
    second = workers.start(mappings=str(mapping)).ready()

    def quantities() -> list[str]:
        answers = [second.get(f"/accounts/{account}/positions/BTC-USDT-PERP") for account in ACCOUNTS]
        return [answer.json["position"]["view"]["quantity"] if answer.status == 200 else "0" for answer in answers]

    eventually(lambda: len(ids_of(topics)) == BATCHES * EACH, "every execution mapped")
    eventually(lambda: quantities() == ["0.05"] * 8, "every execution counted once")
    fills = topics.read(FILLS)
    assert all(fill.partition == partition_of(fill.key, topics.shards) for fill in fills)
    assert all(json.loads(fill.value)["account"].encode() == fill.key for fill in fills)
    assert {fill.timestamp for fill in fills} == {3}
    assert second.metric("ringfence_refusals_total") == 0
    second.stop()


def test_what_cannot_be_mapped_is_laid_aside_item_by_item_and_the_rest_goes_on(
    topics: Topics, workers: Workers, venue: tuple[str, Path]
) -> None:
    """One bad item of a batch does not hold back the others; a record that is no JSON is laid aside whole."""
    name, mapping = venue
    worker = workers.start(shards="off", mappings=str(mapping)).ready()
    before = len(topics.read(FILLS))
    good, bad = execution(1, 900), {**execution(1, 901), "symbol": "DOGEUSDTM"}
    value = json.dumps({"settlement": "USDT", "sent_at": "1970-01-01T00:00:00Z", "executions": [bad, good]}).encode()
    topics.send(name, value, "order")
    topics.send(name, b"not JSON", "order")
    topics.flush()
    dead = eventually(lambda: len(found := topics.read(f"{name}.dlq")) == 2 and found, "two dead letters")
    assert [record.value for record in dead] == [value, b"not JSON"]
    told = [dict(record.headers) for record in dead]
    assert [headers["__connect.errors.exception.class.name"] for headers in told] == [b"not_mapped", b"not_json"]
    assert [headers.get("ringfence.item") for headers in told] == [b"0", None]
    assert all(headers["__connect.errors.topic"] == name.encode() for headers in told)
    eventually(lambda: len(topics.read(FILLS)) == before + 1, "the good item")
    assert worker.metric("ringfence_mapped_records_total", mapping="venue", result="laid_aside") == 2
    worker.stop()
