"""Where this worker stands among the others, and whether it can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faust

from ringfence_streams.app.shards import Shards
from ringfence_streams.app.tables import ShardTable


class WorkerMembership:
    """What Faust knows about the group of workers, in the words of shards."""

    def __init__(self, app: faust.App, table: ShardTable, shards: int) -> None:
        self._app: Any = app  # the assignor's distribution is not part of Faust's typed interface
        self._table = table
        self._shards = shards

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return self._shards

    def recovered(self) -> bool:
        """Whether the tables have been recovered since the partitions last moved."""
        return bool(self._app.tables.actives_ready)

    def assigned(self) -> bool:
        """Whether the group has given this worker its partitions, be it none."""
        return self._app._assignment is not None  # noqa: SLF001 -- Faust tells it nowhere else

    def settled(self) -> bool:
        """Whether the tables here are recovered and no partition moves."""
        return self.recovered() and self.assigned() and not self._app.rebalancing

    def elsewhere(self) -> Mapping[int, str]:
        """Shard -> address of the other worker that holds it, as of the last assignment."""
        topic = self._table.changelog_topic_name
        return {
            partition: url
            for url, topics in self._app.assignor.changelog_distribution.items()
            for partition in topics.get(topic, ())
            if partition not in self._table.shelves
        }


class Readiness:
    """Whether the worker does what it is for: every check by name, and whether it passes."""

    def __init__(self, membership: WorkerMembership | None, shards: Shards | None) -> None:
        self._membership = membership
        self._shards = shards

    def checks(self) -> dict[str, bool]:
        """Every check of the parts that this worker runs."""
        checks = {}
        if self._membership is not None:
            checks["assigned"] = self._membership.assigned()
            checks["recovered"] = self._membership.settled()
        if self._shards is not None:
            reports = self._shards.reports
            checks["shards_running"] = bool(reports) and all(report.mode != "stopped" for report in reports)
            checks["shards_reporting"] = not self._shards.silent
            checks["shards_not_stalled"] = not any(report.stalled for report in reports)
        return checks

    def details(self) -> dict[str, object]:
        """The checks with what is behind them."""
        details: dict[str, object] = {"checks": self.checks()}
        if self._shards is not None:
            details["shards"] = {
                str(report.shard): {"mode": report.mode, "head_seq": report.head_seq, "stalled": report.stalled}
                for report in self._shards.reports
            }
            if (failed := self._shards.failed) is not None:
                details["failed"] = {"code": failed.code, "message": failed.message, "remedy": failed.remedy}
        return details
