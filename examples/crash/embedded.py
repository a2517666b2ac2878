"""Ringfence inside this process: inputs go into the log, the engine drains it, and what it published is read back."""

from collections.abc import AsyncIterator, Iterable

from ringfence_schemas.inputs import Input, encode_input
from ringfence_schemas.topics import (
    INPUT_TOPIC,
    LIQUIDATIONS,
    MARGIN_CALLS,
    POSITIONS,
    REFUSALS,
    RISK_PARAMETERS,
    WALLETS,
    key_of,
)
from ringfence_streams.engine import Engine
from ringfence_streams.port import Log, Message, Record

OBSERVED = (RISK_PARAMETERS, MARGIN_CALLS, LIQUIDATIONS, REFUSALS, POSITIONS, WALLETS)
READ_RECORDS = 1_000


class Embedded:
    """One shard over one log, moved turn by turn; what was read stays read."""

    def __init__(self, log: Log, engine: Engine) -> None:
        self._log = log
        self._engine = engine
        self._offsets = dict.fromkeys(OBSERVED, 0)
        self.inputs = 0

    async def turn(self, inputs: Iterable[Input]) -> list[Record]:
        """Publish the inputs in order, fold and commit them, return what the engine published because of them."""
        await self._log.publish(map(_message, inputs))
        self.inputs += await self._engine.drain()
        return [record async for record in self._outcomes()]

    async def _outcomes(self) -> AsyncIterator[Record]:
        for topic in OBSERVED:
            while records := await self._log.read(topic, 0, self._offsets[topic], READ_RECORDS):
                self._offsets[topic] = records[-1].offset + 1
                for record in records:
                    yield record


def _message(event: Input) -> Message:
    return Message(INPUT_TOPIC[type(event)], key_of(event), encode_input(event), event.time_us)
