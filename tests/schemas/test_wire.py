"""Claims about the bytes on the wire: they are these, and they change only when somebody means to change them.

tests/schemas/golden/ holds one line per event; `make golden` writes them again.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from ringfence_schemas.inputs import Input, Instrument, Volatility, encode_input
from ringfence_schemas.outcomes import Outcome, Refused, encode
from ringfence_schemas.reading import INPUT_STRUCTS, check, decode_input, identify
from ringfence_schemas.shapes import record
from tests.schemas.examples import BTC, INPUTS, OUTCOMES

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, list[bytes]], None]:
    """Compare a golden file with the lines it should have, after writing them there when `--golden` asks for it."""

    def compare(name: str, lines: list[bytes]) -> None:
        path = GOLDEN / name
        if request.config.getoption("--golden", default=False):
            path.write_bytes(b"\n".join(lines) + b"\n")
        assert path.read_bytes().splitlines() == lines

    return compare


def test_every_input_is_written_in_the_same_bytes_as_ever(golden: Callable[[str, list[bytes]], None]) -> None:
    """A producer that uses our structs sends these bytes."""
    golden("inputs.jsonl", [encode_input(event) for event in INPUTS])


def test_every_outcome_is_written_in_the_same_bytes_as_ever(golden: Callable[[str, list[bytes]], None]) -> None:
    """A subscriber reads these bytes; a repeat of an outcome is compared with them byte for byte."""
    golden("outcomes.jsonl", [encode(outcome) for outcome in OUTCOMES])


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_an_input_that_was_written_is_read_as_the_same_input(event: Input) -> None:
    """Bytes to struct and back loses no field, and an example of each input is accepted as it is."""
    assert decode_input(encode_input(event)) == event
    assert check(event) is None


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_that_was_written_is_read_as_the_same_outcome(outcome: Outcome) -> None:
    """A subscriber in Python can decode every outcome with the same structs."""
    assert msgspec.json.decode(encode(outcome), type=Outcome) == outcome


def test_what_does_not_apply_is_null_and_what_is_unknown_of_a_cause_is_absent() -> None:
    """A decision's fields are printed as null; a cause names only what it is: here a timer and the time it was due."""
    refused = encode(next(outcome for outcome in OUTCOMES if isinstance(outcome, Refused)))
    assert b'"cause":{"timer":"liquidation_deadline","due_us":16000000}' in refused
    started = encode(OUTCOMES[3])
    assert b'"case_id":null' in started


def test_lambda_is_called_by_its_name_on_the_wire() -> None:
    """The decay factor of the variance is `lambda` in JSON, a word that Python keeps for itself."""
    instrument = INPUTS[0]
    assert isinstance(instrument, Instrument)
    assert isinstance(instrument.volatility, Volatility)
    assert b'"lambda":"0.97"' in encode_input(instrument)


def test_an_input_says_what_it_is_about() -> None:
    """Type, id, account and instrument, None where an input has none: a fill has all, a tick only its instrument."""
    identities = {type(event).__name__: identify(event) for event in INPUTS}
    assert identities["Fill"] == ("fill", "x1", "alice", BTC)
    assert identities["Withdrawal"] == ("withdrawal", "w1", "alice", None)
    assert identities["Funding"] == ("funding", "h8", None, BTC)
    assert identities["Tick"] == ("tick", None, None, BTC)
    assert identities["Ticks"] == ("ticks", None, None, None)
    assert {identity[0] for identity in identities.values()} == set(INPUT_STRUCTS)


def test_a_field_of_no_known_kind_has_no_place_in_the_contract() -> None:
    """A bare text says nothing about what it accepts: a struct with one is rejected when it is defined."""

    class Loose(Struct):
        anything: str

    with pytest.raises(TypeError, match="no shape for"):
        record(Loose)
