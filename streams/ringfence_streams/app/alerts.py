"""Alerts: one message per margin call case and level, and one when a liquidation starts, posted until accepted.

What is to be sent stands in a table, beside what was sent.  So the projections never wait for a receiver, and a restart
goes on where it was.  A receiver can still get a message twice: when the worker dies between the answer and the record
of it.  The id is the same then.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal

import aiohttp
import msgspec
from mode import Service
from msgspec import Struct

from ringfence_schemas.outcomes import Decision, LiquidationStarted, MarginCall
from ringfence_streams.app.settings import NodeSettings
from ringfence_streams.app.tables import PartitionLost, ShardTable

logger = logging.getLogger(__name__)

_CONCURRENT: Final = 8
"""So many alerts may await their answer at the same time, each of another case."""
_IDLE_S: Final = 60.0

CaseKey = tuple[int, str]
"""Partition and id of a case."""

Kind = Literal["margin_call", "liquidation"]


class Alert(Struct, frozen=True, kw_only=True):
    """The body of a message."""

    id: str
    """`<case>|<level>`; equal whenever the same alert is sent again."""
    kind: Kind
    status: str
    """The status of the margin call, or `started`."""
    level: str | None
    """The level of the margin call: a ratio of equity to maintenance margin."""
    account: str
    instrument: str
    case_id: str
    time_us: int
    """Engine time of the decision."""
    decision: Decision
    """All of it, as it stands on its topic."""


class Case(Struct):
    """What was and what is to be said about one case."""

    pending: list[msgspec.Raw] = []
    """Alerts to be sent, oldest first."""
    said: list[str] = []
    """Ids of alerts, sent or pending."""
    ended: bool = False


class _Identified(Struct):
    id: str


_encode = msgspec.json.Encoder().encode
_decode_case = msgspec.json.Decoder(Case).decode
_decode_id = msgspec.json.Decoder(_Identified).decode


def alert_of(decision: Decision) -> Alert | None:
    """The alert that a decision calls for; None when it calls for none."""
    match decision:
        case MarginCall(status="eased"):
            return None  # its level was told when the case first reached it
        case MarginCall():
            return _alert(decision, "margin_call", decision.case_id, decision.level or decision.status, decision.status)
        case LiquidationStarted():
            case_id = decision.case_id or decision.liquidation_id
            return _alert(decision, "liquidation", case_id, f"liquidation|{decision.liquidation_id}", "started")
        case _:
            return None


def _alert(decision: MarginCall | LiquidationStarted, kind: Kind, case_id: str, step: str, status: str) -> Alert:
    return Alert(
        id=f"{case_id}|{step}",
        kind=kind,
        status=status,
        level=decision.level if isinstance(decision, MarginCall) else None,
        account=decision.account,
        instrument=decision.instrument,
        case_id=case_id,
        time_us=decision.time_us,
        decision=decision,
    )


def _ends(decision: Decision) -> bool:
    """Whether nothing more is said about a case after this decision."""
    if isinstance(decision, LiquidationStarted):
        return decision.case_id is None  # no call was open: the liquidation is a case of its own
    return isinstance(decision, MarginCall) and decision.status in {"recovered", "closed"}


class Courier(Service):
    """Posts alerts, each until it is accepted, the alerts of one case in order."""

    def __init__(self, settings: NodeSettings, table: ShardTable, **options: Any) -> None:
        super().__init__(**options)
        self.sent: Counter[str] = Counter()
        """Attempts by result: accepted, refused, unreachable."""
        self._settings = settings
        self._table = table
        self._due: list[tuple[float, CaseKey]] = []
        """A heap of cases by the time of their next attempt, on the monotonic clock."""
        self._waiting: set[CaseKey] = set()
        """The cases in the heap."""
        self._failures: Counter[CaseKey] = Counter()
        self._attempts: dict[CaseKey, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many cases have something yet to be accepted."""
        return len(self._waiting) + len(self._attempts)

    def decided(self, partition: int, decision: Decision) -> None:
        """Take note of a new decision; never waits."""
        alert = alert_of(decision)
        if alert is None:
            return
        row = self._table.find(partition, alert.case_id)
        case = _decode_case(row) if row else Case()
        case.ended = case.ended or _ends(decision)
        if alert.id not in case.said:
            case.said.append(alert.id)
            case.pending.append(msgspec.Raw(_encode(alert)))
        self._keep(partition, alert.case_id, case)
        self._enqueue((partition, alert.case_id))

    def recovered(self) -> None:
        """Partitions moved: what is pending is what the recovered table says."""
        self._due.clear()
        self._waiting.clear()
        self._failures.clear()
        for partition, key, row in self._table.rows():
            if _decode_case(row).pending:
                self._enqueue((partition, key))

    def _enqueue(self, case: CaseKey, due_s: float = 0.0) -> None:
        """Let a case have its next attempt; one that is being attempted looks again by itself."""
        if case not in self._waiting and case not in self._attempts:
            self._waiting.add(case)
            heapq.heappush(self._due, (due_s, case))
            self._news.set()

    @Service.task
    async def _deliver(self) -> None:
        """Start attempts as they fall due."""
        timeout = aiohttp.ClientTimeout(total=self._settings.alert_timeout_us / 1_000_000)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.should_stop:
                self._news.clear()
                while self._due and self._due[0][0] <= time.monotonic() and len(self._attempts) < _CONCURRENT:
                    _, case = heapq.heappop(self._due)
                    self._waiting.discard(case)
                    self._attempts[case] = asyncio.create_task(self._attempt(session, case))
                await self._wait()

    async def _wait(self) -> None:
        """Until an attempt ends, one falls due, or there is news."""
        full = len(self._attempts) >= _CONCURRENT
        pause_s = _IDLE_S if full or not self._due else max(0.0, self._due[0][0] - time.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._news.wait()

    async def _attempt(self, session: aiohttp.ClientSession, case: CaseKey) -> None:
        """Post what is pending of one case; after a failure wait, longer each time."""
        pause_s = 0.0
        try:
            while pending := self._pending(case):
                if not await self._post(session, bytes(pending[0])):
                    self._failures[case] += 1
                    pause_us = self._settings.alert_retry_us * 2 ** min(self._failures[case] - 1, 30)
                    pause_s = min(pause_us, self._settings.alert_retry_limit_us) / 1_000_000
                    break
                self._failures.pop(case, None)
                self._accepted(case)
        except PartitionLost:
            pass  # whoever has it now sends it again
        finally:
            del self._attempts[case]
            self._news.set()
        if self._pending(case):
            self._enqueue(case, time.monotonic() + pause_s)

    def _pending(self, case: CaseKey) -> list[msgspec.Raw]:
        row = self._table.find(*case)
        return _decode_case(row).pending if row else []

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        """One attempt; returns whether the receiver accepted."""
        headers: Mapping[str, str] = {
            "Content-Type": "application/json",
            "Idempotency-Key": _decode_id(body).id,
            **({"Authorization": self._settings.alert_authorization} if self._settings.alert_authorization else {}),
        }
        assert self._settings.alert_url is not None, "without a receiver there is no courier"
        try:
            async with session.post(self._settings.alert_url, data=body, headers=headers) as answer:
                accepted = 200 <= answer.status < 300  # noqa: PLR2004 -- the success codes of HTTP
                self.sent["accepted" if accepted else "refused"] += 1
                if not accepted:
                    logger.warning("The receiver of alerts answered %d", answer.status)
                return accepted
        except (aiohttp.ClientError, TimeoutError) as error:
            self.sent["unreachable"] += 1
            logger.warning("The receiver of alerts cannot be reached: %r", error)
            return False

    def _accepted(self, case: CaseKey) -> None:
        row = self._table.find(*case)
        if row is not None:
            told = _decode_case(row)
            told.pending = told.pending[1:]
            self._keep(*case, told)

    def _keep(self, partition: int, key: str, case: Case) -> None:
        """Store a case, or let it go: it ended and all of it was said."""
        if case.ended and not case.pending:
            self._table.drop(partition, key)
        else:
            self._table.put(partition, key, _encode(case))
