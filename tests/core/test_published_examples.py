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


def position(engine: Engine, tick: str, tiers: list[Json], fill: Json) -> Json:
    """The view of a position opened by `fill` on a grid of `tick`, with no mark yet."""
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
    }
    money = {"type": "deposit", "transfer_id": "d", "account": "a", "asset": "USDT", "amount": "1000000", "time_us": 1}
    opened = {"type": "fill", "fill_id": "f", "account": "a", "instrument": "BTC", "time_us": 1, **fill}
    for event in (instrument, money, opened):
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
