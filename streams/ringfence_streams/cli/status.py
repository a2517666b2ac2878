"""`ringfence status`: where every shard stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import orjson
import typer

from ringfence.figures import price
from ringfence.fold import Fold
from ringfence.replica import FrameOutcomes, Replica
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.topics import VIEW_TOPICS
from ringfence_streams.brokerlog import OUTPUTS
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.logs import LogOption, opened_log
from ringfence_streams.cli.rendering import age, moment, table
from ringfence_streams.folding import CoreReplicas
from ringfence_streams.lag import Lag, lags
from ringfence_streams.port import Log, Replicas
from ringfence_streams.recovery import recover


def status(
    *,
    log: LogOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a shard.")] = False,
) -> None:
    """Show where every shard stands: chain, lag of each source, counts, age of each mark.

    The state is folded from the last snapshot to the end of the journal.  An engine may be running.

    ```sh
    ringfence status --log sqlite:risk.db
    ```
    """
    tune_garbage_collection()
    with opened_log(log) as opened:
        for shard in range(opened.shards):
            with console.progress(f"Folding shard {shard} from its last snapshot") as progress:

                def watch(seq: int) -> None:
                    progress.update(seq, f"seq {seq:,}")

                found = opened.run(_status(opened.log, shard, opened.shards, StateReplicas(watch)))
            write_out(orjson.dumps(found) + b"\n" if as_json else ("\n".join(_lines(found)) + "\n").encode())


class StateReplicas:
    """Makes replicas that tell of each frame."""

    def __init__(self, watch: Callable[[int], None]) -> None:
        self._watch = watch

    def new(self, settings: Settings) -> Replica:
        """An empty state."""
        return _WatchedReplica(settings, None, self._watch)

    def restore(self, data: bytes, settings: Settings) -> Replica:
        """The state of a snapshot.  Raises SnapshotRefused."""
        replica = CoreReplicas().restore(data, settings)
        assert isinstance(replica, Replica)
        return _WatchedReplica(settings, replica.fold, self._watch)


class _WatchedReplica(Replica):
    """A replica that tells of each frame that it folds."""

    def __init__(self, settings: Settings, fold: Fold | None, watch: Callable[[int], None]) -> None:
        super().__init__(settings, fold)
        self._watch = watch

    def fold_inputs(
        self, seq: int, clock_us: int, sources: Sequence[SourceRange], inputs: Sequence[FrameInput]
    ) -> FrameOutcomes:
        """Tell of the frame, and fold it."""
        self._watch(seq)
        return super().fold_inputs(seq, clock_us, sources, inputs)


async def _status(log: Log, shard: int, shards: int, replicas: Replicas) -> dict[str, Any]:
    follower = await recover(log, shard, Settings(shard=shard, shards=shards), replicas)
    state, replica = follower.state, follower.state.replica
    assert isinstance(replica, Replica)
    fold = replica.fold
    return {
        "shard": shard,
        "shards": shards,
        "epoch": state.head.epoch,
        "seq": state.head.seq,
        "head": state.head.hash.hex(),
        "released": state.released,
        "engine": state.settings.engine,
        "clock": state.settings.clock,
        "last_frame_us": state.clock_us or None,
        "engine_time_us": fold.state.time_us,
        "counts": {
            "inputs": fold.inputs,
            "applied": fold.applied,
            "already_applied": fold.already_applied,
            "refused": fold.refused,
            "outcomes": fold.outcomes,
        },
        "accounts": len(fold.state.accounts),
        **_open_business(replica),
        "sources": [lag_object(lag) for lag in await lags(log, follower)],
        "outputs": await _outputs(log, shard),
        "marks": list(_marks(replica)),
        "state": replica.digest().hex(),
    }


def _open_business(replica: Replica) -> dict[str, int]:
    buckets = [bucket for book in replica.fold.state.books.values() for bucket in book.buckets.values() if bucket.size]
    return {
        "positions": len(buckets),
        "margin_calls": sum(bucket.case_id is not None for bucket in buckets),
        "liquidations": sum(bucket.liquidation_id is not None for bucket in buckets),
    }


def lag_object(lag: Lag) -> dict[str, Any]:
    """The lag of a source in the words of JSON output."""
    topic, partition = lag.source
    return {"topic": topic, "partition": partition, "position": lag.position, "end": lag.end, "lag": lag.records}


async def _outputs(log: Log, shard: int) -> dict[str, int]:
    """How many outcomes stand on each topic."""
    ends = {source.topic: (await log.bounds(*source)).end for source in await log.topics() if source.partition == shard}
    return {topic: ends[topic] for topic in OUTPUTS if topic in ends and topic not in VIEW_TOPICS}


def _marks(replica: Replica) -> Iterator[dict[str, Any]]:
    """The mark of each instrument, and how long its market has been silent by the clock that moves the engine."""
    state = replica.fold.state
    now_us = time.time_ns() // 1_000 if replica.settings.clock == "wall" else state.time_us
    for _, book in sorted(state.books.items()):
        yield {
            "instrument": book.name,
            "mark_price": price(book.mark),
            "time_us": book.market_time_us,
            "age_us": max(0, now_us - book.market_time_us),
            "settled": book.settled,
            "stale": book.stale,
        }


# ------------------------------------------------------------------------------------------------------------- as text


def _lines(found: dict[str, Any]) -> Iterator[str]:
    released = "released" if found["released"] else "owned, or ended without a release frame"
    yield f"shard {found['shard']} of {found['shards']}: {released}"
    yield f"  chain     epoch {found['epoch']}, seq {found['seq']}, head {found['head']}"
    last = "-" if found["last_frame_us"] is None else moment(found["last_frame_us"])
    yield f"  time      engine {moment(found['engine_time_us'])}, last frame {last} (clock {found['clock']})"
    counts = found["counts"]
    ends = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in ("applied", "already_applied", "refused"))
    yield f"  inputs    {counts['inputs']:,}: {ends}"
    nouns = {"accounts": "account", "positions": "position", "margin_calls": "call", "liquidations": "liquidation"}
    yield f"  open      {', '.join(counted(found[name], noun) for name, noun in nouns.items())}"
    yield f"  outputs   {', '.join(f'{topic} {count:,}' for topic, count in found['outputs'].items()) or 'none'}"
    yield f"  state     {found['state']}"
    columns = ("topic", "partition", "position", "end", "lag")
    yield from table(columns, [[str(source[column]) for column in columns] for source in found["sources"]])
    marks = [
        [mark["instrument"], mark["mark_price"] or "-", age(mark["age_us"]), _state_of(mark)] for mark in found["marks"]
    ]
    yield from table(("instrument", "mark", "age", ""), marks)


def _state_of(mark: dict[str, Any]) -> str:
    """What is to be said of a mark beside its age."""
    return "settled" if mark["settled"] else "stale" if mark["stale"] else ""
