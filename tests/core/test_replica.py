"""A replica: frames in, outcomes out, and who says what about inputs that cannot stand."""

import json

import msgspec
import pytest

from ringfence.hashing import digest_of
from ringfence.replica import FrameOutcomes, OutcomeRecord, Replica, ViewRecord
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import INPUT_TOPICS
from tests.core.desk import instrument
from tests.core.engines import Json

SHARDS = 3


def encoded(*events: Json) -> list[bytes]:
    """Inputs as bytes, each a microsecond after the one before unless it states its time."""
    return [json.dumps({"time_us": number, **event}).encode() for number, event in enumerate(events, 1)]


def fold(
    replica: Replica, topic: str, *data: bytes, partition: int = 0, seq: int = 1, start: int = 0, timestamp_us: int = 0
) -> FrameOutcomes:
    """Fold one frame of records of one partition."""
    end = start + len(data)
    items = [FrameInput(0, delta, timestamp_us, value) for delta, value in enumerate(data)]
    return replica.fold_inputs(seq, 0, [SourceRange(topic, partition, start, end, end - 1, b"")], items)


def listed(settings: Settings, **options: object) -> Replica:
    """A replica that lists X."""
    replica = Replica(settings)
    fold(replica, "instruments", *encoded(instrument(**options)))
    return replica


def trading(settings: Settings, account: str = "ann", **options: object) -> Replica:
    """A replica on which an account holds ten contracts of X bought at 100 with 100 of margin."""
    replica, partition = listed(settings, **options), partition_of(account.encode(), settings.shards)
    money = {"type": "deposit", "transfer_id": "d", "account": account, "asset": "USDT", "amount": "500"}
    bought = {"fill_id": "f", "account": account, "instrument": "X", "side": "buy", "quantity": "10", "price": "100"}
    fold(replica, "deposits", *encoded(money), partition=partition)
    fold(replica, "fills", *encoded({"type": "fill", "margin": "100", **bought}), partition=partition)
    return replica


def said(record: OutcomeRecord | ViewRecord) -> Json:
    """What a record says."""
    decision: Json = msgspec.json.decode(record.value or b"null")
    return decision


def tick(price: str, **fields: object) -> Json:
    """A price of X."""
    return {"type": "tick", "instrument": "X", "price": price, **fields}


def account_of(shard: int) -> str:
    """An account that hashes to this shard."""
    return next(name for name in map("a{}".format, range(99)) if partition_of(name.encode(), SHARDS) == shard)


def test_bytes_that_cannot_be_read_go_untouched_to_the_dead_letters() -> None:
    """Beside the refusal the original bytes are published on `<topic>.dlq`, numbered, with topic, partition, offset,
    code and message in the headers that Kafka Connect uses.
    """
    replica, data = Replica(Settings()), b"\xff no JSON"
    first = fold(replica, "fills", data, start=41)
    second = fold(replica, "fills", b"{}", start=42)
    refused, letter = first.records
    assert (refused.topic, refused.number, said(refused)["code"]) == ("refusals", 1, "malformed")
    assert said(refused)["input_hash"] == digest_of(data).hex()
    assert (letter.topic, letter.type, letter.number, letter.value) == ("fills.dlq", "dead_letter", 1, data)
    headers = dict(letter.headers)
    assert {name.removeprefix("__connect.errors."): value for name, value in headers.items()} == {
        "topic": b"fills",
        "partition": b"0",
        "offset": b"41",
        "exception.class.name": b"malformed",
        "exception.message": said(refused)["message"].encode(),
    }
    assert [record.number for record in second.records] == [2, 2]
    assert replica.fold.state.time_us == 0


@pytest.mark.parametrize("topic", [topic for topic in INPUT_TOPICS if topic != "ticks"])
def test_a_type_that_travels_on_another_topic_is_refused(topic: str) -> None:
    """A tick anywhere but on `ticks` is `unknown_type` there, and a dead letter; on `ticks` it is a price."""
    replica = listed(Settings())
    refused, letter = fold(replica, topic, *encoded(tick("100"))).records
    assert (said(refused)["code"], letter.topic) == ("unknown_type", f"{topic}.dlq")
    assert fold(replica, "ticks", *encoded(tick("100"))).records == []
    assert replica.fold.state.books["X"].mark is not None


def test_an_account_in_a_partition_it_does_not_hash_to_is_refused() -> None:
    """With several shards an account belongs to one partition.  In another it is `wrong_partition`, named in the
    refusal, and no dead letter: its bytes are sound.
    """
    settings, account = Settings(shard=1, shards=SHARDS), account_of(2)
    money = {"type": "deposit", "transfer_id": "d", "account": account, "asset": "USDT", "amount": "5"}
    (refused,) = fold(Replica(settings), "deposits", *encoded(money), partition=1).records
    assert (said(refused)["code"], refused.key) == ("wrong_partition", account)
    home = Replica(Settings(shard=2, shards=SHARDS))
    assert [record.type for record in fold(home, "deposits", *encoded(money), partition=2).records] == ["wallet"]


def test_an_input_too_large_to_journal_is_refused_by_its_hash() -> None:
    """Of an input of two megabytes the frame holds hash and size: it is `too_large`, told apart by that hash."""
    item = FrameInput(0, 0, 0, bytes(range(16)), omitted_bytes=2_000_000)
    source = SourceRange("fills", 0, 7, 8, 7, b"")
    (refused,) = Replica(Settings()).fold_inputs(1, 0, [source], [item]).records
    assert said(refused)["code"] == "too_large"
    assert said(refused)["input_hash"] == bytes(range(16)).hex()
    assert "2000000 bytes" in said(refused)["message"]
    assert said(refused)["cause"] == {"topic": "fills", "partition": 0, "offset": 7}


@pytest.mark.parametrize("data", [b"no JSON", *encoded(tick("1"), tick("word"))])
def test_of_what_every_shard_reads_one_shard_publishes_the_refusal(data: bytes) -> None:
    """Each shard reads a bad tick in partition 4 and counts it as refused; of three shards the second, 4 modulo 3, says
    so.
    """
    replicas = [Replica(Settings(shard=shard, shards=SHARDS)) for shard in range(SHARDS)]
    outcomes = [fold(replica, "ticks", data, partition=4) for replica in replicas]
    assert [bool(outcome.records) for outcome in outcomes] == [False, True, False]
    assert [(replica.fold.inputs, replica.fold.refused) for replica in replicas] == [(1, 1)] * SHARDS


@pytest.mark.parametrize(("units", "shares"), [(7, [3, 2, 2]), (3, [1, 1, 1]), (2, [1, 1, None]), (1, [1, None, None])])
def test_a_deposit_to_the_insurance_fund_is_split_over_the_shards(units: int, shares: list[int | None]) -> None:
    """Every shard takes its whole part, the first ones a unit more, and together they have all of it; a share of
    nothing is not posted.
    """
    money = {"type": "fund_deposit", "transfer_id": "d", "instrument": "X", "amount": f"0.0000000{units}", "time_us": 2}
    funds = []
    for shard in range(SHARDS):
        replica = listed(Settings(shard=shard, shards=SHARDS))
        fold(replica, "instruments", *encoded(money))
        funds.append(replica.fold.state.books["X"].fund)
    assert funds == shares


def test_a_view_shows_the_end_of_its_frame_whenever_it_is_looked_at() -> None:
    """A view is drawn when somebody looks at it, long after the state went on, or never; it says what it would have
    said at once, and whether anybody looks changes no digest.
    """
    early, late = trading(Settings()), trading(Settings())
    sold = {"account": "ann", "instrument": "X", "side": "sell", "quantity": "4"}
    frames = [{"type": "fill", "fill_id": f"g{price}", "price": str(price), **sold} for price in (99, 101)]
    at_once, outcomes = [], []
    for seq, data in enumerate(encoded(*frames), 9):
        drawn = fold(early, "fills", data, seq=seq)
        at_once.append([record.value for record in drawn.records])
        outcomes.append(fold(late, "fills", data, seq=seq))
        assert (drawn.count, drawn.digest, drawn.state_digest) == (2, outcomes[-1].digest, outcomes[-1].state_digest)
    assert [[record.value for record in frame.records] for frame in outcomes] == at_once
    position, wallet = outcomes[0].records
    assert (position.number, position.headers) == (None, ())
    assert [(record.topic, record.key, record.version) for record in (position, wallet)] == [
        ("positions", "ann|X", 9),
        ("wallets", "ann|USDT", 9),
    ]
    assert (said(position)["quantity"], said(outcomes[1].records[0])["quantity"]) == ("6", "2")


def test_the_view_of_a_closed_position_is_a_null() -> None:
    """Closing publishes a view without a value under the key of the position; choosing a leverage without a position
    publishes none.
    """
    replica = trading(Settings())
    chosen = {"type": "set_leverage", "command_id": "c", "account": "bob", "instrument": "X", "leverage": "3"}
    assert [record.topic for record in fold(replica, "commands", *encoded(chosen)).records] == ["wallets"]
    sold = {"fill_id": "g", "account": "ann", "instrument": "X", "side": "sell", "quantity": "10", "price": "99"}
    position, wallet = fold(replica, "fills", *encoded({"type": "fill", **sold})).records
    assert (position.key, position.value) == ("ann|X", None)
    assert said(wallet)["balance"] == "490"


def test_a_heartbeat_lets_timers_fire() -> None:
    """Under clock `wall` a frame without inputs, at the deadline of a liquidation order, leads to the next step, at its
    own due time; a clock before it, and one that goes back, lead to nothing.
    """
    replica = trading(Settings(clock="wall"), liquidation={"deadline_us": 1000})
    started = fold(replica, "ticks", *encoded(tick("94", time_us=50)), timestamp_us=50).records
    assert [record.type for record in started][:2] == ["liquidation_started", "liquidation_order"]
    assert replica.fold_inputs(3, 1049, [], []).records == []
    assert replica.fold_inputs(4, 900, [], []).records == []
    order, view = replica.fold_inputs(5, 2000, [], []).records
    assert (said(order)["step"], said(order)["cause"]) == (2, {"timer": "liquidation_deadline", "due_us": 1050})
    assert (said(order)["time_us"], replica.fold.state.time_us) == (1050, 2000)
    assert view.key == "ann|X"


def test_the_trace_of_an_input_goes_on_in_what_it_led_to() -> None:
    """`traceparent` stands beside every decision that an input caused, refusals and dead letters too; not beside what
    was due at that time anyway, and not beside views, which show a frame.
    """
    replica = trading(Settings(), liquidation={"deadline_us": 1000})

    def traces(event: bytes, trace: str) -> list[tuple[str, str | None]]:
        """What an input with this trace leads to, each with its own trace."""
        item = FrameInput(0, 0, 0, event, trace)
        records = replica.fold_inputs(2, 0, [SourceRange("ticks", 0, 0, 1, 0, b"")], [item]).records
        found = [(record.type, dict(record.headers).get("traceparent")) for record in records]
        return [(kind, trace.decode() if trace else None) for kind, trace in found]

    (started,) = encoded(tick("94", time_us=50))
    begun = [("liquidation_started", "trace-1"), ("liquidation_order", "trace-1"), ("position", None)]
    assert traces(started, "trace-1") == begun
    (late,) = encoded(tick("94", instrument="Y", time_us=2000))
    assert traces(late, "trace-2") == [("liquidation_order", None), ("refused", "trace-2"), ("position", None)]
    assert traces(b"{", "trace-3") == [("refused", "trace-3"), ("dead_letter", "trace-3")]


@pytest.mark.parametrize(("time_us", "refused"), [(109, False), (110, False), (111, True)])
def test_an_input_beyond_its_record_and_the_skew_is_from_the_future(time_us: int, refused: bool) -> None:
    """A record of time 100 under a skew of 10 may carry times until 110; under clock `events` any time is believed."""
    data = encoded(tick("100", time_us=time_us))
    records = fold(listed(Settings(clock="wall", skew_us=10)), "ticks", *data, timestamp_us=100).records
    assert [said(record)["code"] for record in records] == ["time_in_future"] * refused
    assert fold(listed(Settings()), "ticks", *data, timestamp_us=100).records == []


def test_a_replica_goes_on_under_the_settings_of_the_next_epoch() -> None:
    """Postings appear from the epoch that asks for them, and an id window that was shortened holds at once."""
    replica = trading(Settings())
    replica.adopt(Settings(ledger=True, id_window_us=100))
    money = {"type": "deposit", "transfer_id": "e", "account": "ann", "asset": "USDT", "amount": "5"}
    outcomes = fold(replica, "deposits", *encoded({**money, "time_us": 900}, {**money, "transfer_id": "g"}))
    assert [record.type for record in outcomes.records] == ["posting", "refused", "wallet"]
    assert said(outcomes.records[1])["code"] == "too_old"


def test_a_restored_replica_is_the_one_that_was_written_down() -> None:
    """From the snapshot on, the same frames give the same outcomes and the same digest."""
    live = trading(Settings())
    copy = Replica.restore(live.snapshot(), Settings())
    assert copy.digest() == live.digest()
    live_outcomes, copy_outcomes = (fold(replica, "ticks", *encoded(tick("94"))) for replica in (live, copy))
    assert live_outcomes.records[0].type == "liquidation_started"
    assert live_outcomes == copy_outcomes
