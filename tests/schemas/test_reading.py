"""Claims about reading inputs: any bytes end as an input or as one refusal, and nothing but the bytes decides."""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence_schemas import reading
from ringfence_schemas.codes import CODES
from ringfence_schemas.inputs import Fill, Input, Tick, Ticks, encode_input
from ringfence_schemas.reading import NESTING_LIMIT, InputRefused, check, decode_input
from tests.schemas.examples import BTC, INPUTS

TICK = b'{"type":"tick","instrument":"BTC","price":"5","time_us":1}'
DECODING = {"malformed", "unknown_type", "missing_field", "wrong_type"}
CHECKING = {"wrong_type", "bad_id", "out_of_range", "not_positive"}


def read(data: bytes) -> Input | InputRefused:
    """Return the input, or its refusal."""
    try:
        return decode_input(data)
    except InputRefused as refused:
        return refused


def refusal(data: bytes) -> InputRefused:
    """Return the refusal of bytes that must be refused while they are decoded."""
    refused = read(data)
    assert isinstance(refused, InputRefused), refused
    return refused


def patiently(data: bytes) -> Input | InputRefused:
    """Return what the slow way of reading makes of the bytes, whether or not the fast way would do."""
    try:
        return reading._read(data)
    except InputRefused as refused:
        return refused


def with_field(data: bytes, field: bytes) -> bytes:
    """Return a JSON object with one more field."""
    return data[:-1] + b"," + field + b"}"


# ------------------------------------------------------------------------------------------------------------ any bytes

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated_messages(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a valid input with some fields replaced, dropped or added, and perhaps some bytes changed."""
    message: dict[str, Any] = json.loads(encode_input(draw(st.sampled_from(INPUTS))))
    for name in draw(st.lists(st.sampled_from([*message, "unknown"]), max_size=3)):
        if draw(st.booleans()):
            message[name] = draw(JSON_VALUES)
        else:
            message.pop(name, None)
    data = bytearray(json.dumps(message, ensure_ascii=draw(st.booleans())), "utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(st.binary() | mutated_messages())
@example(b"")
@example(b"null")
@example(b'"\xff"')
@example(b'{"type":"\\ud800"}')
@example(with_field(TICK, b'"account":"\\ud800"'))
@example(with_field(TICK, b'"price":"\\ud800"'))
@example(TICK + b"{}")
def test_any_bytes_end_as_an_input_or_as_one_refusal(data: bytes) -> None:
    """Only `InputRefused` is raised, with a code of its stage and a message, and `check` raises nothing at all."""
    event = read(data)
    if isinstance(event, InputRefused):
        assert event.code in DECODING
    else:
        refused = check(event)
        if refused is None:
            return
        event = refused
        assert event.code in CHECKING
    assert event.message
    assert event.message.isascii()
    assert event.message.isprintable()


@given(mutated_messages())
def test_the_fast_and_the_patient_reading_agree(data: bytes) -> None:
    """What the one-pass decoder accepts, the field-by-field reading accepts as the same input."""
    event = read(data)
    if not isinstance(event, InputRefused):
        assert patiently(data) == event


# ---------------------------------------------------------------------------------------------------- not a JSON object


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"\n",
        b"null",
        b"5",
        b'"tick"',
        b"[]",
        b"[" + TICK + b"]",
        TICK[:-1],
        TICK + b",",
        TICK + TICK,
        b"\xef\xbb\xbf" + TICK,
        TICK.decode().encode("utf-16"),
        TICK.replace(b'"', b"'"),
        TICK.replace(b'"5"', b"NaN"),
        TICK.replace(b'"5"', b"-Infinity"),
        TICK.replace(b'"5"', b"05"),
        TICK.replace(b"BTC", b"\xff"),
        with_field(TICK, b'"note":"\xff"'),
        with_field(TICK, b'"\xff":1'),
        with_field(TICK, b'"note":"\\ud800"'),
        with_field(TICK, b'"note":nul'),
    ],
)
def test_what_is_no_json_object_in_utf8_is_malformed(data: bytes) -> None:
    """Broken JSON, other JSON values, other encodings, and bytes that are no UTF-8 even in a field nobody reads."""
    assert refusal(data).code == "malformed"


def nested(depth: int) -> bytes:
    """Return a tick with an unknown field, in which the deepest list is `depth` deep, the tick itself counted."""
    return with_field(TICK, b'"note":' + b"[" * (depth - 1) + b"]" * (depth - 1))


def test_nesting_is_refused_beyond_its_limit_and_not_before() -> None:
    """128 levels are read, 129 are malformed, and so are a million, whatever the recursion limit of the process."""
    deepest = nested(NESTING_LIMIT)
    assert isinstance(read(deepest), Tick)
    assert isinstance(read(deepest.replace(b'"5"', b"5")), Tick), "the same limit, whichever way it is read"
    for depth in (NESTING_LIMIT + 1, 10**6):
        refused = refusal(nested(depth))
        assert refused.code == "malformed"
        assert "nested deeper than 128" in refused.message


def at_depth(frames: int, work: Callable[[], object]) -> object:
    """Do some work with so many more frames on the stack."""
    return work() if frames == 0 else at_depth(frames - 1, work)


def test_what_is_read_does_not_depend_on_the_depth_of_the_caller() -> None:
    """The same bytes give the same input or the same refusal near the bottom of the stack and high up on it."""
    for depth in (NESTING_LIMIT, NESTING_LIMIT + 1, 900):
        outcome = functools.partial(lambda data: str(read(data)), nested(depth))
        assert at_depth(1, outcome) == at_depth(500, outcome)


def test_brackets_inside_strings_nest_nothing() -> None:
    """A text may hold any number of brackets, quotes and backslashes."""
    note = json.dumps('[{"\\' * 1000).encode()
    assert isinstance(read(with_field(TICK, b'"note":' + note)), Tick)


def test_lists_side_by_side_are_not_deep() -> None:
    """Hundreds of brackets that close again are read: in a packed `ticks`, and in a field nobody reads."""
    prices = [("BTC", "5")] * 300
    assert read(encode_input(Ticks(source="s", time_us=1, prices=prices))) == Ticks("s", 1, prices)
    assert isinstance(read(with_field(TICK, b'"note":[' + b",".join([b"[]"] * 300) + b"]")), Tick)


def test_packed_prices_do_not_hide_a_deep_field() -> None:
    """A `ticks` of many prices with a field nested too deeply is as malformed as a single tick."""
    ticks = encode_input(Ticks(source="s", time_us=1, prices=[("BTC", "5")] * 300))
    assert refusal(with_field(ticks, b'"note":' + b"[" * 128 + b"]" * 128)).code == "malformed"


# ----------------------------------------------------------------------------------------------------------- the fields


@pytest.mark.parametrize("tag", [b'"tock"', b"5", b"null", b'["tick"]', b'"TICK"', b'"tick "', b'""', b'"\xc3\xa9"'])
def test_a_type_that_names_no_input_is_unknown(tag: bytes) -> None:
    """Other words, other JSON values and null are all `unknown_type`; the message lists what there is."""
    refused = refusal(TICK.replace(b'"tick"', tag))
    assert refused.code == "unknown_type"
    assert "liquidation_report" in refused.message


def test_an_object_without_a_type_is_of_unknown_type() -> None:
    """`unknown_type` comes before `missing_field`: without a type nobody can say which fields are missing."""
    refused = refusal(b'{"account":"alice"}')
    assert (refused.code, refused.input_type, refused.account) == ("unknown_type", None, "alice")


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_every_required_field_of_every_input_is_missed(event: Input) -> None:
    """Leave out any one required field, or send null: `missing_field`, and the message names the field."""
    message = json.loads(encode_input(event))
    required = [field.encode_name for field in msgspec.structs.fields(event) if field.required]
    assert required
    for name in required:
        for broken in ({**message, name: None}, {key: value for key, value in message.items() if key != name}):
            refused = refusal(json.dumps(broken).encode())
            assert (refused.code, refused.input_type) == ("missing_field", message["type"])
            assert f"`{name}` is missing" in refused.message


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_null_for_an_optional_field_is_the_same_as_leaving_it_out(event: Input) -> None:
    """Producers that print null for what they do not know send the same input."""
    message = json.loads(encode_input(event))
    for field in msgspec.structs.fields(event):
        if not field.required:
            without = {key: value for key, value in message.items() if key != field.encode_name}
            assert read(json.dumps({**message, field.encode_name: None}).encode()) == read(json.dumps(without).encode())


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_every_field_of_every_input_refuses_another_json_type(event: Input) -> None:
    """An object where a text, number or list belongs, and a text where an object belongs, are `wrong_type`."""
    message = json.loads(encode_input(event))
    for name in message.keys() - {"type"}:
        wrong: Any = "text" if isinstance(message[name], dict) else {"a": 1}
        refused = refusal(json.dumps({**message, name: wrong}).encode())
        assert refused.code == "wrong_type"
        assert f"`{name}` is {json.dumps(wrong)}; send" in refused.message


FILL = json.loads(encode_input(next(event for event in INPUTS if isinstance(event, Fill))))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("quantity", True),
        ("quantity", []),
        ("price", {}),
        ("account", 5),
        ("side", "hold"),
        ("side", 1),
        ("side", "BUY"),
        ("time_us", "7000000"),
        ("time_us", 7000000.0),
        ("time_us", 1.5),
        ("time_us", True),
        ("time_us", None),
        ("fee", False),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_the_identity_of_its_input(field: str, wrong: Any) -> None:
    """A fraction for an integer, a boolean for a decimal, no such choice; the refusal says whose fill it is."""
    refused = refusal(json.dumps({**FILL, field: wrong}).encode())
    assert refused.code == ("missing_field" if wrong is None else "wrong_type")
    assert f"`{field}` is" in refused.message
    assert (refused.input_type, refused.input_id) == ("fill", "x1")
    assert refused.account == (None if field == "account" else "alice")
    assert refused.instrument == BTC


def test_a_fault_inside_a_part_is_named_by_its_path() -> None:
    """The second row of a tier table, the third price of a packed tick: the message says where."""
    instrument = json.loads(encode_input(INPUTS[0]))
    del instrument["tiers"][1]["floor"]
    assert "`tiers[1].floor` is missing" in refusal(json.dumps(instrument).encode()).message
    ticks = b'{"type":"ticks","source":"s","time_us":1,"prices":[["A","1"],["B","2"],["C",null]]}'
    assert "`prices[2][1]` is null" in refusal(ticks).message
    assert "`prices[2]` is" in refusal(ticks.replace(b'["C",null]', b'["C"]')).message
    assert "`prices[2]` is" in refusal(ticks.replace(b'["C",null]', b'["C","3","4"]')).message
    assert "`prices[2]` is" in refusal(ticks.replace(b'["C",null]', b'"C"')).message


def test_of_a_field_sent_twice_the_last_counts() -> None:
    """Whichever way the bytes are read, and whatever the first one was."""
    assert read(with_field(TICK, b'"price":"6"')) == Tick("BTC", "6", 1)
    assert read(with_field(TICK.replace(b'"5"', b"true"), b'"price":"6"')) == Tick("BTC", "6", 1)
    assert refusal(with_field(TICK, b'"price":null')).code == "missing_field"
    assert refusal(with_field(TICK, b'"type":"fill"')).input_type == "fill"


def test_unknown_fields_are_ignored() -> None:
    """A producer may say more than we read, in any JSON and in any script."""
    plain = read(TICK)
    for field in (b'"note":1e999', b'"note":{"type":"fill"}', '"höhe":"größer"'.encode(), b'"note":' + b"9" * 5000):
        assert read(with_field(TICK, field)) == plain


@pytest.mark.parametrize("space", [b" ", b"\n", b"\t\r\n "])
def test_space_between_the_parts_means_nothing(space: bytes) -> None:
    """Pretty-printed or not, with numbers for decimals or not, it is the same input."""
    message = TICK.replace(b":", space + b":" + space).replace(b",", space + b"," + space)
    assert read(space + message + space) == read(TICK)
    assert read(space + message.replace(b'"5"', b"5") + space) == read(TICK)


# ----------------------------------------------------------------------------------------------- numbers for decimals


@pytest.mark.parametrize(
    "number",
    ["0.1", "1e-7", "1E5", "60000", "-0.5", "12345678901234567.123456789012345678", "100000000000000000000", "1e999"],
)
def test_a_json_number_for_a_decimal_is_taken_by_its_text(number: str) -> None:
    """No binary float comes between: the text of the number is the text of the decimal, digit by digit."""
    event = read(TICK.replace(b'"5"', number.encode()))
    assert event == Tick("BTC", number, 1)


def test_numbers_are_taken_for_decimals_in_every_part() -> None:
    """In tiers, in lists, in packed prices: an instrument sent with numbers is the instrument sent with strings."""
    instrument = encode_input(INPUTS[0])
    numbers = instrument
    for text in (b"0.004", b"125", b"50000", b"0.1", b"3", b"1.5", b"0.0005", b"1.1", b"0.97"):
        numbers = numbers.replace(b'"' + text + b'"', text)
    assert numbers != instrument
    assert read(numbers) == INPUTS[0]
    ticks = b'{"type":"ticks","source":"s","time_us":1,"prices":[["A",1],["B",2.50]]}'
    assert read(ticks) == Ticks("s", 1, [("A", "1"), ("B", "2.50")])


@pytest.mark.parametrize("digits", [19, 40, 41, 4300, 4301, 100000])
def test_an_integer_of_any_length_is_out_of_range_and_costs_nothing(digits: int) -> None:
    """10^18 and more for a time is `out_of_range`, however many digits it has, with either sign."""
    for sign in (b"", b"-"):
        event = read(TICK.replace(b":1}", b":" + sign + b"9" * digits + b"}"))
        assert isinstance(event, Tick)
        refused = check(event)
        assert refused is not None
        assert refused.code == "out_of_range"


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_refusal_repeats_nothing_that_was_refused() -> None:
    """Names that are no names themselves are left out of the refusal, and a long value is cut in the message."""
    refused = refusal(json.dumps({**FILL, "account": "a|b", "fill_id": "x" * 129, "side": "s" * 10**6}).encode())
    assert (refused.account, refused.input_id, refused.instrument) == (None, None, BTC)
    assert len(refused.message) < 120
    unknown = refusal(b'{"type":"' + b"t" * 10**6 + b'","instrument":"' + BTC.encode() + b'"}')
    assert (unknown.input_type, unknown.instrument) == (None, BTC)
    assert len(unknown.message) < 300


def test_a_message_says_which_field_is_wrong_and_what_to_send() -> None:
    """One sentence for the sender: field, value, remedy."""
    refused = check(Tick(BTC, "nan", 1))
    assert refused is not None
    assert refused.message == '`price` is "nan"; send a decimal above 0, below 10^18, with at most 18 decimals'
    assert str(refused) == f"wrong_type: {refused.message}"
    assert (refused.input_type, refused.input_id, refused.account, refused.instrument) == ("tick", None, None, BTC)


def test_a_message_is_printable_whatever_it_quotes() -> None:
    """Line breaks, control characters and other scripts are quoted escaped, the same in every version of Python."""
    data = TICK.replace(b'"5"', '{"\x7f":\n"größe\U0001f4c8"}'.encode())
    assert refusal(data).message.startswith('`price` is {"\\x7f":\\n"gr\\xf6\\xdfe\\U0001f4c8"}; send ')
    charts = refusal(TICK.replace(b'"5"', ('["' + "\U0001f4c8" * 50 + '"]').encode()))
    assert charts.message.count("\\U0001f4c8") == 38, "forty characters are quoted, however many bytes they take"


def test_only_codes_about_the_content_are_given_by_reading() -> None:
    """The first seven codes of the table, and no other, depend on the bytes alone."""
    assert {code for code, row in CODES.items() if row.stage == "content"} == DECODING | CHECKING


def test_the_recursion_limit_is_that_of_an_ordinary_process() -> None:
    """The claims about depth above are worth nothing under a raised limit."""
    assert sys.getrecursionlimit() <= 1000
