"""Inputs from the future, by the record's own timestamp and the configured skew."""

import json

import pytest

from ringfence.origins import RecordOrigin
from ringfence_schemas.reading import decode_input
from tests.core.engines import FoldEngine

LATEST_US = 1_000_000


@pytest.mark.parametrize(
    ("time_us", "code"), [(LATEST_US - 1, None), (LATEST_US, None), (LATEST_US + 1, "time_in_future")]
)
def test_an_input_ahead_of_its_record_by_more_than_the_skew_is_refused(time_us: int, code: str | None) -> None:
    """Up to the latest believable time an input is applied; a microsecond later it is refused."""
    engine = FoldEngine()
    tick = json.dumps({"type": "tick", "instrument": "X", "price": "1", "time_us": time_us}).encode()
    (refused,) = engine.fold.apply(decode_input(tick), RecordOrigin("ticks", 0), 0, latest_us=LATEST_US)
    assert getattr(refused, "code", None) == (code or "unknown_instrument")


def test_an_input_from_the_future_does_not_move_engine_time() -> None:
    """What is refused as from the future leaves engine time where it was; any other refusal moves it."""
    engine = FoldEngine()
    for time_us, moved_us in ((LATEST_US + 5, 0), (LATEST_US, LATEST_US)):
        tick = json.dumps({"type": "tick", "instrument": "X", "price": "1", "time_us": time_us}).encode()
        engine.fold.apply(decode_input(tick), RecordOrigin("ticks", 0), 0, latest_us=LATEST_US)
        assert engine.fold.state.time_us == moved_us
