"""Inputs on their way to the engine: every reaction gets the next engine time and an id of its own here."""

from decimal import ROUND_DOWN, Decimal
from typing import Literal

from examples.crash.venue import ASSET, ASSET_DECIMALS, CONTRACTS
from ringfence_schemas.inputs import AddMargin, Deposit, Fill, Input, LiquidationReport, SetLeverage, Withdrawal
from ringfence_schemas.outcomes import LiquidationOrder

STEP_US = 100
UNIT = Decimal(1).scaleb(-ASSET_DECIMALS)


def to_units(amount: Decimal) -> Decimal:
    """``amount`` rounded down to the asset's decimals."""
    return amount.quantize(UNIT, ROUND_DOWN)


def to_price(instrument: str, price: Decimal) -> Decimal:
    """``price`` on the instrument's grid, rounded half even, at least one tick."""
    tick = CONTRACTS[instrument].price_tick
    return max(tick, price.quantize(tick))


def to_quantity(instrument: str, quantity: Decimal) -> Decimal:
    """``quantity`` in contracts, rounded towards zero to the instrument's quantity step."""
    return quantity.quantize(CONTRACTS[instrument].quantity_step, ROUND_DOWN)


def text(number: Decimal) -> str:
    """Decimal text without an exponent, as the engine reads it."""
    return f"{number:f}"


class Outbox:
    """Collects the inputs of one minute in order; ``take`` hands them over and leaves the outbox empty."""

    def __init__(self) -> None:
        self._time_us = 0
        self._number = 0
        self._inputs: list[Input] = []

    def open(self, time_us: int) -> None:
        """Start stamping at ``time_us`` (or where the last stamp was, if that is later)."""
        self._time_us = max(self._time_us, time_us)

    def take(self) -> list[Input]:
        """Everything put in since the last call, oldest first."""
        inputs, self._inputs = self._inputs, []
        return inputs

    def _stamp(self) -> tuple[str, int]:
        self._number += 1
        self._time_us += STEP_US
        return str(self._number), self._time_us

    def trade(
        self,
        account: str,
        instrument: str,
        quantity: Decimal,
        price: Decimal,
        *,
        fee: Decimal | None = None,
        liquidation_id: str | None = None,
    ) -> None:
        """A fill of signed ``quantity`` contracts; without ``fee`` (USDT) the engine charges the taker fee."""
        number, time_us = self._stamp()
        self._inputs.append(
            Fill(
                fill_id=f"f{number}",
                account=account,
                instrument=instrument,
                side="buy" if quantity > 0 else "sell",
                quantity=text(abs(quantity)),
                price=text(price),
                fee=None if fee is None else text(fee),
                liquidation_id=liquidation_id,
                time_us=time_us,
            )
        )

    def deposit(self, account: str, amount: Decimal) -> None:
        """New money into the wallet, USDT."""
        number, time_us = self._stamp()
        self._inputs.append(
            Deposit(transfer_id=f"d{number}", account=account, asset=ASSET, amount=text(amount), time_us=time_us)
        )

    def withdraw(self, account: str, amount: Decimal) -> None:
        """Money out of the wallet, USDT."""
        number, time_us = self._stamp()
        self._inputs.append(
            Withdrawal(transfer_id=f"w{number}", account=account, asset=ASSET, amount=text(amount), time_us=time_us)
        )

    def set_leverage(self, account: str, instrument: str, leverage: int) -> None:
        """The leverage of future fills."""
        number, time_us = self._stamp()
        self._inputs.append(
            SetLeverage(
                command_id=f"c{number}", account=account, instrument=instrument, leverage=str(leverage), time_us=time_us
            )
        )

    def add_margin(self, account: str, instrument: str, amount: Decimal) -> AddMargin:
        """A top-up: from the wallet into the position's bucket, USDT."""
        number, time_us = self._stamp()
        top_up = AddMargin(
            command_id=f"c{number}", account=account, instrument=instrument, amount=text(amount), time_us=time_us
        )
        self._inputs.append(top_up)
        return top_up

    def report(self, order: LiquidationOrder, result: Literal["unfilled", "rejected"]) -> None:
        """The executor's word that ``order`` was not filled: nothing could be had, or the venue refused it."""
        number, time_us = self._stamp()
        self._inputs.append(
            LiquidationReport(
                report_id=f"r{number}",
                account=order.account,
                instrument=order.instrument,
                liquidation_id=order.liquidation_id,
                step=order.step,
                result=result,
                time_us=time_us,
            )
        )
