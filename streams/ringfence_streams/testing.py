"""A driver for tests: bytes in, bytes out, one shard of the engine between them, and no log.

driver = Driver()
driver.pipe({"type": "deposit", "transfer_id": "t1", "account": "ann", "asset": "USDT", "amount": "100", "time_us": 1})
assert driver.read("wallets") == {"type": "wallet", "account": "ann", "asset": "USDT", "balance": "100"}
driver.assert_no_more_output()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
import orjson

from ringfence.replica import OutcomeRecord, Replica, ViewRecord
from ringfence_schemas.frames import FrameInput, Settings, SourceRange, content_hash
from ringfence_schemas.inputs import Event, Input
from ringfence_schemas.reading import INPUT_STRUCTS
from ringfence_schemas.topics import ACCOUNT_TOPICS, INPUT_TOPIC, INPUT_TOPICS
from ringfence_streams.statement import statement

Json = dict[str, Any]
Sendable = Event | Mapping[str, Any] | bytes
"""An input: a struct of `ringfence_schemas.inputs`, an object to be encoded as JSON, or bytes sent as they are."""

_FIRST_BATCH: Final = 2
"""On a log the first frame opens an epoch."""


class UnexpectedOutput(AssertionError):
    """A topic holds outcomes that the test did not expect."""


class NoOutput(AssertionError):
    """A topic holds no outcome that the test expected."""


class Driver:
    """One shard: inputs are piped to topics, outcomes are read from topics, each once and in order.

    What happens between is the engine's own code: inputs are read from bytes, folded frame by frame, and outcomes are
    the records that would be published, dead letters and views included.  With `Settings(clock="wall")` the driver's
    clock is the clock of every frame and the timestamp of every record; it stands still until `advance` moves it.

    What is *not* simulated: a log.  Inputs are folded in the order in which they are piped, whatever their topics and
    timestamps; there are no epochs, owners, crashes, repeats or lost records, no limit on the size of an input, and
    no other shards.  Tests of those belong on a real log: `SqliteLog` in a temporary directory, or `MemoryBroker`.
    """

    def __init__(self, settings: Settings | None = None, *, clock_us: int = 0) -> None:
        self.settings = settings or Settings()
        self.clock_us = clock_us
        """Microseconds since the epoch, under clock `wall`."""
        self._replica = Replica(self.settings)
        self._seq = _FIRST_BATCH
        self._ends: dict[tuple[str, int], int] = {}
        self._outputs: dict[str, deque[OutcomeRecord | ViewRecord]] = {}

    # --------------------------------------------------------------------------------------------------------- input

    def pipe(self, *inputs: Sendable, topic: str | None = None, timestamp_us: int | None = None) -> None:
        """Fold inputs as one frame, in order.

        An input goes to the topic of its type, or to `topic`, whatever its type; bytes that name no type need one.
        On topics of accounts the partition is this shard's own; on the others it is 0.  `timestamp_us` is the
        records' timestamp in the log, by default the clock.  Raises ValueError for a topic that is none, or missing.
        """
        timestamp_us = self.clock_us if timestamp_us is None else timestamp_us
        sources: dict[str, int] = {}
        starts: list[int] = []
        frame: list[FrameInput] = []
        last: list[bytes] = []
        for each in inputs:
            data = _encoded(each)
            name = topic or _topic_of(data)
            if name not in INPUT_TOPICS:
                raise ValueError(f"{name!r} is no input topic; use one of {', '.join(INPUT_TOPICS)}")
            source = sources.setdefault(name, len(sources))
            place = name, self._partition(name)
            offset = self._ends.get(place, 0)
            self._ends[place] = offset + 1
            if source == len(starts):
                starts.append(offset)
                last.append(data)
            last[source] = data
            frame.append(FrameInput(source, offset - starts[source], timestamp_us, data))
        positions = []
        for name, source in sources.items():
            end = self._ends[name, self._partition(name)]
            hashed = content_hash(last[source])
            positions.append(SourceRange(name, self._partition(name), starts[source], end, end - 1, hashed))
        self._fold(positions, frame)

    def advance(self, duration_us: int) -> None:
        """Move the clock forward and fold a heartbeat, so that timers then due fire.

        Raises ValueError under clock `events`, where only inputs move time, and for a negative duration.
        """
        if self.settings.clock != "wall":
            raise ValueError(
                'time is the inputs\' under clock "events"; use Settings(clock="wall"), or pipe a later input'
            )
        if duration_us < 0:
            raise ValueError(f"{duration_us} us: the clock of frames never goes back")
        self.clock_us += duration_us
        self._fold([], [])

    # -------------------------------------------------------------------------------------------------------- output

    def read(self, topic: str) -> Json | None:
        """Return the next outcome of a topic; None for the null that closes a view.  Raises NoOutput."""
        value = self.read_record(topic).value
        return None if value is None else cast("Json", orjson.loads(value))

    def read_all(self, topic: str) -> list[Json | None]:
        """Return every outcome of a topic that has not been read."""
        return [self.read(topic) for _ in range(len(self._outputs.get(topic, ())))]

    def read_record(self, topic: str) -> OutcomeRecord | ViewRecord:
        """Return the next outcome of a topic as it would be published: key, bytes, number or version, headers.

        This is how to read dead letters, whose bytes need not be JSON.  Raises NoOutput.
        """
        waiting = self._outputs.get(topic)
        if not waiting:
            others = ", ".join(f"{name} ({len(held)})" for name, held in sorted(self._outputs.items()) if held)
            raise NoOutput(f"{topic} holds nothing more; unread are: {others or 'none'}")
        return waiting.popleft()

    def assert_no_more_output(self, *topics: str) -> None:
        """Raise UnexpectedOutput unless everything on these topics was read; without topics, on all of them."""
        for topic in topics or sorted(self._outputs):
            held = self._outputs.get(topic)
            if held:
                raise UnexpectedOutput(f"{topic} holds {len(held)} more, the first is {held[0].value!r}")

    # --------------------------------------------------------------------------------------------------------- state

    def statement(self) -> list[Json]:
        """Return the state as `ringfence fold --state` prints it: accounts, the ledger, the digest with the counts."""
        lines = statement(self._replica.fold)
        return [cast("Json", msgspec.json.decode(msgspec.json.encode(line))) for line in lines]

    def restart(self) -> None:
        """Go on from a snapshot, as an engine does that was stopped."""
        self._replica = Replica.restore(self._replica.snapshot(), self.settings)

    def _partition(self, topic: str) -> int:
        return self.settings.shard if topic in ACCOUNT_TOPICS else 0

    def _fold(self, positions: list[SourceRange], inputs: list[FrameInput]) -> None:
        clock_us = self.clock_us if self.settings.clock == "wall" else 0
        outcomes = self._replica.fold_inputs(self._seq, clock_us, positions, inputs)
        self._seq += 1
        for record in outcomes.records:
            self._outputs.setdefault(record.topic, deque()).append(record)


def _encoded(event: Sendable) -> bytes:
    if isinstance(event, bytes):
        return event
    return msgspec.json.encode(event) if isinstance(event, Event) else orjson.dumps(event)


def _topic_of(data: bytes) -> str:
    """The topic of an input's type, as far as a producer can tell."""
    try:
        tag = orjson.loads(data)["type"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        tag = None
    struct: type[Input] | None = INPUT_STRUCTS.get(tag) if isinstance(tag, str) else None
    if struct is None:
        raise ValueError(f"{data[:80]!r} names no type of input; say to which topic it goes")
    return INPUT_TOPIC[struct]
