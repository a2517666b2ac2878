"""The fixed-point scales of the engine, and the two directions of rounding.

Everything exact is an integer in one of these units:

=========  ==========================  ===================================================
name       one unit is                 holds
=========  ==========================  ===================================================
decimal    10^-18                      what an event states: quantity, price, rate, amount
price      10^-36                      mark price, fill price, funding index
size       10^-(18 + d)                contracts x multiplier; d = decimals of the multiplier
money      10^-(54 + d)                size x price: bucket cash, notional, cost
unit       10^-decimals of the asset   wallets, fees, the insurance fund
=========  ==========================  ===================================================

`size x price` is `money` without a division, so no sum in a bucket is ever rounded.  Division happens only where a
number leaves the exact world: a published figure, or a transfer between wallet and bucket.  Each such place names its
direction.
"""

from typing import Final

ONE: Final = 10**18
"""One, in decimal units."""

PRICE_DECIMALS: Final = 36

PRICE_ONE: Final = 10**PRICE_DECIMALS
"""One, in price units."""

MONEY_DECIMALS: Final = 54
"""Decimals of money when the multiplier is an integer."""

PRICE_LIMIT: Final = 10**18 * PRICE_ONE
"""No published price reaches 10^18."""


def ceil_divide(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards plus infinity."""
    return -(-numerator // denominator)
