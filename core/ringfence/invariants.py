"""The invariants, by name.  Tests, `ringfence fold --check` and a debug build run them; a report names the one that
broke.

Some are about one state, some about a step from one state to the next, some about whole histories:

    I1  the postings of each asset sum to zero                      I7   applying an input again changes nothing
    I2  isolation: an input on (A, I) changes no other bucket,      I8   replay from a snapshot gives the live digest
        and A's wallet only where money is meant to move            I9   inputs of different accounts commute
    I3  the loss of a bucket is at most what was put into it        I10  numbers and engine time never go back
    I4  every call and liquidation recomputes from its evidence     I11  inputs = applied + already applied + refused
    I5  nobody is missed                                            I6   index == scan

`StateInvariant`s take a fold.  I2, I4 and I10 need what came before and live in `Watch`.  I7, I8 and I9 compare two
folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Final, NamedTuple

from ringfence import calls, margin
from ringfence.fold import Fold
from ringfence.ledger import entries
from ringfence.snapshot import restore, snapshot
from ringfence.state import Book, Bucket
from ringfence_schemas.inputs import Funding, Input, Settlement
from ringfence_schemas.outcomes import Decision, LiquidationCompleted, LiquidationStarted, MarginCall


class InvariantBroken(AssertionError):
    """A named invariant does not hold; the engine must not go on."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


StateInvariant = Callable[[Fold], None]


def i1_postings_sum_to_zero(fold: Fold) -> None:
    """The balances of each asset, over all ledger accounts, sum to exactly zero."""
    totals: dict[str, Fraction] = {}
    for _, asset, amount, decimals in entries(fold.state.assets, fold.state.books):
        totals[asset] = totals.get(asset, Fraction(0)) + Fraction(amount, 10**decimals)
    for asset, total in totals.items():
        if total:
            raise InvariantBroken("I1", f"{asset} sums to {total}")


def i3_losses_stay_inside(fold: Fold) -> None:
    """No bucket has lost more than was put into it: a closed one holds exactly nothing, and no wallet is below zero."""
    for book, bucket in _buckets(fold):
        if not bucket.size and (bucket.cash or bucket.put_in or bucket.taken_out):
            raise InvariantBroken("I3", f"closed bucket {bucket.account.name}|{book.name} still holds {bucket.cash}")
    for asset in fold.state.assets.values():
        for account, balance in asset.wallets.items():
            if balance < 0:
                raise InvariantBroken("I3", f"wallet {account} holds {balance} units of {asset.name}")


def i5_nobody_is_missed(fold: Fold) -> None:
    """After each event no position on a valid mark meets the condition of liquidation without being in liquidation,
    except where the parameters changed since the last tick, and while its instrument is halted or its mark stale.
    """
    for book, bucket in _buckets(fold):
        mark = book.mark
        if mark is None or not bucket.size or bucket.liquidation or book.changed or book.settled or _protected(book):
            continue
        if margin.liquidatable(book.rules, margin.standing(bucket, mark)):
            raise InvariantBroken("I5", f"{bucket.account.name}|{book.name} should be in liquidation at mark {mark}")


def _protected(book: Book) -> bool:
    """Whether no liquidation starts in an instrument."""
    return book.rules.halted or book.stale


def i6_index_equals_scan(fold: Fold) -> None:
    """Every bucket that a scan finds due for another level is one that the index would look at; everything open is
    indexed.
    """
    for book, bucket in _buckets(fold):
        indexed = bucket.slot >= 0
        if indexed != (bool(bucket.size) and bucket.liquidation is None):
            raise InvariantBroken("I6", f"{bucket.account.name}|{book.name} indexed: {indexed}, size {bucket.size}")
        if indexed and book.index.slots[bucket.slot] is not bucket:
            raise InvariantBroken("I6", f"slot {bucket.slot} of {book.name} belongs to another bucket")
        mark = book.mark
        if indexed and mark is not None and not book.changed and scan_level(bucket, mark) != bucket.level:
            raise InvariantBroken(
                "I6",
                f"{bucket.account.name}|{book.name} stands at {bucket.level}, a scan says {scan_level(bucket, mark)}",
            )


def scan_level(bucket: Bucket, mark: int) -> int:
    """The level a bucket must stand at, found without the index: -1 for liquidation."""
    rules = bucket.book.rules
    standing = margin.standing(bucket, mark)
    if margin.liquidatable(rules, standing) and not _protected(bucket.book):
        return -1
    deepest = calls.deepest_level(rules, standing)
    held = calls.held_level(rules, standing)
    if calls.deeper(deepest, bucket.level):
        return deepest
    return held if calls.deeper(bucket.level, held) else bucket.level


def i11_every_input_ends_once(fold: Fold) -> None:
    """inputs = applied + already applied + refused."""
    if fold.inputs != fold.applied + fold.already_applied + fold.refused:
        raise InvariantBroken("I11", f"{fold.inputs} != {fold.applied} + {fold.already_applied} + {fold.refused}")


STATE_INVARIANTS: Final[tuple[StateInvariant, ...]] = (
    i1_postings_sum_to_zero,
    i3_losses_stay_inside,
    i5_nobody_is_missed,
    i6_index_equals_scan,
    i11_every_input_ends_once,
)


def _buckets(fold: Fold) -> Iterable[tuple[Book, Bucket]]:
    for book in fold.state.books.values():
        for bucket in book.buckets.values():
            yield book, bucket


class Photograph(NamedTuple):
    """What a step may change, as it stood between two inputs."""

    time_us: int
    numbers: dict[str, int]
    buckets: dict[tuple[str, str], tuple[int, int, int, int]]
    """(account, instrument) -> size, cash, put in, taken out."""
    wallets: dict[tuple[str, str], int]
    """(account, asset) -> balance."""
    payers: dict[str, str]
    """Instruments whose funding is paid by wallets -> their asset."""


class Watch:
    """Checks every step of a fold: the state invariants, and those between a step and the next.

    It looks at everything after each input; it is for tests and small streams.
    """

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._before = self._photograph()

    def _photograph(self) -> Photograph:
        state = self._fold.state
        buckets = {
            (b.account.name, book.name): (b.size, b.cash, b.put_in, b.taken_out) for book, b in _buckets(self._fold)
        }
        wallets = {
            (name, asset.name): balance for asset in state.assets.values() for name, balance in asset.wallets.items()
        }
        payers = {name: book.asset.name for name, book in state.books.items() if book.rules.wallet_first}
        return Photograph(state.time_us, dict(state.numbers), buckets, wallets, payers)

    def step(self, event: Input, decisions: list[Decision]) -> None:
        """Check the step that applied `event` and gave `decisions`.  Raises `InvariantBroken`."""
        after = self._photograph()
        i10_nothing_goes_back(self._before, after)
        i2_isolation(self._before, after, event, decisions)
        i4_evidence_holds(self._fold, decisions)
        for invariant in STATE_INVARIANTS:
            invariant(self._fold)
        self._before = after


def i10_nothing_goes_back(before: Photograph, after: Photograph) -> None:
    """Engine time and the numbers of decisions never decrease."""
    if after.time_us < before.time_us:
        raise InvariantBroken("I10", f"engine time {before.time_us} -> {after.time_us}")
    for topic, number in before.numbers.items():
        if after.numbers[topic] < number:
            raise InvariantBroken("I10", f"{topic} {number} -> {after.numbers[topic]}")


def i2_isolation(before: Photograph, after: Photograph, event: Input, decisions: list[Decision]) -> None:
    """An account's own input changes only its bucket and its wallet; anything else changes only what a decision was
    published about.  Funding that wallets pay moves the same amount out of a wallet and into its bucket, nothing else.
    """
    spoken = {(getattr(decision, "account", None), getattr(decision, "instrument", None)) for decision in decisions}
    account, instrument = getattr(event, "account", None), getattr(event, "instrument", None)
    spoken.add((account, instrument))
    heard = {owner for owner, _ in spoken}
    settles = isinstance(event, Settlement)
    drawn = _drawn_by_funding(before, after, event.instrument) if isinstance(event, Funding) else {}
    spoken |= drawn.keys()
    for key, held in after.buckets.items():
        changed = before.buckets.get(key, (0, 0, 0, 0)) != held
        if changed and key not in spoken and not (settles and key[1] == instrument):
            raise InvariantBroken("I2", f"bucket {key} changed: {before.buckets.get(key)} -> {held} by {event}")
    for key, balance in after.wallets.items():
        left = before.wallets.get(key, 0)
        if key[1] == after.payers.get(instrument or ""):
            left -= drawn.get((key[0], instrument), 0)
        if left != balance and key[0] not in heard and not settles:
            raise InvariantBroken("I2", f"wallet {key} changed: {before.wallets.get(key)} -> {balance} by {event}")


def _drawn_by_funding(
    before: Photograph, after: Photograph, instrument: str
) -> dict[tuple[str | None, str | None], int]:
    """Return what was put into buckets of an instrument whose funding wallets pay, where nothing else happened."""
    found: dict[tuple[str | None, str | None], int] = {}
    for key, (size, _, put_in, taken_out) in after.buckets.items():
        was_size, _, was_put_in, was_taken_out = before.buckets.get(key, (0, 0, 0, 0))
        same = (was_size, was_taken_out) == (size, taken_out)
        if key[1] == instrument and instrument in after.payers and same and put_in > was_put_in:
            found[key] = put_in - was_put_in
    return found


def i4_evidence_holds(fold: Fold, decisions: list[Decision]) -> None:
    """Every call and liquidation follows from the numbers it carries, every certificate from its own."""
    for decision in decisions:
        if isinstance(decision, LiquidationStarted):
            _check_liquidation(decision, fold.state.books[decision.instrument or ""].rules.contract.sign)
        elif isinstance(decision, MarginCall) and decision.status in ("called", "escalated"):
            assert (
                decision.equity is not None and decision.maintenance_margin is not None and decision.level is not None
            )
            if Fraction(decision.equity) > Fraction(decision.level) * Fraction(decision.maintenance_margin):
                raise InvariantBroken(
                    "I4",
                    f"call {decision.id}: {decision.equity} > {decision.level} x {decision.maintenance_margin}",
                )
        elif isinstance(decision, LiquidationCompleted) and not (
            decision.contained
            and Fraction(decision.loss) <= Fraction(decision.collateral)
            and Fraction(decision.shortfall) >= 0
        ):
            raise InvariantBroken("I3", f"certificate {decision.id} is not contained")


def _check_liquidation(decision: LiquidationStarted, sign: int) -> None:
    """`sign` is that of the contract: a linear long and an inverse short are beyond the threshold from above."""
    key, threshold = (Fraction(int(n), int(d)) for n, d in (decision.key, decision.threshold))
    assert decision.equity is not None and decision.maintenance_margin is not None
    if Fraction(decision.equity) > Fraction(decision.maintenance_margin):
        raise InvariantBroken(
            "I4",
            f"liquidation {decision.id}: equity {decision.equity} is above maintenance {decision.maintenance_margin}",
        )
    crossed = key >= threshold if sign * Fraction(decision.quantity) > 0 else key <= threshold
    if not crossed:
        raise InvariantBroken("I4", f"liquidation {decision.id}: key {key} has not crossed threshold {threshold}")
    if decision.case_id is None and decision.no_call_reason is None:
        raise InvariantBroken("I4", f"liquidation {decision.id} names neither a case nor the reason why there is none")


def i7_idempotent(fold: Fold, event: Input, apply: Callable[[Fold, Input], list[Decision]]) -> None:
    """An input that was applied and comes again is already applied: no decision, same digest."""
    digest, repeated = fold.digest(), fold.already_applied
    decisions = apply(fold, event)
    if decisions or fold.digest() != digest or fold.already_applied != repeated + 1:
        raise InvariantBroken("I7", f"{event} applied twice gave {decisions}")


def i8_snapshot_is_the_state(fold: Fold) -> None:
    """A restored snapshot has the live digest, and the same bytes."""
    data = snapshot(fold)
    copy = restore(data, fold.state.settings)
    if copy.digest() != fold.digest() or snapshot(copy) != data:
        raise InvariantBroken("I8", "the restored state differs from the live one")
