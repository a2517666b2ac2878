"""Records for people and for other programs: frames, dead letters and anything that is not JSON, as JSON."""

from __future__ import annotations

from typing import Any

import orjson

from ringfence_schemas.frames import Frame, FrameInput, frame_hash
from ringfence_schemas.topics import DEAD_LETTER_SUFFIX, JOURNAL
from ringfence_streams.folding import read_frame
from ringfence_streams.port import Record

_READABLE = orjson.OPT_APPEND_NEWLINE


def line_of(record: Record) -> bytes:
    """A record as one JSON line: its own bytes where they are one, a frame's content, else `envelope_of`."""
    if record.topic == JOURNAL:
        return orjson.dumps(frame_object(record), option=_READABLE)
    value = record.value
    own = value is not None and b"\n" not in value and is_json(value) and not record.topic.endswith(DEAD_LETTER_SUFFIX)
    if own and value:
        return value + b"\n"
    return envelope_of(record)


def envelope_of(record: Record) -> bytes:
    """A record with everything that surrounds its value, as one JSON line."""
    value: Any = frame_object(record) if record.topic == JOURNAL else value_object(record.value)
    fields = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_us": record.timestamp_us,
        "key": None if record.key is None else readable(record.key),
        "headers": {name: readable(content) for name, content in record.headers},
        "value": value,
    }
    return orjson.dumps(fields, option=_READABLE)


def frame_object(record: Record) -> dict[str, Any]:
    """A frame of the journal with its hash, sources named and bytes readable.  Raises JournalDamaged."""
    frame = read_frame(record)
    return {
        "shard": record.partition,
        "offset": record.offset,
        "epoch": frame.epoch,
        "seq": frame.seq,
        "kind": frame.kind,
        "hash": frame_hash(record.value or b"").hex(),
        "prev": frame.prev.hex(),
        "clock_us": frame.clock_us,
        "inputs": [_input_object(frame, item) for item in frame.inputs],
        "positions": [_shown(position) for position in frame.positions],
        "published": [_shown(place) for place in frame.published],
        "outcome_count": frame.outcome_count,
        "outcome_digest": frame.outcome_digest.hex(),
        "state_digest": frame.state_digest.hex(),
        "opening": frame.opening and _shown(frame.opening),
    }


def is_json(data: bytes) -> bool:
    """Whether bytes are one JSON value."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def value_object(data: bytes | None) -> Any:
    """A value: its JSON where it is that, on one line but otherwise untouched, else its text."""
    if data is None:
        return None
    if not is_json(data):
        return readable(data)
    return orjson.Fragment(data.replace(b"\r", b" ").replace(b"\n", b" "))  # inside a JSON string neither can stand


def readable(data: bytes) -> str:
    r"""Bytes as text; those that are not UTF-8 as \xNN."""
    return data.decode("utf-8", "backslashreplace")


def _input_object(frame: Frame, item: FrameInput) -> dict[str, Any]:
    source = frame.positions[item.source]
    shown: dict[str, Any] = {
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.start + item.offset_delta,
        "timestamp_us": item.timestamp_us,
    }
    if item.traceparent is not None:
        shown["traceparent"] = item.traceparent
    if item.omitted_bytes:
        return {**shown, "omitted_bytes": item.omitted_bytes, "hash": item.data.hex()}
    return {**shown, "value": value_object(item.data)}


def _shown(part: Any) -> Any:
    """A part of a frame with its field names; bytes as hexadecimal digits."""
    if isinstance(part, bytes):
        return part.hex()
    if isinstance(part, list):
        return [_shown(each) for each in part]
    fields = getattr(part, "__struct_fields__", None)
    return {name: _shown(getattr(part, name)) for name in fields} if fields else part
