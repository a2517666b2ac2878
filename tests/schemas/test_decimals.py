"""Claims about decimals: every value is read and written exactly, or refused."""

import json
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence_schemas.decimals import DECIMALS, LIMIT, ONE, Cache, DecimalRefused, decimal_text, parse_units

VALUES = st.integers(-LIMIT + 1, LIMIT - 1)
NUMERALS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def refusal(text: str) -> str | None:
    """Return the code a text is refused with, None when it is read."""
    try:
        parse_units(text)
    except DecimalRefused as refused:
        return refused.code
    return None


@given(VALUES)
@example(0)
@example(1)
@example(-ONE)
@example(LIMIT - 1)
def test_a_value_written_and_read_again_is_the_same_value(value: int) -> None:
    """From value to text to value nothing is lost, over the whole range."""
    assert parse_units(decimal_text(value, DECIMALS)) == value


@given(NUMERALS)
@example("0.1")
@example("1e-7")
@example("12345678901234567.123456789012345678")
def test_a_numeral_has_exactly_the_value_that_mathematics_gives_it(text: str) -> None:
    """`parse_units` agrees with exact rationals: the value if it fits, `out_of_range` if and only if it does not."""
    exact = Fraction(text) * ONE
    if exact.denominator == 1 and abs(exact) < LIMIT:
        assert parse_units(text) == exact
    else:
        assert refusal(text) == "out_of_range"


@given(st.text(alphabet="0123456789.eE+- _x", max_size=12))
def test_a_text_is_a_numeral_exactly_when_json_says_it_is_a_number(text: str) -> None:
    """What JSON reads as a number, and nothing else, is a decimal; what is not is `wrong_type`."""
    assert (refusal(text) != "wrong_type") == is_json_number(text)


def is_json_number(text: str) -> bool:
    """Tell whether Python's own JSON reader takes the whole text for one number."""
    try:
        value = json.loads(text, parse_float=Decimal)
    except ValueError:
        return False
    return text == text.strip() and isinstance(value, int | Decimal)


WORDS = ["", " ", "nan", "NaN", "Infinity", "-inf", "ten", "1_000", "1,5", "+1", "007", ".5", "5.", "1e", "--1", "0x10"]


@pytest.mark.parametrize(
    "text",
    [
        *WORDS,
        "1 ",
        " 1",
        "1\n",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1.\N{DEVANAGARI DIGIT TWO}",
        "\N{VULGAR FRACTION ONE HALF}",
        "\x00",
        "1" + "0" * 10**6 + "x",
    ],
)
def test_what_is_no_numeral_is_of_the_wrong_type(text: str) -> None:
    """Words, other scripts' digits, spaces, plus signs and needless zeros are `wrong_type`, never guessed at."""
    assert refusal(text) == "wrong_type"


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("999999999999999999.999999999999999999", "1000000000000000000"),
        ("-999999999999999999.999999999999999999", "-1000000000000000000"),
        ("0.000000000000000001", "0.0000000000000000001"),
        ("9.99999999999999999e17", "1e18"),
        ("1e-18", "1e-19"),
        ("10e-19", "11e-19"),
        ("0e999999999999999999999999", "1e999999999999999999999999"),
        ("0.0000000000000000000000000", "0.0000000000000000000000001"),
        ("1.000000000000000000000000", "1.000000000000000000000001"),
        ("1e0000000000000000000000017", "1e0000000000000000000000018"),
        ("0." + "0" * 99 + "1e100", "0." + "0" * 99 + "1e81"),
    ],
)
def test_a_decimal_is_out_of_range_by_its_value_and_not_by_its_spelling(inside: str, outside: str) -> None:
    """Below 10^18 and with at most 18 significant decimals a value is read; one step further it is `out_of_range`."""
    assert refusal(inside) is None
    assert refusal(outside) == "out_of_range"


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 10**6, "0." + "1" * 10**6, "1e" + "9" * 10**6])
def test_a_huge_numeral_costs_no_more_than_its_length(text: str) -> None:
    """A numeral that would take gigabytes to write out, or a million digits to read, is refused unread."""
    assert refusal(text) == "out_of_range"


def test_a_million_zeros_are_still_zero() -> None:
    """Length alone refuses nothing: zero stays zero however it is written."""
    assert parse_units("-0." + "0" * 10**6 + "e" + "0" * 10**6 + "7") == 0


@given(st.integers(), st.integers(0, 60))
def test_published_text_is_canonical_and_exact(value: int, decimals: int) -> None:
    """No exponent, no plus sign, no trailing zero, `0` for zero, and exactly ``value * 10**-decimals``."""
    text = decimal_text(value, decimals)
    assert re.fullmatch(r"0|-?(0\.[0-9]*[1-9]|[1-9][0-9]*(\.[0-9]*[1-9])?)", text)
    assert Fraction(text) == Fraction(value, 10**decimals)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0, 0, "0"), (0, 8, "0"), (5, 3, "0.005"), (-5, 3, "-0.005"), (1500, 2, "15"), (-1505, 2, "-15.05"), (7, 0, "7")],
)
def test_published_text_of_small_values(value: int, decimals: int, text: str) -> None:
    """A few values by hand: 5 thousandths are `0.005`, 1500 cents are `15`."""
    assert decimal_text(value, decimals) == text


def test_a_cache_calls_its_function_once_per_text() -> None:
    """A text seen before is answered without calling the function again."""
    calls: list[str] = []

    def length(text: str) -> int:
        calls.append(text)
        return len(text)

    cache = Cache(length)
    assert (cache["abc"], cache["abc"], cache["de"]) == (3, 3, 2)
    assert calls == ["abc", "de"]


def test_a_cache_stays_small_whatever_is_asked_of_it() -> None:
    """Of many texts at most 65,536 are kept, and none that is longer than 64 characters."""
    cache = Cache(len)
    assert cache["x" * 65] == 65
    assert not cache
    assert cache["x" * 64] == 64
    for number in range(Cache.LARGEST):
        assert cache[str(number)] == len(str(number))
    assert len(cache) == 1, "the table was full with the last one, and was emptied for it"


def test_a_refused_text_is_not_remembered() -> None:
    """A text that is no decimal is refused each time it comes, and takes no room."""
    cache = Cache(parse_units)
    for _ in range(2):
        with pytest.raises(DecimalRefused, match="wrong_type"):
            cache["nan"]
    assert not cache
