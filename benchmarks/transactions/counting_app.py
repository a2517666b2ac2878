"""The contender of ``kills``: a Faust application that counts, with ``processing_guarantee="exactly_once"``.

``python -m benchmarks.transactions.counting_app BOOTSTRAP PREFIX`` runs a worker.  For every record of ``inputs`` it
adds one to the account's count in a table, which Faust keeps in a changelog topic, and sends the record's number with
the new count to ``results``.
"""

from __future__ import annotations

import sys
from typing import Any

import faust

SESSION_TIMEOUT_S = 6


def counting_app(bootstrap: str, prefix: str) -> faust.App:
    """Make the application; everything but the guarantee and a short session is Faust's default."""
    app = faust.App(
        f"{prefix}counting",
        broker=f"kafka://{bootstrap}",
        processing_guarantee="exactly_once",
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 3,
        topic_partitions=1,
        store="memory://",
        web_enabled=False,
    )
    inputs = app.topic(f"{prefix}inputs", value_serializer="json", partitions=1)
    results = app.topic(f"{prefix}results", value_serializer="json", partitions=1)
    counts = app.Table(f"{prefix}counts", default=int, partitions=1)

    @app.agent(inputs)
    async def count(events: faust.StreamT[dict[str, Any]]) -> None:
        async for event in events:
            account = event["account"]
            counts[account] += 1
            await results.send(key=account, value={**event, "count": counts[account]})

    return app


if __name__ == "__main__":
    faust.Worker(counting_app(*sys.argv[1:]), loglevel="INFO").execute_from_commandline()
