"""Made-up inputs as bytes, the same for the same seed.  Written from the contract alone: nothing here is the core's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

import orjson

FIRST_US = 1_760_000_000_000_000
STEP_US = 100
"""Time between two inputs: ten thousand inputs a second."""
ASSET = "USDT"
INSTRUMENT = "BTC-USDT-PERP"
OTHERS = tuple(f"M{number}-USDT-PERP" for number in range(1, 10))
PRICE = 60_000
TIERS = (
    ("0", "0.004", "125"),
    ("50000", "0.005", "100"),
    ("600000", "0.0065", "75"),
    ("3000000", "0.01", "50"),
    ("12000000", "0.025", "20"),
    ("300000000", "0.5", "1"),
)


class Inputs:
    """A stream of inputs in order of time."""

    def __init__(self, seed: int, first_us: int = FIRST_US, step_us: int = STEP_US) -> None:
        self._random = Random(seed)
        self._time_us = first_us
        self._step_us = step_us
        self._number = 0
        self._version, self._options = 1, dict[str, object]()

    def market(self, instruments: tuple[str, ...] = (INSTRUMENT,), **options: object) -> list[bytes]:
        """The asset, and each instrument with its first price: six tiers, three call levels, liquidation by order."""
        lines = [self._line("asset", asset=ASSET, decimals=6)]
        for instrument in instruments:
            lines += [self._instrument(instrument, 1, options), self.tick(str(PRICE), instrument)]
        self._options = options
        return lines

    def changed(self, **options: object) -> bytes:
        """A new version of `INSTRUMENT`, with what it had and these options."""
        self._version += 1
        self._options = {**self._options, **options}
        return self._instrument(INSTRUMENT, self._version, self._options)

    def _instrument(self, instrument: str, version: int, options: Mapping[str, object]) -> bytes:
        tiers = [
            {"floor": floor, "maintenance_rate": rate, "max_leverage": leverage} for floor, rate, leverage in TIERS
        ]
        return self._line(
            "instrument",
            instrument=instrument,
            version=version,
            contract="linear",
            settle_asset=ASSET,
            price_tick="0.1",
            quantity_step="0.001",
            tiers=tiers,
            default_leverage="10",
            fees={"taker": "0.0005"},
            margin_call_levels=["2", "1.5", "1.2"],
            **options,
        )

    def funding(self, rate: str) -> bytes:
        """A funding payment of `INSTRUMENT` at its mark."""
        return self._line("funding", funding_id=self._id("h"), instrument=INSTRUMENT, rate=rate)

    def pass_time(self, time_us: int) -> None:
        """Let the next input come so much later."""
        self._time_us += time_us

    def deposit(self, account: int) -> bytes:
        """Five to twenty thousand into the wallet of an account."""
        return self._line(
            "deposit",
            transfer_id=self._id("d"),
            account=_account(account),
            asset=ASSET,
            amount=f"{self._random.randint(5_000, 20_000)}.5",
        )

    def opening(self, account: int, instrument: str = INSTRUMENT) -> bytes:
        """A first fill of an account: 0.001 to 0.2 contracts, bought or sold within one per cent of the price."""
        return self._fill(account, instrument, self._random.choice(("buy", "sell")), self._price())

    def purchase(self, account: int, price: str, instrument: str = INSTRUMENT) -> bytes:
        """A fill that buys 0.001 to 0.2 contracts at a price."""
        return self._fill(account, instrument, "buy", price)

    def trades(self, count: int, accounts: int, instrument: str = INSTRUMENT) -> list[bytes]:
        """Fills like `opening` of accounts drawn at random, so about half of them reduce, close or turn a position."""
        return [self.opening(self._random.randrange(accounts), instrument) for _ in range(count)]

    def crowd(self, accounts: int) -> Iterator[bytes]:
        """A deposit and a purchase at one price for each account: they all stand on one trigger price, by size."""
        for account in range(accounts):
            yield self.deposit(account)
            yield self.purchase(account, str(PRICE))

    def population(self, positions: int) -> Iterator[bytes]:
        """A deposit and an opening for each account: half of the positions in `INSTRUMENT`, the rest over `OTHERS`."""
        for account in range(positions):
            instrument = INSTRUMENT if account % 2 else OTHERS[account // 2 % len(OTHERS)]
            yield self.deposit(account)
            yield self.opening(account, instrument)

    def tick(self, price: str, instrument: str = INSTRUMENT) -> bytes:
        """One price of one instrument."""
        return self._line("tick", instrument=instrument, price=price)

    def quiet_ticks(self, count: int) -> list[bytes]:
        """Ticks of `INSTRUMENT` within 0.002 per cent of the price: nobody's level changes."""
        return [self.tick(self._price(spread=1)) for _ in range(count)]

    def quiet_packs(self, count: int) -> list[bytes]:
        """Packed ticks of ten instruments each, just as quiet."""
        names = (INSTRUMENT, *OTHERS)
        return [
            self._line("ticks", source="venue", prices=[[name, self._price(spread=1)] for name in names])
            for _ in range(count)
        ]

    def mixed(self, count: int, accounts: int, fills: float) -> Iterator[bytes]:
        """Quiet ticks and, with probability `fills`, fills of accounts drawn at random."""
        for _ in range(count):
            if self._random.random() < fills:
                yield self.opening(self._random.randrange(accounts))
            else:
                yield self.tick(self._price(spread=1))

    def _price(self, spread: int = 600) -> str:
        tenths = self._random.randint(10 * (PRICE - spread), 10 * (PRICE + spread))
        return f"{tenths // 10}.{tenths % 10}"

    def _fill(self, account: int, instrument: str, side: str, price: str) -> bytes:
        return self._line(
            "fill",
            fill_id=self._id("f"),
            account=_account(account),
            instrument=instrument,
            side=side,
            quantity=f"0.{self._random.randint(1, 200):03}",
            price=price,
        )

    def _id(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    def _line(self, kind: str, **fields: object) -> bytes:
        self._time_us += self._step_us
        return orjson.dumps({"type": kind, **fields, "time_us": self._time_us})


def _account(number: int) -> str:
    return f"account-{number:07}"
