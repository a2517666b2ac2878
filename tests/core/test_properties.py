"""What must hold in any weather: the fold equals the textbook, its index misses nobody, and nothing is lost."""

import json
from decimal import Context, Decimal
from fractions import Fraction

from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from ringfence.invariants import Watch, i8_snapshot_is_the_state
from ringfence.snapshot import restore, snapshot
from ringfence_schemas.frames import Settings
from ringfence_schemas.reading import decode_input
from tests.core.agreement import agree
from tests.core.engines import FoldEngine, Json, TextbookEngine
from tests.core.weather import ACCOUNTS, Forecast, Move, moves, worlds

PROFILE = settings()

weather = settings(
    max_examples=25 if PROFILE.derandomize else PROFILE.max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""Few streams, and always the same; `make search` tries as many as its profile says, at random."""

EXACT = Context(prec=60)
"""A price may have eighteen digits on either side of the point."""

SHARED = {"id", "cause", "fund_balance", "covered_by", "input_hash"}
"""Fields that speak of what accounts share: numbers, and the insurance fund."""


def encoded(event: Json) -> bytes:
    """An input as bytes."""
    return json.dumps(event).encode()


class Duel:
    """The fold and the textbook, given the same inputs, compared after each."""

    def __init__(self, world: list[Json]) -> None:
        self.fold, self.textbook = FoldEngine(), TextbookEngine()
        self.forecast = Forecast(self.textbook.venue)
        self.watch = Watch(self.fold.fold)
        self.inputs: list[bytes] = []
        for event in world:
            self.play(event)

    def move(self, move: Move) -> None:
        """Play one move."""
        self.play(self.forecast.event(move))

    def play(self, event: Json) -> None:
        """Give an input to both; their decisions agree, and the invariants I1 to I6, I10 and I11 hold."""
        data = encoded(event)
        self.inputs.append(data)
        note(data.decode())
        decisions, expected = self.fold.apply(data), self.textbook.apply(data)
        agree(decisions, expected, data.decode())
        self.forecast.note(decisions)
        self.watch.step(decode_input(data), self.fold.decisions)


def stream(world: list[Json], drawn: list[Move]) -> list[bytes]:
    """The inputs that a world and its moves come to."""
    textbook = TextbookEngine()
    forecast = Forecast(textbook.venue)
    inputs = [encoded(event) for event in world]
    for data in inputs:
        textbook.apply(data)
    for move in drawn:
        inputs.append(encoded(forecast.event(move)))
        forecast.note(textbook.apply(inputs[-1]))
    return inputs


def copy(engine: FoldEngine) -> FoldEngine:
    """The engine that a snapshot gives back."""
    again = FoldEngine()
    again.fold = restore(snapshot(engine.fold), Settings())
    again.line = engine.line
    return again


@weather
@given(world=worlds(), drawn=moves)
def test_the_fold_equals_the_textbook(world: list[Json], drawn: list[Move]) -> None:
    """After every input both have decided the same; every account, position and ledger balance is the same."""
    duel = Duel(world)
    for number, move in enumerate(drawn):
        duel.move(move)
        assert copy(duel.fold).fold.digest() == duel.fold.fold.digest()
        if number % 8 == 0:
            agree(duel.fold.statement(), duel.textbook.statement(), str(move))
    agree(duel.fold.statement(), duel.textbook.statement(), "at the end")
    i8_snapshot_is_the_state(duel.fold.fold)


@weather
@given(world=worlds(), drawn=moves)
def test_an_input_applied_again_changes_nothing(world: list[Json], drawn: list[Move]) -> None:
    """Every input that was not refused is followed by itself: no decision, and the digest stands still (I7).

    Packed ticks apart: what has no number is a new observation, and several of one instrument can be a new wick.
    """
    engine = FoldEngine()
    for data in stream(world, drawn):
        refused = engine.fold.refused
        engine.apply(data)
        digest = engine.fold.digest()
        if engine.fold.refused == refused and json.loads(data)["type"] != "ticks":
            assert engine.apply(data) == []
            assert engine.fold.digest() == digest


@weather
@given(world=worlds(), drawn=moves, where=st.lists(st.integers(0, 60), min_size=3, max_size=3))
def test_replay_from_any_snapshot_gives_the_live_digest(world: list[Json], drawn: list[Move], where: list[int]) -> None:
    """From a snapshot taken anywhere the rest of the stream leads to the same decisions and the same digest (I8)."""
    inputs, live = stream(world, drawn), FoldEngine()
    followers: list[FoldEngine] = []
    for number, data in enumerate(inputs):
        if number in where:
            followers.append(copy(live))
        decisions = live.apply(data)
        for follower in followers:
            assert follower.apply(data) == decisions
            assert follower.fold.digest() == live.fold.digest()


@weather
@given(world=worlds(), drawn=moves, first=st.sampled_from(ACCOUNTS), data=st.data())
def test_events_of_different_accounts_commute(
    world: list[Json], drawn: list[Move], first: str, data: st.DataObject
) -> None:
    """Two accounts' own inputs give each account the same decisions and the same result in either order (I9)."""
    inputs = stream(world, drawn)
    engine = FoldEngine()
    for line in inputs:
        engine.apply(line)
    own = [line for line in inputs if json.loads(line).get("account")]
    mine = data.draw(st.sampled_from([line for line in own if json.loads(line)["account"] == first] or own))
    others = [line for line in own if json.loads(line)["account"] != json.loads(mine)["account"]]
    assume(others)
    theirs = data.draw(st.sampled_from(others))
    time_us = engine.fold.state.time_us
    pair = [renewed(line, time_us) for line in (mine, theirs)]
    assert told_apart(engine, pair) == told_apart(engine, pair[::-1])


def renewed(line: bytes, time_us: int) -> bytes:
    """An input as if it happened now, under an id of its own."""
    event = json.loads(line)
    renamed = {name: "again" for name in ("fill_id", "transfer_id", "command_id", "report_id") if name in event}
    return encoded({**event, **renamed, "time_us": time_us})


def told_apart(engine: FoldEngine, pair: list[bytes]) -> list[Json]:
    """What each account was told, in its own order, and where it stands."""
    fork = copy(engine)
    decisions = [decision for line in pair for decision in fork.apply(line)]
    throttled = {name for name, book in fork.fold.state.books.items() if book.rules.liquidation.throttle}
    private = [
        {name: value for name, value in decision.items() if name not in SHARED}
        for decision in decisions
        if decision["type"] not in ("uncovered_loss", "deleverage_requested")
        and not (decision["type"] == "liquidation_order" and decision["instrument"] in throttled)
    ]
    return sorted(private, key=lambda decision: str(decision.get("account"))) + fork.statement()[:-2]


@weather
@given(world=worlds(), drawn=moves)
def test_the_liquidation_price_liquidates_and_a_tick_better_does_not(world: list[Json], drawn: list[Move]) -> None:
    """A tick at the published price liquidates the position; a tick one step better does not."""
    engine = FoldEngine()
    for data in stream(world, drawn):
        engine.apply(data)
    for entry in engine.statement():
        for position in entry.get("positions", []):
            price = position["liquidation_price"]
            rules = engine.fold.state.books[position["instrument"]].rules
            if price is None or position["status"] == "liquidating" or rules.halted or rules.mark is not None:
                continue  # a guarded mark need not follow one tick
            step = Decimal(rules.event.price_tick)
            better = EXACT.add(Decimal(price), step if Decimal(position["quantity"]) > 0 else -step)
            assert liquidates(engine, position, Decimal(price))
            if 0 < better < 10**18:
                assert not liquidates(engine, position, better)


def liquidates(engine: FoldEngine, position: Json, price: Decimal) -> bool:
    """Whether a tick at `price` starts to liquidate the position."""
    # At the instrument's own time: a later tick could bring a version into force that is still to come.
    time_us = engine.fold.state.books[position["instrument"]].market_time_us
    tick = {"type": "tick", "instrument": position["instrument"], "price": f"{price:f}", "time_us": time_us}
    return any(
        decision["type"] == "liquidation_started" and decision["account"] == position["account"]
        for decision in copy(engine).apply(encoded(tick))
    )


@weather
@given(
    rows=st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 300)), min_size=1, max_size=6),
    step=st.integers(1, 100),
    side=st.sampled_from(["buy", "sell"]),
)
def test_maintenance_is_continuous_over_the_tiers(rows: list[tuple[int, int]], step: int, side: str) -> None:
    """From just below a floor to the floor maintenance grows at the lower rate, from there at the upper rate."""
    floors = [Fraction(0)]
    rates = [Fraction(1, 1000)]
    for width, rise in rows:
        floors.append(floors[-1] + Fraction(width, 100))
        rates.append(rates[-1] + Fraction(rise, 10_000))
    engine = FoldEngine()
    tiers = [{"floor": decimal(f), "maintenance_rate": decimal(r)} for f, r in zip(floors, rates, strict=True)]
    for event in (
        {"type": "asset", "asset": "USDT", "decimals": 18},
        {"type": "instrument", "instrument": "X", "version": 1, "contract": "linear", "settle_asset": "USDT"}
        | {"price_tick": "0.01", "quantity_step": "1", "tiers": tiers},
        {"type": "deposit", "transfer_id": "d", "account": "a", "asset": "USDT", "amount": "900000000"},
        {"type": "fill", "fill_id": "f", "account": "a", "instrument": "X", "side": side, "quantity": "1"}
        | {"price": "100", "margin": "100000000"},
    ):
        engine.apply(encoded({**event, "time_us": 1}))
    change = Fraction(step, 10**9)
    for floor, lower, upper in zip(floors[1:], rates, rates[1:], strict=False):
        below, at, above = (maintenance(engine, floor + shift) for shift in (-change, Fraction(0), change))
        assert at - below == lower * change
        assert above - at == upper * change


def maintenance(engine: FoldEngine, mark: Fraction) -> Fraction:
    """Maintenance margin of the only position at a mark."""
    engine.apply(encoded({"type": "tick", "instrument": "X", "price": decimal(mark), "time_us": 1}))
    return Fraction(engine.statement()[0]["positions"][0]["maintenance_margin"])


def decimal(value: Fraction) -> str:
    """A fraction of at most 18 decimals, written out."""
    return f"{Decimal(int(value * 10**18)).scaleb(-18):f}"


@weather
@given(
    fills=st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell"]), st.integers(1, 10**22), st.integers(1, 10**22), st.integers(-9, 99)
        ),
        min_size=30,
        max_size=60,
    ),
    decimals=st.integers(0, 8),
)
def test_odd_lots_leave_their_residue_in_rounding_alone(fills: list[tuple[str, int, int, int]], decimals: int) -> None:
    """Odd lots, odd prices, odd fees: every asset sums to zero, and all but buckets and rounding is in whole units."""
    engine = FoldEngine()
    instrument = {"type": "instrument", "instrument": "X", "version": 1, "contract": "linear", "settle_asset": "USDT"}
    terms = {"price_tick": "0.01", "quantity_step": "1", "tiers": [{"floor": "0", "maintenance_rate": "0.01"}]}
    engine.apply(encoded({"type": "asset", "asset": "USDT", "decimals": decimals, "time_us": 1}))
    engine.apply(encoded({**instrument, **terms, "time_us": 1}))
    for number, (side, quantity, price, fee) in enumerate(fills):
        fill = {"type": "fill", "fill_id": f"f{number}", "account": "a", "instrument": "X", "side": side, "time_us": 1}
        size, cost = decimal(Fraction(quantity, 10**18)), decimal(Fraction(price, 10**18))
        engine.apply(encoded({**fill, "quantity": size, "price": cost, "fee": decimal(Fraction(fee, 7**3 * 10))}))
    held = list(engine.statement()[-2]["balances"].items())
    assert sum(Fraction(amounts.get("USDT", 0)) for _, amounts in held) == 0
    for account, amounts in held:
        if account.split("|")[0] in {"wallet", "fees", "fund", "external"}:
            assert Fraction(amounts.get("USDT", 0)) * 10**decimals % 1 == 0
    assert 0 <= Fraction(dict(held).get("rounding", {}).get("USDT", 0)) < len(fills) * Fraction(1, 10**decimals)
