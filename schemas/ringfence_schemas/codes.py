"""Refusal codes: a wire contract.  A code is never renamed, never reused, and stands here once, in order of precedence.

When several apply to one input, the first in this table is the one reported.
"""

from typing import Literal, NamedTuple

Stage = Literal["content", "history", "state", "edge"]
"""What a code depends on: the bytes of the input alone; what was applied before and when; the account and instrument; the log it came through."""


class Code(NamedTuple):
    """One refusal code: its name on the wire, the stage that finds it, what is wrong, and what the sender can do about it."""

    code: str
    stage: Stage
    meaning: str
    remedy: str


_TABLE = (
    Code("malformed", "content", "the bytes are not one JSON object in UTF-8", "send one JSON object"),
    Code("unknown_type", "content", "`type` is missing or names no input", "use one of the documented input types"),
    Code("missing_field", "content", "a required field is absent or null", "send every required field of the type"),
    Code(
        "wrong_type",
        "content",
        "a field is not what its type says: a word for a decimal, a fraction for an integer, a value outside its enumeration",
        "send the documented type; decimals as decimal numerals",
    ),
    Code("bad_id", "content", "a name or id is empty, too long, or has characters outside its alphabet", "use printable ASCII without space and `|`"),
    Code(
        "out_of_range",
        "content",
        "a number is 10^18 or more in magnitude, has more than 18 decimals, or lies outside the range of its field",
        "send a number inside the range of the field",
    ),
    Code("not_positive", "content", "an amount, quantity or price is zero or negative", "send a value greater than zero"),
    Code(
        "conflicts_with_applied",
        "history",
        "the id was applied with other content; the first stands",
        "compare `input_hash` with `applied_hash`; a new fact needs a new id",
    ),
    Code("too_old", "history", "`time_us` is further behind engine time than the id window, so a repeat could not be recognised", "book the difference by a new event"),
    Code("time_in_future", "history", "`time_us` is ahead of the record's own timestamp by more than the configured skew", "correct the sender's clock"),
    Code("unknown_instrument", "state", "no accepted `instrument` event has this name", "publish the instrument first"),
    Code("stale_version", "state", "the version is not greater than the one already accepted", "send a greater version"),
    Code("immutable_field", "state", "contract, settle_asset, multiplier and an asset's decimals never change", "list a new instrument or asset"),
    Code("invalid_instrument", "state", "the parameters contradict one another or ask for what the engine does not support", "correct the parameters named in the message"),
    Code("instrument_closed", "state", "the instrument was settled", "use an instrument that is open"),
    Code("sequence_not_increasing", "state", "the source's `sequence` is not greater than its last one", "send ticks in order, or a new `source` name after a restart"),
    Code("wrong_asset", "state", "the asset is not the instrument's settlement asset", "use the settlement asset"),
    Code("no_position", "state", "the account holds no position in the instrument", "open a position first, or use the wallet"),
    Code("too_many_decimals", "state", "the amount is finer than the asset's decimals", "round the amount to the asset's decimals"),
    Code("unknown_liquidation", "state", "no running liquidation has this id and step", "report on the order last published"),
    Code("liquidating", "state", "the position is being liquidated", "add margin, or wait until the liquidation completes"),
    Code("leverage_too_high", "state", "the leverage is above the tier's maximum", "choose a leverage at or below the maximum"),
    Code("rebalance_required", "state", "lowering leverage with an open position moves collateral", "repeat the command with `rebalance: true`"),
    Code("no_mark", "state", "the instrument has no mark price yet", "wait for a tick, or give a price"),
    Code("insufficient_wallet", "state", "the wallet holds less than the amount", "deposit first, or ask for less"),
    Code("not_removable", "state", "the amount is above what the bucket can spare", "ask for at most `max_removable`"),
    Code("wrong_partition", "edge", "the record's key does not hash to the partition it was found on", "use the default partitioner and the documented key"),
    Code("too_large", "edge", "the input does not fit into one frame of the journal", "split the input"),
)

CODES: dict[str, Code] = {row.code: row for row in _TABLE}
"""Every refusal code by name, in order of precedence."""

PRECEDENCE: dict[str, int] = {code: rank for rank, code in enumerate(CODES)}
"""The rank of each code; the lowest is reported."""
