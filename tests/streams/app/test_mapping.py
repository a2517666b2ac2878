"""From a foreign record to our fills, exactly, or to a reason why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.inputs import Fill
from ringfence_schemas.reading import decode_input
from ringfence_streams.app.mapping import (
    FillMapping,
    ForeignRecord,
    ItemRefused,
    MappingRefused,
    Source,
    map_record,
    read_mapping,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "foreign_fills"
FIELDS = {
    "account": Source(path="account"),
    "instrument": Source(constant="BTC-USDT-PERP"),
    "side": Source(path="size", sign=True),
    "quantity": Source(path="size", absolute=True, decimals=2),
    "price": Source(path="price"),
    "time_us": Source(path="at", unit="ms"),
}
GOOD: dict[str, Any] = {"account": "alice", "size": -150, "price": 60000.5, "at": 1}


def mapping(**fields: Source) -> FillMapping:
    """A mapping with some fields of its own."""
    return FillMapping(name="venue", topic="theirs", fields={**FIELDS, **fields})


def record(value: object, offset: int = 7) -> ForeignRecord:
    """A record at an offset of partition 2."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ForeignRecord("theirs", 2, offset, 1234, b"their-key", data)


def fill(made: FillMapping, value: object) -> Fill:
    """The one fill that a record becomes."""
    (mapped,) = map_record(made, record(value))
    assert mapped.fill is not None, mapped.refused
    event = decode_input(mapped.fill)
    assert isinstance(event, Fill)
    return event


def refusal(made: FillMapping, value: object) -> str:
    """The code under which the one item of a record is refused."""
    (mapped,) = map_record(made, record(value))
    assert mapped.refused is not None, mapped.fill
    return mapped.refused.code


def test_the_example_maps_as_its_records_say() -> None:
    """Two fills of three items, the correction passed over; the second has the id of its coordinates."""
    made = read_mapping(EXAMPLE / "mapping.toml")
    first, second, third = (EXAMPLE / "records.jsonl").read_bytes().splitlines()
    fills = [mapped.fill for mapped in map_record(made, record(first))]
    assert [json.loads(data or b"")["fill_id"] for data in fills] == ["x-1", "venue-2-7-2"]
    assert json.loads(fills[0] or b"") == {
        "type": "fill",
        "fill_id": "x-1",
        "account": "alice",
        "instrument": "BTC-USDT-PERP",
        "side": "buy",
        "quantity": "1.500",
        "price": "60000.5",
        "fee": "36.0003",
        "fee_asset": "USDT",
        "time_us": 1770336000250000,
    }
    assert refusal(made, second) == "not_mapped"
    with pytest.raises(ItemRefused, match="not_json"):
        list(map_record(made, record(third)))


def test_the_coordinates_of_a_record_are_the_id_of_a_fill_that_has_none() -> None:
    """The same record gives the same id whenever it is mapped, and another record another."""
    first, again = (next(map_record(mapping(), record(GOOD))).fill for _ in range(2))
    assert first == again
    assert json.loads(first or b"")["fill_id"] == "venue-2-7-0"
    (other,) = map_record(mapping(), record(GOOD, offset=8))
    assert json.loads(other.fill or b"")["fill_id"] == "venue-2-8-0"


def test_what_the_record_itself_says_can_be_a_field() -> None:
    """The key as account, the timestamp as time, the coordinates wherever text may stand."""
    made = mapping(account=Source(record="key"), time_us=Source(record="timestamp"), order_id=Source(record="offset"))
    told = fill(made, GOOD)
    assert (told.account, told.time_us, told.order_id) == ("their-key", 1_234_000, "7")


@pytest.mark.parametrize(
    ("unit", "value", "time_us"),
    [
        ("s", 1.5, 1_500_000),
        ("ms", "1770336000250", 1_770_336_000_250_000),
        ("us", 1_770_336_000_250_001, 1_770_336_000_250_001),
        ("ns", 1_770_336_000_250_001_999, 1_770_336_000_250_001),
        ("rfc3339", "2026-02-06T01:00:00.25+01:00", 1_770_336_000_250_000),
    ],
)
def test_times_come_in_every_usual_unit(unit: Any, value: object, time_us: int) -> None:
    """What is finer than a microsecond is cut off, never rounded into the future."""
    assert fill(mapping(time_us=Source(path="at", unit=unit)), {**GOOD, "at": value}).time_us == time_us


@given(st.decimals("-999999999999999999", "999999999999999999", places=18).filter(bool))
def test_no_digit_of_a_number_is_lost(number: Any) -> None:
    """A JSON number of eighteen decimals is ours digit by digit, and its sign the side."""
    value = b'{"account": "alice", "price": 1, "at": 1, "size": %b}' % format(number, "f").encode()
    told = fill(mapping(quantity=Source(path="size", absolute=True)), value)
    assert told.quantity == format(number.copy_abs(), "f")
    assert told.side == ("buy" if number > 0 else "sell")


def test_an_optional_field_is_left_out_when_it_is_absent_or_null() -> None:
    """Ours then is absent too."""
    made = mapping(fee=Source(path="fees.0.paid", optional=True))
    assert fill(made, {**GOOD, "fees": [{"paid": "0.1"}]}).fee == "0.1"
    for value in (GOOD, {**GOOD, "fees": []}, {**GOOD, "fees": [{"paid": None}]}):
        assert fill(made, value).fee is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"account": None}, "missing_value"),
        ({"account": ""}, "missing_value"),
        ({"account": "white space"}, "bad_id"),
        ({"account": {"id": 1}}, "wrong_type"),
        ({"price": "dear"}, "bad_number"),
        ({"price": "NaN"}, "bad_number"),
        ({"price": 0}, "not_positive"),
        ({"price": "1e400"}, "out_of_range"),
        ({"price": "1e18"}, "out_of_range"),
        ({"at": "yesterday"}, "bad_number"),
        ({"at": -1}, "out_of_range"),
    ],
)
def test_an_item_that_gives_no_fill_has_a_code(change: dict[str, Any], code: str) -> None:
    """What the engine would refuse for its bytes never reaches it."""
    assert refusal(mapping(), {**GOOD, **change}) == code


@pytest.mark.parametrize("text", ["yesterday", "2026-02-06T00:00:00"])
def test_a_time_without_its_offset_is_no_moment(text: str) -> None:
    """RFC 3339 has one; guessing it would move money in time."""
    assert refusal(mapping(time_us=Source(path="at", unit="rfc3339")), {**GOOD, "at": text}) == "bad_time"


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "no_value"), (b"{", "not_json"), (b"\xff", "not_json"), (b'{"items": 1}', "no_items"), (b"[]", "no_items")],
)
def test_a_record_that_cannot_be_read_is_refused_whole(value: bytes | None, code: str) -> None:
    """Nothing of it is mapped."""
    made = msgspec.structs.replace(mapping(), items_="items")
    with pytest.raises(ItemRefused) as caught:
        list(map_record(made, ForeignRecord("theirs", 0, 0, 0, None, value)))
    assert caught.value.code == code


HEAD = 'name = "n"\ntopic = "t"\n[fields]\n'
WHOLE = (
    HEAD
    + """
account = { path = "a" }
instrument = { path = "i" }
side = { path = "s" }
quantity = { path = "q" }
price = { path = "p" }
time_us = { path = "t", unit = "ms" }
"""
)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        (None, "mapping_unreadable", "mapping.toml"),
        ("name = ", "mapping_malformed", "mapping.toml"),
        (WHOLE + 'acount = { path = "a" }', "mapping_malformed", "acount"),
        (WHOLE + 'fee = { pfad = "a" }', "mapping_malformed", "pfad"),
        (HEAD + 'account = { path = "a" }', "mapping_incomplete", "instrument, side, quantity, price, time_us"),
        (WHOLE + "fee = { optional = true }", "mapping_contradictory", "exactly one"),
        (WHOLE + 'fee = { path = "f", constant = "1" }', "mapping_contradictory", "exactly one"),
        (WHOLE + 'fee = { path = "f", sign = true }', "mapping_contradictory", "sign"),
        (WHOLE + 'order_id = { path = "o", decimals = 2 }', "mapping_contradictory", "numbers"),
        (WHOLE + 'order_id = { path = "o", unit = "ms" }', "mapping_contradictory", "unit"),
        (WHOLE.replace(', unit = "ms"', ""), "mapping_contradictory", "unit"),
        (WHOLE.replace('"a" }', '"a", optional = true }'), "mapping_contradictory", "must have it"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_before_anything_runs(
    tmp_path: Path, text: str | None, code: str, told: str
) -> None:
    """Each way to be wrong has a code, and the message names the place."""
    path = tmp_path / "mapping.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MappingRefused, match=told) as caught:
        read_mapping(path)
    assert caught.value.code == code
