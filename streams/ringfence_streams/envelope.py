"""The headers an outcome carries: CloudEvents in binary mode, and what a tail scan needs to know its place again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from ringfence_schemas.topics import DEAD_LETTER_SUFFIX, VIEW_TOPICS
from ringfence_streams.port import Headers, OutcomeRecord, Record

Header: TypeAlias = tuple[str, bytes]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPECIFICATION: Final = ("ce_specversion", b"1.0")
_KEPT: Final = 1024
"""Headers are kept, because the views of a frame share all but two, and the decisions of an input nearly as many."""


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
    return standard + tuple(outcome.headers) if outcome.headers else standard


def standard_headers(shard: int, topic: str, key: str, kind: str, time_us: int, place: int) -> Headers:
    """The headers that follow from an outcome's place: its `ce_id` is unique, and equal for every repeat."""
    source, type_, content = _constant_headers(shard, topic, kind)
    time, subject = _time_header(time_us), ("ce_subject", key.encode())
    if topic in VIEW_TOPICS:
        identifier = ("ce_id", f"{shard}-{topic}-{place}-{key}".encode())
        return _SPECIFICATION, identifier, source, type_, time, subject, content, *_view_headers(shard, place)
    identifier = ("ce_id", f"{shard}-{topic}-{place}".encode())
    return _SPECIFICATION, identifier, source, type_, time, subject, content


@lru_cache(maxsize=_KEPT)
def _constant_headers(shard: int, topic: str, kind: str) -> tuple[Header, Header, Header]:
    content = "application/octet-stream" if topic.endswith(DEAD_LETTER_SUFFIX) else "application/json"
    return (
        ("ce_source", f"ringfence/{shard}".encode()),
        ("ce_type", kind.encode()),
        ("content-type", content.encode()),
    )


@lru_cache(maxsize=_KEPT)
def _view_headers(shard: int, version: int) -> tuple[Header, Header]:
    return ("version", str(version).encode()), ("shard", str(shard).encode())


@lru_cache(maxsize=_KEPT)
def _time_header(time_us: int) -> Header:
    """RFC 3339 in UTC, to the microsecond; beyond the year 9999 the last representable instant."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    return "ce_time", moment.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def published_ordinal(record: Record) -> int | None:
    """The place that a published record says it has; None when its headers are not ours."""
    headers = dict(record.headers)
    text = headers.get("version") if is_view(record.topic) else headers.get("ce_id", b"").rpartition(b"-")[2]
    return int(text) if text and text.isdigit() else None
