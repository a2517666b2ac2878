"""Claims about real processes that are killed with SIGKILL, over a real file."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from ringfence_schemas.frames import Settings
from ringfence_streams.sqlite import SqliteLog
from tests.streams.engine_process import INPUTS, engine
from tests.streams.market import market
from tests.streams.world import audit

ROOT = Path(__file__).parents[2]
KILLS = 50


def test_an_engine_killed_at_random_moments_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """A1: fifty kills at whatever the engine is doing: every input on the chain once, every outcome published."""
    path = tmp_path / "log.db"
    command = [sys.executable, "-m", "tests.streams.engine_process", str(path), "1", str(KILLS)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == 0, killed.stderr

    async def finish() -> None:
        log = SqliteLog(path)
        frames = (await log.journal_bounds(0)).end
        last = engine(log)
        await last.drain()
        await last.release()
        follower = await audit(log, Settings(), KILLS * INPUTS)
        assert follower.state.head.epoch > KILLS // 5, "engines owned the shard before they were killed"
        assert frames > follower.state.head.epoch, "and wrote frames"
        await log.close()

    asyncio.run(finish())


def test_the_command_killed_again_and_again_gives_a_journal_that_verifies(tmp_path: Path) -> None:
    """A1 with the margin engine: after each kill `ringfence run` goes on; `ringfence verify` finds nothing wrong."""
    rng = random.Random(7)
    log = f"sqlite:{tmp_path / 'log.db'}"
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text("\n".join(json.dumps(event) for event in market(rng, 4_000)) + "\n")
    ringfence(["publish", "--log", log, str(inputs)])
    for _ in range(4):
        command = [sys.executable, "-m", "ringfence_streams.cli", "run", "--log", log, "--clock", "events"]
        program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.4, 0.8))
        assert program.poll() is None, "the program must be alive to be killed"
        program.kill()
        program.wait()
    ringfence(["run", "--log", log, "--clock", "events", "--drain"])
    ringfence(["verify", "--log", log])


def ringfence(arguments: list[str]) -> None:
    """Run the command; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "ringfence_streams.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
