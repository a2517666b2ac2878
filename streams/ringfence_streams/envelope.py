"""The headers an outcome carries: CloudEvents in binary mode, and what a tail scan needs to know its place again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ringfence_schemas.topics import DEAD_LETTER_SUFFIX, VIEW_TOPICS
from ringfence_streams.port import Headers, OutcomeRecord, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ordinal(outcome: OutcomeRecord) -> int:
    """An outcome's place in its topic: the dense n of a decision, the version of a view."""
    place = outcome.number if outcome.version is None else outcome.version
    assert place is not None, f"an outcome on {outcome.topic} without number and version"
    return place


def is_view(topic: str) -> bool:
    """Whether a topic holds views: compacted, versioned by the frame's `seq`."""
    return topic in VIEW_TOPICS


def headers_of(shard: int, outcome: OutcomeRecord) -> Headers:
    """The headers of an outcome: the same bytes whenever it is published again."""
    standard = standard_headers(shard, outcome.topic, outcome.key, outcome.type, outcome.time_us, ordinal(outcome))
    return standard + tuple(outcome.headers)


def standard_headers(shard: int, topic: str, key: str, kind: str, time_us: int, place: int) -> Headers:
    """The headers that follow from an outcome's place: its `ce_id` is unique, and equal for every repeat."""
    identifier = f"{shard}-{topic}-{place}"
    if is_view(topic):
        identifier += f"-{key}"
    content = "application/octet-stream" if topic.endswith(DEAD_LETTER_SUFFIX) else "application/json"
    headers: Headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", identifier.encode()),
        ("ce_source", f"ringfence/{shard}".encode()),
        ("ce_type", kind.encode()),
        ("ce_time", _timestamp(time_us).encode()),
        ("ce_subject", key.encode()),
        ("content-type", content.encode()),
    )
    if is_view(topic):
        headers += (("version", str(place).encode()), ("shard", str(shard).encode()))
    return headers


def published_ordinal(record: Record) -> int | None:
    """The place that a published record says it has; None when its headers are not ours."""
    headers = dict(record.headers)
    text = headers.get("version") if is_view(record.topic) else headers.get("ce_id", b"").rpartition(b"-")[2]
    return int(text) if text and text.isdigit() else None


def _timestamp(time_us: int) -> str:
    """RFC 3339 in UTC, to the microsecond; beyond the year 9999 the last representable instant."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
