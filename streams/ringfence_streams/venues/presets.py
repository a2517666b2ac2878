"""Presets: the rules of well-known venues as `instrument` events, from one table with its sources (`presets.toml`)."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from types import UnionType
from typing import Any, get_args

from msgspec import Struct
from msgspec.structs import fields

from ringfence.fold import Fold
from ringfence.origins import LineOrigin
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Instrument
from ringfence_schemas.outcomes import Refused
from ringfence_schemas.reading import InputRefused, check, decode_input

Json = dict[str, Any]


class ParameterRefused(ValueError):
    """A parameter that no instrument has, or a value that its field cannot hold."""


class InstrumentRefused(ValueError):
    """The engine refuses the instrument; the text is the engine's own."""


@dataclass(frozen=True, slots=True)
class Source:
    """A public page of the venue, and what it says, in our words."""

    title: str
    address: str
    looked_at: date
    says: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A venue's rules in the terms of an instrument event, and how far they match the venue."""

    name: str
    venue: str
    matches: str
    differs: str
    example: str
    """The contract that the tick, the step and the tiers are those of."""
    tiers_are: str
    """What the tiers are worth: an example, as a rule not the venue's whole table."""
    sources: tuple[Source, ...]
    parameters: Json
    """Fields of the event; name, version and time are not among them."""


@functools.cache
def presets() -> Mapping[str, Preset]:
    """Every preset by its name, in the order of the table."""
    table = tomllib.loads((files(__package__) / "presets.toml").read_text(encoding="utf-8"))
    return {name: _preset(name, row) for name, row in table.items()}


def _preset(name: str, row: Json) -> Preset:
    sources = tuple(Source(**source) for source in row.pop("sources"))
    return Preset(name=name, sources=sources, **row)


def assigned(parameters: Json, assignments: Mapping[str, Any]) -> Json:
    """Return parameters with some replaced; ``liquidation.target`` names a part, None takes a parameter away.

    Raises `ParameterRefused` for a name that an instrument does not have.
    """
    changed: Json = json.loads(json.dumps(parameters))
    for path, value in assignments.items():
        _require_field(path)
        *groups, name = path.split(".")
        part = changed
        for group in groups:
            held = part.get(group)
            part[group] = part = held if isinstance(held, dict) else {}
        part[name] = value
    return changed


def _require_field(path: str) -> None:
    struct: type[Struct] | None = Instrument
    for name in path.split("."):
        found = {field.encode_name: field.type for field in fields(struct)} if struct else {}
        if name not in found:
            raise ParameterRefused(f"an instrument has no parameter {path}")
        struct = _group(found[name])


def _group(kind: Any) -> type[Struct] | None:
    """The struct that an optional group of parameters is made of, None for a plain parameter."""
    members = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return next((member for member in members if isinstance(member, type) and issubclass(member, Struct)), None)


def instrument_of(parameters: Json) -> Instrument:
    """Return the event that parameters state, its decimals as texts.

    Raises `ParameterRefused` for values that are none, `InstrumentRefused` for what a fold would refuse: it is folded.
    """
    data = json.dumps({"type": "instrument", **parameters}).encode()
    try:
        event = decode_input(data)
    except InputRefused as refused:
        raise ParameterRefused(refused.message) from refused
    refused_values = check(event)
    if refused_values is not None:
        raise ParameterRefused(refused_values.message)
    assert isinstance(event, Instrument), "the type was given"
    for decision in Fold(Settings()).apply(event, LineOrigin(), 1):
        if isinstance(decision, Refused):
            raise InstrumentRefused(decision.message)
    return event
