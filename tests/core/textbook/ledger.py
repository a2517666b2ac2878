"""A general ledger: two sides to every posting, and a balance for every account ever posted to."""

from collections import defaultdict
from fractions import Fraction


class Ledger:
    """Balances by account and asset; an account appears with its first posting that is not zero, or with a fill."""

    def __init__(self) -> None:
        self.balances: dict[str, dict[str, Fraction]] = {}

    def open(self, *accounts: str) -> None:
        """Make accounts appear: a fill may cost nothing once it is rounded."""
        for account in accounts:
            self.balances.setdefault(account, {})

    def post(self, debit: str, credit: str, asset: str, amount: Fraction) -> None:
        """Move `amount` from `debit` to `credit`; a negative amount moves the other way."""
        if amount == 0:
            return
        for account, change in ((debit, -amount), (credit, amount)):
            by_asset = self.balances.setdefault(account, {})
            by_asset[asset] = by_asset.get(asset, Fraction(0)) + change

    def balance(self, account: str, asset: str) -> Fraction:
        """What an account holds."""
        return self.balances.get(account, {}).get(asset, Fraction(0))

    def totals(self) -> dict[str, Fraction]:
        """The sum over all accounts, by asset: zero, always."""
        totals: dict[str, Fraction] = defaultdict(Fraction)
        for by_asset in self.balances.values():
            for asset, amount in by_asset.items():
                totals[asset] += amount
        return dict(totals)
