"""Every outcome: what the engine says, one struct each, told apart by `type`.

Numbers are canonical decimal text (`ringfence_schemas.decimals.decimal_text`), or None where the mark they need is
missing; counts and times are integers.  Fields that do not apply are printed as null, so that every outcome of a type
has the same fields; only the members of `Cause`, `MarginCall.uncertain`, `Position.liquidation_price_after_funding` and
`Position.liquidation_price_moves` are left out when absent.
"""

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ringfence_schemas.kinds import CanonicalDecimal

Fraction = tuple[CanonicalDecimal, CanonicalDecimal]
"""Numerator and denominator of an exact ratio, both canonical decimals."""

ABSENT: Final = UNSET
"""An optional field that is left out."""

CallStatus = Literal["called", "escalated", "eased", "recovered", "closed"]
FlagReason = Literal["off_grid", "close_only", "excess", "above_max_leverage"]
NoCallReason = Literal["not_configured", "gap", "parameter_change", "stale_then_fresh"]
DiscardReason = Literal["contradicted", "superseded", "parameter_change", "settled"]
LiquidationResult = Literal["restored", "cured", "closed", "taken_over", "settled"]
MoveCause = Literal["parameter", "volatility", "mark", "funding", "fee", "transfer", "fill"]


class Cause(Struct, frozen=True, gc=False, omit_defaults=True):
    """What led to a decision: a record of a log, a line of the filter, or a timer and the time it was due."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    line: int | None = None
    timer: str | None = None
    due_us: int | None = None


class Decision(Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """What every decision carries: its dense id ``<shard>-<topic>-<n>``, its engine time, and its cause."""

    id: str
    time_us: int
    cause: Cause


class LiquidationPriceMove(Struct, frozen=True, gc=False):
    """One step of a liquidation price between two views of a position, and what caused it; null: no price at all."""

    cause: MoveCause
    from_price: CanonicalDecimal | None
    to_price: CanonicalDecimal | None


class InstrumentDecision(Decision, frozen=True, gc=False, kw_only=True):
    """A decision about an instrument; `parameters` is the version of the instrument it was made under."""

    instrument: str
    parameters: int


class PositionDecision(Decision, frozen=True, gc=False, kw_only=True):
    """A decision about the position of an account in an instrument."""

    account: str
    instrument: str
    parameters: int


class JudgedDecision(PositionDecision, frozen=True, gc=False, kw_only=True):
    """A decision with the judgement it rests on.

    Its figures are None where there is no mark or no position, `margin_ratio` also where maintenance is zero.
    """

    equity: CanonicalDecimal | None
    maintenance_margin: CanonicalDecimal | None
    mark_price: CanonicalDecimal | None
    margin_ratio: CanonicalDecimal | None
    tier: int | None


class MarginCall(JudgedDecision, frozen=True, gc=False, kw_only=True, tag="margin_call"):
    """A margin call opened, deepened, eased or ended; `level` is a ratio of equity to maintenance margin."""

    status: CallStatus
    case_id: str
    level: CanonicalDecimal | None
    previous_level: CanonicalDecimal | None
    margin_shortfall: CanonicalDecimal | None
    liquidation_price: CanonicalDecimal | None
    distance_percent: CanonicalDecimal | None
    uncertain: bool | UnsetType = UNSET


class Underfunded(PositionDecision, frozen=True, gc=False, kw_only=True, tag="underfunded"):
    """A fill needed more margin than the wallet had; the fill stands."""

    fill_id: str
    required: CanonicalDecimal
    available: CanonicalDecimal


class FillFlagged(PositionDecision, frozen=True, gc=False, kw_only=True, tag="fill_flagged"):
    """A fill was booked although the rules of its instrument would not have allowed the order."""

    fill_id: str
    reason: FlagReason


class LiquidationStarted(JudgedDecision, frozen=True, gc=False, kw_only=True, tag="liquidation_started"):
    """A position met the condition of liquidation, with the evidence: its key against the threshold, both exact."""

    liquidation_id: str
    case_id: str | None
    no_call_reason: NoCallReason | None
    quantity: CanonicalDecimal
    """Signed contracts of the position."""
    mode: Literal["order", "takeover"]
    key: Fraction
    threshold: Fraction


class LiquidationOrder(PositionDecision, frozen=True, gc=False, kw_only=True, tag="liquidation_order"):
    """A reduce-only order for an executor, good until `deadline_us`."""

    liquidation_id: str
    step: int
    side: Literal["buy", "sell"]
    quantity: CanonicalDecimal
    limit_price: CanonicalDecimal | None
    deadline_us: int


class LiquidationProgress(JudgedDecision, frozen=True, gc=False, kw_only=True, tag="liquidation_progress"):
    """A fill counted towards a liquidation order and the order is not yet done."""

    liquidation_id: str
    step: int
    fill_id: str
    filled: CanonicalDecimal
    remaining: CanonicalDecimal
    fee: CanonicalDecimal


class LiquidationCompleted(PositionDecision, frozen=True, gc=False, kw_only=True, tag="liquidation_completed"):
    """The end of a liquidation, with the containment certificate.

    It states what the bucket held, what it lost, and that the wallet paid nothing: `wallet_after` is `wallet_before`,
    but for a residual returned to the account.
    """

    liquidation_id: str
    result: LiquidationResult
    collateral: CanonicalDecimal
    loss: CanonicalDecimal
    fees: CanonicalDecimal
    residual: CanonicalDecimal
    residual_to: Literal["account", "fund"] | None
    shortfall: CanonicalDecimal
    covered_by: str | None
    contained: bool
    wallet_before: CanonicalDecimal
    wallet_after: CanonicalDecimal


class PositionTakenOver(PositionDecision, frozen=True, gc=False, kw_only=True, tag="position_taken_over"):
    """The whole position passed to the instrument's insurance fund at `price`."""

    liquidation_id: str
    side: Literal["buy", "sell"]
    quantity: CanonicalDecimal
    price: CanonicalDecimal
    mark_price: CanonicalDecimal | None
    fund_loss: CanonicalDecimal | None


class ShortfallRecorded(PositionDecision, frozen=True, gc=False, kw_only=True, tag="shortfall"):
    """A bucket ended below zero and the insurance fund paid the rest."""

    liquidation_id: str | None
    asset: str
    amount: CanonicalDecimal
    fund_balance: CanonicalDecimal


class UncoveredLoss(PositionDecision, frozen=True, gc=False, kw_only=True, tag="uncovered_loss"):
    """A shortfall that the insurance fund could not cover."""

    liquidation_id: str | None
    asset: str
    amount: CanonicalDecimal
    fund_balance: CanonicalDecimal


class DeleverageRequested(JudgedDecision, frozen=True, gc=False, kw_only=True, tag="deleverage_requested"):
    """A holder who profits from the other side of an uncovered loss should close so much of the position at this price.

    A request changes nothing.  A fill that answers it is an ordinary fill, whose `order_id` may name the request.
    """

    uncovered_loss: str
    """Id of the decision that says what is not covered."""
    liquidation_id: str | None
    """The liquidation that left it."""
    rank: int
    """Place in the order of scores on this shard, from 1."""
    score: Fraction
    """Profit fraction x effective leverage at the mark."""
    side: Literal["buy", "sell"]
    quantity: CanonicalDecimal
    price: CanonicalDecimal
    """The grid price at which the position that left the loss would have left nothing."""
    remaining: CanonicalDecimal
    """Contracts of that position still uncovered when this request is answered in full."""


class InstrumentChanged(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="instrument_changed"):
    """A version of an instrument's parameters took effect; `previous_version` is None for the first."""

    version: int
    previous_version: int | None


class RequirementAnnounced(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="requirement_announced"):
    """A version of an instrument's parameters, or a rise of its rate of volatility, will take effect.

    That is when the instrument's market time reaches `effective_us`.  `announcement` is the same on every shard.  The
    rehearsal, of the positions of this shard, is what would happen at the present mark: how many it would call deeper
    than now, and how many it would liquidate, with their notional; None without a mark.
    """

    announcement: str
    version: int
    """The version announced, or the one whose volatility asks for the rise."""
    effective_us: int
    old_rate: CanonicalDecimal | None
    """The rate of volatility in force, None where a version is announced."""
    new_rate: CanonicalDecimal | None
    would_call: int | None
    would_call_notional: CanonicalDecimal | None
    would_liquidate: int | None
    would_liquidate_notional: CanonicalDecimal | None


class RequirementChanged(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="requirement_changed"):
    """Another rate of volatility is in force; None stands for none.

    `announcement` is that of a rise, None where the rate fell, or came with a version of the parameters.
    """

    announcement: str | None
    old_rate: CanonicalDecimal | None
    new_rate: CanonicalDecimal | None


class TickQuarantined(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="tick_quarantined"):
    """A tick would have moved the mark by more than `max_jump` and is held back; the mark stays at `mark_price`.

    What it would have done: moved the mark to `candidate_price`, and begun the liquidation of so many `positions`,
    worth `notional` in the settlement asset at that price.  `accounts` are theirs: the first hundred, in order of id.
    """

    quarantine_id: str
    source: str | None
    price: CanonicalDecimal
    mark_price: CanonicalDecimal
    candidate_price: CanonicalDecimal
    positions: int
    notional: CanonicalDecimal
    accounts: list[str]


class TickConfirmed(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="tick_confirmed"):
    """A quarantined tick was confirmed by `ticks` further ticks and `sources` other sources; the mark moves.

    It moves to `mark_price`, by everything that was held back.
    """

    quarantine_id: str
    source: str | None
    price: CanonicalDecimal
    mark_price: CanonicalDecimal
    ticks: int
    sources: int


class TickDiscarded(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="tick_discarded"):
    """A quarantined tick will never move the mark.

    A later one spoke against it (`contradicted`), one was held back for another price (`superseded`), new parameters
    came into force, or the instrument was settled.
    """

    quarantine_id: str
    source: str | None
    price: CanonicalDecimal
    mark_price: CanonicalDecimal
    reason: DiscardReason
    ticks: int


class MarkStale(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="mark_stale"):
    """No source is fresh: no liquidation starts, and margin calls are `uncertain`, until `mark_fresh`.

    `newest_us` is the time of the newest tick that the mark was made from, None where there is none.
    """

    mark_price: CanonicalDecimal
    newest_us: int | None


class MarkFresh(InstrumentDecision, frozen=True, gc=False, kw_only=True, tag="mark_fresh"):
    """The mark is no longer stale.  The tick that ended it judges every position."""

    mark_price: CanonicalDecimal


class Refused(Decision, frozen=True, gc=False, kw_only=True, tag="refused"):
    """An input that changed nothing; `applied_hash` is the hash of the applied input it conflicts with."""

    account: str | None
    instrument: str | None
    code: str
    message: str
    input_type: str | None
    input_id: str | None
    input_hash: str
    applied_hash: str | None


class Posting(Decision, frozen=True, gc=False, kw_only=True, tag="posting"):
    """One movement between two accounts of the ledger; `amount` is exact, with as many decimals as it takes."""

    account: str | None
    instrument: str | None
    asset: str
    debit: str
    credit: str
    amount: CanonicalDecimal
    reason: str


class Position(Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="position"):
    """View: one open position at the end of a frame; `quantity` is signed contracts, `funding` > 0 was received."""

    account: str
    instrument: str
    quantity: CanonicalDecimal
    entry_price: CanonicalDecimal
    mark_price: CanonicalDecimal | None
    notional: CanonicalDecimal | None
    collateral: CanonicalDecimal
    unrealised_pnl: CanonicalDecimal | None
    realised_pnl: CanonicalDecimal
    funding: CanonicalDecimal
    equity: CanonicalDecimal | None
    initial_margin: CanonicalDecimal | None
    maintenance_margin: CanonicalDecimal | None
    maintenance_rate: CanonicalDecimal | None
    maintenance_amount: CanonicalDecimal | None
    tier: int | None
    leverage: CanonicalDecimal
    margin_ratio: CanonicalDecimal | None
    liquidation_price: CanonicalDecimal | None
    bankruptcy_price: CanonicalDecimal | None
    margin_call_prices: list[CanonicalDecimal | None]
    max_removable: CanonicalDecimal | None
    status: Literal["open", "called", "liquidating"]
    case_id: str | None
    liquidation_id: str | None
    sequence: int
    hash: str
    liquidation_price_after_funding: CanonicalDecimal | UnsetType | None = UNSET
    """The liquidation price if the instrument's last funding came once more; absent until there has been one."""
    liquidation_price_moves: list[LiquidationPriceMove] | UnsetType = UNSET
    """From the liquidation price of the view before to this one, in the order of the causes; absent in the first view
    of a position, and always where the instrument does not ask for `attribution`.
    """


class Wallet(Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="wallet"):
    """View: free collateral of an account in one asset."""

    account: str
    asset: str
    balance: CanonicalDecimal


Outcome = (
    MarginCall
    | Underfunded
    | FillFlagged
    | LiquidationStarted
    | LiquidationOrder
    | LiquidationProgress
    | LiquidationCompleted
    | PositionTakenOver
    | ShortfallRecorded
    | UncoveredLoss
    | DeleverageRequested
    | InstrumentChanged
    | RequirementAnnounced
    | RequirementChanged
    | TickQuarantined
    | TickConfirmed
    | TickDiscarded
    | MarkStale
    | MarkFresh
    | Refused
    | Posting
    | Position
    | Wallet
)
"""Any outcome: a decision, made per event, or a view, published per frame."""

_encoder = msgspec.json.Encoder()


def encode(outcome: Outcome) -> bytes:
    """The one encoding of an outcome: the bytes that are published, compared and hashed."""
    return _encoder.encode(outcome)
