"""Claims about the real shard over a broker that delays, repeats and loses, with processes that die at any point."""

from __future__ import annotations

import asyncio

import pytest

from tests.streams.world import World


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_faults_leaves_one_chain_with_every_input_once(seed: int) -> None:
    """Two processes, random crashes, pauses, repeats and lost acknowledgements: all guarantees hold at the end."""

    async def simulate() -> None:
        world = World(seed)
        world.write(10)
        world.start()
        world.start()
        for _ in range(8):
            for _ in range(world.random.randrange(5, 60)):
                await world.step(faults=True)
            world.write(world.random.randrange(6))
            machine = world.random.choice(world.machines)
            fault = world.random.choice(["crash", "pause", "resume", "start"])
            if fault == "crash":
                machine.crash()
            elif fault == "pause":
                machine.client.pause()
            elif fault == "resume":
                machine.client.resume()
            elif sum(m.running for m in world.machines) < 3:
                world.start()
        for machine in world.machines:
            machine.client.resume()
        await world.finish()
        await world.audit()

    asyncio.run(simulate())
