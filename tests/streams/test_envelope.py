"""Claims about the headers of outcomes."""

from __future__ import annotations

from ringfence.replica import OutcomeRecord
from ringfence_schemas.topics import LIQUIDATIONS, POSITIONS
from ringfence_streams.envelope import headers_of, published_ordinal
from ringfence_streams.port import Record


def published(outcome: OutcomeRecord) -> Record:
    """The outcome as it stands on its topic."""
    return Record(outcome.topic, 3, 0, outcome.time_us, outcome.key.encode(), outcome.value, headers_of(3, outcome))


def test_a_published_outcome_says_its_place_in_its_topic() -> None:
    """V4: the number of a decision and the version of a view can be read back, whatever is in the keys."""
    decision = OutcomeRecord(LIQUIDATIONS, "a-7|b-8", "started", 42, None, 0, b"{}")
    view = OutcomeRecord(POSITIONS, "a-7|b-8", "position", None, 43, 0, None)
    assert published_ordinal(published(decision)) == 42
    assert published_ordinal(published(view)) == 43


def test_headers_that_are_not_ours_say_nothing() -> None:
    """A record that somebody else wrote has no place."""
    for headers in ((), (("ce_id", b""),), (("ce_id", b"0-liquidations-x"),)):
        assert published_ordinal(Record(LIQUIDATIONS, 0, 0, 0, b"", b"", headers)) is None


def test_a_time_beyond_the_calendar_is_its_end() -> None:
    """Event times go further than RFC 3339 can say; the header never fails an outcome."""
    outcome = OutcomeRecord(LIQUIDATIONS, "a", "started", 1, None, 10**17, b"{}")
    assert dict(headers_of(0, outcome))["ce_time"] == b"5138-11-16T09:46:40.000000Z"
    later = OutcomeRecord(LIQUIDATIONS, "a", "started", 1, None, 10**18 - 1, b"{}")
    assert dict(headers_of(0, later))["ce_time"] == b"9999-12-31T23:59:59.999999Z"
