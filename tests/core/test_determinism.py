"""The same journal order gives the same bytes, wherever and however it is folded (fault A13)."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.replica import Replica
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.outcomes import Decision
from ringfence_schemas.reading import InputRefused, decode_input
from ringfence_schemas.topics import FILLS, INPUT_TOPIC, INPUT_TOPICS, OUTCOME_TOPIC
from tests.core.engines import FoldEngine
from tests.scenarios import notation

SCENARIOS = Path(__file__).parent.parent / "scenarios"
NAMES = sorted(path.name for path in SCENARIOS.glob("*.txt"))

PLACES = [
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "America/St_Johns"},
    {"PYTHONHASHSEED": "4294967295", "LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONUTF8": "0"},
]
"""Hash seeds, locales and time zones that have bitten others."""


DECISIONS = {struct.__struct_config__.tag for struct in OUTCOME_TOPIC if issubclass(struct, Decision)}


def lines(name: str) -> list[bytes]:
    """The inputs of a scenario."""
    return [line.data for line in notation.read(SCENARIOS / name) if line.data is not None]


def test_seed_locale_and_time_zone_change_no_byte() -> None:
    """A process under another hash seed, locale and time zone prints the same decisions, state and digest."""
    stream = b"\n".join(line for name in NAMES for line in lines(name)) + b"\n"
    printed = {
        subprocess.run(
            [sys.executable, "-m", "ringfence_streams.cli", "fold", "--state", "--ledger"],
            input=stream,
            env={**os.environ, **place},
            capture_output=True,
            check=True,
        ).stdout
        for place in PLACES
    }
    assert len(printed) == 1
    assert json.loads(printed.pop().splitlines()[-1])["inputs"] == stream.count(b"\n")


@pytest.mark.parametrize("name", NAMES)
def test_batches_change_no_decision(name: str) -> None:
    """Frames of one, of three and of all inputs give the same decisions and the same digest."""
    inputs = lines(name)
    assert len({framed(inputs, size) for size in (1, 3, len(inputs))}) == 1


def framed(inputs: list[bytes], size: int) -> tuple[bytes, tuple[bytes | None, ...]]:
    """The digest and the decisions of a journal whose frames hold `size` inputs."""
    replica = Replica(Settings())
    decisions: list[bytes | None] = []
    read = dict.fromkeys(INPUT_TOPICS, 0)
    for seq, start in enumerate(range(0, len(inputs), size), start=1):
        batch = [(INPUT_TOPICS.index(topic_of(line)), line) for line in inputs[start : start + size]]
        sources = [SourceRange(topic, 0, end, end + len(batch), end, b"") for topic, end in read.items()]
        items = []
        for source, line in batch:
            topic = INPUT_TOPICS[source]
            items.append(FrameInput(source, read[topic] - sources[source].start, 0, line))
            read[topic] += 1
        outcomes = replica.fold_inputs(seq, 0, sources, items)
        decisions += [record.value for record in outcomes.records if record.type in DECISIONS]
    return replica.digest(), tuple(decisions)


def topic_of(line: bytes) -> str:
    """The topic an input travels on; what cannot be read may stand on any."""
    try:
        return INPUT_TOPIC[type(decode_input(line))]
    except InputRefused:
        return FILLS


def test_the_order_of_postings_in_memory_is_not_part_of_the_state() -> None:
    """Accounts that arrive in another order, with the same engine times, lead to the same digest."""
    transfers = [
        {"type": "deposit", "transfer_id": "d", "account": f"a{number}", "asset": "USDT", "amount": "1", "time_us": 1}
        for number in range(40)
    ]
    digests = set()
    for seed in range(5):
        random.Random(seed).shuffle(transfers)
        engine = FoldEngine()
        for transfer in transfers:
            engine.apply(json.dumps(transfer).encode())
        digests.add(engine.fold.digest())
    assert len(digests) == 1
