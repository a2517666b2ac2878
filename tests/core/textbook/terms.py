"""What an instrument's document says, read as exact numbers; maintenance walked like a tax table."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tests.core.textbook.marking import MarkTerms
from tests.core.textbook.numbers import exact
from tests.core.textbook.refusal import Unacceptable
from tests.core.textbook.volatility import VolatilityTerms


@dataclass(frozen=True)
class Bracket:
    """One row of the tier table: rates that hold from `floor` (inclusive) on."""

    floor: Fraction
    long_rate: Fraction
    short_rate: Fraction
    max_leverage: Fraction | None
    initial_rate: Fraction

    def rate(self, side: int) -> Fraction:
        """Maintenance rate of a long (`side` 1) or a short (-1)."""
        return self.long_rate if side > 0 else self.short_rate


@dataclass(frozen=True)
class LiquidationTerms:
    """How a bucket is liquidated; defaults of margin.md section 9."""

    mode: str = "order"
    residual: str = "account"
    target: Fraction = Fraction(11, 10)
    full_below: Fraction = Fraction(0)
    backstop: Fraction = Fraction(0)
    max_steps: int = 3
    deadline_us: int = 10_000_000
    fee_rate: Fraction = Fraction(0)
    takeover_price: str = "bankruptcy"
    throttle: tuple[Fraction, int] | None = None
    """Notional that may be ordered in an interval, and how long that is."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> "LiquidationTerms":
        """Take what the document states, the default for everything else."""
        stated: dict[str, Any] = {}
        for name, value in document.items():
            if value is None:
                continue
            if name == "throttle":
                stated[name] = exact(value["notional"]), value["interval_us"]
                continue
            decimal = name in {"target", "full_below", "backstop", "fee_rate"}
            stated[name] = exact(value) if decimal else value
        return cls(**stated)


@dataclass(frozen=True)
class Terms:
    """One version of an instrument."""

    instrument: str
    version: int
    settle_asset: str
    inverse: bool
    tier_mode: str
    multiplier: Fraction
    price_tick: Fraction
    quantity_step: Fraction
    brackets: tuple[Bracket, ...]
    default_leverage: Fraction
    basis: str
    slippage_rate: Fraction
    close_fee_rate: Fraction
    trigger: str
    levels: tuple[Fraction, ...]
    recover: Fraction
    release_on_reduce: str
    funding_payer: str
    taker: Fraction
    liquidation: LiquidationTerms
    marking: MarkTerms | None
    halted: bool
    expiry_us: int | None
    effective_us: int | None
    volatility: VolatilityTerms | None
    volatility_rate: Fraction | None
    document: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Terms":
        """Read an `instrument` input.  Raises Unacceptable when its tiers contradict themselves."""
        fees, stated = document.get("fees") or {}, document.get("volatility")
        terms = cls(
            instrument=document["instrument"],
            version=document["version"],
            settle_asset=document["settle_asset"],
            inverse=document["contract"] == "inverse",
            tier_mode=document.get("tier_mode") or "marginal",
            multiplier=exact(document.get("multiplier") or "1"),
            price_tick=exact(document["price_tick"]),
            quantity_step=exact(document["quantity_step"]),
            brackets=tuple(read_bracket(row) for row in document["tiers"]),
            default_leverage=exact(document.get("default_leverage") or "1"),
            basis=(document.get("maintenance") or {}).get("basis") or "mark",
            slippage_rate=exact(document.get("slippage_rate") or "0"),
            close_fee_rate=exact(document.get("close_fee_rate") or "0"),
            trigger=document.get("trigger") or "at_or_below",
            levels=tuple(exact(level) for level in document.get("margin_call_levels") or ()),
            recover=exact(document.get("recover") or "0.05"),
            release_on_reduce=document.get("release_on_reduce") or "proportional",
            funding_payer=document.get("funding_payer") or "bucket_first",
            taker=exact(fees.get("taker") or "0"),
            liquidation=LiquidationTerms.read(document.get("liquidation") or {}),
            marking=MarkTerms.read(document.get("mark") or {}),
            halted=bool(document.get("halted")),
            expiry_us=document.get("expiry_us"),
            effective_us=document.get("effective_us"),
            volatility=None if stated is None else VolatilityTerms.read(stated),
            volatility_rate=None,
            document=document,
        )
        terms.examine()
        return terms if terms.volatility is None else terms.at_rate(terms.volatility.rate(Fraction(0)))

    def at_rate(self, rate: Fraction | None) -> "Terms":
        """The same with this rate of volatility in force."""
        return replace(self, volatility_rate=rate)

    def examine(self) -> None:
        """Refuse parameters that contradict themselves, or that the engine does not honour yet."""
        self.examine_tiers()
        for level, deeper in pairwise((*self.levels, Fraction(1))):
            if level <= deeper:
                raise Unacceptable("levels decrease, and the last is above 1")
        greatest, rules = self.brackets[0].max_leverage, self.liquidation
        if greatest is not None and self.default_leverage > greatest:
            raise Unacceptable("the default leverage is allowed in the first tier")
        rates = (
            self.slippage_rate,
            self.close_fee_rate,
            self.recover,
            rules.backstop,
            rules.full_below,
            rules.fee_rate,
        )
        if min(rates) < 0 or rules.fee_rate >= 1 or rules.backstop >= 1 or rules.target < 1:
            raise Unacceptable("a rate is out of its bounds")
        if rules.throttle is not None and (rules.mode == "takeover" or not all(each > 0 for each in rules.throttle)):
            raise Unacceptable("a throttle lets something through, and there are orders to throttle")
        if rules.max_steps < 1 or rules.deadline_us < 1:
            raise Unacceptable("a liquidation has a step, and a step has time")
        if self.volatility is not None and not self.volatility.sound(self.extra_rate):
            raise Unacceptable("a parameter of volatility is out of its bounds")

    def examine_tiers(self) -> None:
        """Refuse a table that is no table, by margin.md section 3."""
        floors = [bracket.floor for bracket in self.brackets]
        if not floors or floors[0] != 0:
            raise Unacceptable("the first floor is 0")
        if any(upper <= lower for lower, upper in pairwise(floors)):
            raise Unacceptable("floors increase")
        for side in (1, -1):
            rates = [bracket.rate(side) for bracket in self.brackets]
            if min(rates) < 0:
                raise Unacceptable("a rate is not negative")
            if self.tier_mode == "marginal" and any(upper < lower for lower, upper in pairwise(rates)):
                raise Unacceptable("rates never decrease")
        if any(bracket.initial_rate < 0 for bracket in self.brackets):
            raise Unacceptable("an initial rate is not negative")
        losing = -1 if self.inverse else 1
        if any(bracket.rate(losing) + self.extra_rate >= 1 for bracket in self.brackets):
            raise Unacceptable("maintenance is below the notional where that falls with equity")
        self.examine_amounts()

    def examine_amounts(self) -> None:
        """Refuse amounts that are stated where they are derived, or where there are none, or below zero."""
        for number, row in enumerate(self.document["tiers"], start=1):
            if row.get("maintenance_amount") is None:
                continue
            stated = exact(row["maintenance_amount"])
            allowed = {
                "marginal": all(stated == self.amount(number, side) for side in (1, -1)),
                "whole": stated == 0,
                "given": stated >= 0,
            }
            if not allowed[self.tier_mode]:
                raise Unacceptable(f"tier {number}: an amount that cannot stand there")

    @property
    def extra_rate(self) -> Fraction:
        """What maintenance charges on the whole notional beside its tax."""
        return self.slippage_rate + self.close_fee_rate

    def tier(self, notional: Fraction) -> int:
        """Number of the bracket that `notional` reaches into, from 1; its floor belongs to it."""
        return sum(1 for bracket in self.brackets if bracket.floor <= notional)

    def bracket(self, notional: Fraction) -> Bracket:
        """The row of the bracket that `notional` reaches into."""
        return self.brackets[self.tier(notional) - 1]

    def tax(self, notional: Fraction, side: int) -> Fraction:
        """Maintenance of the tiers alone: each slice of the notional at its own bracket's rate."""
        total = Fraction(0)
        ceilings = [bracket.floor for bracket in self.brackets[1:]] + [notional]
        for bracket, ceiling in zip(self.brackets, ceilings, strict=True):
            slice_of_it = min(notional, ceiling) - bracket.floor
            if slice_of_it > 0:
                total += slice_of_it * bracket.rate(side)
        return total

    def amount(self, tier: int, side: int) -> Fraction:
        """Maintenance amount of a tier: as given, or what its flat rate would charge too much at its floor, or none."""
        bracket = self.brackets[tier - 1]
        if self.tier_mode == "given":
            return exact(self.document["tiers"][tier - 1].get("maintenance_amount") or "0")
        if self.tier_mode == "whole":
            return Fraction(0)
        return bracket.rate(side) * bracket.floor - self.tax(bracket.floor, side)

    def maintenance(self, notional: Fraction, side: int) -> Fraction:
        """Maintenance of a notional: what its tiers ask for, or what volatility does, whichever is more."""
        return max(self.tiered(notional, side), notional * (self.least_rate or 0))

    @property
    def least_rate(self) -> Fraction | None:
        """What volatility charges on the whole notional, slippage and closing fee included."""
        return None if self.volatility_rate is None else self.volatility_rate + self.extra_rate

    def tiered(self, notional: Fraction, side: int) -> Fraction:
        """What tiers ask for: the tax, and slippage and closing fee on the whole; or one rate for all of it."""
        if self.tier_mode != "marginal":
            rate = self.bracket(notional).rate(side) + self.extra_rate
            return max(notional * rate - self.amount(self.tier(notional), side), Fraction(0))
        return self.tax(notional, side) + notional * self.extra_rate

    def edges(self, side: int) -> set[Fraction]:
        """Notionals at which maintenance changes its course: floors, where an amount has eaten up a charge, and where
        volatility begins or ceases to ask for more.
        """
        found = {bracket.floor for bracket in self.brackets}
        for number, bracket in enumerate(self.brackets, start=1):
            rate = bracket.rate(side) + self.extra_rate
            found |= {
                self.amount(number, side) / (rate - least)
                for least in (Fraction(0), self.least_rate)
                if least is not None and rate != least
            }
        return {notional for notional in found if notional > 0}

    def initial(self, notional: Fraction, leverage: Fraction) -> Fraction:
        """Initial margin of a notional under a chosen leverage."""
        return max(notional / leverage, notional * self.bracket(notional).initial_rate)


def read_bracket(row: dict[str, Any]) -> Bracket:
    """Read one row of `tiers`; its initial rate is stated, or follows from its greatest leverage."""
    both, stated = row.get("maintenance_rate"), row.get("initial_rate")
    sides = {row.get("maintenance_rate_long"), row.get("maintenance_rate_short")}
    if (both is None and None in sides) or (both is not None and sides != {None}):
        raise Unacceptable("a tier states one rate for both sides, or one for each")
    leverage = None if row.get("max_leverage") is None else exact(row["max_leverage"])
    by_leverage = Fraction(0) if leverage is None else 1 / leverage
    return Bracket(
        floor=exact(row["floor"]),
        long_rate=exact(row["maintenance_rate_long"] if both is None else both),
        short_rate=exact(row["maintenance_rate_short"] if both is None else both),
        max_leverage=leverage,
        initial_rate=by_leverage if stated is None else exact(stated),
    )
