"""The venue of the example: the asset, four linear perpetuals with real brackets, insurance fund seeds, funding.

The brackets are the venue's own (``data/README.md``).  Everything else on this page is chosen for the example: price
and quantity grids, fees, margin call levels, liquidation settings, fund seeds, and the funding rates, which are
generated.
"""

import json
import random
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from examples.crash.market import DATA, HOUR_US, INSTRUMENTS, SECOND_US
from ringfence_schemas.inputs import Asset, Fees, FundDeposit, Funding, Input, Instrument, Liquidation, Tier

ASSET = "USDT"
ASSET_DECIMALS = 6
DEFAULT_LEVERAGE = 10
MARGIN_CALL_LEVELS = ("3", "2", "1.3")
RECOVER = "1"
FUND_SEED = "100000"
TAKER_FEE = Decimal("0.0005")
MAKER_REBATE = Decimal("0.00005")
FUNDING_INTERVAL_US = 8 * HOUR_US
ORDER_DEADLINE_US = 90 * SECOND_US


@dataclass(frozen=True, slots=True)
class Contract:
    """What the example chooses: grids in USDT and contracts, how positions are liquidated, the fund's seed in USDT."""

    price_tick: Decimal
    quantity_step: Decimal
    liquidation: Liquidation
    fund_seed: str


BY_ORDER = Liquidation(
    mode="order", target="2.5", full_below="500", max_steps=3, deadline_us=ORDER_DEADLINE_US, fee_rate="0.001"
)
BY_TAKEOVER = Liquidation(mode="takeover", takeover_price="mark", residual="fund")


CONTRACTS = {
    "AVAX-USDT-PERP": Contract(Decimal("0.001"), Decimal(1), BY_ORDER, FUND_SEED),
    "DOT-USDT-PERP": Contract(Decimal("0.001"), Decimal("0.1"), BY_ORDER, FUND_SEED),
    "LINK-USDT-PERP": Contract(Decimal("0.001"), Decimal("0.01"), BY_TAKEOVER, FUND_SEED),
    "LTC-USDT-PERP": Contract(Decimal("0.01"), Decimal("0.001"), BY_ORDER, FUND_SEED),
}


def real_tiers() -> dict[str, list[Tier]]:
    """The venue's maintenance brackets per instrument, with its own maintenance amounts for the engine to check."""
    content = json.loads((DATA / "binance_usdm_tiers.json").read_text(encoding="utf-8"))
    return msgspec.convert(content["instruments"], dict[str, list[Tier]])


def opening(time_us: int) -> list[Input]:
    """What the venue publishes before the first price: the asset, the instruments, the seeds of the insurance funds."""
    tiers = real_tiers()
    inputs: list[Input] = [Asset(asset=ASSET, decimals=ASSET_DECIMALS, time_us=time_us)]
    inputs += [_instrument(name, tiers[name], time_us) for name in INSTRUMENTS]
    inputs += [
        FundDeposit(transfer_id="seed", instrument=name, amount=CONTRACTS[name].fund_seed, time_us=time_us)
        for name in INSTRUMENTS
    ]
    return inputs


def _instrument(name: str, tiers: list[Tier], time_us: int) -> Instrument:
    contract = CONTRACTS[name]
    return Instrument(
        instrument=name,
        version=1,
        contract="linear",
        settle_asset=ASSET,
        price_tick=str(contract.price_tick),
        quantity_step=str(contract.quantity_step),
        tiers=tiers,
        default_leverage=str(DEFAULT_LEVERAGE),
        margin_call_levels=list(MARGIN_CALL_LEVELS),
        recover=RECOVER,
        release_on_reduce="none",
        fees=Fees(taker=str(TAKER_FEE)),
        liquidation=contract.liquidation,
        time_us=time_us,
    )


def funding_due(time_us: int, rng: random.Random) -> list[Funding]:
    """The funding of all instruments when ``time_us`` is a funding time (every 8 hours UTC), else nothing.

    The rates are generated: uniform between -0.01 % and 0.03 %, in steps of 0.0001 %.  Longs pay a positive rate.
    """
    if time_us % FUNDING_INTERVAL_US:
        return []
    return [
        Funding(
            funding_id=f"funding-{time_us // FUNDING_INTERVAL_US}",
            instrument=name,
            rate=f"{Decimal(rng.randint(-100, 300)).scaleb(-6):f}",
            time_us=time_us,
        )
        for name in INSTRUMENTS
    ]
