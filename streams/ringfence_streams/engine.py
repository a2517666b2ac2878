"""Several shards in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ringfence_schemas.frames import Settings
from ringfence_streams.clock import Clock
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Log, Replicas
from ringfence_streams.shard import Shard


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
        self.shards = [Shard(log, each, replicas, motion=motion, clock=clock) for each in settings]

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
        """Commit everything that is readable now on every shard, without waiting; returns how many inputs that was."""
        return sum([await shard.step() for shard in self.shards])

    async def release(self) -> None:
        """After `drain`: end every ownership orderly."""
        for shard in self.shards:
            await shard.release()
