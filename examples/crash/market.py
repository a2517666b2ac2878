"""The real part of the example: four one-minute price series and the rule that makes ticks of a bar.

The files and their source are described in ``data/README.md``.  Prices stay decimal text from the file to the engine.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ringfence_schemas.inputs import Ticks

DATA = Path(__file__).parent / "data"
SYMBOLS = ("AVAX", "DOT", "LINK", "LTC")
INSTRUMENTS = tuple(f"{symbol}-USDT-PERP" for symbol in SYMBOLS)
SOURCE = "binance-spot-1m"

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
TICK_OFFSETS_US = (0, 20 * SECOND_US, 40 * SECOND_US, 59 * SECOND_US)


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute of one instrument; prices are decimal text in USDT, exactly as the venue published them."""

    open: str
    high: str
    low: str
    close: str

    def path(self) -> tuple[str, str, str, str]:
        """The bar as four ticks: open, low, high, close when it closes up or unchanged, else open, high, low, close.

        A bar does not say which extreme came first; this rule assumes the one on the way back from the close.
        """
        if Decimal(self.close) >= Decimal(self.open):
            return self.open, self.low, self.high, self.close
        return self.open, self.high, self.low, self.close


@dataclass(frozen=True, slots=True)
class Minute:
    """The bars of all instruments (in the order of ``INSTRUMENTS``) that opened at ``open_us`` since the epoch."""

    open_us: int
    bars: tuple[Bar, ...]

    def ticks(self) -> list[Ticks]:
        """Four packed inputs, at 0, 20, 40 and 59 seconds, each with the prices of all four instruments."""
        paths = [bar.path() for bar in self.bars]
        return [
            Ticks(
                source=SOURCE,
                time_us=self.open_us + offset_us,
                prices=[(name, path[step]) for name, path in zip(INSTRUMENTS, paths, strict=True)],
            )
            for step, offset_us in enumerate(TICK_OFFSETS_US)
        ]

    @property
    def closes(self) -> dict[str, Decimal]:
        """The last price of the minute per instrument, in USDT: what a trader sees when the minute is over."""
        return {name: Decimal(bar.close) for name, bar in zip(INSTRUMENTS, self.bars, strict=True)}

    @property
    def ranges(self) -> dict[str, Decimal]:
        """(high - low) / close per instrument: how wild the minute was, as a fraction of the price."""
        return {
            name: (Decimal(bar.high) - Decimal(bar.low)) / Decimal(bar.close)
            for name, bar in zip(INSTRUMENTS, self.bars, strict=True)
        }


def read_bars(symbol: str) -> dict[int, Bar]:
    """Every bar of one symbol's file, by opening time in microseconds."""
    path = DATA / f"2026-02-06_{symbol}USDT_spot1m.csv.gz"
    with gzip.open(path, "rt", encoding="ascii", newline="") as lines:
        return {
            int(row["open_time_ms"]) * 1000: Bar(row["open"], row["high"], row["low"], row["close"])
            for row in csv.DictReader(lines)
        }


class NoPrices(ValueError):
    """The window holds no minute of the data."""


def read_minutes(from_us: int, to_us: int) -> Sequence[Minute]:
    """The minutes in [from_us, to_us) that all four series have, oldest first.  Raises NoPrices when there is none."""
    series = [read_bars(symbol) for symbol in SYMBOLS]
    times = sorted(set.intersection(*(set(bars) for bars in series)))
    chosen = [time_us for time_us in times if from_us <= time_us < to_us]
    if not chosen:
        raise NoPrices("no prices in this window; the data runs from 2026-02-03 00:00 to 2026-02-07 23:59 UTC")
    return [Minute(time_us, tuple(bars[time_us] for bars in series)) for time_us in chosen]
