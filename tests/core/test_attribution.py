"""Why the liquidation price moved: views that lead from the price before to the price now, each step by its cause."""

import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.replica import FrameOutcomes, Replica
from ringfence_schemas.content import content_of
from ringfence_schemas.frames import FrameInput, Settings, SourceRange
from ringfence_schemas.inputs import encode_input
from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import INPUT_TOPICS
from tests.core.desk import instrument, tiers
from tests.core.engines import FoldEngine, Json, TextbookEngine
from tests.core.test_determinism import topic_of
from tests.core.test_properties import encoded, stream, weather
from tests.core.textbook.attribution import tell
from tests.core.textbook.books import Market
from tests.core.textbook.position import Position
from tests.core.weather import Move, moves, worlds

MOVES = "liquidation_price_moves"
FILLED = {"fill"}
PAID = {"fill", "deposit", "add_margin", "remove_margin", "set_leverage"}
CAUSED_BY = {"fill": FILLED, "fee": FILLED, "transfer": PAID, "funding": {"funding"}}
"""The inputs without which a cause cannot be."""


class Frames:
    """A replica that is given frames of inputs of any topics."""

    def __init__(self, **options: object) -> None:
        self.replica = Replica(Settings())
        self.read = dict.fromkeys(INPUT_TOPICS, 0)
        self.seq = self.time_us = 0
        if options:
            self.play(instrument(**options))

    def fold(self, *data: bytes) -> FrameOutcomes:
        """Fold a frame of these inputs, in their order."""
        self.seq += 1
        sources = [SourceRange(topic, 0, end, end + len(data), end, b"") for topic, end in self.read.items()]
        items = []
        for line in data:
            source = INPUT_TOPICS.index(topic_of(line))
            topic = INPUT_TOPICS[source]
            items.append(FrameInput(source, self.read[topic] - sources[source].start, 0, line))
            self.read[topic] += 1
        return self.replica.fold_inputs(self.seq, 0, sources, items)

    def play(self, *events: Json) -> list[Json]:
        """Fold a frame of these events, each a microsecond later, and return the positions that it shows."""
        lines = []
        for event in events:
            self.time_us += 1
            about: Json = {"account": "ann", "asset": "USDT"}
            if event["type"] != "deposit":
                about["instrument"] = "X"
            lines.append(encoded({**about, **event, "time_us": self.time_us}))
        return list(positions(self.fold(*lines)).values())

    def moved(self, *events: Json) -> list[tuple[str, str | None, str | None]]:
        """Why the only position that the frame shows says that its price moved."""
        (position,) = self.play(*events)
        return [(move["cause"], move["from_price"], move["to_price"]) for move in position[MOVES]]

    def restart(self) -> None:
        """Go on from a snapshot."""
        data = self.replica.snapshot()
        self.replica = Replica.restore(data, Settings())
        assert self.replica.snapshot() == data


def positions(outcomes: FrameOutcomes) -> dict[str, Json]:
    """The positions that a frame shows, by key."""
    shown = (record for record in outcomes.records if record.type == "position" and record.value is not None)
    return {record.key: msgspec.json.decode(record.value or b"") for record in shown}


def opened(**options: object) -> Frames:
    """Ann has bought ten contracts at 100 with 200 of margin, at a maintenance rate of 10 %."""
    frames = Frames(**{"attribution": True, "price_tick": "0.01", "tiers": tiers(("0", "0.1")), **options})
    frames.play({"type": "deposit", "transfer_id": "d", "amount": "1000"})
    (first,) = frames.play(buy("f", "10", "100", margin="200"))
    assert MOVES not in first
    return frames


def buy(fill_id: str, quantity: str, price: str, **fields: object) -> Json:
    """A fill that buys, without a fee unless it has one."""
    return {"type": "fill", "fill_id": fill_id, "side": "buy", "quantity": quantity, "price": price, **fields}


def sell(fill_id: str, quantity: str, price: str, **fields: object) -> Json:
    """A fill that sells."""
    return {**buy(fill_id, quantity, price, **fields), "side": "sell"}


def add(command_id: str, amount: str) -> Json:
    """Margin from the wallet."""
    return {"type": "add_margin", "command_id": command_id, "amount": amount}


def look(command_id: str) -> Json:
    """A fact that touches the position, and moves nothing: the leverage it has is chosen again."""
    return {"type": "set_leverage", "command_id": command_id, "leverage": "1"}


def tick(price: str) -> Json:
    """A price."""
    return {"type": "tick", "price": price}


def funding(funding_id: str, rate: str, price: str = "100") -> Json:
    """A payment per unit of size."""
    return {"type": "funding", "funding_id": funding_id, "rate": rate, "price": price}


# ---------------------------------------------------------------------------------------------- each cause by itself


def test_each_cause_moves_the_price_by_what_it_did() -> None:
    """Ten at 100 with 200 behind them, at a rate of 10 %, are liquidated at 800 / 9.

    A payment of 9 makes that 809 / 9 once something touches the position, margin of 45 makes it 764 / 9; ten more at
    85 with nothing behind them 1614 / 18.  A fee that the wallet cannot pay makes 2 more of it, and one more at 85
    makes it 1701 / 18.9.
    """
    frames = opened()
    assert frames.moved(funding("h", "0.009"), look("l")) == [("funding", "88.88", "89.88")]
    assert frames.moved(add("a", "45")) == [("transfer", "89.88", "84.88")]
    assert frames.moved(buy("g", "10", "85", margin="0")) == [("fill", "84.88", "89.66")]
    frames.play({"type": "withdrawal", "transfer_id": "w", "amount": "755"})
    assert frames.moved(buy("i", "1", "85", fee="2")) == [("fee", "89.66", "89.77"), ("fill", "89.77", "90")]


def test_what_a_fill_brings_or_frees_is_part_of_the_fill() -> None:
    """Five of ten sold at cost free half of the margin: the price stays, and nothing is said to have moved it.  One
    more bought with 30 behind it moves it once.
    """
    frames = opened()
    assert frames.moved(sell("s", "5", "100")) == []
    assert frames.moved(buy("b", "1", "100", margin="30")) == [("fill", "88.88", "87.03")]


def test_everything_of_one_frame_is_told_in_one_order() -> None:
    """Margin, a fill with a fee from the bucket, and funding, in this order in a frame: 800 / 9 plus 9 of funding, 2 of
    fee, less 45; the half that is left at 98, all margin kept, is liquidated at 271.5 / 4.5.
    """
    frames = opened(release_on_reduce="none")
    sold = sell("s", "5", "98", fee="2")
    assert frames.moved(add("a", "45"), sold, funding("h", "0.009")) == [
        ("funding", "88.88", "89.88"),
        ("fee", "89.88", "90.11"),
        ("transfer", "90.11", "85.11"),
        ("fill", "85.11", "60.33"),
    ]


@pytest.mark.parametrize("command", ["remove_margin", "set_leverage", "deposit"])
def test_every_way_of_moving_margin_is_a_transfer(command: str) -> None:
    """45 taken out, 300 put in by choosing a leverage of 2, 45 sent straight into the bucket."""
    event: Json = {"type": command, "command_id": "c", "amount": "45"}
    to_price = {"remove_margin": "93.88", "set_leverage": "55.55", "deposit": "83.88"}[command]
    if command == "set_leverage":
        event |= {"leverage": "2", "rebalance": True}
    if command == "deposit":
        event |= {"transfer_id": "e", "instrument": "X"}
    frames = opened(default_leverage="10")
    frames.play(tick("110"))
    assert frames.moved(event) == [("transfer", "88.88", to_price)]


def test_a_short_and_an_inverse_contract_are_told_alike() -> None:
    """A short of ten at 100 with 200: 1200 / 11, and 12 less once it paid 12.  An inverse long of 100 at 100 with 0.2
    of the coin: 110 / 1.2, then 110 / 1.25, / 1.24, / 1.23; selling half of it frees half.
    """
    short = Frames(attribution=True, price_tick="0.01", tiers=tiers(("0", "0.1")))
    short.play({"type": "deposit", "transfer_id": "d", "amount": "1000"})
    short.play(sell("f", "10", "100", margin="200"))
    assert short.moved(funding("h", "-0.012"), look("l")) == [("funding", "109.1", "108")]
    inverse = Frames(attribution=True, contract="inverse", price_tick="0.01", tiers=tiers(("0", "0.1")))
    inverse.play({"type": "deposit", "transfer_id": "d", "amount": "10"})
    inverse.play(buy("f", "100", "100", margin="0.2"))
    assert inverse.moved(add("a", "0.05")) == [("transfer", "91.66", "88")]
    assert inverse.moved(funding("h", "0.01"), sell("s", "50", "88", fee="0.01")) == [
        ("funding", "88", "88.7"),
        ("fee", "88.7", "89.43"),
    ]


def test_no_price_at_all_is_null_on_either_side() -> None:
    """With all of its value behind it the position has no liquidation price, until 90 are taken out again: 90 / 9."""
    frames = opened(default_leverage="10")
    frames.play(tick("100"))
    assert frames.moved(add("a", "800")) == [("transfer", "88.88", None)]
    assert frames.moved({"type": "remove_margin", "command_id": "r", "amount": "90"}) == [("transfer", None, "10")]


def test_a_version_moves_the_price_even_to_another_grid() -> None:
    """At 20 % the ten are liquidated at 800 / 8, on a grid of 0.07 at 99.96; whatever else changed comes after."""
    frames = opened()
    version = instrument(attribution=True, version=2, price_tick="0.07", tiers=tiers(("0", "0.2")))
    assert frames.moved(version, add("a", "80")) == [("parameter", "88.88", "99.96"), ("transfer", "99.96", "89.95")]


def test_a_rate_of_volatility_moves_the_price() -> None:
    """The tick to 99 raises the rate at once; the next fact that touches the position says what that did."""
    rises = {"interval_us": 1, "lambda": "0.5", "multiplier": "20", "horizon_us": 10, "step": "0.01", "cap": "0.9"}
    frames = opened(volatility={**rises, "notice_us": 0, "hold_us": 10})
    frames.play(tick("100"))
    ((cause, from_price, to_price),) = frames.moved(tick("99"), look("l"))
    rate = frames.replica.fold.state.books["X"].rules.volatility_rate
    assert (cause, from_price) == ("volatility", "88.88")
    assert float(to_price or 0) == pytest.approx(80 / (1 - rate / 10**18), abs=0.01)


def test_where_the_walk_begins_at_the_mark_the_mark_moves_the_price() -> None:
    """Tiers of mode `whole`: ten at 100 with 520 meet 50 % from 900 of notional on at 96, and 1 % below it at 48.48.

    With the mark at 100 the first is ahead; a jump over it to 89 leaves the second.
    """
    frames = opened(tier_mode="whole", tiers=tiers(("0", "0.01"), ("900", "0.5")))
    assert frames.moved(add("a", "320"))[-1] == ("transfer", "160", "96")
    frames.play(tick("100"))
    assert frames.moved(tick("89"), look("l")) == [("mark", "96", "48.48")]


def test_at_the_entry_price_the_entry_belongs_to_the_fill() -> None:
    """Under basis `entry` ten at 100 keep 100: liquidated at 90; ten more at 80 with 160 keep 180, at 81."""
    frames = opened(maintenance={"basis": "entry"})
    assert frames.moved(buy("b", "10", "80", margin="160")) == [("fill", "90", "81")]


def test_what_the_wallet_pays_of_funding_is_funding() -> None:
    """The wallet pays 9, so nothing moves; the 9 that come back stay in the bucket, and move the price by one."""
    frames = opened(funding_payer="free_balance_first")
    assert frames.moved(funding("h", "0.009")) == []
    frames = opened(funding_payer="free_balance_first")
    assert frames.moved(funding("h", "0.009"), funding("i", "-0.009"), look("l")) == [("funding", "88.88", "87.88")]


def test_the_fee_of_a_liquidation_is_a_fee() -> None:
    """The executor sells one of ten at 88: its fee of 0.88 goes to the fund, then nine are left."""
    frames = opened(liquidation={"fee_rate": "0.01", "deadline_us": 1000})
    frames.play(tick("88"))
    sold = sell("s", "1", "88", liquidation_id="ann|X|l1")
    assert frames.moved(sold) == [("fee", "88.88", "88.98"), ("fill", "88.98", "88")]


# -------------------------------------------------------------------------------------------- when nothing is said


@pytest.mark.parametrize(
    "events",
    [
        [sell("s", "10", "100"), buy("b", "10", "100", margin="100")],
        [sell("s", "20", "100", margin="100")],
    ],
)
def test_a_position_that_was_opened_anew_begins_anew(events: list[Json]) -> None:
    """Closed and opened again in one frame, or turned round by one fill: there is nothing to compare with."""
    frames = opened()
    (position,) = frames.play(*events)
    assert MOVES not in position
    assert frames.moved(look("l")) == []


def test_a_closed_position_is_forgotten() -> None:
    """The next one has a first view of its own."""
    frames = opened()
    assert frames.play(sell("s", "10", "100")) == []
    assert MOVES not in frames.play(buy("b", "10", "100", margin="100"))[0]


def test_an_instrument_that_does_not_ask_is_shown_as_ever() -> None:
    """No field, and nothing remembered, before the option comes into force and from its end on."""
    frames = Frames(price_tick="0.01", tiers=tiers(("0", "0.1")))
    frames.play({"type": "deposit", "transfer_id": "d", "amount": "1000"})
    plain: Json = {"price_tick": "0.01", "tiers": tiers(("0", "0.1"))}
    for events, said in [
        ([buy("f", "10", "100", margin="200")], False),
        ([add("a", "9")], False),
        ([instrument(**plain, version=2, attribution=True)], False),
        ([add("b", "9")], True),
        ([instrument(**plain, version=3, attribution=True)], True),
        ([instrument(**plain, version=4, attribution=False)], False),
        ([add("c", "9"), funding("h", "0.009")], False),
        ([instrument(**plain, version=5, attribution=True)], False),
        ([add("e", "9"), instrument(**plain, version=6), instrument(**plain, version=7, attribution=True)], False),
    ]:
        (position,) = frames.play(*events)
        assert (MOVES in position) == said
        asked = frames.replica.fold.state.books["X"].rules.attribution
        assert (frames.replica.fold.state.books["X"].buckets["ann"].shown is not None) == asked


# ------------------------------------------------------------------------------------------------- in any weather


@weather
@given(
    world=worlds(),
    drawn=moves,
    sizes=st.lists(st.integers(1, 4), min_size=60, max_size=60),
    restarts=st.sets(st.integers(0, 40), max_size=5),
)
def test_the_steps_are_those_of_the_textbook(
    world: list[Json], drawn: list[Move], sizes: list[int], restarts: set[int]
) -> None:
    """However the inputs are cut into frames, and whenever the engine restarts: the steps begin at the price published
    before, end at the one published now, are caused by what happened, and are those of the textbook.
    """
    inputs, frames, textbook = stream(world, drawn), Frames(), TextbookEngine()
    published: dict[str, str | None] = {}
    happened: list[Json] = []
    since: dict[str, int] = {}
    for number, batch in enumerate(cut(inputs, sizes)):
        shown = frames.fold(*batch)
        happened += [json.loads(line) for line in batch]
        for line in batch:
            textbook.apply(line)
        closed = [record.key for record in shown.records if record.type == "position" and record.value is None]
        for key in closed:
            published.pop(key, None)
        for key, position in positions(shown).items():
            expected = tell(*held(textbook, key))
            assert position.get(MOVES) == expected, key
            if expected is not None:
                telescopes(position, published[key])
                assert causes(position) <= possible(happened[since[key] :], key)
            published[key], since[key] = position["liquidation_price"], len(happened)
        if number in restarts:
            frames.restart()


def cut(inputs: list[bytes], sizes: list[int]) -> Iterator[list[bytes]]:
    """The inputs in frames of these sizes; one each when there are no more sizes."""
    start, left = 0, iter(sizes)
    while start < len(inputs):
        size = next(left, 1)
        yield inputs[start : start + size]
        start += size


def held(textbook: TextbookEngine, key: str) -> tuple[Market, Position]:
    """What the textbook holds of a position: its market, and itself."""
    account, name = key.split("|")
    books = textbook.venue.books
    return books.markets[name], books.positions[account, name]


def telescopes(position: Json, before: str | None) -> None:
    """Each step begins where the one before ended and leads elsewhere, from the price before to the price now."""
    for move in position[MOVES]:
        assert move["from_price"] == before != move["to_price"]
        before = move["to_price"]
    assert before == position["liquidation_price"]


def causes(position: Json) -> set[str]:
    """The causes that a view gives."""
    return {move["cause"] for move in position[MOVES]}


def possible(happened: list[Json], key: str) -> set[str]:
    """The causes that these inputs can have had for a position; what a tick or a version does may show later."""
    account, name = key.split("|")
    kinds = {
        event["type"]
        for event in happened
        if event.get("instrument") == name and event.get("account") in (None, account)
    }
    return {"parameter", "volatility", "mark"} | {cause for cause, by in CAUSED_BY.items() if kinds & by}


@weather
@given(world=worlds(), drawn=moves)
def test_apart_from_what_is_asked_for_views_are_the_same_to_the_byte(world: list[Json], drawn: list[Move]) -> None:
    """The same inputs with the option and without it: the same views, but for one field at their end."""
    with_it, without_it = Frames(), Frames()
    for line in stream(world, drawn):
        asked = json.loads(line)
        plain = {name: value for name, value in asked.items() if name != "attribution"}
        shown = [frames.fold(encoded(event)).records for frames, event in ((with_it, asked), (without_it, plain))]
        for record, other in zip(*shown, strict=True):
            if record.type == "position" and record.value is not None:
                assert record.value.partition(b',"' + MOVES.encode())[0].rstrip(b"}") == (other.value or b"").rstrip(
                    b"}"
                )


@weather
@given(world=worlds(), drawn=moves, sizes=st.lists(st.integers(1, 9), max_size=60))
def test_the_digest_is_that_of_the_inputs_whatever_the_frames(
    world: list[Json], drawn: list[Move], sizes: list[int]
) -> None:
    """What stood at the last view depends on the frames, and is not in it: a fold without any has the same."""
    inputs, frames, without = stream(world, drawn), Frames(), FoldEngine()
    for batch in cut(inputs, sizes):
        frames.fold(*batch)
        for line in batch:
            without.apply(line)
        assert frames.replica.digest() == without.fold.digest()


def test_an_instrument_that_does_not_ask_has_the_content_that_it_had() -> None:
    """The option is left out of what is hashed where it is not stated."""
    event = decode_input(encoded({**instrument(), "attribution": None}))
    assert b"attribution" not in encode_input(event)
    assert content_of(event) == content_of(decode_input(encoded(instrument())))
    assert b"attribution" not in content_of(event)
    assert b"attribution" in content_of(decode_input(encoded(instrument(attribution=False))))
