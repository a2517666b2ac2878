"""Every named invariant bites: a state or a step that breaks it is reported under its name."""

from collections.abc import Callable

import msgspec
import pytest

from ringfence import invariants
from ringfence.fold import Fold
from ringfence.invariants import InvariantBroken, Watch
from ringfence.origins import LineOrigin
from ringfence_schemas.inputs import Funding, Input, Tick
from ringfence_schemas.outcomes import Decision, LiquidationCompleted, LiquidationStarted, MarginCall
from tests.core.desk import Desk


def trading() -> Desk:
    """Ann is long and well, bob is called, cat is in liquidation, and dan has closed."""
    desk = Desk(margin_call_levels=["2"])
    desk.tick("100")
    for account, margin in (("ann", "500"), ("bob", "140"), ("cat", "100"), ("dan", "500")):
        desk.deposit(account, "1000")
        desk.buy(account, "10", "100", margin=margin)
    desk.sell("dan", "10", "100")
    desk.tick("94")
    return desk


def steal(desk: Desk) -> None:
    """Money appears from nowhere."""
    desk.book.asset.wallets["ann"] += 1


def leave_cash(desk: Desk) -> None:
    """A closed bucket keeps something."""
    desk.bucket("dan").cash += 1


def overdraw(desk: Desk) -> None:
    """A wallet pays for a loss."""
    desk.book.asset.wallets["ann"] = -1


def overlook(desk: Desk) -> None:
    """A position at its limit was not noticed."""
    desk.bucket("ann").cash -= 500 * desk.book.rules.quantum * 10**8


def unlist(desk: Desk) -> None:
    """An open position is not in the index."""
    desk.bucket("ann").slot = -1


def confuse(desk: Desk) -> None:
    """Two positions claim one slot."""
    desk.bucket("ann").slot = desk.bucket("bob").slot


def forget_call(desk: Desk) -> None:
    """A called position stands as if it had never been."""
    desk.bucket("bob").level = 0


def miscount(desk: Desk) -> None:
    """An input ended twice."""
    desk.fold.applied += 1


CORRUPTIONS: list[tuple[Callable[[Desk], None], invariants.StateInvariant, str]] = [
    (steal, invariants.i1_postings_sum_to_zero, "I1"),
    (leave_cash, invariants.i3_losses_stay_inside, "I3"),
    (overdraw, invariants.i3_losses_stay_inside, "I3"),
    (overlook, invariants.i5_nobody_is_missed, "I5"),
    (unlist, invariants.i6_index_equals_scan, "I6"),
    (confuse, invariants.i6_index_equals_scan, "I6"),
    (forget_call, invariants.i6_index_equals_scan, "I6"),
    (overlook, invariants.i6_index_equals_scan, "I6"),
    (miscount, invariants.i11_every_input_ends_once, "I11"),
]


@pytest.mark.parametrize(("corrupt", "invariant", "name"), CORRUPTIONS)
def test_a_corrupted_state_is_reported_by_name(
    corrupt: Callable[[Desk], None], invariant: invariants.StateInvariant, name: str
) -> None:
    """The invariant holds before the corruption and is broken by it."""
    desk = trading()
    invariant(desk.fold)
    corrupt(desk)
    with pytest.raises(InvariantBroken) as broken:
        invariant(desk.fold)
    assert broken.value.name == name


def last(desk: Desk, kind: type[Decision], *prices: str) -> Decision:
    """The last decision of a kind that these prices lead to."""
    decisions: list[Decision] = []
    for price in prices:
        desk.tick(price)
        decisions += desk.engine.decisions
    return [decision for decision in decisions if isinstance(decision, kind)][-1]


def started() -> LiquidationStarted:
    """Ann's liquidation, by its own words."""
    decision = last(trading(), LiquidationStarted, "50")
    assert isinstance(decision, LiquidationStarted)
    return decision


def called() -> MarginCall:
    """Ann's margin call, by its own words."""
    decision = last(trading(), MarginCall, "55")
    assert isinstance(decision, MarginCall)
    return decision


def completed() -> LiquidationCompleted:
    """The certificate of cat's liquidation."""
    desk = trading()
    desk.sell("cat", "10", "94", liquidation_id="cat|X|l1")
    (decision,) = (each for each in desk.engine.decisions if isinstance(each, LiquidationCompleted))
    return decision


FORGERIES: list[tuple[Callable[[], Decision], dict[str, object], str]] = [
    (called, {"equity": "1000"}, "I4"),
    (started, {"equity": "1000"}, "I4"),
    (started, {"threshold": ("10000", "1")}, "I4"),
    (started, {"quantity": "-10", "threshold": ("0", "1"), "key": ("1", "1")}, "I4"),
    (started, {"case_id": None, "no_call_reason": None}, "I4"),
    (completed, {"loss": "100.00000001"}, "I3"),
    (completed, {"shortfall": "-1"}, "I3"),
    (completed, {"contained": False}, "I3"),
]


@pytest.mark.parametrize(("honest", "forgery", "name"), FORGERIES)
def test_evidence_that_does_not_bear_out_its_decision_is_reported(
    honest: Callable[[], Decision], forgery: dict[str, object], name: str
) -> None:
    """A call, a liquidation, a certificate follows from its own numbers; changed in one of them it does not."""
    fold, decision = trading().fold, honest()
    invariants.i4_evidence_holds(fold, [decision])
    with pytest.raises(InvariantBroken) as broken:
        invariants.i4_evidence_holds(fold, [msgspec.structs.replace(decision, **forgery)])
    assert broken.value.name == name


def test_a_short_must_cross_its_threshold_from_above() -> None:
    """A short is liquidated when its key has fallen to the threshold; above it the evidence is false."""
    desk = trading()
    desk.deposit("eve", "1000")
    desk.sell("eve", "10", "94", margin="200")
    fold, decision = desk.fold, last(desk, LiquidationStarted, "110")
    invariants.i4_evidence_holds(fold, [decision])
    with pytest.raises(InvariantBroken, match=r"I4: liquidation .* has not crossed"):
        invariants.i4_evidence_holds(fold, [msgspec.structs.replace(decision, key=("10000", "1"))])


def step(desk: Desk, change: Callable[[], None]) -> str:
    """What the watch says of a tick during which something else was changed as well."""
    watch = Watch(desk.fold)
    change()
    with pytest.raises(InvariantBroken) as broken:
        watch.step(Tick(instrument="X", price="94", time_us=99), [])
    return broken.value.name


def test_a_step_that_touches_another_account_is_reported() -> None:
    """A tick that moves money between the wallet and the bucket of somebody it decided nothing about breaks I2."""
    desk = trading()
    bucket = desk.bucket("ann")
    assert step(desk, lambda: desk.fold.state.ledger.release(bucket, 1, "release")) == "I2"


def test_a_step_that_touches_only_a_wallet_of_somebody_else_is_reported() -> None:
    """A tick that puts outside money into a wallet breaks I2, although every bucket stands as it was."""
    desk = trading()
    ledger, asset = desk.fold.state.ledger, desk.bucket("ann").book.asset
    assert step(desk, lambda: ledger.deposit(asset, "ann", 1)) == "I2"


def funded(payer: str, cheat: Callable[[Desk], None]) -> str:
    """What the watch says of funding that does something besides."""
    desk = Desk(funding_payer=payer)
    desk.deposit("ann", "100")
    desk.buy("ann", "1", "100", margin="50")
    watch, before = Watch(desk.fold), desk.fold.state.decisions
    desk.funding("0.1", price="100")
    cheat(desk)
    event = Funding(funding_id="h", instrument="X", rate="0.1", time_us=99, price="100")
    try:
        watch.step(event, before[:0])
    except InvariantBroken as broken:
        return broken.name
    return ""


def test_funding_takes_from_a_wallet_just_what_arrives_in_its_bucket() -> None:
    """Where wallets pay, ten from wallet to bucket is allowed; a unit less in the wallet, a release at the same time,
    and any such payment where buckets pay, break I2.
    """

    def take(desk: Desk) -> None:
        desk.fold.state.ledger.withdraw(desk.book.asset, "ann", 1)

    def give_back(desk: Desk) -> None:
        desk.fold.state.ledger.release(desk.bucket("ann"), 1, "release")

    def pay(desk: Desk) -> None:
        desk.fold.state.ledger.draw_funding(desk.bucket("ann"), 1)

    assert funded("free_balance_first", lambda _: None) == ""
    assert funded("free_balance_first", take) == "I2"
    assert funded("free_balance_first", give_back) == "I2"
    assert funded("bucket_first", lambda _: None) == ""
    assert funded("bucket_first", pay) == "I2"


def test_time_and_numbers_that_go_back_are_reported() -> None:
    """Engine time, or the number of a topic, one less than before breaks I10."""
    desk = trading()
    state = desk.fold.state

    def turn_back() -> None:
        state.time_us -= 1

    def count_back() -> None:
        state.numbers["liquidations"] -= 1

    assert step(desk, turn_back) == "I10"
    assert step(desk, count_back) == "I10"


def apply(fold: Fold, event: Input) -> list[Decision]:
    """Fold an input."""
    return fold.apply(event, LineOrigin(), 1)


def test_an_input_that_does_something_when_it_comes_again_is_reported() -> None:
    """A fill that was applied is idempotent; a tick without a source is not: it is another observation (I7)."""
    desk = trading()
    deposit = msgspec.convert(
        {"type": "deposit", "transfer_id": "t", "account": "ann", "asset": "USDT", "amount": "1", "time_us": 99},
        Input,
    )
    apply(desk.fold, deposit)
    invariants.i7_idempotent(desk.fold, deposit, apply)
    with pytest.raises(InvariantBroken, match=r"^I7"):
        invariants.i7_idempotent(desk.fold, Tick(instrument="X", price="94", time_us=99), apply)


def test_a_state_that_its_snapshot_does_not_give_back_is_reported() -> None:
    """A digest that drifted from what it is a digest of breaks I8."""
    desk = trading()
    invariants.i8_snapshot_is_the_state(desk.fold)
    desk.fold.state.account_terms += 1
    with pytest.raises(InvariantBroken, match=r"^I8"):
        invariants.i8_snapshot_is_the_state(desk.fold)
