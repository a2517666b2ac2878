"""The guide to instruments leaves no parameter out."""

from msgspec.structs import fields

from ringfence_schemas.inputs import Fees, Instrument, Liquidation, Maintenance, Mark, Throttle, Tier
from tests.test_tidy import ROOT

GUIDE = (ROOT / "docs/guide/instruments.md").read_text(encoding="utf-8")


def test_every_parameter_of_an_instrument_stands_in_the_guide() -> None:
    """Every field of an instrument that the engine can honour, and of its parts, is explained under its own name."""
    parts = (Instrument, Tier, Fees, Maintenance, Liquidation, Throttle, Mark)
    named = {field.encode_name for part in parts for field in fields(part)}
    assert {name for name in named if f"`{name}`" not in GUIDE} == set()
