"""Judging: margin calls, and the ladder of a liquidation (margin.md sections 8 and 9)."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.core.textbook import throttle
from tests.core.textbook.books import Market
from tests.core.textbook.deleveraging import deleverage
from tests.core.textbook.numbers import down, published_down, published_up, text, up
from tests.core.textbook.position import Liquidation, Position
from tests.core.textbook.sizing import promising

if TYPE_CHECKING:
    from tests.core.textbook.venue import Event, Venue

RATIO_DECIMALS = 8
TRIED_ONE_BY_ONE = 200
"""Orders of at most so many steps are sized by trying every quantity."""


class Ladder:
    """Decides about positions, and records what it decided."""

    def __init__(self, venue: "Venue") -> None:
        self.venue = venue

    def market(self, position: Position) -> Market:
        """The instrument of a position."""
        return self.venue.books.markets[position.instrument]

    def decimals(self, position: Position) -> int:
        """Decimals of the settlement asset."""
        return self.venue.books.decimals_of(self.market(position).terms.settle_asset)

    def judgement(self, position: Position) -> dict[str, Any]:
        """Equity and requirement at the mark, as published."""
        market, decimals = self.market(position), self.decimals(position)
        mark = market.mark
        equity = None if mark is None else position.equity(mark)
        maintenance = position.maintenance(market.terms, mark)
        notional = position.notional(market.terms, mark)
        return {
            "equity": published_down(equity, decimals),
            "maintenance_margin": published_up(maintenance, decimals),
            "mark_price": None if mark is None else text(mark),
            "margin_ratio": published_ratio(equity, maintenance),
            "tier": None if notional is None else market.terms.tier(notional),
        }

    def fund(self, position: Position) -> Fraction:
        """Balance of the instrument's insurance fund."""
        asset = self.market(position).terms.settle_asset
        return self.venue.books.ledger.balance(f"fund|{position.instrument}", asset)

    def decide(self, kind: str, position: Position, **fields: object) -> dict[str, Any]:
        """Publish a decision about a position."""
        return self.venue.decide(kind, position.account, position.instrument, **fields)

    # --- judging ---------------------------------------------------------------------------------

    def judge(self, position: Position) -> None:
        """Liquidate, or call: at the mark, if there is one, and not while liquidating."""
        market = self.market(position)
        if market.mark is None or position.liquidation is not None:
            return
        if position.breached(market.terms, market.mark) and not market.terms.halted and not market.stale:
            self.start(position)
        else:
            self.call(position)

    def call(self, position: Position) -> None:
        """Deepen a call at its level; ease it only beyond the level's hysteresis."""
        market = self.market(position)
        mark, terms = market.mark, market.terms
        assert mark is not None
        deepest, before = position.deepest(terms, mark), position.level
        # Where equity and maintenance are both zero only the first of the two conditions holds.
        shallowest = position.deepest(terms, mark, 1 + terms.recover, strict=True) or deepest
        if deepest is not None and (before is None or deepest < before):
            if before is None:
                position.case_id = self.venue.number(position.account, position.instrument, "c")
            self.announce(position, "called" if before is None else "escalated", deepest)
        elif before is not None and (shallowest is None or shallowest > before):
            self.announce(position, "recovered" if shallowest is None else "eased", shallowest)

    def announce(self, position: Position, status: str, level: Fraction | None) -> None:
        """Publish a margin call; a case ends with `recovered`."""
        market, decimals = self.market(position), self.decimals(position)
        mark, missing = market.mark, Fraction(0)
        assert mark is not None
        if level is not None:
            missing = max(missing, -position.gap(market.terms, mark, level))
        price = position.liquidation_price(market.terms, mark)
        distance = None if price is None else 100 * abs(mark - price) / mark
        self.decide(
            "margin_call",
            position,
            status=status,
            case_id=position.case_id,
            level=None if level is None else text(level),
            previous_level=None if position.level is None else text(position.level),
            margin_shortfall=published_up(missing, decimals),
            liquidation_price=None if price is None else text(price),
            distance_percent=published_down(distance, 2),
            **self.judgement(position),
            **({"uncertain": True} if market.stale else {}),
        )
        position.level = level
        if status == "recovered":
            position.case_id = None

    def close_case(self, position: Position) -> None:
        """The position is gone, and its case with it."""
        mark = self.market(position).mark
        if position.case_id is not None:
            self.decide(
                "margin_call",
                position,
                status="closed",
                case_id=position.case_id,
                level=None,
                margin_shortfall=None,
                liquidation_price=None,
                distance_percent=None,
                **dict.fromkeys(("equity", "maintenance_margin", "margin_ratio", "tier")),
                mark_price=None if mark is None else text(mark),
                previous_level=None if position.level is None else text(position.level),
            )

    # --- the ladder ------------------------------------------------------------------------------

    def start(self, position: Position) -> None:
        """Start a liquidation: the evidence, then the first order, or the takeover."""
        market, terms = self.market(position), self.market(position).terms
        reason = None
        if position.case_id is None:
            if not terms.levels:
                reason = "not_configured"
            elif market.changed:
                reason = "parameter_change"
            elif market.feed is not None and market.feed.revived:
                reason = "stale_then_fresh"
            else:
                reason = "gap"
        identifier = self.venue.number(position.account, position.instrument, "l")
        position.liquidation = Liquidation(identifier)
        assert market.mark is not None
        losing = -position.side if terms.inverse else position.side
        self.decide(
            "liquidation_started",
            position,
            liquidation_id=identifier,
            case_id=position.case_id,
            no_call_reason=reason,
            quantity=text(position.size / terms.multiplier),
            mode=terms.liquidation.mode,
            excess_of_key=-losing * position.gap(terms, market.mark, Fraction(1)) / abs(position.size),
            **self.judgement(position),
        )
        if terms.liquidation.mode == "takeover":
            self.take_over(position)
        else:
            self.next_step(position, whole=False)

    def next_step(self, position: Position, *, whole: bool) -> None:
        """Publish the next order; above the last step the fund takes the position over."""
        liquidation, market = position.liquidation, self.market(position)
        assert liquidation is not None
        if liquidation.step >= market.terms.liquidation.max_steps:
            self.take_over(position)
            return
        liquidation.step += 1
        liquidation.whole = whole
        if (
            throttle.admits(self, position) and not throttle.queue(self, position.instrument)
        ) or market.terms.liquidation.throttle is None:
            self.order(position)
        else:
            throttle.wait(self, position)

    def sized(self, position: Position) -> Fraction:
        """Contracts of the next order, as things stand now."""
        liquidation, market = position.liquidation, self.market(position)
        assert liquidation is not None
        everything = abs(position.size) / market.terms.multiplier
        return everything if liquidation.whole else self.quantity(position)

    def order(self, position: Position) -> None:
        """Publish the order of the present step."""
        liquidation, market = position.liquidation, self.market(position)
        assert liquidation is not None
        throttle.count(self, position)
        liquidation.quantity = self.sized(position)
        liquidation.waiting = liquidation.passed_over = False
        liquidation.filled = Fraction(0)
        liquidation.deadline_us = self.venue.time_us + market.terms.liquidation.deadline_us
        limit = position.bankruptcy_price(market.terms)
        self.decide(
            "liquidation_order",
            position,
            liquidation_id=liquidation.identifier,
            step=liquidation.step,
            side="sell" if position.size > 0 else "buy",
            quantity=text(liquidation.quantity),
            limit_price=None if limit is None else text(limit),
            deadline_us=liquidation.deadline_us,
        )

    def quantity(self, position: Position) -> Fraction:
        """Smallest multiple of the step whose closing at the mark restores the bucket, in contracts.

        Everything, if none does, if the notional is small, or if equity is nearly gone.
        """
        market, terms = self.market(position), self.market(position).terms
        rules, mark = terms.liquidation, market.mark
        assert mark is not None
        everything = abs(position.size) / terms.multiplier
        equity, maintenance = position.equity(mark), position.maintenance(terms, mark)
        assert maintenance is not None
        if position.count(position.size, mark) < rules.full_below or equity <= rules.backstop * maintenance:
            return everything
        steps = everything // terms.quantity_step
        if steps <= TRIED_ONE_BY_ONE:
            tried = list(range(1, int(steps) + 1))
        else:
            tried = promising(position, terms, mark, int(steps))
        for number in tried:
            if self.restores(position, number * terms.quantity_step):
                return number * terms.quantity_step
        return everything

    def restores(self, position: Position, quantity: Fraction) -> bool:
        """Whether closing `quantity` contracts at the mark, fees paid, reaches the target."""
        market, terms = self.market(position), self.market(position).terms
        assert market.mark is not None
        closed = quantity * terms.multiplier
        cost = position.count(closed, market.mark) * (terms.taker + terms.liquidation.fee_rate)
        rest = position.maintenance(terms, market.mark, abs(position.size) - closed)
        assert rest is not None
        return position.equity(market.mark) - cost >= terms.liquidation.target * rest

    def restored(self, position: Position) -> bool:
        """Whether equity at the mark has reached the target."""
        return self.restores(position, Fraction(0))

    def executed(self, position: Position, event: "Event", closed: Fraction) -> None:
        """A reducing fill while liquidating: it counts towards the order."""
        liquidation, terms = position.liquidation, self.market(position).terms
        assert liquidation is not None
        mark = self.market(position).mark
        assert mark is not None
        penalty = self.penalty(position, event, closed, position.equity(mark))
        liquidation.filled += closed / terms.multiplier
        if self.restored(position):
            self.survive(position, "restored")
            return
        if liquidation.waiting:
            return
        known = liquidation.identifier == event.get("liquidation_id")
        if not known or liquidation.remaining == 0:
            self.decide(
                "liquidation_progress",
                position,
                liquidation_id=liquidation.identifier,
                step=liquidation.step,
                fill_id=event["fill_id"],
                filled=text(liquidation.filled),
                remaining=text(liquidation.remaining),
                fee=text(penalty),
                **self.judgement(position),
            )
        if liquidation.remaining == 0:
            self.next_step(position, whole=False)

    def penalty(self, position: Position, event: "Event", closed: Fraction, left: Fraction) -> Fraction:
        """The liquidation fee of an executor's fill, to the fund: never more than is left."""
        liquidation, terms = position.liquidation, self.market(position).terms
        assert liquidation is not None
        if liquidation.identifier != event.get("liquidation_id"):
            return Fraction(0)
        decimals = self.decimals(position)
        fee = up(position.count(closed, Fraction(event["price"])) * terms.liquidation.fee_rate, decimals)
        fee = min(fee, max(down(left, decimals), Fraction(0)))
        self.venue.books.charge(position, fee, f"fund|{position.instrument}")
        return fee

    def cure(self, position: Position) -> None:
        """Money was added: it may end a liquidation."""
        if position.liquidation is not None and self.restored(position):
            self.venue.note_wallets()
            self.survive(position, "cured")

    def survive(self, position: Position, result: str) -> None:
        """End a liquidation with the position still there."""
        mark = self.market(position).mark
        assert mark is not None
        loss = position.put_in - position.taken_out - position.equity(mark)
        self.complete(position, result, loss, Fraction(0), None, Fraction(0))
        position.liquidation = None

    def timers(self) -> Iterator[tuple[int, str, str, str]]:
        """Every running deadline and every release: when, what, which instrument, whose."""
        for (account, instrument), position in self.venue.books.positions.items():
            if position.liquidation is not None and not position.liquidation.waiting:
                yield position.liquidation.deadline_us, "liquidation_deadline", instrument, account
        for instrument, market in self.venue.books.markets.items():
            if market.release_us is not None:
                yield market.release_us, "liquidation_release", instrument, ""

    def deadline(self, position: Position) -> None:
        """An order was not filled in time: the next step asks for everything."""
        self.next_step(position, whole=True)

    def take_over(self, position: Position) -> None:
        """The insurance fund takes the whole position at the bankruptcy price, or at the mark."""
        market, terms = self.market(position), self.market(position).terms
        liquidation, mark = position.liquidation, market.mark
        assert liquidation is not None
        assert mark is not None
        self.venue.note_wallets()
        price = mark
        if terms.liquidation.takeover_price == "bankruptcy":
            price = position.bankruptcy_price(terms) or mark
        lost = max(position.size * (position.value(price) - position.value(mark)), Fraction(0))
        self.decide(
            "position_taken_over",
            position,
            liquidation_id=liquidation.identifier,
            side="buy" if position.size < 0 else "sell",
            quantity=text(abs(position.size) / terms.multiplier),
            price=text(price),
            mark_price=text(mark),
            fund_loss=published_up(lost, self.decimals(position)),
        )
        gone = position.size, price
        self.venue.books.trade(position, -position.size, price)
        self.close(position, self.residual_receiver(position), "taken_over", gone)

    def residual_receiver(self, position: Position) -> str:
        """Who gets what a liquidation leaves in the bucket."""
        if self.market(position).terms.liquidation.residual == "fund":
            return f"fund|{position.instrument}"
        return f"wallet|{position.account}"

    def close(
        self, position: Position, receiver: str, result: str | None, gone: tuple[Fraction, Fraction] | None
    ) -> None:
        """Dissolve the bucket of a position just closed; complete its liquidation and its case.

        `gone` is the size that was closed, and the price; None at a settlement, which asks nobody to deleverage.
        """
        missing = position.collateral
        market, decimals = self.market(position), self.decimals(position)
        asset, liquidation = market.terms.settle_asset, position.liquidation
        residual, shortfall = self.venue.books.dissolve(position, receiver)
        balance = self.fund(position)
        if shortfall:
            about = {
                "liquidation_id": liquidation.identifier if liquidation else None,
                "asset": asset,
                "fund_balance": text(balance),
            }
            self.decide("shortfall", position, amount=text(shortfall), **about)
            if balance < 0:
                uncovered = min(shortfall, -balance)
                self.decide("uncovered_loss", position, amount=text(uncovered), **about)
                if gone is not None:
                    received = gone[0] * position.value(gone[1])
                    if position.inverse:
                        received = down(received, decimals)
                    deleverage(self, position, gone[0], (received - missing) / gone[0], uncovered / shortfall)
        if result is not None:
            assert liquidation is not None
            loss = down(position.put_in - position.taken_out - residual, decimals)
            self.complete(position, result, loss, residual, receiver, shortfall)
        self.close_case(position)

    def complete(
        self,
        position: Position,
        result: str,
        loss: Fraction,
        residual: Fraction,
        receiver: str | None,
        shortfall: Fraction,
    ) -> None:
        """Publish the end of a liquidation, with its containment certificate."""
        liquidation, decimals = position.liquidation, self.decimals(position)
        assert liquidation is not None
        asset = self.market(position).terms.settle_asset
        before = self.venue.wallet_before.get((position.account, asset), Fraction(0))
        self.decide(
            "liquidation_completed",
            position,
            liquidation_id=liquidation.identifier,
            result=result,
            collateral=text(position.put_in),
            loss=published_down(loss - liquidation.fees, decimals),
            fees=text(liquidation.fees),
            residual=text(residual),
            residual_to=named(receiver) if residual else None,
            shortfall=text(shortfall),
            covered_by=payer(shortfall, self.fund(position)),
            contained=loss - liquidation.fees <= position.put_in,
            wallet_before=text(before),
            wallet_after=text(self.venue.books.wallet(position.account, asset)),
        )


def payer(shortfall: Fraction, fund_after: Fraction) -> str | None:
    """Who paid a shortfall, seen from what the fund holds after paying it."""
    if not shortfall:
        return None
    if fund_after >= 0:
        return "fund"
    return "fund_in_part" if fund_after + shortfall > 0 else "uncovered"


def named(receiver: str | None) -> str | None:
    """The side that gets a residual, as published."""
    return "fund" if receiver is not None and receiver.startswith("fund|") else "account"


def published_ratio(equity: Fraction | None, maintenance: Fraction | None) -> str | None:
    """Margin ratio as published: down at 8 decimals; None without a mark or a requirement."""
    if equity is None or not maintenance:
        return None
    return published_down(equity / maintenance, RATIO_DECIMALS)
