"""Parameters that contradict themselves, or ask for what this version does not do, are refused by name."""

import json

import pytest

from tests.core.desk import instrument, tiers
from tests.core.engines import FoldEngine, Json

VOLATILITY: Json = {
    "interval_us": 1,
    "lambda": "0.9",
    "multiplier": "3",
    "horizon_us": 1,
    "step": "0.001",
    "cap": "0.5",
    "notice_us": 1,
    "hold_us": 1,
}

CONTRADICTIONS: list[tuple[Json, str]] = [
    ({"tiers": []}, "at least one row"),
    ({"tiers": [{"floor": "1", "maintenance_rate": "0.1"}]}, "tier 1: floor 1 must be 0"),
    (
        {"tiers": [{"floor": "0", "maintenance_rate": "0.1"}, {"floor": "0", "maintenance_rate": "0.2"}]},
        "tier 2: floor 0 must exceed floor 0 of tier 1",
    ),
    (
        {"tiers": [{"floor": "0", "maintenance_rate": "0.2"}, {"floor": "5", "maintenance_rate": "0.1"}]},
        "tier 2: ",
    ),
    ({"tiers": [{"floor": "0", "maintenance_rate": "-0.1"}]}, "tier 1: "),
    ({"tiers": [{"floor": "0", "maintenance_rate": "1"}]}, "tier 1: maintenance plus slippage"),
    (
        {"tiers": [{"floor": "0", "maintenance_rate": "0.9"}], "slippage_rate": "0.05", "close_fee_rate": "0.05"},
        "below 1 for longs",
    ),
    (
        {"contract": "inverse", "tiers": [{"floor": "0", "maintenance_rate": "1"}]},
        "tier 1: maintenance plus slippage and close fee must stay below 1 for shorts",
    ),
    (
        {"tier_mode": "whole", "tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_amount": "1"}]},
        "tier 1: maintenance_amount 1 has no place in tier_mode whole",
    ),
    (
        {"tier_mode": "given", "tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_amount": "-1"}]},
        "tier 1: maintenance_amount -1 must not be negative",
    ),
    ({"tiers": [{"floor": "0"}]}, "tier 1: maintenance_rate is missing (or maintenance_rate_long)"),
    (
        {"tiers": [{"floor": "0", "maintenance_rate_long": "0.1"}]},
        "tier 1: maintenance_rate is missing (or maintenance_rate_short)",
    ),
    (
        {"tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_rate_short": "0.1"}]},
        "tier 1: give maintenance_rate or the two rates by side",
    ),
    (
        {
            "tiers": [
                {"floor": "0", "maintenance_rate": "0.1"},
                {"floor": "100", "maintenance_rate": "0.2", "maintenance_amount": "11"},
            ]
        },
        "tier 2: maintenance_amount 11 contradicts the derived 10;",
    ),
    ({"tiers": [{"floor": "0", "maintenance_rate": "0.1", "initial_rate": "-1"}]}, "tier 1: initial_rate"),
    ({"tiers": [{"floor": "0", "maintenance_rate": "0.1", "max_leverage": "0"}]}, "tier 1: max_leverage 0"),
    (
        {"tiers": [{"floor": "0", "maintenance_rate": "0.1", "max_leverage": "5"}], "default_leverage": "6"},
        "default_leverage 6 exceeds max_leverage 5 of tier 1",
    ),
    ({"slippage_rate": "-0.1"}, "slippage_rate and close_fee_rate"),
    ({"close_fee_rate": "-0.1"}, "slippage_rate and close_fee_rate"),
    ({"margin_call_levels": ["2", "1"]}, "margin_call_levels[1]: 1 must be above 1"),
    ({"margin_call_levels": ["2", "2"]}, "margin_call_levels[1]: 2 must be below 2"),
    ({"recover": "-0.01"}, "recover must not be negative"),
    ({"liquidation": {"target": "0.99"}}, "liquidation: target must be at least 1"),
    ({"liquidation": {"backstop": "1"}}, "liquidation: backstop"),
    ({"liquidation": {"full_below": "-1"}}, "liquidation: full_below"),
    ({"liquidation": {"max_steps": 0}}, "liquidation: max_steps"),
    ({"liquidation": {"deadline_us": 0}}, "liquidation: deadline_us"),
    ({"liquidation": {"fee_rate": "1"}}, "liquidation: fee_rate"),
    ({"liquidation": {"throttle": {"notional": "0", "interval_us": 1}}}, "throttle.notional 0 must be above 0"),
    ({"liquidation": {"throttle": {"notional": "1e-9", "interval_us": 1}}}, "1e-9 has more decimals than USDT"),
    ({"liquidation": {"throttle": {"notional": "1", "interval_us": 0}}}, "throttle.interval_us must be above 0"),
    (
        {"liquidation": {"mode": "takeover", "throttle": {"notional": "1", "interval_us": 1}}},
        "liquidation: throttle needs mode order",
    ),
    ({"mark": {"method": "median"}}, "mark: method median needs sources; name them"),
    ({"mark": {"method": "weighted", "max_age_us": 1}}, "mark: method weighted needs sources"),
    ({"mark": {"sources": []}}, "mark: sources must name at least one"),
    ({"mark": {"sources": ["a", "b", "a"]}}, "mark: sources names a twice"),
    (
        {"mark": {"sources": ["a", "b"], "max_jump": "0.1", "confirm_sources": 2}},
        "mark: confirm_sources 2 can never be reached with 2 sources",
    ),
    ({"mark": {"sources": ["a"], "weights": ["1"]}}, "mark: weights are of method weighted"),
    ({"mark": {"method": "median", "sources": ["a"], "weights": ["1"]}}, "mark: weights are of method weighted"),
    (
        {"mark": {"method": "weighted", "sources": ["a", "b"], "weights": ["1"]}},
        "mark: weights has 1 rows, sources 2;",
    ),
    ({"mark": {"max_age_us": 0}}, "mark: max_age_us must be above 0"),
    ({"mark": {"max_jump": "0", "confirm_ticks": 1}}, "mark: max_jump 0 must be above 0"),
    ({"mark": {"min_price": "-1"}}, "mark: min_price -1 must be above 0"),
    ({"mark": {"max_price": "0"}}, "mark: max_price 0 must be above 0"),
    ({"mark": {"min_price": "2", "max_price": "1.9"}}, "mark: min_price 2 is above max_price 1.9"),
    ({"mark": {"max_jump": "0.1"}}, "mark: max_jump needs confirm_ticks or confirm_sources"),
    ({"mark": {"confirm_ticks": 1}}, "mark: confirm_ticks and confirm_sources are of max_jump"),
    ({"mark": {"confirm_sources": 1}}, "mark: confirm_ticks and confirm_sources are of max_jump"),
    ({"mark": {"max_jump": "0.1", "confirm_ticks": 0}}, "mark: confirm_ticks must be at least 1"),
    ({"mark": {"max_jump": "0.1", "confirm_sources": 0}}, "mark: confirm_sources must be at least 1"),
    ({"volatility": {**VOLATILITY, "interval_us": 0}}, "volatility: interval_us must be above 0"),
    ({"volatility": {**VOLATILITY, "lambda": "1"}}, "volatility: lambda must be from 0 to below 1"),
    ({"volatility": {**VOLATILITY, "lambda": "-0.1"}}, "volatility: lambda must be from"),
    ({"volatility": {**VOLATILITY, "floor": "-0.1"}}, "volatility: floor must not be negative"),
    ({"volatility": {**VOLATILITY, "stress": "-0.1"}}, "volatility: stress must not be negative"),
    ({"volatility": {**VOLATILITY, "stress_weight": "1.1"}}, "volatility: stress_weight must be from 0 to 1"),
    ({"volatility": {**VOLATILITY, "stress_weight": "-1"}}, "volatility: stress_weight must be from"),
    ({"volatility": {**VOLATILITY, "multiplier": "0"}}, "volatility: multiplier must be above 0"),
    ({"volatility": {**VOLATILITY, "horizon_us": 0}}, "volatility: horizon_us must be above 0"),
    ({"volatility": {**VOLATILITY, "step": "0"}}, "volatility: step must be above 0"),
    ({"volatility": {**VOLATILITY, "cap": "0"}}, "volatility: cap must be above 0"),
    (
        {"volatility": {**VOLATILITY, "cap": "0.997"}, "slippage_rate": "0.002", "close_fee_rate": "0.001"},
        "volatility: cap plus slippage and close fee must stay below 1",
    ),
]

ACCEPTED: list[Json] = [
    {"maintenance": {"basis": "mark"}, "tier_mode": "marginal", "funding_payer": "bucket_first", "halted": False},
    {"maintenance": {"basis": "entry"}, "halted": True, "expiry_us": 0, "funding_payer": "free_balance_first"},
    {"contract": "inverse", "tiers": [{"floor": "0", "maintenance_rate_long": "1.5", "maintenance_rate_short": "0.1"}]},
    {"tier_mode": "whole", "tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_amount": "0"}]},
    {"tier_mode": "given", "tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_amount": "7"}]},
    {"tier_mode": "whole", "tiers": tiers(("0", "0.1"), ("5", "0.05"))},
    {"mark": {"method": "last"}, "contract": "linear", "trigger": "below", "release_on_reduce": "none"},
    {"tiers": [{"floor": "0", "maintenance_rate_long": "0.1", "maintenance_rate_short": "1.5"}]},
    {"tiers": [{"floor": "0", "maintenance_rate": "0.1", "maintenance_amount": "0", "initial_rate": "0.2"}]},
    {"margin_call_levels": ["2", "1.000000000000000001"], "recover": "0"},
    {"liquidation": {"mode": "order", "throttle": {"notional": "0.00000001", "interval_us": 1}}},
    {"liquidation": {"target": "1", "backstop": "0", "full_below": "0", "max_steps": 1, "deadline_us": 1}},
    {"mark": {"max_age_us": 1, "max_jump": "1", "confirm_ticks": 1, "min_price": "2", "max_price": "2"}},
    {"mark": {"method": "median", "sources": ["a", "b"], "max_jump": "0.1", "confirm_sources": 1}},
    {"mark": {"method": "weighted", "sources": ["a", "b"], "weights": ["1", "0.5"]}},
    {"volatility": {**VOLATILITY, "lambda": "0", "notice_us": 0, "hold_us": 0, "stress_weight": "1", "floor": "0"}},
    {"volatility": {**VOLATILITY, "cap": "0.996"}, "slippage_rate": "0.002", "close_fee_rate": "0.001"},
]


def listing(options: Json) -> list[Json]:
    """What listing an instrument with these options leads to."""
    return FoldEngine().apply(json.dumps(instrument(**options)).encode())


@pytest.mark.parametrize(("options", "text"), CONTRADICTIONS, ids=[text for _, text in CONTRADICTIONS])
def test_a_contradiction_is_refused_by_the_row_or_field_it_is_about(options: Json, text: str) -> None:
    """An instrument that contradicts itself is `invalid_instrument`; the message names the row and what it collides
    with.
    """
    (refused,) = listing(options)
    assert refused["code"] == "invalid_instrument"
    assert text in refused["message"]


@pytest.mark.parametrize("options", ACCEPTED)
def test_defaults_written_out_and_limits_themselves_are_accepted(options: Json) -> None:
    """Stating a default, or going as far as a limit allows, lists the instrument."""
    listed = listing(options)
    assert listed[0]["type"] == "instrument_changed"
