"""Tables of leverage brackets as venues publish them, read exactly and turned into rows of tiers.

A format is recognised by its shape; what has no known shape, or states sizes in units that the table does not name, is
refused.  Numbers are taken from their text, so none passes through a binary float.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeGuard

from msgspec.structs import fields

from ringfence_schemas.decimals import ONE, DecimalRefused, numerals, units
from ringfence_schemas.inputs import Tier

Json = dict[str, Any]
Contract = Literal["linear", "inverse"]

FORMATS: Final = (
    "the leverageBracket answer of Binance USD-M or COIN-M, ccxt's fetchLeverageTiers, or "
    '{"source": ..., "instruments": {NAME: [tier, ...]}}'
)

_USD_M: Final = re.compile(r"[^_]+?(USDT|USDC|BUSD|BTC)(?:_\d{6})?")
_COIN_M: Final = re.compile(r"([^_]+)USD_(?:PERP|\d{6})")
_UNIFIED: Final = re.compile(r"([^/:]+)/([^/:]+):([^/:-]+)(?:-.+)?")
_OURS: Final = re.compile(r"[^-]+-([^-]+)-[^-]+")
_CONTRACT_SIZES: Final = ("minSz", "maxSz", "contracts", "numNonContractUnits")
"""Keys of a venue's own row by which ccxt's notional is a number of contracts or of units of the base asset."""
_AMOUNTS: Final = ("cum", "mmDeduction")
"""Keys of a venue's own row that hold the maintenance amount: Binance, Bybit."""


class BracketsUnknown(ValueError):
    """The document has none of the shapes that are known."""


class BracketsRefused(ValueError):
    """The shape is known, but a row or a unit is not what it must be; the text names the row."""


class Table(NamedTuple):
    """The brackets of one contract."""

    symbol: str
    contract: Contract | None
    """None where the format does not say."""
    settle_asset: str | None
    """None where the symbol does not say."""
    tiers: tuple[dict[str, str], ...]
    """Rows as an instrument event has them, floors being notional in the settlement asset."""
    note: str | None = None
    """What whoever converts the table should know."""


def read_json(data: bytes) -> Any:
    """Return a JSON document in which every number is the text that stood there.

    Raises `BracketsUnknown` for what is no JSON, `BracketsRefused` for a key that stands twice in one object.
    """
    try:
        return json.loads(data, parse_float=str, parse_int=str, parse_constant=_constant, object_pairs_hook=_members)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BracketsUnknown(f"not JSON: {error}") from error
    except RecursionError as error:
        raise BracketsUnknown("not a table: nested too deeply") from error


def _constant(name: str) -> None:
    raise BracketsRefused(f"{name} is no number that JSON has")


def _members(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise BracketsRefused(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return members


def find_tables(data: bytes, *, sizes_are_notional: bool = False) -> dict[str, Callable[[], Table]]:
    """Return every symbol of a document in its order, each with what reads its table.

    `sizes_are_notional` vouches for tables of ccxt whose venue is not known here.  Finding and reading raise
    `BracketsUnknown` and `BracketsRefused`; a table that is not read is not looked at.
    """
    found: dict[str, Callable[[], Table]] = {}
    for symbol, read in _entries(read_json(data), sizes_are_notional=sizes_are_notional):
        if symbol in found:
            raise BracketsRefused(f"{symbol} stands twice")
        found[symbol] = read
    return found


def _entries(document: Any, *, sizes_are_notional: bool) -> Iterator[tuple[str, Callable[[], Table]]]:
    match document:
        case {"source": str(), "instruments": dict() as instruments} if instruments:
            for name, rows in instruments.items():
                yield name, partial(_of_ours, name, rows)
        case {"symbol": str() as symbol, "brackets": list()}:
            yield symbol, partial(_of_binance, symbol, document)
        case [{"brackets": list()}, *_]:
            for entry in document:
                symbol = _symbol_of(entry)
                yield symbol, partial(_of_binance, symbol, entry)
        case dict() if _is_unified(document):
            for symbol, rows in document.items():
                yield symbol, partial(_of_ccxt, symbol, rows, sizes_are_notional=sizes_are_notional)
        case {"code": str(), "msg": str() as message}:
            raise BracketsUnknown(f"no table but an error of the venue: {message}")
        case _:
            raise BracketsUnknown("no table of brackets that is known here")


def _symbol_of(entry: Any) -> str:
    match entry:
        case {"symbol": str() as symbol, "brackets": list()}:
            return symbol
        case {"pair": str() as pair}:
            raise BracketsRefused(
                f"{pair}: brackets of a pair may be those of several contracts; ask for them by symbol "
                "(GET /dapi/v2/leverageBracket)"
            )
        case _:
            raise BracketsUnknown("an entry without symbol and brackets among those that have them")


def _is_unified(document: Json) -> TypeGuard[dict[str, list[Json]]]:
    """Whether every value is a list of rows as ccxt has them; at least one row in all."""
    rows = [row for value in document.values() for row in (value if isinstance(value, list) else [value])]
    unified = {"minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage"}
    return (
        bool(rows)
        and all(isinstance(value, list) for value in document.values())
        and all(isinstance(row, dict) and unified <= row.keys() for row in rows)
    )


# ------------------------------------------------------------------------------------------------------------ Binance


def _of_binance(symbol: str, entry: Json) -> Table:
    coefficient, rows = entry.get("notionalCoef"), entry["brackets"]
    note = None
    if coefficient is not None and units[_decimal(coefficient, f"{symbol}: notionalCoef")] != ONE:
        note = f"{symbol}: brackets of an account whose limits are {coefficient} times the default, taken as they stand"
    if rows and all(isinstance(row, dict) and _by_quantity(row) for row in rows):
        sizes = [(_floor_of_quantity(row), row.get("qtyCap")) for row in rows]
        return Table(symbol, "inverse", _settles(_COIN_M, symbol), _rows(symbol, sizes, rows), note)
    if rows and all(isinstance(row, dict) and "notionalFloor" in row for row in rows):
        sizes = [(row["notionalFloor"], row.get("notionalCap")) for row in rows]
        return Table(symbol, "linear", _settles(_USD_M, symbol), _rows(symbol, sizes, rows), note)
    raise BracketsUnknown(f"{symbol}: rows with neither notionalFloor nor qtyFloor, or some with each")


def _by_quantity(row: Json) -> bool:
    return "notionalFloor" not in row and ("qtyFloor" in row or "qtylFloor" in row)


def _floor_of_quantity(row: Json) -> Any:
    """The lower edge: the venue's documentation spells it qtylFloor in one place."""
    return row["qtyFloor"] if "qtyFloor" in row else row["qtylFloor"]


def _rows(symbol: str, sizes: Sequence[tuple[Any, Any]], rows: Sequence[Json]) -> tuple[dict[str, str], ...]:
    tiers = []
    for number, row in enumerate(rows, 1):
        where = f"{symbol} row {number}"
        tier = {
            "floor": _decimal(sizes[number - 1][0], f"{where}: floor"),
            "maintenance_rate": _decimal(row.get("maintMarginRatio"), f"{where}: maintMarginRatio"),
            "max_leverage": _decimal(row.get("initialLeverage"), f"{where}: initialLeverage"),
        }
        if row.get("cum") is not None:
            tier["maintenance_amount"] = _decimal(row["cum"], f"{where}: cum")
        tiers.append(tier)
    return _coherent(symbol, tiers, [cap for _, cap in sizes])


# --------------------------------------------------------------------------------------------------------------- ccxt


def _of_ccxt(symbol: str, rows: list[Json], *, sizes_are_notional: bool) -> Table:
    match = _UNIFIED.fullmatch(symbol)
    if match is None:
        raise BracketsRefused(f"{symbol}: no contract as ccxt names one, BASE/QUOTE:SETTLE")
    base, quote, settle = match.groups()
    if settle not in (base, quote):
        raise BracketsRefused(f"{symbol}: neither linear nor inverse, for it settles in {settle}")
    contract: Contract = "linear" if settle == quote else "inverse"
    tiers = []
    for number, row in enumerate(rows, 1):
        where = f"{symbol} row {number}"
        own = row.get("info")
        _require_notional(where, contract, own if isinstance(own, dict) else {}, vouched=sizes_are_notional)
        tier = {
            "floor": _decimal(row["minNotional"], f"{where}: minNotional"),
            "maintenance_rate": _decimal(row["maintenanceMarginRate"], f"{where}: maintenanceMarginRate"),
            "max_leverage": _decimal(row["maxLeverage"], f"{where}: maxLeverage"),
        }
        amounts = [own[key] for key in _AMOUNTS if own.get(key) not in (None, "")] if isinstance(own, dict) else []
        if amounts:
            tier["maintenance_amount"] = _decimal(amounts[0], f"{where}: maintenance amount")
        tiers.append(tier)
    return Table(symbol, contract, settle, _coherent(symbol, tiers, [row["maxNotional"] for row in rows]))


def _require_notional(where: str, contract: Contract, own: Json, *, vouched: bool) -> None:
    """Know that a row's sizes are notional in the settlement asset: by the venue's own row, or by who says so."""
    sizes = [key for key in _CONTRACT_SIZES if key in own]
    if sizes:
        raise BracketsRefused(
            f"{where}: its sizes are numbers of contracts ({sizes[0]}), which are a notional at one price only"
        )
    known = "riskLimitValue" in own or ("notionalFloor" in own if contract == "linear" else _by_quantity(own))
    if not known and not vouched:
        raise BracketsRefused(
            f"{where}: its sizes may be contracts; if they are notional in the settlement asset: --sizes-are-notional"
        )


# --------------------------------------------------------------------------------------------------------------- ours


def _of_ours(name: str, rows: Any) -> Table:
    tiers = own_tiers(name, rows)
    return Table(name, None, _settles(_OURS, name), _coherent(name, tiers, [None] * len(tiers)))


def own_tiers(name: str, rows: Any) -> list[dict[str, str]]:
    """Return rows of tiers in the words of an instrument event, each number canonical.

    Raises `BracketsUnknown` for what is no list of rows, `BracketsRefused` for a row that is not right.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BracketsUnknown(f"{name}: no list of tiers")
    known = {field.name for field in fields(Tier)}
    tiers = []
    for number, row in enumerate(rows, 1):
        where = f"{name} row {number}"
        if strange := sorted(row.keys() - known):
            raise BracketsRefused(f"{where}: a tier has no {strange[0]}")
        if "floor" not in row:
            raise BracketsRefused(f"{where}: floor is missing")
        given = {key: value for key, value in row.items() if value is not None}
        tiers.append({key: _decimal(value, f"{where}: {key}") for key, value in given.items()})
    return tiers


# ------------------------------------------------------------------------------------------------------------- common


def _coherent(symbol: str, tiers: list[dict[str, str]], caps: list[Any]) -> tuple[dict[str, str], ...]:
    """Check what the engine cannot see: the upper edges, and leverages that begin below their own maintenance."""
    if not tiers:
        raise BracketsRefused(f"{symbol}: no rows")
    for number, (tier, cap) in enumerate(zip(tiers, caps, strict=True), 1):
        where = f"{symbol} row {number}"
        if number < len(tiers) and cap is not None:
            edge, floor = _decimal(cap, f"{where}: cap"), tiers[number]["floor"]
            if edge != floor:
                raise BracketsRefused(f"{where}: it ends at {edge}, but row {number + 1} begins at {floor}")
        rate, leverage = tier.get("maintenance_rate"), tier.get("max_leverage")
        if rate and leverage and units[rate] * units[leverage] > ONE * ONE:
            raise BracketsRefused(
                f"{where}: at leverage {leverage} a position begins below its maintenance of {rate}; in per cent?"
            )
    return tuple(tiers)


def _decimal(value: Any, where: str) -> str:
    try:
        if isinstance(value, str):
            return numerals[value]
    except DecimalRefused as refused:
        if refused.code == "out_of_range":
            raise BracketsRefused(f"{where}: {value} needs more than 18 decimals or 18 digits before them") from refused
    raise BracketsRefused(f"{where}: {'missing' if value is None else f'{value!r} is no decimal'}")


def _settles(pattern: re.Pattern[str], symbol: str) -> str | None:
    match = pattern.fullmatch(symbol)
    return match[1] if match else None
