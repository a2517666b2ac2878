"""`ringfence instruments`: instrument events from a venue's preset, or from its table of leverage brackets."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, NamedTuple

import orjson
import typer

from ringfence_schemas.inputs import Instrument, encode_input
from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.lines import opened_lines, write_out
from ringfence_streams.cli.problems import Problem
from ringfence_streams.cli.rendering import table
from ringfence_streams.venues import presets as venue_presets
from ringfence_streams.venues.brackets import (
    FORMATS,
    BracketsRefused,
    BracketsUnknown,
    Table,
    find_tables,
    own_tiers,
    read_json,
)
from ringfence_streams.venues.presets import InstrumentRefused, ParameterRefused, Preset, assigned, instrument_of

HELP: Final = "Instrument events from a venue's preset, or from its table of leverage brackets."

_OF_CONTRACT: Final = {"linear": "binance-linear", "inverse": "binance-inverse"}
"""The preset of brackets that name none."""

VersionOption = Annotated[int, typer.Option("--version", metavar="N", help="Version of the parameters.")]
TimeOption = Annotated[
    int | None,
    typer.Option("--time-us", metavar="T", help="When it was said, microseconds since the epoch.", show_default="now"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another parameter, as liquidation.target=1.2; a list as JSON, null removes it. Repeatable.",
        show_default=False,
    ),
]


BracketsArgument = Annotated[
    str, typer.Argument(metavar="FILE|-", help="JSON of brackets; - is standard input.", show_default=False)
]
NamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="S=NAME", help="Name of the instrument of symbol S. Repeatable.", show_default="the symbol"
    ),
]
NotionalOption = Annotated[
    bool,
    typer.Option(
        "--sizes-are-notional",
        help="Vouch that sizes in ccxt's table of an unknown venue are notional in the settlement asset.",
    ),
]


def _by_symbol(option: str, metavar: str, what: str) -> Any:
    """An option that may be stated for all symbols, and again for single ones."""
    said = f"{what}, of one symbol or of all. Repeatable."
    return typer.Option(option, metavar=metavar, help=said, show_default="the preset's")


TicksOption = Annotated[list[str] | None, _by_symbol("--price-tick", "[S=]P", "Grid of prices")]
StepsOption = Annotated[list[str] | None, _by_symbol("--quantity-step", "[S=]Q", "Grid of quantities")]
MultipliersOption = Annotated[list[str] | None, _by_symbol("--multiplier", "[S=]M", "Size of one contract")]


def preset(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="As `ringfence instruments presets` lists it.", show_default=False)
    ],
    instrument: Annotated[
        str | None,
        typer.Option("--instrument", metavar="I", help="Its name.", show_default="the preset's example"),
    ] = None,
    settle_asset: Annotated[
        str | None,
        typer.Option("--settle-asset", metavar="A", help="Asset of wallets and buckets.", show_default="the preset's"),
    ] = None,
    price_tick: Annotated[
        str | None, typer.Option("--price-tick", metavar="P", help="Grid of prices.", show_default="the preset's")
    ] = None,
    quantity_step: Annotated[
        str | None,
        typer.Option("--quantity-step", metavar="Q", help="Grid of quantities.", show_default="the preset's"),
    ] = None,
    multiplier: Annotated[
        str | None,
        typer.Option("--multiplier", metavar="M", help="Size of one contract.", show_default="the preset's"),
    ] = None,
    tiers: Annotated[
        str | None,
        typer.Option(
            "--tiers",
            metavar="FILE|-",
            help="JSON list of tiers, each as in an instrument event.",
            show_default="the preset's example",
        ),
    ] = None,
    version: VersionOption = 1,
    time_us: TimeOption = None,
    parameters: SetOption = None,
) -> None:
    """Print a venue's rules as an instrument event, ready for `fold` and `publish`.

    A preset cannot know the contract: its name, tick, step and tiers are options, and an example where they are left
    out, which is said on stderr.  What the engine would refuse is not printed: the exit status is 2.

    ```sh
    ringfence instruments preset binance-linear --instrument BTC-USDT-PERP --time-us 1 | ringfence fold
    ```
    """
    chosen = _preset_named(name)
    given = {
        "instrument": instrument or _plain(chosen.example),
        "settle_asset": settle_asset,
        "price_tick": price_tick,
        "quantity_step": quantity_step,
        "multiplier": multiplier,
        "tiers": None if tiers is None else _tiers_of(tiers),
    }
    if tiers is None:
        console.say(f"the tiers are an example: {chosen.tiers_are}", preset=name)
    if lacking := " and ".join(_lacking(price_tick, quantity_step)):
        console.say(f"the grid is an example: state {lacking}", preset=name)
    stated = chosen.parameters | {key: value for key, value in given.items() if value is not None}
    write_out(_line(stated, version, time_us, parameters, name))


def presets(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False) -> None:
    """List the presets: which venue, what of it they match, what differs, where that is published.

    ```sh
    ringfence instruments presets
    ```
    """
    found = venue_presets.presets().values()
    if as_json:
        write_out(b"".join(orjson.dumps(asdict(each)) + b"\n" for each in found))
        return
    rows = [(each.name, each.venue, each.parameters["contract"]) for each in found]
    write_out("".join(f"{line}\n" for line in table(("preset", "venue", "contract"), rows)).encode())


def brackets(
    *,
    file: BracketsArgument = "-",
    preset_name: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Everything that brackets do not say.",
            show_default="binance-linear; binance-inverse for inverse contracts",
        ),
    ] = None,
    symbols: Annotated[
        list[str] | None,
        typer.Option("--symbol", metavar="S", help="Only this one. Repeatable.", show_default="all"),
    ] = None,
    names: NamesOption = None,
    settle_asset: Annotated[
        str | None,
        typer.Option("--settle-asset", metavar="A", help="Asset of all of them.", show_default="read from the symbol"),
    ] = None,
    price_ticks: TicksOption = None,
    quantity_steps: StepsOption = None,
    multipliers: MultipliersOption = None,
    sizes_are_notional: NotionalOption = False,
    version: VersionOption = 1,
    time_us: TimeOption = None,
    parameters: SetOption = None,
) -> None:
    r"""Turn a venue's leverage brackets into instrument events, one a line.

    The format is recognised by its shape: the leverageBracket answers of Binance USD-M and COIN-M, ccxt's
    fetchLeverageTiers, or tables in the words of an instrument event.  Numbers are read exactly from their text.  The
    venue's maintenance amounts are kept, and checked against the derived ones.  A table that contradicts itself is
    named with its row, nothing is printed, and the exit status is 2.

    ```sh
    echo '[{"symbol": "BTCUSDT", "brackets": [{"bracket": 1, "initialLeverage": 125, "notionalCap": 50000,' \
      '"notionalFloor": 0, "maintMarginRatio": 0.004, "cum": 0.0}]}]' |
      ringfence instruments brackets --time-us 1 --price-tick 0.1 --quantity-step 0.001
    ```
    """
    tables = _tables(file, symbols or [], sizes_are_notional=sizes_are_notional)
    known = {each.symbol for each in tables}
    stated = Stated(
        names=_per_symbol("--name", names, known),
        settle_asset=settle_asset,
        price_ticks=_per_symbol("--price-tick", price_ticks, known),
        quantity_steps=_per_symbol("--quantity-step", quantity_steps, known),
        multipliers=_per_symbol("--multiplier", multipliers, known),
    )
    lines = []
    _require_single(stated.names.get(each.symbol, each.symbol) for each in tables)
    for each in tables:
        chosen = _preset_for(each, preset_name)
        lines.append(_line(chosen.parameters | stated.of(each, chosen), version, time_us, parameters, each.symbol))
        if each.note:
            console.say(each.note, symbol=each.symbol)
    if lacking := " and ".join(_lacking(stated.price_ticks, stated.quantity_steps)):
        console.say(f"the preset's grid is taken for {counted(len(lines), 'instrument')}: state {lacking}")
    write_out(b"".join(lines))


class Stated(NamedTuple):
    """What the command line says of instruments beside their brackets, by symbol; the empty symbol stands for all."""

    names: Mapping[str, str]
    settle_asset: str | None
    price_ticks: Mapping[str, str]
    quantity_steps: Mapping[str, str]
    multipliers: Mapping[str, str]

    def of(self, each: Table, chosen: Preset) -> dict[str, Any]:
        """The parameters of one instrument that are not the preset's.  Raises Problem."""
        given = {
            "instrument": self.names.get(each.symbol, each.symbol),
            "settle_asset": self.settle_asset or _settle_asset(each),
            "price_tick": _of_symbol(self.price_ticks, each),
            "quantity_step": _of_symbol(self.quantity_steps, each),
            "multiplier": _of_symbol(self.multipliers, each) or _contract_size(each, chosen),
            "tiers": list(each.tiers),
        }
        return {key: value for key, value in given.items() if value is not None}


# ------------------------------------------------------------------------------------------------------------- presets


def _preset_named(name: str) -> Preset:
    found = venue_presets.presets().get(name)
    if found is None:
        known = ", ".join(venue_presets.presets())
        raise Problem("unknown_preset", f"There is no preset {name!r}", f"One of {known}")
    return found


def _plain(example: str) -> str:
    """A name for an example that is described in words."""
    return example if " " not in example else "EXAMPLE"


def _lacking(price_tick: object, quantity_step: object) -> Iterator[str]:
    """Yield the options of the grid that were left out."""
    if not price_tick:
        yield "--price-tick"
    if not quantity_step:
        yield "--quantity-step"


def _tiers_of(path: str) -> list[dict[str, str]]:
    try:
        return own_tiers("tiers", read_json(_content(path)))
    except (BracketsUnknown, BracketsRefused) as refused:
        remedy = 'A JSON list such as [{"floor": "0", "maintenance_rate": "0.005", "max_leverage": "100"}]'
        raise Problem("bad_brackets", f"{_said(path)}: {refused}", remedy) from refused


def _line(
    stated: Mapping[str, Any], version: int, time_us: int | None, assignments: list[str] | None, subject: str
) -> bytes:
    """One event as a line.  Raises Problem when it is none, or when a fold refuses it."""
    when_us = time.time_ns() // 1_000 if time_us is None else time_us
    try:
        changed = assigned({**stated, "version": version, "time_us": when_us}, _assignments(assignments or []))
        event: Instrument = instrument_of(changed)
    except ParameterRefused as refused:
        remedy = "The parameters are those of docs/guide/instruments.md; a part is named as liquidation.target"
        raise Problem("bad_parameter", f"{subject}: {refused}", remedy) from refused
    except InstrumentRefused as refused:
        remedy = "The engine refuses such an instrument: correct the table, or replace the parameter with --set"
        raise Problem("instrument_refused", f"{subject}: {refused}", remedy) from refused
    return encode_input(event) + b"\n"


def _assignments(texts: Iterable[str]) -> dict[str, Any]:
    assignments = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise ParameterRefused(f"--set {text} is not NAME=VALUE")
        try:
            assignments[path] = json.loads(value, parse_float=str)
        except json.JSONDecodeError:
            assignments[path] = value
    return assignments


# ------------------------------------------------------------------------------------------------------------ brackets


def _content(path: str) -> bytes:
    with opened_lines(path) as lines:
        return b"\n".join(line for chunk in lines for line in chunk.lines)


def _said(path: str) -> str:
    return "standard input" if path == "-" else path


def _tables(path: str, symbols: list[str], *, sizes_are_notional: bool) -> list[Table]:
    """The tables of these symbols, of all without any.  Raises Problem."""
    try:
        found = find_tables(_content(path), sizes_are_notional=sizes_are_notional)
        _require_symbols("--symbol", symbols, found)
        return [read() for symbol, read in found.items() if not symbols or symbol in symbols]
    except BracketsUnknown as unknown:
        raise Problem("unknown_brackets", f"{_said(path)}: {unknown}", f"Known are {FORMATS}") from unknown
    except BracketsRefused as refused:
        remedy = "Correct the table, or convert the others alone: --symbol"
        raise Problem("bad_brackets", f"{_said(path)}: {refused}", remedy) from refused


def _require_symbols(option: str, symbols: Iterable[str], known: Collection[str]) -> None:
    for symbol in symbols:
        if symbol not in known:
            some = ", ".join(sorted(known)[:5])
            raise Problem("unknown_symbol", f"{option}: no brackets of {symbol}", f"There are {some}, ...")


def _require_single(names: Iterable[str]) -> None:
    """Two tables of one instrument would be two versions with one number."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Problem("bad_parameter", f"Two tables would be of {name}", "Give each a --name of its own")
        seen.add(name)


def _per_symbol(option: str, texts: list[str] | None, known: Collection[str]) -> dict[str, str]:
    """Values by symbol; under the empty symbol the one of all."""
    values = {}
    for text in texts or []:
        symbol, equals, value = text.rpartition("=")
        if option == "--name" and not equals:
            raise Problem("bad_parameter", f"--name {text} is not SYMBOL=NAME", "For example --name BTCUSDT=BTC-PERP")
        if equals:
            _require_symbols(option, [symbol], known)
        values[symbol] = value
    return values


def _of_symbol(values: Mapping[str, str], each: Table) -> str | None:
    return values.get(each.symbol, values.get(""))


def _preset_for(each: Table, name: str | None) -> Preset:
    chosen = _preset_named(name or _OF_CONTRACT[each.contract or "linear"])
    if each.contract is not None and each.contract != chosen.parameters["contract"]:
        raise Problem(
            "bad_brackets",
            f"{each.symbol}: its brackets are of a contract that is {each.contract}, and {chosen.name} is not",
            f"--preset {_OF_CONTRACT[each.contract]}, or another one of that kind",
        )
    return chosen


def _settle_asset(each: Table) -> str:
    if each.settle_asset is None:
        raise Problem(
            "bad_brackets",
            f"{each.symbol}: its settlement asset cannot be read from the symbol",
            f"--settle-asset, with --symbol {each.symbol}",
        )
    return each.settle_asset


def _contract_size(each: Table, chosen: Preset) -> str | None:
    """The preset's own multiplier, where the table is of the contract that it belongs to."""
    size: str | None = chosen.parameters.get("multiplier")
    if size not in (None, "1") and not each.symbol.replace("/", "").startswith(chosen.example):
        raise Problem(
            "bad_brackets",
            f"{each.symbol}: they do not say the size of a contract, and {chosen.name} has that of {chosen.example}",
            f"--multiplier {each.symbol}=M",
        )
    return size
