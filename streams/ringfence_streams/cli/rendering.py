"""Tables, times and durations as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, every column as wide as it must be; nothing for no rows."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def moment(time_us: int) -> str:
    """A time as UTC to the millisecond; beyond the calendar as its microseconds."""
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us"
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age(duration_us: int) -> str:
    """A duration in its two greatest units."""
    seconds, rest_us = divmod(duration_us, 1_000_000)
    if seconds < 60:  # noqa: PLR2004 -- seconds of a minute
        return f"{seconds}.{rest_us // 1_000:03}s"
    minutes, hours = seconds // 60, seconds // 3_600
    if hours < 24:  # noqa: PLR2004 -- hours of a day
        return f"{hours}h {minutes % 60}m" if hours else f"{minutes}m {seconds % 60}s"
    return f"{hours // 24}d {hours % 24}h"
