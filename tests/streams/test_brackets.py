"""Claims about tables of leverage brackets: what is read, exactly, and what is refused with its row."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from fractions import Fraction

import pytest

from ringfence_schemas.inputs import encode_input
from ringfence_streams.venues.brackets import BracketsRefused, BracketsUnknown, Table, find_tables, own_tiers
from ringfence_streams.venues.presets import instrument_of, presets
from tests.core.engines import FoldEngine, Json
from tests.test_tidy import ROOT

DATA = ROOT / "examples" / "brackets" / "binance_usdm_tiers.json"
PUBLISHED = json.loads(DATA.read_text(encoding="utf-8"))["instruments"]

USD_M = """[{"symbol": "BTCUSDT", "brackets": [
  {"bracket": 1, "initialLeverage": 125, "notionalCap": 50000, "notionalFloor": 0,
   "maintMarginRatio": 0.004, "cum": 0.0},
  {"bracket": 2, "initialLeverage": 100, "notionalCap": 6e5, "notionalFloor": 50000,
   "maintMarginRatio": 5e-3, "cum": 50.0}
]}]"""
COIN_M = """[{"symbol": "BTCUSD_PERP", "brackets": [
  {"bracket": 1, "initialLeverage": 125, "qtyCap": 5, "qtyFloor": 0, "maintMarginRatio": 0.004, "cum": 0.0},
  {"bracket": 2, "initialLeverage": 100, "qtyCap": 10, "qtyFloor": 5, "maintMarginRatio": 0.005, "cum": 0.005}
]}]"""
CCXT = """{"BTC/USDT:USDT": [
  {"tier": 1, "symbol": "BTC/USDT:USDT", "currency": "USDT", "minNotional": 0.0, "maxNotional": 50000.0,
   "maintenanceMarginRate": 0.004, "maxLeverage": 125.0, "info": {"notionalFloor": "0", "cum": "0.0"}},
  {"tier": 2, "symbol": "BTC/USDT:USDT", "currency": "USDT", "minNotional": 50000.0, "maxNotional": null,
   "maintenanceMarginRate": 0.005, "maxLeverage": 100.0, "info": {"notionalFloor": "50000", "cum": "50.0"}}
]}"""
ROWS = (
    {"floor": "0", "maintenance_rate": "0.004", "max_leverage": "125", "maintenance_amount": "0"},
    {"floor": "50000", "maintenance_rate": "0.005", "max_leverage": "100", "maintenance_amount": "50"},
)


def tables(text: str, *, sizes_are_notional: bool = False) -> list[Table]:
    """Every table of a document."""
    return [read() for read in find_tables(text.encode(), sizes_are_notional=sizes_are_notional).values()]


def changed(text: str, old: str, new: str) -> str:
    """A document with one place changed."""
    assert old in text
    return text.replace(old, new, 1)


# ------------------------------------------------------------------------------------------------------------- formats


def test_every_format_of_the_same_brackets_gives_the_same_rows() -> None:
    """Binance's answer for all symbols and for one, ccxt's of it, and the words of an instrument event."""
    ours = json.dumps({"source": "typed", "instruments": {"BTC-USDT-PERP": ROWS}})
    alone = USD_M.strip().removeprefix("[").removesuffix("]")
    read = [tables(text)[0] for text in (USD_M, alone, CCXT, ours)]
    assert [table.tiers for table in read] == [ROWS] * 4
    assert [table.symbol for table in read] == ["BTCUSDT", "BTCUSDT", "BTC/USDT:USDT", "BTC-USDT-PERP"]
    assert [table.contract for table in read] == ["linear", "linear", "linear", None]
    assert [table.settle_asset for table in read] == ["USDT"] * 4


def test_edges_by_quantity_of_the_coin_are_its_notional() -> None:
    """Binance: 100 contracts of 100 USD at 25,000 are 0.4 BTC, in level 1; so floors in coins need no conversion."""
    for text in (COIN_M, COIN_M.replace("qtyFloor", "qtylFloor")):
        (table,) = tables(text)
        assert (table.contract, table.settle_asset) == ("inverse", "BTC")
        assert table.tiers[1] == {
            "floor": "5",
            "maintenance_rate": "0.005",
            "max_leverage": "100",
            "maintenance_amount": "0.005",
        }
    (unified,) = tables(
        """{"BTC/USD:BTC": [{"tier": 1, "currency": "USD", "minNotional": 0, "maxNotional": 5, "maxLeverage": 125,
        "maintenanceMarginRate": 0.004, "info": {"qtyFloor": "0", "cum": "0"}}]}"""
    )
    assert (unified.contract, unified.settle_asset, unified.tiers[0]["floor"]) == ("inverse", "BTC", "0")


@pytest.mark.parametrize(
    ("symbol", "asset"),
    [
        ("BTCUSDT", "USDT"),
        ("BTCUSDT_241227", "USDT"),
        ("USDCUSDT", "USDT"),
        ("1000SHIBUSDC", "USDC"),
        ("ETHBTC", "BTC"),
        ("BTCEUR", None),
        ("USDT", None),
    ],
)
def test_the_settlement_asset_is_the_end_of_the_symbol_or_not_known(symbol: str, asset: str | None) -> None:
    """The margin assets of USD-M contracts, dated ones too; anything else is not guessed."""
    assert tables(USD_M.replace("BTCUSDT", symbol))[0].settle_asset == asset


def test_bybit_by_way_of_ccxt_brings_its_deduction_along() -> None:
    """`mmDeduction` is the maintenance amount, empty in the first tier."""
    (table,) = tables(
        """{"BTC/USDT:USDT": [
          {"tier": 1, "minNotional": 0, "maxNotional": 2000000, "maintenanceMarginRate": 0.005, "maxLeverage": 100,
           "info": {"riskLimitValue": "2000000", "mmDeduction": ""}},
          {"tier": 2, "minNotional": 2000000, "maxNotional": 2600000, "maintenanceMarginRate": 0.0056,
           "maxLeverage": 90, "info": {"riskLimitValue": "2600000", "mmDeduction": "1200"}}]}"""
    )
    assert [tier.get("maintenance_amount") for tier in table.tiers] == [None, "1200"]


def test_numbers_never_pass_through_a_binary_float() -> None:
    """Digits that no float has arrive as they were written; a nineteenth decimal is refused, not rounded."""
    exact = "123456789012345678.000000000000000001"
    text = changed(USD_M, '"notionalCap": 50000, ', "")
    text = text.replace('"notionalFloor": 50000', f'"notionalFloor": {exact}')
    assert tables(text)[0].tiers[1]["floor"] == exact
    with pytest.raises(BracketsRefused, match=r"BTCUSDT row 2: floor: .* needs more than 18 decimals"):
        tables(text.replace(exact, exact + "1"))


def test_adjusted_brackets_are_taken_as_they_stand_and_said() -> None:
    """A notionalCoef other than 1 says whose brackets they are; the rows are those of the answer."""
    for coefficient, note in (("1.50", True), ('"4.0"', True), ("1.0", False), ("null", False)):
        (table,) = tables(changed(USD_M, '"brackets"', f'"notionalCoef": {coefficient}, "brackets"'))
        assert table.tiers == ROWS
        assert (table.note is not None) == note
        assert not note or "times the default, taken as they stand" in (table.note or "")


# ------------------------------------------------------------------------------------------------------------ refusals

SHAPELESS = [
    "[]",
    "{}",
    "3",
    "{nonsense",
    "\udc80",
    "[" * 100_000,
    '{"instruments": {}, "source": "x"}',
    '{"instruments": {"A": {}}, "source": "x"}',
    '{"instruments": {"A": [3]}, "source": "x"}',
    '{"code": -2014, "msg": "API-key format invalid."}',
    '{"A/B:B": [{"tier": 1}]}',
    '{"A/B:B": {"minNotional": 0}}',
    '[{"symbol": "BTCUSDT", "brackets": [{"bracket": 1}]}]',
    '[{"symbol": "BTCUSDT", "brackets": []}]',
    '[{"symbol": "BTCUSDT", "brackets": [3]}]',
    f"[{USD_M.strip()[1:-1]}, 3]",
    f'[{USD_M.strip()[1:-1]}, {{"symbol": "X"}}]',
    '[{"symbol": "X", "brackets": [{"notionalFloor": 0}, {"qtyFloor": 5}]}]',
]


@pytest.mark.parametrize("text", SHAPELESS)
def test_what_has_no_known_shape_is_not_guessed_at(text: str) -> None:
    """Neither a half table, nor rows of two kinds, nor an error of the venue."""
    with pytest.raises(BracketsUnknown):
        [read() for read in find_tables(text.encode(errors="surrogateescape")).values()]


WRONG: list[tuple[str, str]] = [
    (
        changed(USD_M, '"notionalCap": 50000', '"notionalCap": 49999'),
        "row 1: it ends at 49999, but row 2 begins at 50000",
    ),
    (
        changed(USD_M, '"maintMarginRatio": 0.004', '"maintMarginRatio": 0.4'),
        "row 1: at leverage 125 a position begins",
    ),
    (
        changed(USD_M, '"maintMarginRatio": 0.004', '"maintMarginRatio": "x"'),
        "row 1: maintMarginRatio: 'x' is no decimal",
    ),
    (
        changed(USD_M, '"maintMarginRatio": 0.004', '"maintMarginRatio": true'),
        "row 1: maintMarginRatio: True is no decimal",
    ),
    (changed(USD_M, '"maintMarginRatio": 0.004, ', ""), "row 1: maintMarginRatio: missing"),
    (changed(USD_M, '"initialLeverage": 100, ', ""), "row 2: initialLeverage: missing"),
    (changed(USD_M, '"cum": 50.0', '"cum": NaN'), "NaN is no number that JSON has"),
    (changed(USD_M, '"bracket": 1', '"bracket": 1, "bracket": 2'), "'bracket' stands twice in one object"),
    (f"[{USD_M.strip()[1:-1]}, {USD_M.strip()[1:-1]}]", "BTCUSDT stands twice"),
    (COIN_M.replace("symbol", "pair"), "brackets of a pair may be those of several contracts"),
    (changed(CCXT, '"BTC/USDT:USDT"', '"BTC/USDT"'), "no contract as ccxt names one"),
    (changed(CCXT, '"BTC/USDT:USDT"', '"BTC/USD:ETH"'), "neither linear nor inverse"),
    (changed(CCXT, '"BTC/USDT:USDT"', '"BTC/USDT:BTC"'), "row 1: its sizes may be contracts"),
    (changed(CCXT, '"notionalFloor": "0"', '"minSz": "0"'), r"row 1: its sizes are numbers of contracts \(minSz\)"),
    (changed(CCXT, '{"notionalFloor": "0", "cum": "0.0"}', "null"), "row 1: its sizes may be contracts"),
    ('{"A/B:B": [], "BTC/USDT:USDT": ' + CCXT.partition(": ")[2], "A/B:B: no rows"),
    ('{"source": "x", "instruments": {"A": []}}', "A: no rows"),
    ('{"source": "x", "instruments": {"A": [{"floor": 0, "rate": 1}]}}', "A row 1: a tier has no rate"),
    ('{"source": "x", "instruments": {"A": [{"maintenance_rate": 0.1}]}}', "A row 1: floor is missing"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_contradiction_is_named_with_its_row(text: str, message: str) -> None:
    """Each document has one fault; the message says where."""
    with pytest.raises(BracketsRefused, match=message):
        tables(text)


def test_a_sender_may_vouch_for_sizes_but_not_for_numbers_of_contracts() -> None:
    """`--sizes-are-notional` is for venues not known here; rows that count contracts stay refused."""
    unknown = changed(CCXT, '{"notionalFloor": "0", "cum": "0.0"}', '{"lower": "0"}')
    assert tables(unknown, sizes_are_notional=True)[0].tiers[0] == {k: ROWS[0][k] for k in list(ROWS[0])[:3]}
    with pytest.raises(BracketsRefused):
        tables(changed(CCXT, '"notionalFloor": "0"', '"contracts": "0"'), sizes_are_notional=True)


def test_what_is_not_asked_for_is_not_looked_at() -> None:
    """A table with a fault does not keep the others from being read."""
    text = f"[{USD_M.strip()[1:-1]}, {changed(USD_M, '0.004', '0.4').replace('BTCUSDT', 'BADUSDT').strip()[1:-1]}]"
    found = find_tables(text.encode())
    assert found["BTCUSDT"]().tiers == ROWS
    with pytest.raises(BracketsRefused):
        found["BADUSDT"]()


def test_tiers_of_ones_own_keep_their_words() -> None:
    """Rates by side and initial rates pass; null is as if left out."""
    row = {"floor": "0.0", "maintenance_rate_long": "0.10", "maintenance_rate_short": "0.11", "max_leverage": None}
    assert own_tiers("t", [row]) == [{"floor": "0", "maintenance_rate_long": "0.1", "maintenance_rate_short": "0.11"}]


# ------------------------------------------------------------------------------------------- the venue's own amounts


def holding(symbol: str, notionals: list[Decimal], decimals: int) -> list[Json]:
    """Positions of these notionals at a price of 1, each with its notional as collateral, long and short."""
    (table,) = [read() for name, read in find_tables(DATA.read_bytes()).items() if name == symbol]
    stated = presets()["binance-linear"].parameters | {"tiers": list(table.tiers), "instrument": symbol}
    engine = FoldEngine()
    engine.apply(json.dumps({"type": "asset", "asset": "USDT", "decimals": decimals, "time_us": 1}).encode())
    event = instrument_of({**stated, "version": 1, "time_us": 1})
    (listed,) = engine.apply(encode_input(event))
    assert listed["type"] == "instrument_changed"
    for number, notional in enumerate(notionals):
        for side in ("buy", "sell"):
            mine = {"account": f"{number:03}-{side}", "time_us": 2}
            money = {
                "type": "deposit",
                "transfer_id": f"{number}{side}",
                "asset": "USDT",
                "amount": str(notional),
                **mine,
            }
            fill = {"fill_id": f"{number}{side}", "instrument": symbol, "side": side, "price": "1", **mine}
            size = {"quantity": str(notional), "margin": str(notional)}
            for each in (money, {"type": "fill", **fill, **size}):
                engine.apply(json.dumps(each).encode())
    engine.apply(json.dumps({"type": "tick", "instrument": symbol, "price": "1", "time_us": 3}).encode())
    return [line["positions"][0] for line in engine.statement() if line["type"] == "account"]


@pytest.mark.parametrize("symbol", PUBLISHED)
def test_maintenance_is_the_venues_own_at_every_floor(symbol: str) -> None:
    """One unit below each floor, on it, one above: notional times the bracket's rate less its published amount.

    At a floor the two brackets that meet there agree, so maintenance has no step.
    """
    unit, rows = Decimal("0.00000001"), PUBLISHED[symbol]
    floors = [Decimal(row["floor"]) for row in rows]
    notionals = [floors[0] + unit, *(floor + step for floor in floors[1:] for step in (-unit, Decimal(0), unit))]
    views = holding(symbol, notionals, 18)
    assert len(views) == 2 * len(notionals)
    for position, notional in zip(views, [each for each in notionals for _ in range(2)], strict=True):
        tier = max(number for number, floor in enumerate(floors) if floor <= notional)
        assert Fraction(position["maintenance_margin"]) == requirement(rows[tier], str(notional))
        assert (position["tier"], Fraction(position["notional"])) == (tier + 1, Fraction(notional))
    for lower, upper in itertools.pairwise(rows):
        assert requirement(lower, upper["floor"]) == requirement(upper, upper["floor"])


def requirement(row: Json, notional: str) -> Fraction:
    """What a published bracket charges a notional."""
    return Fraction(notional) * Fraction(row["maintenance_rate"]) - Fraction(row["maintenance_amount"])
