"""Claims about which refusal is reported: the first in order of precedence, whatever the order of fields."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.codes import PRECEDENCE
from ringfence_schemas.inputs import encode_input
from ringfence_schemas.reading import InputRefused, check, decode_input
from tests.schemas.examples import INPUTS

ABSENT = object()
EXAMPLES: dict[str, dict[str, Any]] = {m["type"]: m for m in (json.loads(encode_input(event)) for event in INPUTS)}


def code_of(data: bytes) -> str | None:
    """Return the code that bytes are refused with for their content, None when they are accepted."""
    try:
        refused = check(decode_input(data))
    except InputRefused as undecodable:
        return undecodable.code
    return refused.code if refused else None


def code_with(message: dict[str, Any], **changes: Any) -> str | None:
    """Return the code of a message after some of its fields were changed, or dropped by `ABSENT`."""
    changed = {name: value for name, value in {**message, **changes}.items() if value is not ABSENT}
    return code_of(json.dumps(changed).encode())


def test_a_fill_that_breaks_every_rule_is_mended_rule_by_rule() -> None:
    """Break all seven rules at once, then mend one at a time: the next one in order of precedence comes up."""
    fill = EXAMPLES["fill"]
    broken = {
        "type": "fil",  # unknown_type
        "fill_id": ABSENT,  # missing_field
        "side": "hold",  # wrong_type, seen while decoding
        "fee": "free",  # wrong_type, seen while checking
        "account": "alice|bob",  # bad_id
        "price": "1e18",  # out_of_range
        "quantity": "0",  # not_positive
    }
    assert code_of(b"\xff" + json.dumps({k: v for k, v in broken.items() if v is not ABSENT}).encode()) == "malformed"
    reported = []
    for name in list(broken):
        reported.append(code_with(fill, **broken))
        broken[name] = fill[name]
    assert reported == [
        "unknown_type",
        "missing_field",
        "wrong_type",
        "wrong_type",
        "bad_id",
        "out_of_range",
        "not_positive",
    ]
    assert code_with(fill, **broken) is None


# The kind of every field that stands directly in an input, written down a second time on purpose.
NAMES = {"account", "instrument", "asset", "settle_asset", "source", "fee_asset"}
IDENTIFIERS = {
    "transfer_id",
    "settlement_id",
    "funding_id",
    "fill_id",
    "order_id",
    "report_id",
    "command_id",
    "liquidation_id",
}
POSITIVE = {"price", "quantity", "amount", "leverage", "price_tick", "quantity_step", "multiplier", "default_leverage"}
OF_ANY_SIGN = {"rate", "fee", "slippage_rate", "close_fee_rate", "recover"}
TIMES = {"time_us", "expiry_us", "effective_us"}
INTEGERS = {"version", "sequence", "step", "decimals"}
CHOICES = {
    "contract",
    "tier_mode",
    "trigger",
    "release_on_reduce",
    "funding_payer",
    "halted",
    "attribution",
    "side",
    "result",
    "rebalance",
}
PARTS = {"tiers", "maintenance", "margin_call_levels", "fees", "liquidation", "mark", "volatility", "prices"}

WRONG_TYPES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(NAMES | IDENTIFIERS, (5, True, ["a"])),
    **dict.fromkeys(POSITIVE | OF_ANY_SIGN | {"margin"}, ("nan", "", "Inf", "1 ", True, {})),
    **dict.fromkeys(TIMES | INTEGERS, ("1", 1.5, 2.0, True)),
    **dict.fromkeys(CHOICES, ("other", 7)),
    **dict.fromkeys(PARTS, ("text", 7)),
}
FAULTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "wrong_type": WRONG_TYPES,
    "bad_id": dict.fromkeys(NAMES | IDENTIFIERS, ("", "a b", "a\tb", "\u00e9", "\x7f", "a" * 161)),
    "out_of_range": {
        **dict.fromkeys(POSITIVE | OF_ANY_SIGN | {"margin"}, ("1e18", "-1e18", "1e999", "1e-19", 10**18)),
        **dict.fromkeys(TIMES, (-1, 10**18, 10**30)),
        **dict.fromkeys(INTEGERS, (10**18, -(10**18), 10**30)),
    },
    "not_positive": {**dict.fromkeys(POSITIVE, ("0", "-0", "-1", 0, -0.5)), "margin": ("-1e-18", -1)},
}


def test_the_table_above_knows_every_field() -> None:
    """A field that is new to an input must be given its kind here too."""
    fields = {name for message in EXAMPLES.values() for name in message if name != "type"}
    assert fields == set(WRONG_TYPES)


@st.composite
def broken_messages(draw: st.DrawFn) -> tuple[dict[str, Any], str | None]:
    """Draw a message with some fields broken, in any order of fields, and the code it must be refused with."""
    message = dict(EXAMPLES[draw(st.sampled_from(sorted(EXAMPLES)))])
    codes = []
    for name in draw(st.lists(st.sampled_from(sorted(message.keys() - {"type"})), unique=True, max_size=4)):
        code = draw(st.sampled_from([code for code, faults in FAULTS.items() if name in faults]))
        message[name] = draw(st.sampled_from(FAULTS[code][name]))
        codes.append(code)
    shuffled = {name: message[name] for name in draw(st.permutations(list(message)))}
    return shuffled, min(codes, key=PRECEDENCE.__getitem__, default=None)


@given(broken_messages())
def test_of_any_faults_in_any_fields_the_first_in_precedence_is_reported(drawn: tuple[dict[str, Any], str]) -> None:
    """Any input, any of its fields broken in any way, in any order: the lowest rank among the faults is the code."""
    message, code = drawn
    assert code_with(message) == code


@pytest.mark.parametrize("name", sorted(WRONG_TYPES))
@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_alone_is_reported_by_its_own_code(code: str, name: str) -> None:
    """Every wrong value of the table above, in every input that has the field."""
    for message in EXAMPLES.values():
        for value in FAULTS[code].get(name, ()) if name in message else []:
            assert code_with(message, **{name: value}) == code, value


@pytest.mark.parametrize(
    ("kind", "name", "accepted", "refused", "code"),
    [
        ("deposit", "account", "a" * 48, "a" * 49, "bad_id"),
        ("deposit", "account", "!}~{", "a|b", "bad_id"),
        ("deposit", "transfer_id", "a" * 128, "a" * 129, "bad_id"),
        ("deposit", "transfer_id", "~", "~|", "bad_id"),
        ("fill", "liquidation_id", "a|b" + "c" * 157, "a|b" + "c" * 158, "bad_id"),
        ("fill", "liquidation_id", "|", "| |", "bad_id"),
        ("fill", "price", "0.000000000000000001", "0", "not_positive"),
        ("fill", "price", "999999999999999999.999999999999999999", "1000000000000000000", "out_of_range"),
        ("fill", "margin", "-0", "-0.000000000000000001", "not_positive"),
        ("fill", "fee", "-999999999999999999", "-1000000000000000000", "out_of_range"),
        ("funding", "rate", "0", "0.0000000000000000001", "out_of_range"),
        ("set_leverage", "leverage", "0.1", "0", "not_positive"),
        ("asset", "decimals", 0, -1, "out_of_range"),
        ("asset", "decimals", 18, 19, "out_of_range"),
        ("tick", "time_us", 0, -1, "out_of_range"),
        ("tick", "time_us", 10**18 - 1, 10**18, "out_of_range"),
        ("tick", "sequence", 1 - 10**18, -(10**18), "out_of_range"),
        ("ticks", "prices", [], [["BTC"]], "wrong_type"),
        ("ticks", "prices", [["BTC", 1]] * 2, [["BTC", 1], ["BTC", 0]], "not_positive"),
        ("ticks", "prices", [["BTC", "1"]], [["BTC|", "1"]], "bad_id"),
        ("instrument", "tiers", [{"floor": "-1", "maintenance_rate": "-1"}], [{"floor": "low"}], "wrong_type"),
        ("instrument", "tiers", [{"floor": 0, "more": 1}], [{"floor": "0", "max_leverage": 1e30}], "out_of_range"),
        ("instrument", "mark", {"sources": ["a"]}, {"sources": ["a", "b c"]}, "bad_id"),
        ("instrument", "mark", {"confirm_ticks": 0}, {"confirm_ticks": -1}, "out_of_range"),
        ("instrument", "liquidation", {"deadline_us": 0}, {"deadline_us": -1}, "out_of_range"),
        ("instrument", "margin_call_levels", ["0.5", 3], ["3", None], "wrong_type"),
        ("instrument", "fees", {"taker": "-0.01"}, {}, "missing_field"),
    ],
)
def test_the_last_value_accepted_and_the_first_refused(
    kind: str, name: str, accepted: Any, refused: Any, code: str
) -> None:
    """Every limit stands exactly where the contract puts it.  What a tier table means is not judged here."""
    assert code_with(EXAMPLES[kind], **{name: accepted}) is None
    assert code_with(EXAMPLES[kind], **{name: refused}) == code
