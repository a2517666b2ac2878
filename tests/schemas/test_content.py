"""Claims about the content of an input: what makes a repetition the same, and a conflict another."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.content import content_of
from ringfence_schemas.decimals import DECIMALS, LIMIT, decimal_text
from ringfence_schemas.inputs import (
    AddMargin,
    Fill,
    Input,
    Instrument,
    Liquidation,
    RemoveMargin,
    Throttle,
    Tick,
    Ticks,
    Tier,
    encode_input,
)
from ringfence_schemas.reading import decode_input
from tests.schemas.examples import INPUTS

FILL = next(event for event in INPUTS if isinstance(event, Fill))


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_every_field_counts(event: Input) -> None:
    """Change or drop any one field of any input, and it is another content: no field is forgotten."""
    message = json.loads(encode_input(event))
    others = {"0": "1", True: False, False: True, 3: 4}
    for field in msgspec.structs.fields(event):
        name = field.encode_name
        if not field.required:
            without = decode_input(json.dumps({**message, name: None}).encode())
            assert content_of(without) != content_of(event), name
        if isinstance(message[name], str) and name not in {"side", "result", "contract"} and field.required:
            changed = {**message, name: others.get(message[name], "17")}
            assert content_of(decode_input(json.dumps(changed).encode())) != content_of(event), name
        if isinstance(message[name], int) and not isinstance(message[name], bool):
            changed = {**message, name: message[name] + 1}
            assert content_of(decode_input(json.dumps(changed).encode())) != content_of(event), name


@pytest.mark.parametrize("text", ["1", "1.0", "1e0", "10E-1", "1.00000000000000000000000"])
def test_decimals_count_by_value(text: str) -> None:
    """However one is written, a fill at price one is the same fill."""
    one = msgspec.structs.replace(FILL, price="1")
    assert content_of(msgspec.structs.replace(FILL, price=text)) == content_of(one)
    assert content_of(Ticks("s", 1, [("A", text)])) == content_of(Ticks("s", 1, [("A", "1")]))


@given(st.integers(-LIMIT + 1, LIMIT - 1), st.integers(-LIMIT + 1, LIMIT - 1))
def test_two_fees_are_the_same_content_exactly_when_they_are_equal(one: int, other: int) -> None:
    """Not one unit of 10^-18 is lost in the comparison."""
    contents = [content_of(msgspec.structs.replace(FILL, fee=decimal_text(value, DECIMALS))) for value in (one, other)]
    assert (contents[0] == contents[1]) == (one == other)


def test_null_is_the_same_as_absent_and_zero_is_not() -> None:
    """A fill without a fee is another fill than one with a fee of zero."""
    absent = msgspec.structs.replace(FILL, fee=None)
    null = decode_input(encode_input(FILL).replace(b'"-0.5"', b"null"))
    assert content_of(null) == content_of(absent)
    assert content_of(msgspec.structs.replace(FILL, fee="0")) != content_of(absent)


def test_inputs_of_different_types_differ_although_their_fields_are_equal() -> None:
    """Adding 5 and removing 5 under the same id are a conflict."""
    fields = {"command_id": "c", "account": "a", "instrument": "I", "amount": "5", "time_us": 1}
    assert content_of(AddMargin(**fields)) != content_of(RemoveMargin(**fields))  # type: ignore[arg-type]


def test_unknown_fields_and_the_order_of_fields_do_not_count() -> None:
    """A producer that adds a note, or sorts its keys, sends the same content."""
    message = json.loads(encode_input(FILL))
    shuffled = {"note": "late", **dict(sorted(message.items(), reverse=True))}
    assert content_of(decode_input(json.dumps(shuffled).encode())) == content_of(FILL)


def test_even_a_text_that_is_no_decimal_has_a_content() -> None:
    """A refusal names the content of what it refuses, words included; a word is not the number it resembles."""
    words = ("nan", "five", "5", "+5", "1e18")
    assert len({content_of(Tick("BTC", text, 1)) for text in words}) == len(words)
    assert len({content_of(msgspec.structs.replace(FILL, price=text)) for text in words}) == len(words)


FEW_FILLS = st.builds(
    Fill,
    fill_id=st.sampled_from(["a", "b"]),
    account=st.sampled_from(["a", "aa"]),
    instrument=st.sampled_from(["a", "b"]),
    side=st.sampled_from(["buy", "sell"]),
    quantity=st.sampled_from(["1", "11"]),
    price=st.sampled_from(["1", "11"]),
    time_us=st.sampled_from([1, 11]),
    fee=st.sampled_from([None, "0", "1"]),
    fee_asset=st.sampled_from([None, "None", "1"]),
    margin=st.sampled_from([None, "0", "1"]),
    liquidation_id=st.sampled_from([None, "a|b", "None"]),
    order_id=st.sampled_from([None, "a", "None"]),
)


@given(FEW_FILLS, FEW_FILLS)
def test_fills_have_the_same_content_exactly_when_they_are_the_same(one: Fill, other: Fill) -> None:
    """No two different fills look alike, however their fields are cut, whether optional ones are there or not."""
    assert (content_of(one) == content_of(other)) == (one == other)


def test_a_fill_without_anything_optional_is_the_same_however_its_numbers_are_written() -> None:
    """The plainest fill, the one that comes most often."""
    plain = Fill("f", "a", "I", "buy", "1", "60000", 1)
    assert content_of(plain) == content_of(msgspec.structs.replace(plain, quantity="1.0", price="6e4"))
    assert content_of(plain) != content_of(msgspec.structs.replace(plain, price="60001"))


def test_a_field_that_came_later_counts_only_where_it_is_given() -> None:
    """An instrument without a throttle has the content that it had before there were throttles."""
    tiers = [Tier("0", "0.01")]
    plain = Instrument("X", 1, "linear", "USDT", "1", "1", tiers, 1, liquidation=Liquidation(mode="order"))
    throttled = msgspec.structs.replace(plain, liquidation=Liquidation("order", throttle=Throttle("5", 7)))
    old = b'["Liquidation","order",null,null,null,null,null,null,null,null]'
    assert old in content_of(plain)
    assert old[:-1] + b',["throttle",["Throttle","5000000000000000000",7]]]' in content_of(throttled)
