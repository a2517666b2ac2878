"""One version of an instrument's parameters, checked once and held as integers.

An instrument event is text.  `Rules` is what the fold computes with: rates and amounts scaled, maintenance amounts
derived, every contradiction refused with the row it is about.  Nothing here depends on an account or on a price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ringfence.contracts import INVERSE_CONTRACT, LINEAR, Contract, Value
from ringfence.grid import Crossing, Required, Stretches, Trigger
from ringfence.hashing import digest_of
from ringfence.mark_rules import MarkRules, read_mark
from ringfence.refusals import InvalidInstrument
from ringfence.scales import MONEY_DECIMALS, ONE
from ringfence.tiers import SideTiers
from ringfence.volatility import VolatilityRules, read_volatility
from ringfence_schemas.content import content_of
from ringfence_schemas.decimals import DECIMALS, decimal_text, units
from ringfence_schemas.inputs import Instrument, Liquidation, Tier

DEFAULT_RECOVER: Final = ONE // 20
DEFAULT_TARGET: Final = ONE * 11 // 10
DEFAULT_MAX_STEPS: Final = 3
DEFAULT_DEADLINE_US: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """How much may be ordered in each interval, over all shards."""

    notional: int
    """In units of the asset."""
    interval_us: int

    def share(self, shard: int, shards: int) -> int:
        """Return what one shard may order, in units: floor(notional / N), the first (notional mod N) one more."""
        return self.notional // shards + (shard < self.notional % shards)


@dataclass(frozen=True, slots=True)
class LiquidationRules:
    """How a bucket at its limit is wound down; decimals, except `full_below` (money) and `deadline_us`."""

    mode: str
    residual: str
    target: int
    full_below: int
    backstop: int
    max_steps: int
    deadline_us: int
    fee_rate: int
    takeover_price: str
    throttle: ThrottleRules | None


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of one instrument version, in the units of `ringfence.scales`."""

    event: Instrument
    content: bytes
    """Hash of the event's content."""
    version: int
    contract: Contract
    settle_asset: str
    multiplier: int
    extra_decimals: int
    asset_decimals: int
    unit: int
    """The smallest part of the asset, in decimals."""
    quantum: int
    """The same as money."""
    scaled_quantum: int
    """The same as scaled money."""
    price_tick: int
    tick_digits: int
    """The price tick without its decimals, of which it has `tick_decimals`."""
    tick_decimals: int
    quantity_step: int
    long: SideTiers
    short: SideTiers
    long_crossings: tuple[Trigger, ...]
    """Where a long reaches each margin call level, and last its liquidation."""
    short_crossings: tuple[Trigger, ...]
    added_rate: int
    """Slippage rate and close fee, which every maintenance rate contains."""
    volatility: VolatilityRules | None
    volatility_rate: int
    """The rate of volatility in force; 0 without `volatility`."""
    max_leverages: tuple[int | None, ...]
    initial_rates: tuple[tuple[int, int], ...]
    default_leverage: int
    strict: bool
    entry_basis: bool
    """Requirements are taken of the notional at the entry price, not at the mark."""
    halted: bool
    """No liquidation starts."""
    attribution: bool
    """Views say why the liquidation price moved."""
    expiry_us: int | None
    """From this engine time on positions are only to be closed; None: never."""
    call_levels: tuple[int, ...]
    recover: int
    release: bool
    wallet_first: bool
    """What a position owes as funding comes from the wallet as far as that goes."""
    taker_fee: int
    liquidation: LiquidationRules
    mark: MarkRules | None
    """How the mark is made of ticks; None: the last tick is the mark."""

    def side(self, size: int) -> SideTiers:
        """Return the maintenance lines of a position of this signed size."""
        return self.long if size > 0 else self.short

    def crossings(self, size: int) -> tuple[Trigger, ...]:
        """Return where a position of this signed size reaches each margin call level, and last its liquidation."""
        return self.long_crossings if size > 0 else self.short_crossings

    def at_rate(self, volatility_rate: int) -> Rules:
        """Return the same with another rate of volatility in force."""
        least = volatility_rate + self.added_rate
        long, short = replace(self.long, least_rate=least), replace(self.short, least_rate=least)
        rules = replace(self, volatility_rate=volatility_rate, long=long, short=short)
        if self.entry_basis:
            return rules
        ratios, tick, contract = _ratios(self.call_levels, strict=self.strict), self.price_tick, self.contract
        return replace(
            rules,
            long_crossings=_crossings(long, 1, ratios, tick, contract),
            short_crossings=_crossings(short, -1, ratios, tick, contract),
        )

    def close_only(self, time_us: int) -> bool:
        """Tell whether the contract has expired at this engine time, and waits for its settlement."""
        return self.expiry_us is not None and time_us >= self.expiry_us

    def value(self, mark: int, entry_price: int) -> Value:
        """Return what one unit of size counts for at the mark, and for requirements."""
        return self.contract.value(mark, entry_price if self.entry_basis else None)

    def required_at_entry(self, size: int, entry_price: int) -> Required:
        """Return the maintenance that no price moves, scaled money over `per`: under basis `entry` all, else none."""
        if not self.entry_basis:
            return 0, 1
        worth, per = self.contract.worth(size, entry_price * ONE)
        return self.side(size).maintenance(abs(worth), per), per

    def size_of(self, quantity: int) -> int:
        """Return the size of a number of contracts given in decimals."""
        return quantity * self.multiplier

    def units_up(self, money: int) -> int:
        """Money in units of the asset, towards plus infinity: what a wallet gives to a bucket."""
        return -(-money // self.quantum)


def build_rules(event: Instrument, asset_decimals: int) -> Rules:
    """Check an instrument event and scale it.

    Raises `InvalidInstrument` naming the first contradiction: the order is tiers, levels, liquidation, mark,
    volatility.  The rate of volatility is that of a market that has not moved yet.
    """
    contract = INVERSE_CONTRACT if event.contract == "inverse" else LINEAR
    multiplier, extra = _mantissa(units[event.multiplier] if event.multiplier is not None else ONE)
    money_one = 10 ** (MONEY_DECIMALS + extra)
    added = _optional(event.slippage_rate, 0) + _optional(event.close_fee_rate, 0)
    if _optional(event.slippage_rate, 0) < 0 or _optional(event.close_fee_rate, 0) < 0:
        raise InvalidInstrument("slippage_rate and close_fee_rate must not be negative")
    _check_floors(event.tiers)
    long, short = (_side(event, sign * contract.sign, side, added, money_one) for sign, side in _SIDES)
    max_leverages = tuple(_max_leverage(tier, row) for row, tier in enumerate(event.tiers, 1))
    initial_rates = tuple(_initial_rate(tier, row) for row, tier in enumerate(event.tiers, 1))
    price_tick, call_levels, strict = units[event.price_tick] * ONE, _call_levels(event), event.trigger == "below"
    tick_digits, tick_decimals = _mantissa(units[event.price_tick])
    entry_basis = event.maintenance is not None and event.maintenance.basis == "entry"
    ratios = _ratios(call_levels, strict=strict)
    at_entry = tuple(Stretches.of_entry(ratio, price_tick, contract, strict=below) for ratio, below in ratios)
    rules = Rules(
        event=event,
        content=digest_of(content_of(event)),
        version=event.version,
        contract=contract,
        settle_asset=event.settle_asset,
        multiplier=multiplier,
        extra_decimals=extra,
        asset_decimals=asset_decimals,
        unit=10 ** (DECIMALS - asset_decimals),
        quantum=10 ** (MONEY_DECIMALS + extra - asset_decimals),
        scaled_quantum=10 ** (MONEY_DECIMALS + DECIMALS + extra - asset_decimals),
        price_tick=price_tick,
        tick_digits=tick_digits,
        tick_decimals=tick_decimals,
        quantity_step=units[event.quantity_step],
        long=long,
        short=short,
        long_crossings=at_entry if entry_basis else _crossings(long, 1, ratios, price_tick, contract),
        short_crossings=at_entry if entry_basis else _crossings(short, -1, ratios, price_tick, contract),
        added_rate=added,
        volatility=read_volatility(event.volatility, added),
        volatility_rate=0,
        max_leverages=max_leverages,
        initial_rates=initial_rates,
        default_leverage=_default_leverage(event, max_leverages[0]),
        strict=strict,
        entry_basis=entry_basis,
        halted=bool(event.halted),
        attribution=bool(event.attribution),
        expiry_us=event.expiry_us,
        call_levels=call_levels,
        recover=_recover(event),
        release=event.release_on_reduce != "none",
        wallet_first=event.funding_payer == "free_balance_first",
        taker_fee=_optional(event.fees.taker if event.fees else None, 0),
        liquidation=_liquidation(event, money_one, 10 ** (DECIMALS - asset_decimals)),
        mark=read_mark(event.mark),
    )
    return rules if rules.volatility is None else rules.at_rate(rules.volatility.rate_of(0))


def _optional(text: str | None, default: int) -> int:
    return default if text is None else units[text]


def _mantissa(value: int) -> tuple[int, int]:
    """Split a decimal into (integer, decimals), so that an integer multiplier costs no digits."""
    decimals = 18
    while decimals and value % 10 == 0:
        value //= 10
        decimals -= 1
    return value, decimals


def _check_floors(tiers: list[Tier]) -> None:
    if not tiers:
        raise InvalidInstrument("tiers must have at least one row")
    if units[tiers[0].floor] != 0:
        raise InvalidInstrument(f"tier 1: floor {tiers[0].floor} must be 0, or notional below it has no rate")
    for row in range(1, len(tiers)):
        if units[tiers[row].floor] <= units[tiers[row - 1].floor]:
            raise InvalidInstrument(
                f"tier {row + 1}: floor {tiers[row].floor} must exceed floor {tiers[row - 1].floor} of tier {row}"
            )


def _rate(tier: Tier, side: str, row: int) -> int:
    """Return the maintenance rate of a side; a tier states one rate for both, or one for each."""
    both = (tier.maintenance_rate_long, tier.maintenance_rate_short)
    if tier.maintenance_rate is not None:
        if both != (None, None):
            raise InvalidInstrument(f"tier {row}: give maintenance_rate or the two rates by side, not both")
        return units[tier.maintenance_rate]
    text = both[0] if side == "long" else both[1]
    if text is None:
        raise InvalidInstrument(f"tier {row}: maintenance_rate is missing (or maintenance_rate_{side})")
    return units[text]


def _side(event: Instrument, losing: int, side: str, added: int, money_one: int) -> SideTiers:
    """Read the lines of one side; `losing` is 1 where its notional falls as it loses: linear longs, inverse shorts."""
    mode = event.tier_mode or "marginal"
    rates = [_rate(tier, side, row) for row, tier in enumerate(event.tiers, 1)]
    for row, rate in enumerate(rates, 1):
        if rate < 0:
            raise InvalidInstrument(f"tier {row}: the maintenance rate must not be negative")
        if losing > 0 and rate + added >= ONE:
            raise InvalidInstrument(
                f"tier {row}: maintenance plus slippage and close fee must stay below 1 for {side}s, whose notional"
                " falls with their equity"
            )
    floors = [units[tier.floor] for tier in event.tiers]
    amounts = _AMOUNTS[mode](event.tiers, floors, rates)
    return SideTiers(
        floors=tuple(floor * money_one // ONE for floor in floors),
        rates=tuple(rate + added for rate in rates),
        amounts=tuple(amount * (money_one // (ONE * ONE)) for amount in amounts),
        greatest=mode == "marginal",
    )


def _marginal_amounts(tiers: list[Tier], floors: list[int], rates: list[int]) -> list[int]:
    """Derive the amounts, in 10^-36.  Source: the continuity of a marginal schedule, as venues publish it."""
    amounts = [0]
    for row in range(1, len(tiers)):
        if rates[row] < rates[row - 1]:
            raise InvalidInstrument(
                f"tier {row + 1}: the maintenance rate is below that of tier {row}; marginal rates never decrease"
            )
        amounts.append(amounts[-1] + floors[row] * (rates[row] - rates[row - 1]))
    for row, (tier, amount) in enumerate(zip(tiers, amounts, strict=True), 1):
        if tier.maintenance_amount is not None and units[tier.maintenance_amount] * ONE != amount:
            raise InvalidInstrument(
                f"tier {row}: maintenance_amount {tier.maintenance_amount} contradicts the derived "
                f"{decimal_text(amount, 36)}; correct it or leave it out"
            )
    return amounts


def _no_amounts(tiers: list[Tier], _floors: list[int], _rates: list[int]) -> list[int]:
    """In mode `whole` the rate of the tier is all there is."""
    for row, tier in enumerate(tiers, 1):
        if tier.maintenance_amount is not None and units[tier.maintenance_amount] != 0:
            raise InvalidInstrument(
                f"tier {row}: maintenance_amount {tier.maintenance_amount} has no place in tier_mode whole; leave it"
                " out, or ask for tier_mode given"
            )
    return [0] * len(tiers)


def _given_amounts(tiers: list[Tier], _floors: list[int], _rates: list[int]) -> list[int]:
    """In mode `given` amounts are what the venue states, in 10^-36, one for both sides."""
    amounts = [_optional(tier.maintenance_amount, 0) * ONE for tier in tiers]
    for row, (tier, amount) in enumerate(zip(tiers, amounts, strict=True), 1):
        if amount < 0:
            raise InvalidInstrument(f"tier {row}: maintenance_amount {tier.maintenance_amount} must not be negative")
    return amounts


_SIDES: Final = ((1, "long"), (-1, "short"))
_AMOUNTS: Final[dict[str, Callable[[list[Tier], list[int], list[int]], list[int]]]] = {
    "marginal": _marginal_amounts,
    "whole": _no_amounts,
    "given": _given_amounts,
}


def _ratios(call_levels: tuple[int, ...], *, strict: bool) -> list[tuple[int, bool]]:
    """List the ratios of equity to maintenance that matter, and whether equity must fall below."""
    return [*((level, False) for level in call_levels), (ONE, strict)]


def _crossings(
    tiers: SideTiers, sign: int, ratios: list[tuple[int, bool]], price_tick: int, contract: Contract
) -> tuple[Trigger, ...]:
    """Work out where one side meets each ratio, or falls below it."""
    if contract.sign < 0 or not tiers.greatest or tiers.least_rate:
        return tuple(Stretches.of(tiers, ratio, price_tick, contract, strict=below) for ratio, below in ratios)
    return tuple(Crossing.of(tiers, sign, ratio, price_tick, strict=below) for ratio, below in ratios)


def _max_leverage(tier: Tier, row: int) -> int | None:
    if tier.max_leverage is not None and units[tier.max_leverage] <= 0:
        raise InvalidInstrument(f"tier {row}: max_leverage {tier.max_leverage} must be above 0")
    return None if tier.max_leverage is None else units[tier.max_leverage]


def _default_leverage(event: Instrument, most: int | None) -> int:
    leverage = _optional(event.default_leverage, ONE)
    if most is not None and leverage > most:
        raise InvalidInstrument(
            f"default_leverage {event.default_leverage} exceeds max_leverage {event.tiers[0].max_leverage} of tier 1"
        )
    return leverage


def _initial_rate(tier: Tier, row: int) -> tuple[int, int]:
    """Return the tier's initial rate as a fraction: `initial_rate`, else 1 / max_leverage, else 0."""
    if tier.initial_rate is not None:
        if units[tier.initial_rate] < 0:
            raise InvalidInstrument(f"tier {row}: initial_rate must not be negative")
        return units[tier.initial_rate], ONE
    if tier.max_leverage is not None:
        return ONE, units[tier.max_leverage]
    return 0, 1


def _call_levels(event: Instrument) -> tuple[int, ...]:
    texts = event.margin_call_levels or []
    levels = tuple(units[text] for text in texts)
    for row, level in enumerate(levels):
        if level <= ONE:
            raise InvalidInstrument(
                f"margin_call_levels[{row}]: {texts[row]} must be above 1, the level of liquidation"
            )
        if row and level >= levels[row - 1]:
            raise InvalidInstrument(
                f"margin_call_levels[{row}]: {texts[row]} must be below {texts[row - 1]}; the deepest level stands last"
            )
    return levels


def _recover(event: Instrument) -> int:
    recover = _optional(event.recover, DEFAULT_RECOVER)
    if recover < 0:
        raise InvalidInstrument("recover must not be negative")
    return recover


def _liquidation(event: Instrument, money_one: int, unit: int) -> LiquidationRules:
    config = event.liquidation or Liquidation()
    rules = LiquidationRules(
        mode=config.mode or "order",
        residual=config.residual or "account",
        target=_optional(config.target, DEFAULT_TARGET),
        full_below=_optional(config.full_below, 0) * (money_one // ONE),
        backstop=_optional(config.backstop, 0),
        max_steps=DEFAULT_MAX_STEPS if config.max_steps is None else config.max_steps,
        deadline_us=DEFAULT_DEADLINE_US if config.deadline_us is None else config.deadline_us,
        fee_rate=_optional(config.fee_rate, 0),
        takeover_price=config.takeover_price or "bankruptcy",
        throttle=_throttle(config, event.settle_asset, unit) if config.throttle else None,
    )
    limits = {
        "target must be at least 1": rules.target >= ONE,
        "backstop must be from 0 to below 1": 0 <= rules.backstop < ONE,
        "full_below must not be negative": rules.full_below >= 0,
        "max_steps must be at least 1": rules.max_steps >= 1,
        "deadline_us must be above 0": rules.deadline_us > 0,
        "fee_rate must be from 0 to below 1": 0 <= rules.fee_rate < ONE,
    }
    for text, holds in limits.items():
        if not holds:
            raise InvalidInstrument(f"liquidation: {text}")
    return rules


def _throttle(config: Liquidation, asset: str, unit: int) -> ThrottleRules:
    plan = config.throttle
    assert plan is not None
    notional, finer = divmod(units[plan.notional], unit)
    if config.mode == "takeover":
        raise InvalidInstrument("liquidation: throttle needs mode order; a takeover orders nothing")
    if units[plan.notional] <= 0:
        raise InvalidInstrument(f"liquidation: throttle.notional {plan.notional} must be above 0")
    if finer:
        raise InvalidInstrument(
            f"liquidation: throttle.notional {plan.notional} has more decimals than {asset}; shares are in units of it"
        )
    if plan.interval_us <= 0:
        raise InvalidInstrument("liquidation: throttle.interval_us must be above 0")
    return ThrottleRules(notional, plan.interval_us)
