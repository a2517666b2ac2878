"""Refusal codes: a wire contract.  A code is never renamed, never reused, and stands here once, in order of precedence.

When several apply to one input, the first in this table is the one reported.
"""

from typing import Literal, NamedTuple

Stage = Literal["content", "history", "state", "edge"]
"""What a code depends on.

`content`: the bytes of the input alone.  `history`: what was applied before, and when.  `state`: the account and the
instrument.  `edge`: the log that the input came through.
"""


class Code(NamedTuple):
    """One refusal code: its name on the wire, the stage that finds it, what is wrong, and what the sender can do."""

    code: str
    stage: Stage
    meaning: str
    remedy: str


_TABLE: dict[Stage, dict[str, tuple[str, str]]] = {
    "content": {
        "malformed": ("the bytes are not one JSON object in UTF-8", "send one JSON object"),
        "unknown_type": ("`type` is missing or names no input", "use one of the documented types"),
        "missing_field": ("a required field is absent or null", "send every required field of the type"),
        "wrong_type": (
            "a field is not what it should be: a word, NaN or Inf for a decimal, a fraction for an integer, no option",
            "send what the schema of the type asks for",
        ),
        "bad_id": (
            "a name or an id is empty, too long, or has a character that it may not have",
            "use printable ASCII without space and `|`",
        ),
        "out_of_range": (
            (
                "a number is 10^18 or more in magnitude, has more than 18 decimals, or is outside the range of its "
                "field; or a tick's price is below `min_price` or above `max_price` of its instrument"
            ),
            "send a number inside the range",
        ),
        "not_positive": ("an amount, quantity or price is zero or negative", "send a value above zero"),
    },
    "history": {
        "conflicts_with_applied": (
            "the id was applied before with other content; the first stands",
            "compare `input_hash` with `applied_hash`; a new fact needs a new id",
        ),
        "too_old": (
            "`time_us` is further behind engine time than the id window, so a repeat could not be told from a new fact",
            "book the difference by a new event",
        ),
        "time_in_future": (
            "`time_us` is further ahead of the record's own timestamp than the configured skew",
            "set the sender's clock right",
        ),
    },
    "state": {
        "unknown_instrument": ("no instrument of this name is listed", "publish the instrument first"),
        "stale_version": ("the version is not greater than the one in force", "send a greater version"),
        "immutable_field": (
            "contract, settle_asset, multiplier and an asset's decimals never change",
            "list a new instrument or asset",
        ),
        "invalid_instrument": (
            "the parameters contradict one another, or ask for what the engine does not offer",
            "correct the parameters that the message names",
        ),
        "instrument_closed": ("the instrument was settled", "use an open instrument"),
        "sequence_not_increasing": (
            "the source's `sequence` is not greater than its last",
            "send ticks in order; after a restart use a new `source` name",
        ),
        "wrong_asset": ("the asset is not the one that the instrument settles in", "use the settlement asset"),
        "no_position": ("the account has no position in the instrument", "open a position first, or use the wallet"),
        "too_many_decimals": ("the amount is finer than the asset's decimals", "round the amount to them"),
        "unknown_liquidation": ("no liquidation under way has this id and step", "report on the order last published"),
        "liquidating": ("the position is being liquidated", "add margin, or wait until the liquidation completes"),
        "leverage_too_high": ("the leverage is above the maximum of the tier", "choose a lower leverage"),
        "rebalance_required": (
            "lowering the leverage of an open position moves collateral",
            "repeat the command with `rebalance` true",
        ),
        "no_mark": ("the instrument has no mark price yet", "wait for a tick, or state a price"),
        "insufficient_wallet": ("the wallet has less than the amount", "deposit first, or ask for less"),
        "not_removable": ("the amount is above what the bucket can spare", "ask for `max_removable` at most"),
    },
    "edge": {
        "wrong_partition": (
            "the record's key does not hash to the partition that it was read from",
            "use the documented key and the default partitioner",
        ),
        "too_large": ("the input does not fit into a frame of the journal", "split the input"),
    },
}

CODES: dict[str, Code] = {
    code: Code(code, stage, meaning, remedy)
    for stage, rows in _TABLE.items()
    for code, (meaning, remedy) in rows.items()
}
"""Every refusal code by name, in order of precedence."""

PRECEDENCE: dict[str, int] = {code: rank for rank, code in enumerate(CODES)}
"""The rank of each code; of several the lowest is reported."""
