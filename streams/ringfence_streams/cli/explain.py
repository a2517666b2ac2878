"""`ringfence explain`: a decision or a position, with the formulas and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any, Final

import msgspec
import orjson
import typer

from ringfence_schemas.partitioning import partition_of
from ringfence_schemas.topics import DECISION_TOPICS
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.logs import LogOption, OpenedLog, opened_log
from ringfence_streams.cli.problems import Problem
from ringfence_streams.explaining import (
    ExplainedDecision,
    ExplainedPosition,
    InputPlace,
    decision_of,
    position_of,
)

_TRAIL: Final = {
    "bucket": "its bucket was last changed by",
    "mark": "the mark was last moved by",
    "funding": "the funding index was last moved by",
    "parameters": "the parameters are in force since",
}


def explain(
    *,
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|POSITION",
            help="The id of a decision, such as 0-liquidations-7, or a position: ACCOUNT|INSTRUMENT.",
            show_default=False,
        ),
    ],
    log: LogOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Explain a decision, or the figures of a position, with the formulas and the numbers in them.

    A margin call, a liquidation, an order or a refusal is explained as it was made: the input that caused it, what
    the position was then, each formula with its numbers, what was rounded how, and the conditions with both sides.  A
    position is explained as it stands at the end of the journal, with the inputs that last changed what it depends on.
    The journal is folded again from its beginning; the topics of decisions are not asked.

    ```sh
    echo '{"type": "withdrawal", "transfer_id": "t2", "account": "ann",' \
      '"asset": "USDT", "amount": "500", "time_us": 2}' |
      ringfence publish --log sqlite:risk.db
    ringfence run --log sqlite:risk.db --clock events --drain
    ringfence explain --log sqlite:risk.db 0-refusals-1
    ```
    """
    tune_garbage_collection()
    with opened_log(log) as opened:
        account, bar, instrument = what.partition("|")
        if bar:
            found: ExplainedDecision | ExplainedPosition = _position(opened, account, instrument)
        else:
            found = _decision(opened, what)
    described = document(found)
    text = orjson.dumps(described) if as_json else "\n".join(_lines(described)).encode()
    write_out(text + b"\n")


def _decision(opened: OpenedLog, decision_id: str) -> ExplainedDecision:
    shard, _, rest = decision_id.partition("-")
    topic, _, number = rest.rpartition("-")
    if not (shard.isdecimal() and number.isdecimal() and topic in DECISION_TOPICS and int(shard) < opened.shards):
        raise Problem(
            "unknown_decision",
            f"{decision_id!r} is no id of a decision on this log",
            f"SHARD-TOPIC-N, with a shard below {opened.shards} and a topic of {', '.join(DECISION_TOPICS)}; "
            "a position is ACCOUNT|INSTRUMENT",
        )
    found = opened.run(decision_of(opened.log, int(shard), opened.shards, decision_id))
    if found is None:
        remedy = f"See what there is: ringfence tail {topic}"
        raise Problem("unknown_decision", f"No frame on the chain makes a decision {decision_id}", remedy)
    return found


def _position(opened: OpenedLog, account: str, instrument: str) -> ExplainedPosition:
    shard = partition_of(account.encode(), opened.shards)
    found = opened.run(position_of(opened.log, shard, opened.shards, account, instrument))
    if found is None:
        message = f"{account} never had anything in {instrument}"
        raise Problem("unknown_position", message, "See what there is: ringfence tail positions")
    return found


def document(found: ExplainedDecision | ExplainedPosition) -> dict[str, Any]:
    """What was found, in the words of the JSON output."""
    figures: dict[str, Any] = msgspec.to_builtins(found.explanation)
    if isinstance(found, ExplainedDecision):
        return {"decision": msgspec.to_builtins(found.decision), "cause": _input(found.cause), **figures}
    return {
        "account": found.account,
        "instrument": found.instrument,
        "epoch": found.head.epoch,
        "seq": found.head.seq,
        "last": {each.name: _input(getattr(found.trail, each.name)) for each in fields(found.trail)},
        **figures,
    }


def _input(place: InputPlace | None) -> dict[str, Any] | None:
    """Where an input stands, and its text; the hash of one too large to keep, or that is no text, in hexadecimal."""
    if place is None:
        return None
    try:
        text = place.data.decode()
    except UnicodeDecodeError:
        text = place.data.hex()
    return {
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "seq": place.seq,
        "timestamp_us": place.timestamp_us,
        "input": text,
    }


# -------------------------------------------------------------------------------------------------------- for people


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if "decision" in found:
        decision = found["decision"]
        yield f"{decision['id']}: {decision['type']} at {decision['time_us']} us"
        yield from _caused(found["cause"], "caused by")
        yield f"  {orjson.dumps(decision).decode()}"
    else:
        yield f"{found['account']}|{found['instrument']} at epoch {found['epoch']}, seq {found['seq']}"
        for name, words in _TRAIL.items():
            if found["last"][name] is not None:
                yield from _caused(found["last"][name], words)
    yield from _figures(found)


def _caused(place: dict[str, Any] | None, words: str) -> Iterator[str]:
    if place is None:
        yield "caused by the clock of a frame alone"
        return
    yield f"{words} {place['topic']}/{place['partition']}@{place['offset']}, frame seq {place['seq']}"
    yield f"  {place['input']}"


def _figures(found: dict[str, Any]) -> Iterator[str]:
    if found["given"]:
        yield ""
        symbols, values = (max(len(given[key]) for given in found["given"]) for key in ("symbol", "value"))
        for given in found["given"]:
            yield f"{given['symbol']:{symbols}}  {given['value']:>{values}}  {given['meaning']}"
    for step in found["steps"]:
        yield ""
        yield f"{step['name']}: {step['formula']}"
        yield f"  = {step['numbers']}"
        yield f"  = {step['exact']}"
        if step["rounding"]:
            yield f"  published {step['published'] or 'as null'}, {step['rounding']}"
    for condition in found["conditions"]:
        yield ""
        yield f"{condition['name']}: {'yes' if condition['holds'] else 'no'}"
        yield f"  {condition['formula']}"
        yield f"  {condition['left']} {condition['relation']} {condition['right']}"
    if found["notes"]:
        yield ""
        yield from found["notes"]
