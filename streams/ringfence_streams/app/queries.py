"""What is asked of the tables: every answer is made of committed outcomes, because nothing else is published (P2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson
from aiohttp import web

from ringfence_schemas.partitioning import partition_of
from ringfence_streams.app.answers import answer, refusal
from ringfence_streams.app.tables import ShardTable


class Membership(Protocol):
    """What the worker knows about itself and the others."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        ...

    def settled(self) -> bool:
        """Whether the tables here are recovered and no partition moves."""
        ...

    def elsewhere(self) -> Mapping[int, str]:
        """Shard -> address of the other worker that holds it."""
        ...


class Queries:
    """Answers questions from the tables of this worker, or says which worker can."""

    def __init__(
        self,
        membership: Membership,
        *,
        positions: ShardTable,
        wallets: ShardTable,
        calls: ShardTable,
        liquidations: ShardTable,
        instruments: ShardTable,
    ) -> None:
        self._membership = membership
        self._positions = positions
        self._wallets = wallets
        self._calls = calls
        self._liquidations = liquidations
        self._instruments = instruments

    def account(self, request: web.Request, account: str) -> web.Response:
        """Wallets and open positions of an account, with its open calls."""
        shard = self._shard_of(account)
        if (missing := self._not_here(request, shard)) is not None:
            return missing
        positions = [_view(row) for row in self._positions.shelves[shard].of_account(account)]
        wallets = [_view(row) for row in self._wallets.shelves[shard].of_account(account)]
        if not positions and not wallets:
            return refusal("no_such_account", f"{account} has no wallet and no open position")
        calls = [orjson.Fragment(row) for row in self._calls.shelves[shard].of_account(account)]
        return answer(
            {
                "account": account,
                "shard": shard,
                "wallets": wallets,
                "positions": positions,
                "calls": calls,
            }
        )

    def position(self, request: web.Request, account: str, instrument: str) -> web.Response:
        """One open position, with the call and the liquidation that concern it."""
        shard, key = self._shard_of(account), f"{account}|{instrument}"
        if (missing := self._not_here(request, shard)) is not None:
            return missing
        row = self._positions.find(shard, key)
        if row is None:
            return refusal("no_such_position", f"{account} has no open position in {instrument}")
        call = self._calls.find(shard, key)
        liquidations = [
            orjson.Fragment(held)
            for held in self._liquidations.shelves[shard].of_account(account)
            if orjson.loads(held).get("started", {}).get("instrument") == instrument
        ]
        return answer(
            {
                "shard": shard,
                "position": _view(row),
                "call": orjson.Fragment(call) if call else None,
                "liquidations": liquidations,
            }
        )

    def instrument(self, instrument: str) -> web.Response:
        """What the shards of this worker know about an instrument; each counts its own accounts."""
        if not self._membership.settled():
            return self._moving()
        shards = {}
        for shard, shelf in self._instruments.shelves.items():
            held = shelf.rows.get(instrument)
            if held is not None:
                shards[str(shard)] = {
                    "positions": self._positions.shelves[shard].instruments[instrument],
                    "calls": self._calls.shelves[shard].instruments[instrument],
                    "liquidations": self._liquidations.shelves[shard].instruments[instrument],
                    **orjson.loads(held),
                }
        if not shards:
            return refusal("no_such_instrument", f"No shard of this worker has heard of {instrument}")
        return answer({"instrument": instrument, "shards": shards, "elsewhere": self._elsewhere()})

    def calls(self) -> web.Response:
        """The open margin calls of this worker's shards."""
        return self._all("calls", self._calls)

    def liquidations(self) -> web.Response:
        """The liquidations in flight of this worker's shards."""
        return self._all("liquidations", self._liquidations)

    def _all(self, name: str, table: ShardTable) -> web.Response:
        if not self._membership.settled():
            return self._moving()
        rows: Sequence[orjson.Fragment] = [
            orjson.Fragment(shelf.rows[key]) for shelf in table.shelves.values() for key in sorted(shelf.rows)
        ]
        return answer({name: rows, "shards": list(table.shelves), "elsewhere": self._elsewhere()})

    def _shard_of(self, account: str) -> int:
        return partition_of(account.encode(), self._membership.shards)

    def _not_here(self, request: web.Request, shard: int) -> web.Response | None:
        """The answer when this worker cannot answer; None when it can."""
        if self._membership.settled() and shard in self._positions.shelves:
            return None
        worker = self._membership.elsewhere().get(shard)
        if worker is None or not self._membership.settled():
            return self._moving()
        return refusal(
            "held_elsewhere", f"Shard {shard} is held by {worker}", location=worker.rstrip("/") + request.path_qs
        )

    def _elsewhere(self) -> dict[str, str]:
        return {str(shard): worker for shard, worker in sorted(self._membership.elsewhere().items())}

    def _moving(self) -> web.Response:
        return refusal("not_ready", "The tables are being recovered, or partitions move; try again in a moment")


def _view(row: bytes) -> dict[str, object]:
    version, _, view = row.partition(b" ")
    return {"version": int(version), "view": orjson.Fragment(view)}
