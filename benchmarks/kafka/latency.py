"""Latency: from the moment a tick is handed to a producer until a subscriber has read the margin call it caused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import ROUND_FLOOR, Decimal
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.inputs import INSTRUMENT, PRICE, Inputs
from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.load import Outgoing, outgoing
from benchmarks.kafka.ours import Engine
from benchmarks.kafka.programs import until
from benchmarks.kafka.scale import Scale
from benchmarks.kafka.writing import Writer
from ringfence_schemas.frames import decode_frame
from ringfence_schemas.topics import JOURNAL, MARGIN_CALLS, POSITIONS, TICKS

CALLED: Final = "CALLED-USDT-PERP"
"""The instrument whose ticks cause margin calls."""
ENTRY_STEP: Final = Decimal("0.4")
"""Between the entry prices of two accounts: more than three price ticks between their calls."""
PRICE_TICK: Final = Decimal("0.1")
SETTLED_S: Final = 2
"""Load runs alone for so long before the first call."""
WRITE_S: Final = 0.005
"""Load is written this often."""
TIMEOUT_S: Final = 120


class Latency(NamedTuple):
    """What a subscriber waited for."""

    asked: float
    """Inputs a second that were to be sent."""
    sent: float
    """Inputs a second that were."""
    calls: int
    p50_ms: float
    p99_ms: float
    greatest_ms: float
    parts_ms: Sequence[float]
    """Medians of the parts of the way by the records' own times: to the frame, to the call, to the subscriber."""


class Called(NamedTuple):
    """When a margin call was written by the engine and read by the subscriber."""

    written_ms: int
    read_us: int


class Sending(NamedTuple):
    """What the sending process is told."""

    bootstrap: str
    names: Mapping[str, str]
    seed: int
    accounts: int
    rate: float
    """Inputs a second."""
    prices: Sequence[str]
    """Of the ticks that cause a call each."""
    interval_s: float
    """Between two of them."""


class Sent(NamedTuple):
    """What it tells."""

    rate: float
    times_us: dict[int, int]
    """Offset of a tick that causes a call -> when it was handed to the producer."""


async def latency(cluster: Cluster, folder: Path, prefix: str, scale: Scale, seed: int, rate: float) -> Latency:
    """Run an engine on the wall clock under a steady load, and time its margin calls.

    Raises ProgramFailed when the engine ends or calls stay away.
    """
    engine = Engine(cluster, f"{prefix}latency.", folder / "latency")
    await engine.create_topics()
    async with Writer(cluster.bootstrap) as writer:
        await writer.write(_beginning(scale, seed), engine.names)
    async with engine.run("--clock", "wall") as running:
        await running.line(TIMEOUT_S, state="owner")
        prices = await _call_prices(engine, scale.calls)
        sending = Sending(cluster.bootstrap, engine.names, seed, scale.accounts, rate, prices, scale.call_interval_s)
        return await _timed(engine, sending)


def _beginning(scale: Scale, seed: int) -> Iterable[Outgoing]:
    """Accounts for the load, and one for each call, each a little further from it than the one before."""
    inputs = Inputs(seed, time.time_ns() // 1_000, 1)
    lines = inputs.market((INSTRUMENT, CALLED))
    lines += [inputs.deposit(account) for account in range(scale.accounts + scale.calls)]
    lines += [
        inputs.purchase(scale.accounts + number, str(PRICE - number * ENTRY_STEP), CALLED)
        for number in range(scale.calls)
    ]
    return map(outgoing, lines)


async def _call_prices(engine: Engine, calls: int) -> list[str]:
    """The prices that cause one call each, highest first, as the views of the positions tell them."""
    topic = engine.name(POSITIONS)

    async def holds() -> bool:
        return await engine.cluster.end(topic) >= calls

    await until(holds, TIMEOUT_S, f"not all of {calls} positions were published")
    views = [orjson.loads(record.value) async for record in engine.cluster.records(topic) if record.value]
    first = sorted((max(map(Decimal, view["margin_call_prices"])) for view in views), reverse=True)
    return [str(price.quantize(PRICE_TICK, ROUND_FLOOR) - PRICE_TICK) for price in first]


async def _timed(engine: Engine, sending: Sending) -> Latency:
    """Subscribe as anybody would, let another process send, and compare."""
    partition = TopicPartition(engine.name(MARGIN_CALLS), 0)
    subscriber = AIOKafkaConsumer(bootstrap_servers=sending.bootstrap, group_id=None, auto_offset_reset="earliest")
    await subscriber.start()
    subscriber.assign([partition])
    called: dict[int, Called] = {}
    reading = asyncio.ensure_future(_read(subscriber, called))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            sent = await asyncio.get_running_loop().run_in_executor(pool, send, sending)

        async def holds() -> bool:
            return sent.times_us.keys() <= called.keys()

        await until(holds, TIMEOUT_S, f"not every one of {len(sent.times_us)} margin calls came")
    finally:
        reading.cancel()
        await subscriber.stop()
    waits = [(called[offset].read_us - time_us) / 1_000 for offset, time_us in sent.times_us.items()]
    percentiles = quantiles(waits, n=100, method="inclusive")
    parts_ms = await _parts(engine, sent, called)
    return Latency(sending.rate, sent.rate, len(waits), percentiles[49], percentiles[98], max(waits), parts_ms)


async def _parts(engine: Engine, sent: Sent, called: Mapping[int, Called]) -> list[float]:
    """Compare the times that tick, frame and call bear; those of records have milliseconds."""
    framed_ms: dict[int, int] = {}
    async for record in engine.cluster.records(engine.name(JOURNAL)):
        frame = decode_frame(record.value or b"")
        for item in frame.inputs:
            source = frame.positions[item.source]
            if source.topic == TICKS:
                framed_ms[source.start + item.offset_delta] = record.timestamp
    ways = []
    for offset, time_us in sent.times_us.items():
        framed, call = framed_ms[offset], called[offset]
        ways.append((framed - time_us / 1_000, call.written_ms - framed, call.read_us / 1_000 - call.written_ms))
    return [median(parts) for parts in zip(*ways, strict=True)]


async def _read(subscriber: AIOKafkaConsumer, called: dict[int, Called]) -> None:
    """Note when the first decision was written and came that each tick caused."""
    async for record in subscriber:
        now_us = time.time_ns() // 1_000
        cause = orjson.loads(record.value)["cause"]
        if cause.get("topic") == TICKS:
            called.setdefault(cause["offset"], Called(record.timestamp, now_us))


def send(sending: Sending) -> Sent:
    """Send the load at its rate and, beside it, the ticks that cause calls; in a process of its own."""
    return asyncio.run(_send(sending))


async def _send(sending: Sending) -> Sent:
    seconds = SETTLED_S + len(sending.prices) * sending.interval_s
    count = int(seconds * sending.rate)
    # The engine takes no input that is far ahead of its clock: the times are those at which the inputs will be sent.
    start_us = time.time_ns() // 1_000 + 1_000_000 + 15 * count
    inputs = Inputs(sending.seed + 1, start_us, round(1_000_000 / sending.rate))
    lines = [outgoing(line) for line in inputs.mixed(count, sending.accounts, 0.5)]
    await asyncio.sleep(max(0, start_us - time.time_ns() // 1_000) / 1e6)
    load = asyncio.ensure_future(_load(sending, lines))
    await asyncio.sleep(SETTLED_S)
    times_us: dict[int, int] = {}
    producer = AIOKafkaProducer(bootstrap_servers=sending.bootstrap, acks="all", linger_ms=0)
    await producer.start()
    try:
        for price in sending.prices:
            time_us = time.time_ns() // 1_000
            tick = {"type": "tick", "instrument": CALLED, "price": price, "time_us": time_us}
            kept = await producer.send_and_wait(
                sending.names[TICKS], orjson.dumps(tick), CALLED.encode(), 0, timestamp_ms=time_us // 1_000
            )
            times_us[kept.offset] = time_us
            await asyncio.sleep(sending.interval_s)
    finally:
        await producer.stop()
    return Sent(await load, times_us)


async def _load(sending: Sending, lines: Sequence[Outgoing]) -> float:
    """Write what is due, again and again; returns the rate that came of it."""
    started, done = time.perf_counter(), 0
    async with Writer(sending.bootstrap) as writer:
        while done < len(lines):
            due = min(len(lines), int((time.perf_counter() - started) * sending.rate))
            await writer.write(lines[done:due], sending.names)
            done = due
            await asyncio.sleep(WRITE_S)
    return len(lines) / (time.perf_counter() - started)
