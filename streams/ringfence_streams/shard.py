"""The shard loop: follow (T1), take over (T2), recover (V1-V6), then commit frame after frame (W1-W9).

Step by step, as journal.md numbers them; what a crash after each step leaves behind stands in docs/concepts/journal.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from enum import StrEnum

from ringfence_schemas.frames import Settings
from ringfence_streams.clock import Clock, FrameClock, MachineClock
from ringfence_streams.errors import ClockStep, OwnershipLost, ShardOwned
from ringfence_streams.follower import Follower
from ringfence_streams.motion import MotionSettings
from ringfence_streams.owner import Owner, Progress
from ringfence_streams.port import Log, Replicas
from ringfence_streams.recovery import check_sources, recover

logger = logging.getLogger(__name__)


class Mode(StrEnum):
    """What a shard is doing."""

    FOLLOWING = "following"
    OWNING = "owning"
    STOPPED = "stopped"


class Shard:
    """One shard of the engine over one log.

    `run` goes on until `stop`; `step` does what is to be done now and returns.  Use one of them, not both at once.
    """

    def __init__(
        self,
        log: Log,
        settings: Settings,
        replicas: Replicas,
        *,
        motion: MotionSettings | None = None,
        clock: Clock | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.settings = settings
        self.mode = Mode.FOLLOWING
        self.progress = Progress()
        self._log = log
        self._replicas = replicas
        self._motion = motion or MotionSettings()
        self._clock = clock or MachineClock()
        self._entropy = entropy
        self._stopping = asyncio.Event()
        self._follower: Follower | None = None
        self._moved_us = 0
        self._seen_end = -1
        self._patience = 1.0
        self._owner: Owner | None = None

    @property
    def stalled(self) -> bool:
        """W9: whether the log owes this shard an acknowledgement for too long."""
        return self._owner is not None and self._owner.ownership.stalled

    def stop(self) -> None:
        """Ask `run` to finish the frame, write a release frame and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Follow, take over and process until stopped.  Raises LogError when a person must look."""
        await self._log.check(self.settings)
        while not self._stopping.is_set():
            try:
                if not await self._log.assigned(self.settings.shard):
                    await self._give_way()
                elif self._owner is not None:
                    if not await self._owner.advance():
                        await self._owner.idle(self._pause)
                    await asyncio.sleep(0)  # a log that never waits would let nobody else in
                elif not await self._take_over():
                    await self._pause(self._clock.sleep(self._motion.poll_us))
            except OwnershipLost as lost:
                await self._stand_down(lost)
            except BaseException:
                await self._drop()
                self.mode = Mode.STOPPED
                raise
        await self.release()

    async def step(self) -> int:
        """Commit everything that is readable now; returns how many inputs that was.  Never sleeps for new ones.

        Raises ShardOwned when another process owns the shard.
        """
        before = self.progress.inputs
        while True:
            try:
                owner = self._owner or await self._claimed()
                await owner.refresh()
                while await owner.advance():
                    pass
                await owner.finish()
            except OwnershipLost as lost:
                await self._stand_down(lost)
            except BaseException:
                await self._drop()
                self.mode = Mode.STOPPED
                raise
            else:
                return self.progress.inputs - before

    async def release(self) -> None:
        """End the ownership orderly: a release frame lets the next owner start at once."""
        if self._owner is not None:
            try:
                await self._owner.release()
            except OwnershipLost as lost:
                logger.warning("Shard %d: ownership lost at its end: %s", self.settings.shard, lost)
            finally:
                await self._drop()
        self.mode = Mode.STOPPED

    async def _give_way(self) -> None:
        """Another process is to run this shard: end an ownership orderly, then only watch whether its chain grows."""
        if self._owner is not None:
            logger.info("Shard %d: handed over, it is assigned to another process", self.settings.shard)
            await self._owner.release()
        if self._owner is not None or self._follower is not None:
            await self._drop()
        await self._watch()
        await self._pause(self._clock.sleep(self._motion.poll_us))

    async def _watch(self) -> None:
        """T1: the lease counts from the last growth seen, also before this process has a replica."""
        end = (await self._log.journal_bounds(self.settings.shard)).end
        if end != self._seen_end:
            self._seen_end, self._moved_us = end, self._clock.monotonic_us()

    async def _claimed(self) -> Owner:
        """Own the shard now, or raise ShardOwned."""
        await self._log.check(self.settings)
        if await self._take_over() and self._owner:
            return self._owner
        raise ShardOwned(f"Shard {self.settings.shard} is owned by another process")

    async def _take_over(self) -> bool:
        """T1, T2, V1-V6: own the shard if that is allowed now; returns whether it is owned."""
        shard = self.settings.shard
        if self._follower is None:
            await self._watch()
            self._follower = await recover(self._log, shard, self.settings, self._replicas, self._clock)  # V1, V2
            await self._watch()
            self._patience = random.Random(self._entropy(8)).uniform(1, 1.5)  # T1: jitter, so that two do not collide
        elif await self._follower.catch_up(self._log):  # T1: a follower tails the journal
            self._moved_us = self._clock.monotonic_us()
        follower = self._follower
        quiet_us = self._clock.monotonic_us() - self._moved_us
        vacant = follower.state.released or quiet_us >= self._patience * self._motion.lease_us
        if not await self._log.eligible(shard, vacant=vacant):
            if not self._motion.stand_by:
                raise ShardOwned(f"Shard {shard} is owned by another process")
            return False
        await follower.check_head(self._log)  # R3
        await check_sources(self._log, follower)  # V6, before anything is written
        frame_clock = self._frame_clock(follower)
        self._owner = Owner(self._log, self.settings, follower, self._motion, self._clock, frame_clock, self.progress)
        self._follower = None
        await self._owner.claim(self._entropy(16))
        self.mode = Mode.OWNING
        logger.info("Shard %d: owned from seq %d", shard, follower.state.head.seq)
        return True

    def _frame_clock(self, follower: Follower) -> FrameClock | None:
        """The writer's clock; a take-over refuses one that is too far ahead of the journal's."""
        if self.settings.clock == "events":
            return None
        journal_us = follower.state.clock_us
        step_us = self._clock.wall_us() - journal_us
        if journal_us and step_us > self._motion.max_clock_step_us:
            raise ClockStep(f"The clock is {step_us} us ahead of the journal of shard {self.settings.shard}")
        return FrameClock(self._clock, journal_us)

    async def _stand_down(self, lost: OwnershipLost) -> None:
        """W7: publish nothing more, drop the working state, become a follower."""
        logger.warning("Shard %d stands down: %s", self.settings.shard, lost)
        self.progress.stood_down += 1
        await self._drop()

    async def _drop(self) -> None:
        owner, self._owner, self._follower = self._owner, None, None
        self.mode = Mode.FOLLOWING
        if owner is not None:
            await owner.abandon()
        await self._log.resign(self.settings.shard)

    async def _pause(self, waiting: Coroutine[None, None, None]) -> None:
        """Wait for something, or for `stop`."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            task.cancel()
        if task.done() and not task.cancelled():
            task.result()
