"""Claims about `ringfence instruments`: presets and brackets become events that a fold accepts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from ringfence_schemas.inputs import Instrument
from ringfence_schemas.reading import decode_input
from ringfence_streams.venues.presets import presets
from tests.core.engines import FoldEngine, Json
from tests.streams.command import Called, call, objects, ringfence
from tests.streams.test_brackets import CCXT, COIN_M, DATA, PUBLISHED, USD_M
from tests.test_tidy import ROOT

Capture = pytest.CaptureFixture[bytes]

GRID = ("--price-tick", "0.1", "--quantity-step", "0.001", "--time-us", "1")


def instruments(capture: Capture, *arguments: str | Path, status: int = 0) -> Called:
    """Run a command of the group, and claim its exit status; one that fails prints no event."""
    called = call(capture, "instruments", *arguments)
    assert called.status == status, called
    assert status == 0 or called.stdout == b""
    return called


def folded(line: bytes, *events: Json, asset: str = "USDT") -> Json:
    """The position of account a, after an event of the command and more."""
    engine = FoldEngine()
    engine.apply(json.dumps({"type": "asset", "asset": asset, "decimals": 18, "time_us": 1}).encode())
    (listed,) = engine.apply(line)
    assert listed["type"] == "instrument_changed"
    money = {"type": "deposit", "transfer_id": "d", "account": "a", "asset": asset, "amount": "1000000", "time_us": 1}
    for event in (money, *events):
        engine.apply(json.dumps(event).encode())
    position: Json = engine.statement()[0]["positions"][0]
    return position


def opened(instrument: str, side: str, quantity: str, price: str, margin: str) -> Json:
    """A fill that opens a position of account a with its collateral."""
    size = {"side": side, "quantity": quantity, "price": price, "margin": margin}
    return {"type": "fill", "fill_id": "f", "account": "a", "instrument": instrument, "time_us": 1, **size}


# ------------------------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_accepted_by_the_fold(name: str, capfdbinary: Capture) -> None:
    """Its event lists the instrument, with every parameter of the table in it."""
    called = instruments(capfdbinary, "preset", name, "--instrument", "X", "--time-us", "7")
    (event,) = objects(called.stdout)
    assert event == {"type": "instrument", "instrument": "X", "version": 1, "time_us": 7, **presets()[name].parameters}
    (listed,) = FoldEngine().apply(called.stdout.rstrip())
    assert (listed["type"], listed["instrument"]) == ("instrument_changed", "X")
    assert presets()[name].tiers_are in called.stderr
    assert "the grid is an example: state --price-tick and --quantity-step\n" in called.stderr


def test_every_venue_of_the_margin_rules_has_a_preset_with_its_sources() -> None:
    """Each says which public page it rests on, when that was looked at, what it matches and what it does not."""
    assert list(presets()) == [
        "binance-linear",
        "binance-inverse",
        "bybit",
        "okx",
        "kraken-inverse",
        "hyperliquid",
        "dydx",
        "bitmex",
        "vega",
    ]
    for each in presets().values():
        assert each.sources
        assert all((each.matches, each.differs, each.tiers_are, each.example, each.venue))
        for source in each.sources:
            assert source.address.startswith("https://")
            assert source.says
            assert source.looked_at.year >= 2026


EXAMPLES = [
    # Binance: wallet balance 13200.70726908, long 20 at 6563.665; the second bracket of the time is the preset's.
    ("binance-linear", (), "buy 20 6563.665 13200.70726908", {"liquidation_price": "5930.78"}),
    ("binance-linear", (), "sell 10 6563.86 6570.42511771", {"liquidation_price": "7189.96"}),
    # Binance: 2 contracts of 100 USD: 25119.974457609.
    ("binance-inverse", ("0.1",), "buy 2 37643.10000021 0.00268058", {"liquidation_price": "25119.9"}),
    # Kraken: 1000 contracts at 8000 with 0.01 BTC: liquidated at 7481; bankrupt at 7407.40, on a grid of 1 at 7408.
    ("kraken-inverse", ("1",), "buy 1000 8000 0.01", {"liquidation_price": "7481", "bankruptcy_price": "7408"}),
    # dYdX: short 3 at 3000 with 1000: 3174.6031.
    ("dydx", (), "sell 3 3000 1000", {"liquidation_price": "3174.61"}),
    # Bybit: a long of 60000 at 50 times leverage is bankrupt at 58800.
    ("bybit", ("0.1",), "buy 1 60000 1200", {"bankruptcy_price": "58800"}),
    # OKX: 10 USD at 2566.31, coin-margined: 2352.83966818.
    (
        "okx",
        ("0.01", "--set", "contract=inverse", "--multiplier", "10", "--settle-asset", "ETH"),
        "buy 1 2566.31 0.0003896645377994",
        {"liquidation_price": "2352.83"},
    ),
    # Hyperliquid: 20 times leverage at a greatest leverage of 40: 1.25 % of maintenance; (100 - 5) / 0.9875.
    ("hyperliquid", (), "buy 1 100 5", {"liquidation_price": "96.2", "maintenance_rate": "0.0125"}),
    # Vega: the risk factor of the side.
    ("vega", (), "buy 10 144 1000", {"maintenance_rate": "0.1"}),
    ("vega", (), "sell 10 144 1000", {"maintenance_rate": "0.11"}),
    # BitMEX: requirements at the entry price, 0.5 % of 1000 USD / 8000.
    ("bitmex", (), "buy 1000 8000 0.01", {"maintenance_margin": "0.000625"}),
]


@pytest.mark.parametrize(("name", "options", "fill", "expected"), EXAMPLES)
def test_a_preset_gives_what_its_venue_publishes(
    name: str, options: tuple[str, ...], fill: str, expected: dict[str, str], capfdbinary: Capture
) -> None:
    """Worked examples of the venues, on the grid, through the event that the command prints."""
    tick, *more = options or ("0.01",)
    arguments = ("preset", name, "--instrument", "X", "--price-tick", tick, *more, "--time-us", "1")
    line = instruments(capfdbinary, *arguments).stdout.rstrip()
    side, quantity, price, margin = fill.split()
    tock = {"type": "tick", "instrument": "X", "price": price, "time_us": 1}
    position = folded(line, opened("X", side, quantity, price, margin), tock, asset=json.loads(line)["settle_asset"])
    assert {field: position[field] for field in expected} == expected


def test_what_a_preset_cannot_know_is_an_option(tmp_path: Path, capfdbinary: Capture) -> None:
    """Names, grids, tiers, version, time, and any other parameter; then nothing is said to be an example."""
    tiers = tmp_path / "tiers.json"
    tiers.write_text('[{"floor": 0, "maintenance_rate": 0.0100, "max_leverage": 25}]')
    options = ["--instrument", "ADA", "--settle-asset", "USDC", "--price-tick", "0.0001", "--quantity-step", "1"]
    options += ["--multiplier", "10", "--tiers", str(tiers), "--version", "3", "--time-us", "9"]
    for text in ("trigger=below", "liquidation.target=1.25", "liquidation.max_steps=5", "mark=null", "halted=true"):
        options += ["--set", text]
    options += ["--set", 'margin_call_levels=["2", 1.5]', "--set", "fees.taker=0.0004"]
    called = instruments(capfdbinary, "preset", "binance-linear", *options)
    (event,) = objects(called.stdout)
    expected = {
        **presets()["binance-linear"].parameters,
        "type": "instrument",
        "instrument": "ADA",
        "settle_asset": "USDC",
        "price_tick": "0.0001",
        "quantity_step": "1",
        "multiplier": "10",
        "version": 3,
        "time_us": 9,
        "tiers": [{"floor": "0", "maintenance_rate": "0.01", "max_leverage": "25"}],
        "trigger": "below",
        "halted": True,
        "margin_call_levels": ["2", "1.5"],
        "fees": {"taker": "0.0004"},
    }
    expected["liquidation"] = {**expected["liquidation"], "target": "1.25", "max_steps": 5}
    del expected["mark"]
    assert event == expected
    assert called.stderr == ""


def test_an_event_without_a_time_is_of_now(capfdbinary: Capture) -> None:
    """Microseconds of the clock, and the preset's example for a name."""
    before_us = time.time_ns() // 1_000
    (event,) = objects(instruments(capfdbinary, "preset", "vega").stdout)
    assert before_us <= event["time_us"] <= time.time_ns() // 1_000
    assert event["instrument"] == "EXAMPLE"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "trigger"), "bad_parameter: binance-linear: --set trigger is not NAME=VALUE"),
        (("--set", "triger=below"), "bad_parameter: binance-linear: an instrument has no parameter triger"),
        (("--set", "tiers.floor=1"), "bad_parameter: binance-linear: an instrument has no parameter tiers.floor"),
        (("--set", "trigger.x=1"), "bad_parameter: binance-linear: an instrument has no parameter trigger.x"),
        (("--set", "trigger=never"), "bad_parameter: binance-linear: "),
        (("--set", "price_tick=0"), "bad_parameter: binance-linear: "),
        (("--set", "price_tick=NaN"), "bad_parameter: binance-linear: "),
        (("--set", "mark=null", "--set", "mark.method=3"), "bad_parameter: binance-linear: "),
        (("--instrument", "two words"), "bad_parameter: binance-linear: "),
        (("--set", "default_leverage=126"), "instrument_refused: binance-linear: default_leverage 126 exceeds"),
        (("--set", "tier_mode=given", "--set", "funding_payer=x"), "bad_parameter: binance-linear: "),
        (("--tiers", "absent.json"), "input_unreadable: absent.json: "),
    ],
)
def test_a_parameter_that_is_none_is_status_2(options: tuple[str, ...], said: str, capfdbinary: Capture) -> None:
    """A name that no instrument has, a value that its field cannot hold, one that the engine refuses."""
    assert f"ringfence: {said}" in instruments(capfdbinary, "preset", "binance-linear", *options, status=2).stderr


@pytest.mark.parametrize("text", ["{}", "[3]", "nonsense", '[{"floor": 0, "rate": 1}]', '[{"floor": "x"}]'])
def test_tiers_that_are_none_are_status_2(text: str, tmp_path: Path, capfdbinary: Capture) -> None:
    """No list, no rows, no JSON, a word that tiers do not have, a number that is none."""
    (tmp_path / "tiers.json").write_text(text)
    called = instruments(capfdbinary, "preset", "vega", "--tiers", tmp_path / "tiers.json", status=2)
    assert f"ringfence: bad_brackets: {tmp_path / 'tiers.json'}: " in called.stderr


def test_the_list_shows_what_there_is(capfdbinary: Capture) -> None:
    """For people one line each; as JSON everything that the table holds."""
    lines = instruments(capfdbinary, "presets").stdout.decode().splitlines()[1:]
    found = objects(instruments(capfdbinary, "presets", "--json").stdout)
    assert [each["name"] for each in found] == [line.split()[0] for line in lines] == list(presets())
    for line, each in zip(lines, found, strict=True):
        assert line.endswith(each["parameters"]["contract"])
        assert each["parameters"] == presets()[each["name"]].parameters
        assert each["sources"][0]["looked_at"] == presets()[each["name"]].sources[0].looked_at.isoformat()


def test_an_unknown_preset_is_told_with_those_there_are(capfdbinary: Capture) -> None:
    """Of both commands that take one."""
    for arguments in (("preset", "mtgox"), ("brackets", "--preset", "mtgox", DATA)):
        stderr = instruments(capfdbinary, *arguments, status=2).stderr
        assert "ringfence: unknown_preset: There is no preset 'mtgox'" in stderr
        assert "binance-linear" in stderr


def test_an_installed_package_has_the_table(tmp_path: Path) -> None:
    """The wheel holds the presets as they stand in the repository."""
    table = "ringfence_streams/venues/presets.toml"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(table) == (ROOT / "streams" / table).read_bytes()


# ------------------------------------------------------------------------------------------------------------ brackets


def test_every_published_table_converts_and_is_accepted(capfdbinary: Capture) -> None:
    """Ten symbols of Binance, each with the venue's own amounts, in the order of the file."""
    called = instruments(capfdbinary, "brackets", DATA, *GRID)
    assert called.stderr == ""
    engine = FoldEngine()
    for line, (symbol, rows) in zip(called.stdout.splitlines(), PUBLISHED.items(), strict=True):
        event = decode_input(line)
        assert isinstance(event, Instrument)
        assert [tier.maintenance_amount for tier in event.tiers] == [
            row["maintenance_amount"].removesuffix(".0") for row in rows
        ]
        assert event.settle_asset == "USDT"
        (listed,) = engine.apply(line)
        assert (listed["type"], listed["instrument"]) == ("instrument_changed", symbol)


@pytest.mark.parametrize("text", [USD_M, CCXT])
@pytest.mark.parametrize(
    ("fill", "tick", "price"),
    [
        ("buy 20 6563.665 13200.70726908", "0.01", "5930.78"),
        ("buy 20 6563.665 13200.70726908", "0.00001", "5930.78355"),
        ("sell 10 6563.86 6570.42511771", "0.01", "7189.96"),
        ("sell 10 6563.86 6570.42511771", "0.00001", "7189.95275"),
    ],
)
def test_the_liquidation_price_is_the_one_binance_shows(
    text: str, fill: str, tick: str, price: str, tmp_path: Path, capfdbinary: Capture
) -> None:
    """Its two published examples, from its brackets through the command into the fold."""
    (tmp_path / "brackets.json").write_text(text)
    options = ("--price-tick", tick, "--quantity-step", "1", "--time-us", "1")
    (line,) = instruments(capfdbinary, "brackets", tmp_path / "brackets.json", *options).stdout.splitlines()
    position = folded(line, opened(json.loads(line)["instrument"], *fill.split()))
    assert (position["liquidation_price"], position["tier"]) == (price, None)


def test_brackets_of_coins_are_inverse_contracts(tmp_path: Path, capfdbinary: Capture) -> None:
    """The preset follows from the shape, the contract size of BTCUSD from the preset, floors are notional in coins."""
    (tmp_path / "brackets.json").write_text(COIN_M)
    arguments = ("brackets", tmp_path / "brackets.json", *GRID)
    (event,) = objects(instruments(capfdbinary, *arguments).stdout)
    assert (event["contract"], event["settle_asset"], event["multiplier"]) == ("inverse", "BTC", "100")
    assert event["tiers"][1]["floor"] == "5"


def test_a_filter_reads_standard_input() -> None:
    """Brackets in, events out, ready for the next filter."""
    done = ringfence("instruments", "brackets", *GRID, stdin=USD_M.encode())
    assert b'"instrument_changed"' in ringfence("fold", stdin=done.stdout).stdout


def test_symbols_are_chosen_and_named(capfdbinary: Capture) -> None:
    """A choice in the order of the file; names, ticks and steps of one symbol or of all."""
    chosen = ("--symbol", "XRP-USDT-PERP", "--symbol", "ETH-USDT-PERP", "--name", "XRP-USDT-PERP=XRP")
    grid = (
        "--price-tick",
        "0.01",
        "--price-tick",
        "XRP-USDT-PERP=0.0001",
        "--quantity-step",
        "0.1",
        "--multiplier",
        "2",
    )
    other = ("--preset", "hyperliquid", "--settle-asset", "USDH", "--version", "4", "--time-us", "1")
    found = objects(instruments(capfdbinary, "brackets", DATA, *chosen, *grid, *other).stdout)
    assert [(each["instrument"], each["price_tick"]) for each in found] == [
        ("ETH-USDT-PERP", "0.01"),
        ("XRP", "0.0001"),
    ]
    for each in found:
        assert (each["quantity_step"], each["multiplier"], each["settle_asset"]) == ("0.1", "2", "USDH")
        assert (each["version"], each["trigger"]) == (4, "below")


def test_a_grid_that_is_the_presets_is_said(capfdbinary: Capture) -> None:
    """Tick and step are not in brackets: whoever does not state them is told which are taken."""
    called = instruments(capfdbinary, "brackets", DATA, "--price-tick", "0.01")
    assert "the preset's grid is taken for 10 instruments: state --quantity-step\n" in called.stderr


def test_adjusted_brackets_are_said(tmp_path: Path, capfdbinary: Capture) -> None:
    """A notionalCoef does not pass in silence."""
    (tmp_path / "b.json").write_text(USD_M.replace('"brackets"', '"notionalCoef": 1.5, "brackets"'))
    said = instruments(capfdbinary, "brackets", tmp_path / "b.json", *GRID).stderr
    assert "BTCUSDT: brackets of an account whose limits are 1.5 times the default" in said


BAD = [
    ("nonsense", (), "unknown_brackets: {file}: not JSON"),
    (
        USD_M.replace("50.0", "51.0"),
        (),
        "instrument_refused: BTCUSDT: tier 2: maintenance_amount 51 contradicts the derived 50",
    ),
    (
        USD_M.replace("5e-3", "3e-3"),
        (),
        "instrument_refused: BTCUSDT: tier 2: the maintenance rate is below that of tier 1",
    ),
    (USD_M.replace("125", "1250"), (), "bad_brackets: {file}: BTCUSDT row 1: at leverage 1250"),
    (
        USD_M.replace("BTCUSDT", "BTCEUR"),
        (),
        "bad_brackets: BTCEUR: its settlement asset cannot be read from the symbol",
    ),
    (USD_M, ("--preset", "kraken-inverse"), "bad_brackets: BTCUSDT: its brackets are of a contract that is linear"),
    (USD_M, ("--preset", "okx"), "bad_brackets: BTCUSDT: they do not say the size of a contract"),
    (
        COIN_M,
        ("--preset", "binance-linear"),
        "bad_brackets: BTCUSD_PERP: its brackets are of a contract that is inverse",
    ),
    (COIN_M.replace("BTC", "ETH"), (), "bad_brackets: ETHUSD_PERP: they do not say the size of a contract"),
    (USD_M, ("--symbol", "ETHUSDT"), "unknown_symbol: --symbol: no brackets of ETHUSDT"),
    (USD_M, ("--name", "ETHUSDT=X"), "unknown_symbol: --name: no brackets of ETHUSDT"),
    (USD_M, ("--price-tick", "ETHUSDT=1"), "unknown_symbol: --price-tick: no brackets of ETHUSDT"),
    (USD_M.replace("BTCUSDT", "币安USDT"), (), "bad_parameter: 币安USDT: "),
    (USD_M, ("--name", "X"), "bad_parameter: --name X is not SYMBOL=NAME"),
    (
        f"[{USD_M.strip()[1:-1]}, {USD_M.strip()[1:-1].replace('BTC', 'ETH')}]",
        ("--name", "BTCUSDT=X", "--name", "ETHUSDT=X"),
        "bad_parameter: Two tables would be of X",
    ),
    (USD_M, ("--set", "nonsense=1"), "bad_parameter: BTCUSDT: an instrument has no parameter nonsense"),
]


@pytest.mark.parametrize(("text", "options", "said"), BAD)
def test_what_cannot_be_converted_is_status_2(
    text: str, options: tuple[str, ...], said: str, tmp_path: Path, capfdbinary: Capture
) -> None:
    """With a code, the symbol and the row; nothing is printed."""
    file = tmp_path / "brackets.json"
    file.write_text(text)
    assert (
        f"ringfence: {said.format(file=file)}" in instruments(capfdbinary, "brackets", file, *options, status=2).stderr
    )


def test_one_bad_table_keeps_the_others_from_being_printed_unless_they_are_chosen(
    tmp_path: Path, capfdbinary: Capture
) -> None:
    """Half of a listing is none; --symbol converts what is right."""
    bad = USD_M.replace("50.0", "51.0").replace("BTCUSDT", "BADUSDT").strip()
    (tmp_path / "b.json").write_text(f"[{USD_M.strip()[1:-1]}, {bad[1:-1]}]")
    instruments(capfdbinary, "brackets", tmp_path / "b.json", *GRID, status=2)
    assert instruments(capfdbinary, "brackets", tmp_path / "b.json", "--symbol", "BTCUSDT", *GRID).stdout


def test_the_presets_own_brackets_are_those_of_the_data() -> None:
    """The example of binance-linear is the published table of BTCUSDT."""
    table = tomllib.loads((ROOT / "streams/ringfence_streams/venues/presets.toml").read_text(encoding="utf-8"))
    rows = [
        {**row, "maintenance_amount": f"{row['maintenance_amount']}.0"}
        for row in table["binance-linear"]["parameters"]["tiers"]
    ]
    assert rows == PUBLISHED["BTC-USDT-PERP"]
