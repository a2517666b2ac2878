"""The fold: the only door through which the state of a shard changes.

Rule 1: facts first, then judgement, then the record of the judgement.  `fills`, `transfers` and `market` record
        facts; `judge` decides.
Rule 2: nothing here knows the time, the broker, or the log an input came from; time and identity arrive in the event.
Rule 3: every input ends as exactly one of applied, already applied, refused.  Nothing a producer can send raises out
        of here; a broken invariant does, and must stop the shard before anything is written.

The course of one input: its values are checked; engine time advances and the timers then due fire, each at its own
due time; a repetition is recognised by its id; the handler refuses in one column or changes the state; the id is
remembered; the account's hash chain advances; the bucket is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop
from typing import Any

from ringfence import liquidation, mark, market, transfers
from ringfence.digest import link, restate, state_digest
from ringfence.fills import PreparedFill, apply_fill, prepare
from ringfence.hashing import digest_of
from ringfence.judge import judge_own
from ringfence.refusals import NO_LIMIT, Refusal, refusal, unsound
from ringfence.scales import ONE
from ringfence.shard_state import Origin, State
from ringfence.state import Book, Bucket
from ringfence_schemas import inputs
from ringfence_schemas.content import content_of
from ringfence_schemas.decimals import DecimalRefused, units
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Event, Fill, Input, Tick, Ticks
from ringfence_schemas.kinds import INTEGER_LIMIT
from ringfence_schemas.outcomes import Cause, Decision, Refused
from ringfence_schemas.reading import InputRefused, check, identify
from ringfence_schemas.topics import DECISION_TOPICS, LEDGER


class Fold:
    """One shard's engine: `apply` an input, get its decisions."""

    def __init__(self, settings: Settings) -> None:
        self.state = State(settings)
        self.inputs = self.applied = self.already_applied = self.refused = 0
        """Counts of inputs; not part of the digest."""
        own = self._own
        self._handlers: dict[type[Event], Callable[[Any, int], None]] = {
            Tick: self._tick,
            Ticks: self._ticks,
            inputs.Instrument: self._instrument,
            inputs.Asset: self._asset,
            inputs.FundDeposit: lambda event, latest_us: self._instrument_input(
                event, event.transfer_id, market.apply_fund_deposit, latest_us
            ),
            inputs.Settlement: lambda event, latest_us: self._instrument_input(
                event, event.settlement_id, market.apply_settlement, latest_us
            ),
            inputs.Funding: lambda event, latest_us: self._instrument_input(
                event, event.funding_id, market.apply_funding, latest_us
            ),
            inputs.Deposit: lambda event, latest_us: own(
                event, "transfer", event.transfer_id, transfers.apply_deposit, latest_us
            ),
            inputs.Withdrawal: lambda event, latest_us: own(
                event, "transfer", event.transfer_id, transfers.apply_withdrawal, latest_us
            ),
            inputs.SetLeverage: lambda event, latest_us: own(
                event, "command", event.command_id, transfers.apply_set_leverage, latest_us
            ),
            inputs.AddMargin: lambda event, latest_us: own(
                event, "command", event.command_id, transfers.apply_add_margin, latest_us
            ),
            inputs.RemoveMargin: lambda event, latest_us: own(
                event, "command", event.command_id, transfers.apply_remove_margin, latest_us
            ),
            inputs.LiquidationReport: lambda event, latest_us: own(
                event, "report", event.report_id, _accept_report, latest_us
            ),
        }

    @property
    def outcomes(self) -> int:
        """Decisions recorded so far; postings and dead letters are no decisions."""
        return sum(self.state.numbers.get(topic, 0) for topic in DECISION_TOPICS if topic != LEDGER)

    def adopt(self, settings: Settings) -> None:
        """Go on under these settings."""
        self.state.adopt(settings)

    def clear_touched(self) -> None:
        """Forget which views changed: they were drawn, or nobody wants them."""
        self.state.touched_buckets.clear()
        self.state.touched_wallets.clear()

    def next_number(self, topic: str) -> int:
        """Take the next dense number of an output topic."""
        number = self.state.numbers.get(topic, 0) + 1
        self.state.numbers[topic] = number
        return number

    # -------------------------------------------------------------------------------------------------- the door

    def apply(
        self,
        event: Input,
        origin: Origin,
        position: int,
        latest_us: int = NO_LIMIT,
        prepared: PreparedFill | None = None,
    ) -> list[Decision]:
        """Fold one input and return its decisions in order.

        `position` is the input's place in `origin`; an input with a `time_us` beyond `latest_us` is refused as
        `time_in_future`.  `prepared` is what `prepare` says of a fill, where that is known already.
        """
        state = self.state
        decisions: list[Decision] = []
        state.decisions = decisions
        state.begin(origin, position)
        self.inputs += 1
        try:
            if type(event) is Fill:
                self._fill(event, prepared or prepare(event), latest_us)
            else:
                self._handlers[type(event)](event, latest_us)
        except Refusal as refused:
            self.refused += 1
            if origin.speaks:
                self._record_refusal(event, refused)
        if state.unstated:
            self._restate()
        return decisions

    def refuse(
        self, refused: InputRefused, origin: Origin, position: int, data: bytes, *, hashed: bool = False
    ) -> list[Decision]:
        """Fold an input that could not be read: it is counted and published as refused, and changes nothing, not even
        engine time.

        `data` are its bytes, or their hash when it was too large to keep (`hashed`).
        """
        state = self.state
        decisions: list[Decision] = []
        state.decisions = decisions
        state.begin(origin, position)
        self.inputs += 1
        self.refused += 1
        if origin.speaks:
            state.record(
                Refused,
                account=refused.account,
                instrument=refused.instrument,
                code=refused.code,
                message=refused.message,
                input_type=refused.input_type,
                input_id=refused.input_id,
                input_hash=(data if hashed else digest_of(data)).hex(),
                applied_hash=None,
            )
        return decisions

    def advance(self, clock_us: int) -> list[Decision]:
        """Move engine time to a frame's clock and return the decisions of the timers that fire; a clock that lags
        does nothing.
        """
        state = self.state
        decisions: list[Decision] = []
        state.decisions = decisions
        if clock_us > state.time_us:
            self._advance(clock_us)
            self._restate()
        return decisions

    def digest(self) -> bytes:
        """Return the digest of the state, 16 bytes: equal on every engine that folded the same inputs in the same
        order.
        """
        return state_digest(self.state)

    def _restate(self) -> None:
        state = self.state
        for bucket in state.unstated:
            restate(state, bucket)
        state.unstated.clear()

    def _record_refusal(self, event: Input, refused: Refusal) -> None:
        known = refused.unsound
        input_type, input_id, account, instrument = identify(event)
        self.state.record(
            Refused,
            account=known.account if known else account,
            instrument=known.instrument if known else instrument,
            code=refused.code,
            message=refused.message,
            input_type=input_type,
            input_id=known.input_id if known else input_id,
            input_hash=_content(event).hex(),
            applied_hash=refused.applied_hash.hex() if refused.applied_hash else None,
        )

    # ----------------------------------------------------------------------------------------- time and identity

    def _advance(self, time_us: int) -> None:
        """Let the timers due until `time_us` fire in order, each at its own due time, then move engine time."""
        state = self.state
        timers = state.timers
        while timers and timers[0][0] <= time_us:
            due_us, kind, instrument, account, number, step = heappop(timers)
            book = state.books[instrument]
            if kind == mark.AGE_TIMER:
                mark.look_at_age(state, book, due_us)
                continue
            if kind == liquidation.RELEASE_TIMER:
                state.time_us = max(state.time_us, due_us)
                state.begin_timer(Cause(timer=kind, due_us=due_us))
                liquidation.release(state, book)
                continue
            bucket = book.buckets[account]
            run = bucket.liquidation
            if run is not None and (run.number, run.step) == (number, step):
                state.time_us = max(state.time_us, due_us)
                state.begin_timer(Cause(timer=kind, due_us=due_us))
                liquidation.step_failed(state, bucket)
        state.end_timer()
        state.time_us = time_us
        state.horizon_us = time_us - state.settings.id_window_us
        if state.horizon_us >= state.identities.oldest_us:
            state.identities.forget(state.horizon_us)

    def _enter(self, event: Input, latest_us: int) -> None:
        """Check the values of an input and let time advance to it, unless it claims to be from the future."""
        wrong = check(event)
        if wrong is not None:
            raise unsound(wrong)
        if self.state.time_us < event.time_us <= latest_us:
            self._advance(event.time_us)

    def _in_time(self, time_us: int, latest_us: int) -> None:
        if time_us < self.state.horizon_us:
            raise refusal("too_old", f"{time_us} is before {self.state.horizon_us}")
        if time_us > latest_us:
            raise refusal("time_in_future", f"{time_us} is after {latest_us}")

    def _repeats(self, place: int, tag: bytes, content: bytes) -> bool:
        """Whether an id was applied with this content; refuses one that was applied with another."""
        known = self.state.identities.find(place, tag, self.state.horizon_us)
        if known is None:
            return False
        if known != content:
            raise Refusal("conflicts_with_applied", refusal("conflicts_with_applied").message, applied_hash=known)
        self.already_applied += 1
        return True

    # ---------------------------------------------------------------------------------------- inputs of accounts

    def _fill(self, event: Fill, prepared: PreparedFill, latest_us: int) -> None:
        """The hot path of accounts: the same course as `_own`, without what was prepared."""
        state, account, instrument, time_us = self.state, event.account, event.instrument, event.time_us
        quantity, price, tag, content, plain = prepared
        book = state.books.get(instrument)
        bucket = book.buckets.get(account) if book is not None else None
        if bucket is None or not plain:
            wrong = check(event)
            if wrong is not None:
                raise unsound(wrong)
        if state.time_us < time_us <= latest_us:
            self._advance(time_us)
        identities = state.identities
        place = identities.place_of(tag)
        if self._repeats(place, tag, content):
            return
        if not state.horizon_us <= time_us <= latest_us:
            self._in_time(time_us, latest_us)
        if book is None or book.settled:
            book = transfers.open_book(state, instrument)
        if event.fee_asset is not None and event.fee_asset != book.asset.name:
            raise refusal("wrong_asset", f"{instrument} settles in {book.asset.name}, not {event.fee_asset}")
        if bucket is None:
            bucket = state.bucket(account, book)
        apply_fill(state, bucket, event, quantity, price)
        identities.add(place, tag, content, time_us)
        self._finish(bucket, content)

    def _finish(self, bucket: Bucket, content: bytes) -> None:
        """The fact on a bucket is recorded: advance the chain of its account, then judge it."""
        state, book = self.state, bucket.book
        self.applied += 1
        book.dirty = True
        link(state, bucket.account, content, bucket, book.asset)
        bucket.engine_changed = False
        judge_own(state, bucket)
        state.touched_buckets[bucket] = None
        state.touched_wallets[bucket.account.name, book.asset.name] = None
        if bucket.overlay or bucket.cases or bucket.liquidations:
            state.unstated[bucket] = None

    def _own(
        self, event: Any, field: str, identity: str, handler: Callable[[State, Any], transfers.Touched], latest_us: int
    ) -> None:
        """The course of an account's own input other than a fill."""
        self._enter(event, latest_us)
        state = self.state
        tag, content = digest_of(b"%a|%a|%a" % (event.account, field, identity)), _content(event)
        place = state.identities.place_of(tag)
        if self._repeats(place, tag, content):
            return
        self._in_time(event.time_us, latest_us)
        asset, bucket = handler(state, event)
        state.identities.add(place, tag, content, event.time_us)
        if bucket is None:
            self.applied += 1
            link(state, state.account(event.account), content, None, asset)
            state.touch_wallet(event.account, asset.name)
            return
        self._finish(bucket, content)

    # ------------------------------------------------------------------------------------- inputs of instruments

    def _tick(self, event: Tick, latest_us: int) -> None:
        """The hot path of prices."""
        state, time_us = self.state, event.time_us
        book = state.books.get(event.instrument)
        if (
            event.source is not None
            or event.sequence is not None
            or book is None
            or not book.plain
            or not 0 <= time_us < INTEGER_LIMIT
        ):
            self._sourced_tick(event, latest_us)
            return
        try:
            price = units[event.price]
        except DecimalRefused:
            price = 0
        if price <= 0:
            self._enter(event, latest_us)
        if state.time_us < time_us <= latest_us:
            self._advance(time_us)
        if not state.horizon_us <= time_us <= latest_us:
            self._in_time(time_us, latest_us)
        market.apply_price(state, book, price * ONE, time_us)
        self.applied += 1

    def _sourced_tick(self, event: Tick, latest_us: int) -> None:
        """A tick of a named source, which may number its ticks; and any tick of an instrument that is not plain."""
        self._enter(event, latest_us)
        state, source, sequence = self.state, event.source or "", event.sequence
        book = state.books.get(event.instrument)
        last = book.sources.get(source) if book is not None and sequence is not None else None
        content = _content(event).hex()
        if last == (sequence, content):
            self.already_applied += 1
            return
        if book is not None:
            mark.refuse_out_of_bounds(book, event.price, event.time_us)
        self._in_time(event.time_us, latest_us)
        book = transfers.open_book(state, event.instrument)
        if sequence is not None:
            if last is not None and sequence <= last[0]:
                raise refusal("sequence_not_increasing", f"{sequence} after {last[0]}")
            book.sources[source] = (sequence, content)
        self._price(book, source, event.price, event.time_us)
        self.applied += 1

    def _price(self, book: Book, source: str, price: str, time_us: int) -> None:
        """A price of a source, checked: it is the mark, or one word among several."""
        if book.plain:
            market.apply_price(self.state, book, units[price] * ONE, time_us)
        else:
            market.apply_tick(self.state, book, source, units[price] * ONE, time_us)

    def _ticks(self, event: Ticks, latest_us: int) -> None:
        """Packed ticks: checked as a whole, then judged one by one."""
        self._enter(event, latest_us)
        state, time_us = self.state, event.time_us
        for instrument, price in event.prices:
            known = state.books.get(instrument)
            if known is not None and not known.plain:
                mark.refuse_out_of_bounds(known, price, time_us)
        self._in_time(time_us, latest_us)
        books = [transfers.open_book(state, instrument) for instrument, _ in event.prices]
        self._put_in_force(books, time_us)
        for book, (_, price) in zip(books, event.prices, strict=True):
            self._price(book, event.source, price, time_us)
        self.applied += 1

    def _put_in_force(self, books: list[Book], time_us: int) -> None:
        """Let the effective dates that packed ticks reach pass in order of date and instrument, before any price."""
        dates = [(due_us, book.name) for book in dict.fromkeys(books) for due_us in book.dates_us()]
        for effective_us, instrument in sorted(dates):
            if effective_us <= time_us:
                market.advance_market(self.state, self.state.books[instrument], effective_us)

    def _instrument_input(
        self, event: Any, identity: str, handler: Callable[[State, Any], None], latest_us: int
    ) -> None:
        """The course of an input that belongs to an instrument and has an id."""
        self._enter(event, latest_us)
        tag = digest_of(b"|%a|%a|%a" % (event.instrument, type(event).__name__, identity))
        place, content = self.state.identities.place_of(tag), _content(event)
        if self._repeats(place, tag, content):
            return
        self._in_time(event.time_us, latest_us)
        handler(self.state, event)
        self.state.identities.add(place, tag, content, event.time_us)
        self.applied += 1

    def _instrument(self, event: inputs.Instrument, latest_us: int) -> None:
        self._enter(event, latest_us)
        if market.accepted_before(self.state, event):
            self.already_applied += 1
            return
        self._in_time(event.time_us, latest_us)
        market.apply_instrument(self.state, event)
        self.applied += 1

    def _asset(self, event: inputs.Asset, latest_us: int) -> None:
        self._enter(event, latest_us)
        if market.stated_before(self.state, event):
            self.already_applied += 1
            return
        self._in_time(event.time_us, latest_us)
        market.apply_asset(self.state, event)
        self.applied += 1


def _content(event: Input) -> bytes:
    return digest_of(content_of(event))


def _accept_report(state: State, event: inputs.LiquidationReport) -> transfers.Touched:
    """An executor gave up on its order: on to the next step."""
    book = transfers.open_book(state, event.instrument)
    bucket = book.buckets.get(event.account)
    run = bucket.liquidation if bucket is not None else None
    named = event.liquidation_id, event.step
    if bucket is None or run is None or run.waiting or (bucket.liquidation_id, run.step) != named:
        raise refusal("unknown_liquidation", f"{event.liquidation_id} step {event.step}")
    liquidation.step_failed(state, bucket)
    return transfers.Touched(book.asset, bucket)
