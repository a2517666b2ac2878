"""Clocks: the machine's, and the one written into frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """The machine's clocks, so that a simulation can have its own."""

    def monotonic_us(self) -> int:
        """Microseconds since some moment; never goes back."""
        ...

    def wall_us(self) -> int:
        """Microseconds since the epoch, as the machine believes."""
        ...

    async def sleep(self, duration_us: int) -> None:
        """Return after so many microseconds."""
        ...

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of work that takes long, while the event loop goes on."""
        ...


class MachineClock:
    """The clock of this machine."""

    def monotonic_us(self) -> int:
        """Microseconds of the operating system's monotonic clock."""
        return time.monotonic_ns() // 1_000

    def wall_us(self) -> int:
        """Microseconds since the epoch by the operating system's clock."""
        return time.time_ns() // 1_000

    async def sleep(self, duration_us: int) -> None:
        """Sleep in the running event loop."""
        await asyncio.sleep(duration_us / 1_000_000)

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Work in a thread: it takes turns with the loop, which goes on beating for the owners' group."""
        return await asyncio.to_thread(work, *arguments)


class FrameClock:
    """The clock of one ownership: the wall clock at its start plus monotonic time since, so a jump does nothing.

    It never starts before the journal's own clock.
    """

    def __init__(self, clock: Clock, journal_us: int) -> None:
        self._clock = clock
        self._offset_us = max(clock.wall_us(), journal_us) - clock.monotonic_us()

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._offset_us + self._clock.monotonic_us()
