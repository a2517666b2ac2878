"""What a contract is worth, and what a trade of it costs: linear, settled in what prices are quoted in, or inverse,
settled in what is priced.

With V(P) for the value of one unit of size in the settlement asset, P for a linear contract and -1/P for an inverse
one, all else is the same formula for both:

    equity = c + q*(V(P) - F)          a fill of x at p: c -= x*(V(p) - F)          notional = |q| * |V(P)|

1/P has no last decimal, so |V| is held as a fraction: so many price units over `per`.  A linear contract has `per` 1,
and nothing is ever divided; amounts at an inverse contract's price are compared after multiplying by the price.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from ringfence.scales import ONE, PRICE_LIMIT, PRICE_ONE, ceil_divide

INVERSE: Final = PRICE_ONE * PRICE_ONE
"""1 / price, in price units, is this over the price in price units."""

FUNDING_UNIT: Final = ONE
"""An inverse contract's payment per unit of size is rounded down to 18 decimals, a multiple of so many price units."""

UNBOUNDED: Final = 10**300
ALWAYS: Final = (0, UNBOUNDED)
"""Between these is every price."""
NEVER: Final = (0, 0)
"""Between these is none."""


class Value(NamedTuple):
    """|V| at two prices, over one denominator: amounts computed with it are multiples of 1 / `per`."""

    mark: int
    """What a unit of size counts for at the mark."""
    basis: int
    """What requirements count it for: the same, or at the entry price under basis `entry`."""
    per: int


class Contract(Protocol):
    """The arithmetic in which linear and inverse contracts differ.  Sizes, prices and money are scaled integers."""

    sign: int
    """Of V: 1 for linear, -1 for inverse."""

    def value(self, mark: int, entry_price: int | None) -> Value:
        """Return |V| at the mark, and at the entry price (decimal) where requirements go by that; else None."""
        ...

    def worth(self, size: int, price: int) -> tuple[int, int]:
        """Return x * V(P) of a signed size as money over a denominator; a notional is the same without its sign."""
        ...

    def signed(self, price: int) -> int:
        """Return V in price units, rounded up by less than one of them."""
        ...

    def quiet(self, slope: int, limit: int) -> tuple[int, int]:
        """Return two prices strictly between which V * slope stays below `limit`; nowhere does it below the first of
        all prices and from UNBOUNDED on.
        """
        ...

    def cost(self, size: int, price: int, quantum: int) -> int:
        """Return x * V(p), money, for a fill of signed size: what it takes from the bucket."""
        ...

    def blended(self, before: int, entry_price: int, size: int, price: int) -> int:
        """Return the entry price (decimal) after an increase: 18 decimals, down for a long and up for a short."""
        ...

    def realised(self, size: int, entry_price: int, price: int, decimals: int) -> int:
        """Return the price difference that closing `size` (signed as the position) realises, in 10^-(36 + decimals)."""
        ...

    def payment(self, rate: int, price: int) -> int:
        """Return what funding of this rate (decimal) costs each unit of a long, in price units."""
        ...

    def bankruptcy_point(self, size: int, cost: int, price_tick: int) -> int | None:
        """Return the grid point at which equity is just not negative, fees ignored: a long rounds up, a short down.
        None outside the grid.  `cost` is q*F - c.
        """
        ...


class Linear:
    """V(P) = P: exact in every sum."""

    sign = 1

    def value(self, mark: int, entry_price: int | None) -> Value:
        """|V| = P."""
        return Value(mark, mark if entry_price is None else entry_price * ONE, 1)

    def worth(self, size: int, price: int) -> tuple[int, int]:
        """x * P."""
        return size * price, 1

    def signed(self, price: int) -> int:
        """P."""
        return price

    def quiet(self, slope: int, limit: int) -> tuple[int, int]:
        """P against limit / slope."""
        if slope > 0:
            return 0, ceil_divide(limit, slope)
        if slope < 0:
            return limit // slope, UNBOUNDED
        return ALWAYS if limit > 0 else NEVER

    def cost(self, size: int, price: int, quantum: int) -> int:  # noqa: ARG002 -- nothing is rounded here
        """x * p."""
        return size * price

    def blended(self, before: int, entry_price: int, size: int, price: int) -> int:
        """(q*E + x*p) / (q + x)."""
        paid, per = before * entry_price * ONE + size * price, (before + size) * ONE
        return paid // per if before + size > 0 else -(paid // -per)

    def realised(self, size: int, entry_price: int, price: int, decimals: int) -> int:  # noqa: ARG002 -- part of size
        """x * (p - E)."""
        return size * (price // ONE - entry_price)

    def payment(self, rate: int, price: int) -> int:
        """rate * price, exactly."""
        return rate * price // ONE

    def bankruptcy_point(self, size: int, cost: int, price_tick: int) -> int | None:
        """P = cost / q."""
        point = -(-cost // (size * price_tick)) if size > 0 else cost // (size * price_tick)
        return _on_grid(point, price_tick)


class Inverse:
    """V(P) = -1/P: what a fill costs is rounded once, to the asset's decimals; everything later is exact again."""

    sign = -1

    def value(self, mark: int, entry_price: int | None) -> Value:
        """|V| = 1/P."""
        if entry_price is None:
            return Value(INVERSE, INVERSE, mark)
        return Value(INVERSE * entry_price * ONE, INVERSE * mark, mark * entry_price * ONE)

    def worth(self, size: int, price: int) -> tuple[int, int]:
        """-x / P."""
        return -size * INVERSE, price

    def signed(self, price: int) -> int:
        """-1 / P."""
        return -(INVERSE // price)

    def quiet(self, slope: int, limit: int) -> tuple[int, int]:
        """P against -slope / limit: V is never above zero."""
        if slope > 0:
            return ALWAYS if limit >= 0 else (0, ceil_divide(INVERSE * slope, -limit))
        if slope < 0:
            return NEVER if limit <= 0 else (INVERSE * -slope // limit, UNBOUNDED)
        return ALWAYS if limit > 0 else NEVER

    def cost(self, size: int, price: int, quantum: int) -> int:
        """-floor(x / p): down for what the account receives, up for what it pays."""
        return -(size * INVERSE // (price * quantum)) * quantum

    def blended(self, before: int, entry_price: int, size: int, price: int) -> int:
        """(|q| + |x|) / (|q|/E + |x|/p), the harmonic mean."""
        held, added = abs(before), abs(size)
        top, bottom = (held + added) * entry_price * price, held * price + added * entry_price * ONE
        return top // bottom if before > 0 else ceil_divide(top, bottom)

    def realised(self, size: int, entry_price: int, price: int, decimals: int) -> int:
        """x * (1/E - 1/p), rounded down at 36 decimals."""
        part: int = 10**decimals
        return size * PRICE_ONE * (price - entry_price * ONE) // (entry_price * price * part) * part

    def payment(self, rate: int, price: int) -> int:
        """rate / price, rounded down at 18 decimals."""
        return rate * PRICE_ONE // price * FUNDING_UNIT

    def bankruptcy_point(self, size: int, cost: int, price_tick: int) -> int | None:
        """P = -q / cost; none where equity is the same sign at every price."""
        if size * cost >= 0:
            return None
        top, bottom = abs(size) * INVERSE, abs(cost) * price_tick
        return _on_grid(ceil_divide(top, bottom) if size > 0 else top // bottom, price_tick)


def _on_grid(point: int, price_tick: int) -> int | None:
    return point if point >= 1 and point * price_tick < PRICE_LIMIT else None


LINEAR: Final[Contract] = Linear()
INVERSE_CONTRACT: Final[Contract] = Inverse()
