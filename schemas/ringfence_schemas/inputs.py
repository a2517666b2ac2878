"""Every input: one struct each, told apart by `type`.

Decimals are kept as the text that was sent and turned into integers where they are used
(`ringfence_schemas.decimals.units`).  An optional field that was not sent is None; its default belongs to the engine,
not to the contract.  Unknown fields are ignored.
"""

from typing import Literal

import msgspec
from msgspec import Struct, field

from ringfence_schemas.kinds import (
    AssetDecimals,
    Count,
    DurationMicroseconds,
    Identifier,
    Integer,
    LongIdentifier,
    Name,
    NonNegativeDecimal,
    PositiveDecimal,
    SignedDecimal,
    TimeMicroseconds,
)


class Part(Struct, frozen=True, gc=False, omit_defaults=True):
    """A group of parameters inside an instrument."""


class Tier(Part, frozen=True):
    """One row of an instrument's tier table; `floor` is a notional in the settlement asset, inclusive."""

    floor: SignedDecimal
    maintenance_rate: SignedDecimal | None = None
    maintenance_rate_long: SignedDecimal | None = None
    maintenance_rate_short: SignedDecimal | None = None
    max_leverage: SignedDecimal | None = None
    initial_rate: SignedDecimal | None = None
    maintenance_amount: SignedDecimal | None = None


class Maintenance(Part, frozen=True):
    """Which price the maintenance notional is taken at."""

    basis: Literal["mark", "entry"]


class Fees(Part, frozen=True):
    """Fee rates charged when a fill states no fee of its own."""

    taker: SignedDecimal


class Throttle(Part, frozen=True):
    """How much notional may be ordered for liquidations in each interval; every shard has its share."""

    notional: SignedDecimal
    interval_us: DurationMicroseconds


class Liquidation(Part, frozen=True):
    """How a position of the instrument is liquidated."""

    mode: Literal["order", "takeover"] | None = None
    residual: Literal["account", "fund"] | None = None
    target: SignedDecimal | None = None
    full_below: SignedDecimal | None = None
    backstop: SignedDecimal | None = None
    max_steps: Count | None = None
    deadline_us: DurationMicroseconds | None = None
    fee_rate: SignedDecimal | None = None
    takeover_price: Literal["bankruptcy", "mark"] | None = None
    throttle: Throttle | None = None


class Mark(Part, frozen=True):
    """How the mark price is made from ticks, and which ticks are held back."""

    method: Literal["last", "median", "weighted"] | None = None
    sources: list[Name] | None = None
    max_age_us: DurationMicroseconds | None = None
    max_jump: SignedDecimal | None = None
    confirm_ticks: Count | None = None
    confirm_sources: Count | None = None
    min_price: SignedDecimal | None = None
    max_price: SignedDecimal | None = None
    weights: list[PositiveDecimal] | None = None
    """Of method `weighted`: one for each of `sources`, in their order; without them all sources weigh the same."""


class Volatility(Part, frozen=True):
    """How the requirement follows the volatility of the mark; `decay` is `lambda` on the wire."""

    interval_us: DurationMicroseconds
    decay: SignedDecimal = field(name="lambda")
    multiplier: SignedDecimal
    horizon_us: DurationMicroseconds
    step: SignedDecimal
    cap: SignedDecimal
    notice_us: DurationMicroseconds
    hold_us: DurationMicroseconds
    floor: SignedDecimal | None = None
    stress: SignedDecimal | None = None
    stress_weight: SignedDecimal | None = None


class Event(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type"):
    """What every input is: a fact or a command, named by its `type`."""


class Instrument(Event, frozen=True, tag="instrument"):
    """A contract and its risk parameters, one version of them."""

    instrument: Name
    version: Integer
    contract: Literal["linear", "inverse"]
    settle_asset: Name
    price_tick: PositiveDecimal
    quantity_step: PositiveDecimal
    tiers: list[Tier]
    time_us: TimeMicroseconds
    multiplier: PositiveDecimal | None = None
    default_leverage: PositiveDecimal | None = None
    maintenance: Maintenance | None = None
    tier_mode: Literal["marginal", "whole", "given"] | None = None
    slippage_rate: SignedDecimal | None = None
    close_fee_rate: SignedDecimal | None = None
    trigger: Literal["at_or_below", "below"] | None = None
    margin_call_levels: list[SignedDecimal] | None = None
    recover: SignedDecimal | None = None
    release_on_reduce: Literal["proportional", "none"] | None = None
    funding_payer: Literal["bucket_first", "free_balance_first"] | None = None
    fees: Fees | None = None
    liquidation: Liquidation | None = None
    mark: Mark | None = None
    volatility: Volatility | None = None
    expiry_us: TimeMicroseconds | None = None
    halted: bool | None = None
    attribution: bool | None = None
    """Whether views of its positions say why the liquidation price moved."""
    effective_us: TimeMicroseconds | None = None


class Asset(Event, frozen=True, tag="asset"):
    """The number of decimals an asset is kept in."""

    asset: Name
    decimals: AssetDecimals
    time_us: TimeMicroseconds


class FundDeposit(Event, frozen=True, tag="fund_deposit"):
    """Money from outside into the insurance fund of an instrument."""

    transfer_id: Identifier
    instrument: Name
    amount: PositiveDecimal
    time_us: TimeMicroseconds


class Settlement(Event, frozen=True, tag="settlement"):
    """The end of an instrument: every position closes at this price."""

    settlement_id: Identifier
    instrument: Name
    price: PositiveDecimal
    time_us: TimeMicroseconds


class Tick(Event, frozen=True, tag="tick"):
    """One price of one instrument."""

    instrument: Name
    price: PositiveDecimal
    time_us: TimeMicroseconds
    source: Name | None = None
    sequence: Integer | None = None


class Ticks(Event, frozen=True, tag="ticks"):
    """Prices of several instruments from one source, in the order to be judged."""

    source: Name
    time_us: TimeMicroseconds
    prices: list[tuple[Name, PositiveDecimal]]


class Funding(Event, frozen=True, tag="funding"):
    """A funding payment per unit of size: a positive rate is paid by longs."""

    funding_id: Identifier
    instrument: Name
    rate: SignedDecimal
    time_us: TimeMicroseconds
    price: PositiveDecimal | None = None


class Deposit(Event, frozen=True, tag="deposit"):
    """Money from outside into a wallet, or straight into the bucket of `instrument`."""

    transfer_id: Identifier
    account: Name
    asset: Name
    amount: PositiveDecimal
    time_us: TimeMicroseconds
    instrument: Name | None = None


class Withdrawal(Event, frozen=True, tag="withdrawal"):
    """Money out of a wallet."""

    transfer_id: Identifier
    account: Name
    asset: Name
    amount: PositiveDecimal
    time_us: TimeMicroseconds


class Fill(Event, frozen=True, tag="fill"):
    """An execution: a fact, whatever it does to the account."""

    fill_id: Identifier
    account: Name
    instrument: Name
    side: Literal["buy", "sell"]
    quantity: PositiveDecimal
    price: PositiveDecimal
    time_us: TimeMicroseconds
    fee: SignedDecimal | None = None
    fee_asset: Name | None = None
    margin: NonNegativeDecimal | None = None
    liquidation_id: LongIdentifier | None = None
    order_id: Identifier | None = None


class LiquidationReport(Event, frozen=True, tag="liquidation_report"):
    """What became of a liquidation order that was not filled."""

    report_id: Identifier
    account: Name
    instrument: Name
    liquidation_id: LongIdentifier
    step: Integer
    result: Literal["unfilled", "rejected", "cancelled"]
    time_us: TimeMicroseconds


class SetLeverage(Event, frozen=True, tag="set_leverage"):
    """The leverage of future fills of an account in an instrument."""

    command_id: Identifier
    account: Name
    instrument: Name
    leverage: PositiveDecimal
    time_us: TimeMicroseconds
    rebalance: bool | None = None


class AddMargin(Event, frozen=True, tag="add_margin"):
    """Collateral from the wallet into a bucket."""

    command_id: Identifier
    account: Name
    instrument: Name
    amount: PositiveDecimal
    time_us: TimeMicroseconds


class RemoveMargin(Event, frozen=True, tag="remove_margin"):
    """Collateral from a bucket back into the wallet."""

    command_id: Identifier
    account: Name
    instrument: Name
    amount: PositiveDecimal
    time_us: TimeMicroseconds


Input = (
    Instrument
    | Asset
    | FundDeposit
    | Settlement
    | Tick
    | Ticks
    | Funding
    | Deposit
    | Withdrawal
    | Fill
    | LiquidationReport
    | SetLeverage
    | AddMargin
    | RemoveMargin
)
"""Any input."""

_encoder = msgspec.json.Encoder()


def encode_input(event: Input) -> bytes:
    """One JSON object that `ringfence_schemas.reading.decode_input` reads back as an equal input."""
    return _encoder.encode(event)
