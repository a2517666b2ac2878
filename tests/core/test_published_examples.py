"""Worked examples that venues publish: the same position must have the same liquidation price here.

Each is opened by one fill that brings its collateral along.  Venues print exact solutions, cut to some digits; a grid
as fine as those digits shows them too, a long's cut, a short's one step above the cut, because a price of the grid
must satisfy the condition.
"""

import json

import pytest

from tests.core.engines import ENGINES, Engine, Json

BINANCE = [{"floor": "0", "maintenance_rate": "0.004"}, {"floor": "50000", "maintenance_rate": "0.005"}]
"""Brackets whose second has a maintenance amount of 50."""


def position(engine: Engine, tick: str, tiers: list[Json], fill: Json, **options: object) -> Json:
    """The view of a position opened by `fill` on a grid of `tick`, with no mark yet."""
    asset = {"type": "asset", "asset": "USDT", "decimals": options.pop("decimals", 8), "time_us": 1}
    instrument = {
        "type": "instrument",
        "instrument": "BTC",
        "version": 1,
        "contract": "linear",
        "settle_asset": "USDT",
        "price_tick": tick,
        "quantity_step": "1",
        "tiers": tiers,
        "time_us": 1,
        **options,
    }
    money = {"type": "deposit", "transfer_id": "d", "account": "a", "asset": "USDT", "amount": "1000000", "time_us": 1}
    opened = {"type": "fill", "fill_id": "f", "account": "a", "instrument": "BTC", "time_us": 1, **fill}
    for event in (asset, instrument, money, opened):
        engine.apply(json.dumps(event).encode())
    view: Json = engine.statement()[0]["positions"][0]
    return view


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "price"), [("0.01", "5930.78"), ("0.00001", "5930.78355")])
def test_binance_long(engine: type[Engine], tick: str, price: str) -> None:
    """Binance: wallet 13200.70726908, long 20 at 6563.665, rate 0.5 %, amount 50: 5930.78355."""
    fill = {"side": "buy", "quantity": "20", "price": "6563.665", "margin": "13200.70726908"}
    view = position(engine(), tick, BINANCE, fill)
    assert view["liquidation_price"] == price
    assert view["collateral"] == "13200.70726908"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "price"), [("0.01", "7189.96"), ("0.00001", "7189.95275")])
def test_binance_short(engine: type[Engine], tick: str, price: str) -> None:
    """Binance: wallet 6570.42511771, short 10 at 6563.86, rate 0.5 %, amount 50: 7189.95274."""
    fill = {"side": "sell", "quantity": "10", "price": "6563.86", "margin": "6570.42511771"}
    assert position(engine(), tick, BINANCE, fill)["liquidation_price"] == price


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "price"), [("0.01", "3174.61"), ("0.0001", "3174.6032")])
def test_dydx_short(engine: type[Engine], tick: str, price: str) -> None:
    """Check dYdX: equity 1000, short 3 at 3000, rate 5 %: 3174.6031."""
    fill = {"side": "sell", "quantity": "3", "price": "3000", "margin": "1000"}
    view = position(engine(), tick, [{"floor": "0", "maintenance_rate": "0.05"}], fill)
    assert view["liquidation_price"] == price


@pytest.mark.parametrize("engine", ENGINES)
def test_bybit_bankruptcy_of_a_long(engine: type[Engine]) -> None:
    """Bybit: a long of 60000 at 50 times leverage is bankrupt at 58800, a price of the grid."""
    fill = {"side": "buy", "quantity": "1", "price": "60000", "margin": "1200"}
    view = position(engine(), "0.1", [{"floor": "0", "maintenance_rate": "0.005"}], fill)
    assert view["bankruptcy_price"] == "58800"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "price"), [("0.1", "25119.9"), ("0.000000001", "25119.974457609")])
def test_binance_inverse_long(engine: type[Engine], tick: str, price: str) -> None:
    """Binance coin-M: two contracts of 100 USD, long at 37643.10000021, collateral 0.00268058, rate 0.4 %."""
    fill = {"side": "buy", "quantity": "2", "price": "37643.10000021", "margin": "0.00268058"}
    coin = {"contract": "inverse", "multiplier": "100", "decimals": 18}
    view = position(engine(), tick, [{"floor": "0", "maintenance_rate": "0.004"}], fill, **coin)
    assert view["liquidation_price"] == price


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "liquidation", "bankruptcy"), [("0.01", "7481.48", "7407.41"), ("1", "7481", "7408")])
def test_kraken_inverse_long(engine: type[Engine], tick: str, liquidation: str, bankruptcy: str) -> None:
    """Kraken: 1000 contracts of a dollar, long at 8000, collateral 0.01, rate 1 %: liquidated at 7481.48, bankrupt at
    7407.40; the next price of the grid that still leaves something is one tick above the cut.
    """
    fill = {"side": "buy", "quantity": "1000", "price": "8000", "margin": "0.01"}
    view = position(engine(), tick, [{"floor": "0", "maintenance_rate": "0.01"}], fill, contract="inverse")
    assert (view["liquidation_price"], view["bankruptcy_price"]) == (liquidation, bankruptcy)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tick", "price"), [("0.01", "2352.83"), ("0.00000001", "2352.83966818")])
def test_okx_inverse_long(engine: type[Engine], tick: str, price: str) -> None:
    """OKX: one contract of 10 USD, long at 2566.31, collateral 0.0003896645377994, rate 0.8 % on the whole notional and
    a closing fee of 0.05 %: 2352.83966818.
    """
    fill = {"side": "buy", "quantity": "1", "price": "2566.31", "margin": "0.0003896645377994"}
    okx = {"contract": "inverse", "multiplier": "10", "tier_mode": "whole", "close_fee_rate": "0.0005", "decimals": 18}
    view = position(engine(), tick, [{"floor": "0", "maintenance_rate": "0.008"}], fill, **okx)
    assert view["liquidation_price"] == price
