"""Engines over Kafka that can be told where to die: `python -m tests.chaos.engine_process ADDRESS MODE ...`.

run                   one engine until SIGTERM
points NAME:TIMES...  one engine after the other; each kills itself when it comes to its point for the n-th time
random SEED KILLS     one engine after the other, each killed at a random moment
crowd COUNT           so many at once, until SIGTERM

Every engine is a process of its own, forked so that it runs at once, and runs shard 0 whatever the owners' group says:
the group is for spreading shards, and waiting for its session would make a hundred deaths last an hour.  Its batches
are small and its lease is short.  Every line of output is a JSON object that says what happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from ringfence_schemas.frames import Settings
from ringfence_streams.broker import Append, Broker, Outgoing, Producer
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.kafka.connection import connection_of
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.motion import MotionSettings
from ringfence_streams.port import Bounds, Record, SnapshotStore
from tests.streams.test_crash_table import FRESH, ONCE_PER_PROCESS, Step

MOTION = MotionSettings(
    batch_inputs=4,
    heartbeat_us=100_000,
    lease_us=400_000,
    poll_us=50_000,
    snapshot_every=8,
    snapshot_rest=0,
    stalled_us=3_000_000,
)
RIVALS = replace(MOTION, lease_us=3_000_000)
"""Rivals fight only as long as nobody owns: an owner that starts on a busy machine is not slower than this lease."""
SETTINGS = Settings(engine="chaos")
POINTS = {point.__name__: point for point in FRESH}
PATIENCE_S = 60
LIFE_S = (0.3, 1.8)
"""How long a randomly killed engine lives; starting takes about half a second of it."""

Observer = Callable[[str, str], None]


class ObservedBroker:
    """A broker's client that says each step before it takes it, and each append once the broker has it."""

    def __init__(self, broker: Broker, observe: Observer) -> None:
        self._broker = broker
        self._observe = observe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Observed."""
        self._observe("bounds", topic)
        return await self._broker.bounds(topic, partition)

    async def read(self, topic: str, partition: int, offset: int, records: int) -> Sequence[Record]:
        """Observed."""
        self._observe("read", topic)
        return await self._broker.read(topic, partition, offset, records)

    def producer(self) -> ObservedProducer:
        """Observed."""
        return ObservedProducer(self._broker.producer(), self._observe)


class ObservedProducer:
    """A producer session of an ObservedBroker."""

    def __init__(self, producer: Producer, observe: Observer) -> None:
        self._producer = producer
        self._observe = observe

    def send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> Sequence[Append]:
        """Observed before it is sent, and as soon as the acknowledgement is there: nobody has seen it yet."""
        self._observe("send", topic)
        appends = self._producer.send(topic, partition, records)
        return [Append(append.records, self._watched(topic, append)) for append in appends]

    async def cancel(self) -> None:
        """As ever."""
        await self._producer.cancel()

    def _watched(self, topic: str, append: Append) -> asyncio.Future[int | None]:
        seen: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def acknowledged(inner: asyncio.Future[int | None]) -> None:
            if inner.cancelled():
                seen.cancel()
            elif error := inner.exception():
                seen.set_exception(error)
                seen.exception()
            else:
                self._observe("appended", topic)
                seen.set_result(inner.result())

        append.acknowledgement.add_done_callback(acknowledged)
        return seen


class ObservedSnapshots:
    """A snapshot store that says each step before it takes it."""

    def __init__(self, snapshots: SnapshotStore, observe: Observer) -> None:
        self._snapshots = snapshots
        self._observe = observe

    async def write(self, shard: int, seq: int, data: bytes) -> None:
        """Observed."""
        self._observe("write snapshot", "")
        await self._snapshots.write(shard, seq, data)

    async def release(self, shard: int, seq: int) -> None:
        """Observed."""
        self._observe("release snapshot", "")
        await self._snapshots.release(shard, seq)

    def released(self, shard: int) -> AsyncIterator[bytes]:
        """As ever."""
        return self._snapshots.released(shard)


def say(**fields: object) -> None:
    """One line."""
    print(json.dumps({"at": time.time(), **fields}), flush=True)  # noqa: T201 -- how it reports


def suicide(name: str, times: int) -> Observer:
    """An observer that kills its own process at the point."""
    steps: list[Step] = []
    left = times

    def observe(step: str, topic: str) -> None:
        nonlocal left
        steps.append((step, topic))
        if POINTS[name](steps):
            left -= 1
            if not left:
                say(died_at=name, times=times)
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


async def work(address: str, observe: Observer | None = None, motion: MotionSettings = MOTION) -> None:
    """One engine until SIGTERM, or until it dies."""
    log = KafkaLog(connection_of(address, {}), shards=[0])
    if observe is not None:
        log._broker = cast("Broker", ObservedBroker(log._broker, observe))
        log._snapshots = ObservedSnapshots(log._snapshots, observe)
    engine = Engine(log, [SETTINGS], CoreReplicas(), motion=motion)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, engine.stop)
    await engine.run()
    await log.close()


def child(address: str, observe: Observer | None = None, motion: MotionSettings = MOTION) -> int:
    """Fork an engine; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        tell_logs()
        asyncio.run(work(address, observe, motion))
        status = 0
    except BaseException:  # noqa: BLE001 -- a forked process must not go on in the code of its parent
        say(died_of=traceback.format_exc(), pid=os.getpid())
    os._exit(status)


def tell_logs() -> None:
    """What the library logs becomes lines."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(log=record.getMessage(), level=record.levelname, pid=os.getpid())

    logger = logging.getLogger("ringfence_streams")
    logger.setLevel(logging.INFO)
    logger.addHandler(Handler())


def died(pid: int, patience_s: float) -> bool:
    """Wait for a process to die; whether it did."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        time.sleep(0.01)
    return False


def die_at_points(address: str, points: Sequence[str]) -> None:
    """Each engine dies at its point, or the whole run fails."""
    for point in points:
        name, _, times = point.partition(":")
        pid = child(address, suicide(name, 1 if POINTS[name] in ONCE_PER_PROCESS else int(times)))
        if not died(pid, PATIENCE_S):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            sys.exit(f"no engine came to {point}")


def die_at_random(address: str, seed: str, kills: int) -> None:
    """Each engine is killed at whatever it is doing."""
    rng = random.Random(seed)
    for number in range(kills):
        pid = child(address)
        time.sleep(rng.uniform(*LIFE_S))
        os.kill(pid, signal.SIGKILL)
        if not died(pid, PATIENCE_S):
            sys.exit("the engine must be alive to be killed")
        say(killed=number)


def crowd(address: str, count: int) -> None:
    """Rivals: all of them believe that the shard is theirs to run."""
    rivals = [child(address, motion=RIVALS) for _ in range(count)]

    def stop(*_: object) -> None:
        for rival in rivals:
            os.kill(rival, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    statuses = [os.waitpid(rival, 0)[1] for rival in rivals]
    sys.exit(any(statuses))


def main(address: str, mode: str, *arguments: str) -> None:
    """Do what the module's text says."""
    if mode == "run":
        tell_logs()
        asyncio.run(work(address))
    elif mode == "points":
        die_at_points(address, arguments)
    elif mode == "crowd":
        crowd(address, int(arguments[0]))
    else:
        die_at_random(address, arguments[0], int(arguments[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
