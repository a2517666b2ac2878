"""What moves an instrument: its parameters, prices, funding, the insurance fund, settlement.

An instrument's *market time* is the greatest `time_us` of its own inputs.  Parameter versions take effect by it, so
every shard, which sees the same inputs of the instrument in the same order, changes between the same two ticks.
"""

from __future__ import annotations

from typing import Final

from ringfence import attribution, liquidation, margin, mark, requirement
from ringfence.hashing import digest_of
from ringfence.judge import account_name, sweep
from ringfence.mark_rules import Word
from ringfence.refusals import InvalidInstrument, Refusal, refusal
from ringfence.rehearsal import rehearse
from ringfence.rules import Rules, build_rules
from ringfence.scales import ONE
from ringfence.shard_state import DEFAULT_ASSET_DECIMALS, State
from ringfence.state import Asset, Book
from ringfence.transfers import in_units, open_book
from ringfence_schemas.content import content_of
from ringfence_schemas.decimals import units
from ringfence_schemas.inputs import Asset as AssetEvent
from ringfence_schemas.inputs import FundDeposit, Funding, Instrument, Settlement
from ringfence_schemas.outcomes import Cause, InstrumentChanged, RequirementAnnounced

EFFECTIVE_TIMER: Final = "effective_date"


def advance_market(state: State, book: Book, time_us: int) -> None:
    """Move market time forward, and let the effective dates pass that it reaches."""
    book.dirty = True
    if time_us > book.market_time_us:
        book.market_time_us = time_us
        if time_us >= book.due_us:
            pass_dates(state, book)


def pass_dates(state: State, book: Book) -> None:
    """Put in force what market time has reached, versions and announced rises in order of time, each as its own timer;
    a version goes before a rise of the same time.
    """
    while dates := [due_us for due_us in book.dates_us() if due_us <= book.market_time_us]:
        due_us = min(dates)
        state.begin_timer(Cause(timer=EFFECTIVE_TIMER, due_us=due_us))
        if book.pending and book.pending[0].effective_us == due_us:
            put_in_force(state, book, book.pending.pop(0))
        else:
            assert book.sampling is not None
            rise = book.sampling.rises.pop(0)
            requirement.change_rate(state, book, rise.rate, rise.announcement)
        state.end_timer()
    book.schedule()


# ---------------------------------------------------------------------------------------------------- parameters


def accepted_before(state: State, event: Instrument) -> bool:
    """Whether this version was accepted with the same content."""
    book = state.books.get(event.instrument)
    return book is not None and book.versions.get(event.version) == digest_of(content_of(event))


def apply_instrument(state: State, event: Instrument) -> None:
    """Accept a version: the first and those without a later `effective_us` at once, others are announced."""
    book = state.books.get(event.instrument)
    if book is not None:
        _refuse_contradiction(book, event)
    known = state.assets.get(event.settle_asset)
    try:
        rules = build_rules(event, known.decimals if known else DEFAULT_ASSET_DECIMALS)
    except InvalidInstrument as error:
        raise Refusal("invalid_instrument", str(error)) from None
    if book is None:
        _list_instrument(state, rules)
        return
    if book.settled:
        raise refusal("instrument_closed", event.instrument)
    advance_market(state, book, event.time_us)
    book.versions[event.version] = rules.content
    effective_us = book.market_time_us if event.effective_us is None else event.effective_us
    book.pending = [pending for pending in book.pending if (pending.effective_us or 0) < effective_us]
    if effective_us <= book.market_time_us:
        put_in_force(state, book, event)
        book.schedule()
        return
    book.pending.append(event)
    mark.choose_way(book)
    book.schedule()
    planned, _ = requirement.carry_over(book, rules)
    state.record(
        RequirementAnnounced,
        instrument=book.name,
        parameters=book.rules.version,
        announcement=f"{book.name}|v{event.version}",
        version=event.version,
        effective_us=effective_us,
        old_rate=None,
        new_rate=None,
        **rehearse(book, planned),
    )


def _refuse_contradiction(book: Book, event: Instrument) -> None:
    accepted = max(book.versions)
    if event.version <= accepted:
        raise refusal("stale_version", f"version {event.version}, accepted is {accepted}")
    old = book.rules.event
    for field in ("contract", "settle_asset"):
        if getattr(event, field) != getattr(old, field):
            raise refusal("immutable_field", f"{field} is {getattr(old, field)}")
    if units[event.multiplier or "1"] != units[old.multiplier or "1"]:
        raise refusal("immutable_field", f"multiplier is {old.multiplier or '1'}")


def _list_instrument(state: State, rules: Rules) -> None:
    event = rules.event
    book = state.books[event.instrument] = Book(rules, state.asset(event.settle_asset))
    book.market_time_us = event.time_us
    state.record(
        InstrumentChanged, instrument=book.name, parameters=rules.version, version=rules.version, previous_version=None
    )
    requirement.say_changed(state, book, None)
    mark.adopt(state, book)


def put_in_force(state: State, book: Book, event: Instrument) -> None:
    """Replace the parameters; positions are judged at the next tick, or when their account's own event touches them
    first.
    """
    before = book.rules
    book.rules, book.sampling = requirement.carry_over(book, build_rules(event, book.asset.decimals))
    book.changed = True
    state.record(
        InstrumentChanged,
        instrument=book.name,
        parameters=event.version,
        version=event.version,
        previous_version=before.version,
    )
    requirement.say_changed(state, book, before)
    mark.adopt(state, book)
    if before.attribution and not book.rules.attribution:
        attribution.forget(book)
    book.index.configure(book.rules)
    open_buckets = [bucket for bucket in book.buckets.values() if bucket.slot >= 0]
    for bucket in open_buckets:
        state.touch(bucket)
    if open_buckets:
        price = book.mark if book.mark is not None else open_buckets[0].entry_price * ONE
        book.index.enter_all(price, book.funding_index)


def stated_before(state: State, event: AssetEvent) -> bool:
    """Whether the asset was already stated with these decimals."""
    asset = state.assets.get(event.asset)
    return asset is not None and asset.stated_us is not None and asset.decimals == event.decimals


def apply_asset(state: State, event: AssetEvent) -> None:
    """Fix the decimals of an asset before, or in agreement with, its first use."""
    asset = state.assets.get(event.asset)
    if asset is not None and asset.decimals != event.decimals:
        raise refusal("immutable_field", f"decimals of {event.asset} are {asset.decimals}")
    if asset is None:
        asset = state.assets[event.asset] = Asset(event.asset, event.decimals)
    asset.stated_us = event.time_us


# ---------------------------------------------------------------------------------------------- money and prices


def apply_fund_deposit(state: State, event: FundDeposit) -> None:
    """This shard's share of money for the insurance fund: floor(amount / N), the first (amount mod N) shards one unit
    more.
    """
    book = open_book(state, event.instrument)
    amount = in_units(event.amount, book.asset.decimals)
    advance_market(state, book, event.time_us)
    share, rest = divmod(amount, state.settings.shards)
    share += state.settings.shard < rest
    if share:
        state.ledger.deposit_to_fund(book, share)


def apply_price(state: State, book: Book, price: int, time_us: int) -> None:
    """A tick: the mark moves; buckets are judged only when it leaves the safe interval."""
    if time_us > book.market_time_us:  # noqa: PLR1730 -- a call of max costs more than the rest of the line
        book.market_time_us = time_us
    due = book.market_time_us >= book.due_us
    if due:
        pass_dates(state, book)
    book.dirty = True
    book.mark = price
    announced = requirement.observe(state, book) if due else 0
    if book.changed:
        sweep(state, book)
        book.changed = False
    elif not book.index.low < price < book.index.high:
        sweep(state, book)
    if announced:
        requirement.announce(state, book, announced)


def apply_tick(state: State, book: Book, source: str, price: int, time_us: int) -> None:
    """A tick of an instrument that says how its mark is made: it is judged at what the mark becomes, if that moves."""
    advance_market(state, book, time_us)
    guard = book.guard
    moved = price if guard is None else mark.take_in(state, book, guard, source, Word(price, time_us))
    if moved is not None:
        apply_price(state, book, moved, time_us)
    if guard is not None:
        guard.reviving = False


def apply_funding(state: State, event: Funding) -> None:
    """F += rate * price, or rate / price; wallets pay where the instrument says so; then it is judged at the present
    mark.
    """
    book = open_book(state, event.instrument)
    if event.price is None and book.mark is None:
        raise refusal("no_mark", event.instrument)
    advance_market(state, book, event.time_us)
    price = units[event.price] * ONE if event.price is not None else book.mark or 0
    book.funding_payment = book.rules.contract.payment(units[event.rate], price)
    book.funding_index += book.funding_payment
    if book.rules.wallet_first:
        _draw_funding(state, book, book.funding_payment)
    sweep(state, book)


def _draw_funding(state: State, book: Book, payment: int) -> None:
    """Take from wallets what positions owe for this payment per unit, as far as they go, in order of account id."""
    for bucket in sorted(book.buckets.values(), key=account_name):
        drawn = margin.funding_drawn(bucket, payment)
        if drawn:
            state.ledger.draw_funding(bucket, drawn)
            state.engine_changed(bucket)
            state.touch_wallet(bucket.account.name, book.asset.name)
            book.index.place(bucket)


def apply_settlement(state: State, event: Settlement) -> None:
    """The end of an instrument: every position closes at this price, in order of account id, without a fee."""
    book = open_book(state, event.instrument)
    price = units[event.price] * ONE
    advance_market(state, book, event.time_us)
    mark.settle(state, book)
    for account in sorted(name for name, bucket in book.buckets.items() if bucket.size):
        bucket = book.buckets[account]
        wallet_before = book.asset.wallets.get(account, 0)
        size = bucket.size
        state.ledger.trade(bucket, -size, price)
        bucket.size = 0
        liquidation.close(state, bucket, "settled", wallet_before, size, price)
    book.settled, book.sampling = True, None
    book.pending.clear()
    book.schedule()
    mark.choose_way(book)
