"""The second part of the demonstration: the inputs of a finished run once more, over a real broker."""

import asyncio
from pathlib import Path

import pytest

from examples.crash.accounts import generate
from examples.crash.embedded import Embedded
from examples.crash.market import HOUR_US, read_minutes
from examples.crash.replay import OtherDecisions, Replayed, inputs_of, replay
from examples.crash.simulation import Simulation
from ringfence_schemas.frames import Settings
from ringfence_streams.engine import Engine
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import connection_of
from ringfence_streams.kafka.log import KafkaLog
from ringfence_streams.kafka.specs import specs
from ringfence_streams.sqlite import SqliteLog

THE_FALL_US = 1_770_336_000_000_000
"""2026-02-06 00:00 UTC."""


async def small_run(path: Path, minutes: int) -> int:
    """A closed loop of 300 accounts; returns how many decisions came of it."""
    bars = read_minutes(THE_FALL_US, THE_FALL_US + HOUR_US)[:minutes]
    simulation = Simulation(5, bars, generate(5, 300, len(bars)))
    log = SqliteLog(path)
    engine = Engine(log, [Settings(clock="events")], CoreReplicas())
    embedded = Embedded(log, engine)
    for number in range(minutes):
        simulation.react(number, simulation.observe(await embedded.turn(simulation.turn(number))))
    simulation.observe(await embedded.turn(simulation.last_turn()))
    await engine.release()
    await log.close()
    return simulation.chronicle.count


async def replayed(path: Path, address: str) -> Replayed:
    """Replay the run in a file."""
    connection = connection_of(address, {})
    with Administration(connection) as administration:
        administration.create(specs(1), replication=1)
    run, kafka = SqliteLog(path), KafkaLog(connection, shards=[0])
    try:
        return await replay(run, kafka)
    finally:
        await kafka.close()
        await run.close()


def test_the_same_inputs_lead_to_the_same_decisions_on_kafka(tmp_path: Path, kafka_log: str) -> None:
    """Inputs that came minute by minute into a file are folded at once on Kafka: every decision has the same bytes."""
    decisions = asyncio.run(small_run(tmp_path / "run.sqlite", 40))
    done = asyncio.run(replayed(tmp_path / "run.sqlite", kafka_log))
    assert decisions > 20
    assert done.decisions == decisions
    assert done.inputs > 500


def test_a_decision_that_is_missing_in_one_of_the_logs_is_noticed(tmp_path: Path, kafka_log: str) -> None:
    """A file with inputs and without an engine's decisions is not taken for the same as a log that has them."""

    async def without_engine() -> None:
        await small_run(tmp_path / "run.sqlite", 2)
        source, copy = SqliteLog(tmp_path / "run.sqlite"), SqliteLog(tmp_path / "copy.sqlite")
        async for messages in inputs_of(source):
            await copy.publish(messages)
        await source.close()
        await copy.close()

    asyncio.run(without_engine())
    with pytest.raises(OtherDecisions, match="another decision at offset 0"):
        asyncio.run(replayed(tmp_path / "copy.sqlite", kafka_log))
