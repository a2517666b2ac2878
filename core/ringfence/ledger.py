"""The ledger: the only place where money moves.

Every movement is a double entry.  A posting debits one account and credits another with the same exact amount, so the
balances of each asset always sum to zero (invariant I1):

    external            money outside the engine          trading|I    what fills of I paid and received, size x V(p)
    wallet|A            free collateral of account A      funding|I    the funding part of the same fills, size x F
    bucket|A|I          cash c of a bucket                fees         fees charged, less rebates
    fund|I              insurance fund of this shard      rounding     fractions of a unit left by closed buckets

Transfers are whole units of the asset, and so is what an inverse contract's fill is worth; all else is exact.  Names
are built only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from ringfence.scales import MONEY_DECIMALS
from ringfence.state import Asset, Book, Bucket
from ringfence_schemas.decimals import decimal_text

ROUNDING_DECIMALS: Final = 72

Observer: TypeAlias = Callable[[str, str, str, int, int, str], None]


class Ledger:
    """Moves money between the named balances, and tells an observer about each posting if there is one."""

    __slots__ = ("observer",)

    def __init__(self) -> None:
        self.observer: Observer | None = None
        """Called with (asset, debit, credit, amount, decimals, reason); debit is the balance that grows smaller."""

    # ------------------------------------------------------------------------- external <-> wallet, bucket, fund

    def deposit(self, asset: Asset, account: str, amount: int) -> None:
        """External -> wallet, in units."""
        asset.external = (asset.external or 0) - amount
        asset.wallets[account] = asset.wallets.get(account, 0) + amount
        if self.observer:
            self.observer(asset.name, "external", f"wallet|{account}", amount, asset.decimals, "deposit")

    def withdraw(self, asset: Asset, account: str, amount: int) -> None:
        """Wallet -> external, in units; the caller has checked the balance."""
        asset.external = (asset.external or 0) + amount
        asset.wallets[account] -= amount
        if self.observer:
            self.observer(asset.name, f"wallet|{account}", "external", amount, asset.decimals, "withdrawal")

    def deposit_to_bucket(self, bucket: Bucket, amount: int) -> None:
        """External -> bucket, in units."""
        book = bucket.book
        book.asset.external = (book.asset.external or 0) - amount
        bucket.cash += amount * book.rules.quantum
        bucket.put_in += amount
        if self.observer:
            self.observer(book.asset.name, "external", bucket_name(bucket), amount, book.asset.decimals, "deposit")

    def deposit_to_fund(self, book: Book, amount: int) -> None:
        """External -> insurance fund, in units."""
        book.asset.external = (book.asset.external or 0) - amount
        book.fund = (book.fund or 0) + amount
        if self.observer:
            self.observer(book.asset.name, "external", f"fund|{book.name}", amount, book.asset.decimals, "fund_deposit")

    # ----------------------------------------------------------------------------------------- wallet <-> bucket

    def fund_bucket(self, bucket: Bucket, amount: int, reason: str) -> None:
        """Wallet -> bucket, in units; the caller has checked the balance."""
        book = bucket.book
        book.asset.wallets[bucket.account.name] -= amount
        bucket.cash += amount * book.rules.quantum
        bucket.put_in += amount
        if self.observer:
            self.observer(
                book.asset.name,
                f"wallet|{bucket.account.name}",
                bucket_name(bucket),
                amount,
                book.asset.decimals,
                reason,
            )

    def draw_funding(self, bucket: Bucket, amount: int) -> None:
        """Wallet -> bucket, in units: funding that the wallet pays; the caller has checked the balance."""
        bucket.drawn += amount
        self.fund_bucket(bucket, amount, "funding")

    def release(self, bucket: Bucket, amount: int, reason: str) -> None:
        """Bucket -> wallet, in units."""
        book, account = bucket.book, bucket.account.name
        book.asset.wallets[account] = book.asset.wallets.get(account, 0) + amount
        bucket.cash -= amount * book.rules.quantum
        bucket.taken_out += amount
        if self.observer:
            self.observer(
                book.asset.name, bucket_name(bucket), f"wallet|{account}", amount, book.asset.decimals, reason
            )

    # -------------------------------------------------------------------------------------- fills and their fees

    def trade(self, bucket: Bucket, size: int, price: int) -> None:
        """A fill of signed size: c -= x*(V(p) - F), against `trading|I` (x*V) and `funding|I` (x*F)."""
        book = bucket.book
        rules = book.rules
        paid = rules.contract.cost(size, price, rules.quantum)
        bucket.cash -= paid
        book.trading = (book.trading or 0) + paid
        index = book.funding_index
        if index:
            funded = size * index
            bucket.cash += funded
            bucket.funding_paid += funded
            book.funding = (book.funding or 0) - funded
        if self.observer:
            name, decimals = bucket_name(bucket), MONEY_DECIMALS + book.rules.extra_decimals
            self._either_way(book.asset.name, name, f"trading|{book.name}", paid, decimals, "fill")
            self._either_way(book.asset.name, f"funding|{book.name}", name, size * index, decimals, "fill")

    def fee_from_wallet(self, asset: Asset, account: str, amount: int) -> None:
        """Wallet -> fees, in units; a negative amount is a rebate and flows back."""
        asset.wallets[account] = asset.wallets.get(account, 0) - amount
        asset.fees = (asset.fees or 0) + amount
        if self.observer:
            self._either_way(asset.name, f"wallet|{account}", "fees", amount, asset.decimals, "fee")

    def fee_from_bucket(self, bucket: Bucket, amount: int) -> None:
        """Bucket -> fees, in units."""
        asset = bucket.book.asset
        bucket.cash -= amount * bucket.book.rules.quantum
        if bucket.shown is not None:
            bucket.shown.fees += amount
        asset.fees = (asset.fees or 0) + amount
        if self.observer:
            self.observer(asset.name, bucket_name(bucket), "fees", amount, asset.decimals, "fee")

    # ------------------------------------------------------------------ the insurance fund and the last fraction

    def bucket_to_fund(self, bucket: Bucket, amount: int, reason: str) -> None:
        """Bucket -> insurance fund, in units."""
        book = bucket.book
        bucket.cash -= amount * book.rules.quantum
        book.fund = (book.fund or 0) + amount
        if self.observer:
            self.observer(
                book.asset.name, bucket_name(bucket), f"fund|{book.name}", amount, book.asset.decimals, reason
            )

    def cover(self, bucket: Bucket, amount: int) -> None:
        """Insurance fund -> bucket, in units: a shortfall.  The fund may go below zero; that is published as an
        uncovered loss.
        """
        book = bucket.book
        bucket.cash += amount * book.rules.quantum
        book.fund = (book.fund or 0) - amount
        if self.observer:
            self.observer(
                book.asset.name, f"fund|{book.name}", bucket_name(bucket), amount, book.asset.decimals, "shortfall"
            )

    def round_off(self, bucket: Bucket) -> None:
        """Bucket -> rounding: the fraction of a unit that a closed bucket leaves; its cash is zero afterwards."""
        book, fraction = bucket.book, bucket.cash
        asset = book.asset
        asset.rounding = (asset.rounding or 0) + fraction * 10 ** (
            ROUNDING_DECIMALS - MONEY_DECIMALS - book.rules.extra_decimals
        )
        bucket.cash = 0
        if self.observer:
            self.observer(
                asset.name,
                bucket_name(bucket),
                "rounding",
                fraction,
                MONEY_DECIMALS + book.rules.extra_decimals,
                "rounding",
            )

    def _either_way(self, asset: str, debit: str, credit: str, amount: int, decimals: int, reason: str) -> None:
        """Report a signed amount as a posting of a positive one."""
        if amount > 0 and self.observer:
            self.observer(asset, debit, credit, amount, decimals, reason)
        elif amount < 0 and self.observer:
            self.observer(asset, credit, debit, -amount, decimals, reason)


def bucket_name(bucket: Bucket) -> str:
    """Return the ledger account of a bucket."""
    return f"bucket|{bucket.account.name}|{bucket.book.name}"


def balances(assets: dict[str, Asset], books: dict[str, Book]) -> dict[str, dict[str, str]]:
    """Return every ledger account that was ever posted to, in order of name, with its non-zero balances as exact
    decimals.
    """
    found: dict[str, dict[str, str]] = {}
    for name, asset, amount, decimals in sorted(entries(assets, books), key=lambda entry: entry[:2]):
        held = found.setdefault(name, {})
        if amount:
            held[asset] = decimal_text(amount, decimals)
    return found


def entries(assets: dict[str, Asset], books: dict[str, Book]) -> Iterator[tuple[str, str, int, int]]:
    """Yield (ledger account, asset, amount, decimals of the amount) of every balance ever posted to."""
    for asset in assets.values():
        for name, amount, decimals in (
            ("external", asset.external, asset.decimals),
            ("fees", asset.fees, asset.decimals),
            ("rounding", asset.rounding, ROUNDING_DECIMALS),
        ):
            if amount is not None:
                yield name, asset.name, amount, decimals
        for account, balance in asset.wallets.items():
            yield f"wallet|{account}", asset.name, balance, asset.decimals
    for book in books.values():
        exact = MONEY_DECIMALS + book.rules.extra_decimals
        for name, amount, decimals in (
            ("fund", book.fund, book.asset.decimals),
            ("trading", book.trading, exact),
            ("funding", book.funding, exact),
        ):
            if amount is not None:
                yield f"{name}|{book.name}", book.asset.name, amount, decimals
        for bucket in book.buckets.values():
            if bucket.posted:
                yield bucket_name(bucket), book.asset.name, bucket.cash, exact
