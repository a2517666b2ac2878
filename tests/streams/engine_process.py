"""A process that starts an engine over a file and kills it, again and again: `python -m ... PATH SEED KILLS`.

It forks, so an engine runs at once; each engine is a process of its own and dies by SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import DEPOSITS, FILLS, TICKS
from ringfence_streams.engine import Engine
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Message
from ringfence_streams.sqlite import SqliteLog
from tests.streams.counting import CountingReplicas

MOTION = MotionSettings(batch_inputs=3, snapshot_every=5, snapshot_rest=0, stand_by=False)
INPUTS = 45


def messages(first: int) -> Iterator[Message]:
    """The inputs that are published before an engine starts."""
    topics = (FILLS, TICKS, DEPOSITS)
    for number in range(first, first + INPUTS):
        yield Message(topics[number % 3], f"key {number % 4}", f"{'abc'[number % 3]} {number}".encode(), number)


async def publish(path: str, first: int) -> None:
    """Publish the next inputs, as another command would."""
    log = SqliteLog(path)
    await log.publish(messages(first))
    await log.close()


def engine(log: SqliteLog) -> Engine:
    """An engine that counts."""
    return Engine(log, [Settings()], CountingReplicas(), motion=MOTION)


def main(path: str, seed: str, kills: str) -> None:
    """Publish, start an engine, kill it; so many times."""
    rng = random.Random(seed)
    for kill in range(int(kills)):
        asyncio.run(publish(path, kill * INPUTS))
        child = os.fork()
        if not child:
            asyncio.run(engine(SqliteLog(path)).run())
            os._exit(0)
        time.sleep(rng.uniform(0.002, 0.06))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the engine must be alive to be killed"


if __name__ == "__main__":
    main(*sys.argv[1:])
