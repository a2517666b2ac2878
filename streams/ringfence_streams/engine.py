"""Several shards in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ringfence_schemas.frames import Settings
from ringfence_streams.clock import Clock, MachineClock
from ringfence_streams.errors import ShardOwned
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Replicas
from ringfence_streams.shard import Shard

_LEASES: Final = 2
"""An owner that lives shows it within so many leases."""


class Engine:
    """Runs shards over one log: until stopped with `run`, or as far as inputs are there with `drain`."""

    def __init__(
        self,
        log: Log,
        settings: Sequence[Settings],
        replicas: Replicas,
        *,
        motion: MotionSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.log = log
        self._motion = motion or MotionSettings()
        self._clock = clock or MachineClock()
        self.shards = [Shard(log, each, replicas, motion=self._motion, clock=self._clock) for each in settings]

    def stop(self) -> None:
        """Ask every shard to finish its frame, write a release frame and return.  Safe in a signal handler."""
        for shard in self.shards:
            shard.stop()

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Run every shard until `stop`.  When one cannot go on the others stop orderly, then its error is raised."""
        tasks = [asyncio.ensure_future(shard.run()) for shard in self.shards]
        if started is not None:
            started()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            self.stop()
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        for task in tasks:
            task.result()

    async def drain(self) -> int:
        """Commit everything that is readable now on every shard; returns how many inputs that was.

        Waits for nothing but the lease of an owner that may be dead.  Raises ShardOwned when it lives.
        """
        return sum([await self._drained(shard) for shard in self.shards])

    async def release(self) -> None:
        """After `drain`: end every ownership orderly."""
        for shard in self.shards:
            await shard.release()

    async def _drained(self, shard: Shard) -> int:
        deadline_us = self._clock.monotonic_us() + _LEASES * self._motion.lease_us
        while True:
            try:
                return await shard.step()
            except ShardOwned:
                if not self.log.beats_when_idle or self._clock.monotonic_us() >= deadline_us:
                    raise
                await self._clock.sleep(self._motion.poll_us)
