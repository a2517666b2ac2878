"""Claims about what travels where, and under which key."""

from typing import get_args

import pytest

from ringfence_schemas.inputs import Input
from ringfence_schemas.outcomes import Cause, Outcome, Refused
from ringfence_schemas.topics import (
    ACCOUNT_TOPICS,
    INPUT_TOPIC,
    INPUT_TOPICS,
    OUTCOME_TOPIC,
    OUTPUT_TOPICS,
    TOPIC_RANK,
    key_of,
    outcome_key,
)
from tests.schemas.examples import BTC, INPUTS, OUTCOMES

INPUT_KEYS = {
    "Instrument": ("instruments", BTC),
    "Asset": ("instruments", "USDT"),
    "FundDeposit": ("instruments", BTC),
    "Settlement": ("instruments", BTC),
    "Tick": ("ticks", BTC),
    "Ticks": ("ticks", "one"),
    "Funding": ("ticks", BTC),
    "Deposit": ("deposits", "alice"),
    "Withdrawal": ("deposits", "alice"),
    "Fill": ("fills", "alice"),
    "LiquidationReport": ("fills", "alice"),
    "SetLeverage": ("commands", "alice"),
    "AddMargin": ("commands", "alice"),
    "RemoveMargin": ("commands", "alice"),
}

OUTCOME_KEYS = {
    "MarginCall": ("margin-calls", "alice"),
    "Underfunded": ("liquidations", "alice"),
    "FillFlagged": ("liquidations", "alice"),
    "LiquidationStarted": ("liquidations", "alice"),
    "LiquidationOrder": ("liquidations", "alice"),
    "LiquidationProgress": ("liquidations", "alice"),
    "LiquidationCompleted": ("liquidations", "alice"),
    "PositionTakenOver": ("liquidations", "alice"),
    "ShortfallRecorded": ("liquidations", "alice"),
    "UncoveredLoss": ("liquidations", "alice"),
    "DeleverageRequested": ("liquidations", "alice"),
    "InstrumentChanged": ("risk-parameters", BTC),
    "RequirementAnnounced": ("risk-parameters", BTC),
    "RequirementChanged": ("risk-parameters", BTC),
    **dict.fromkeys(
        ("TickQuarantined", "TickConfirmed", "TickDiscarded", "MarkStale", "MarkFresh"), ("risk-parameters", BTC)
    ),
    "Refused": ("refusals", "alice"),
    "Posting": ("ledger", "alice"),
    "Position": ("positions", f"alice|{BTC}"),
    "Wallet": ("wallets", "alice|USDT"),
}


@pytest.mark.parametrize("event", INPUTS, ids=lambda event: type(event).__name__)
def test_an_input_travels_on_its_topic_under_its_key(event: Input) -> None:
    """What concerns an account is keyed by it, prices and parameters by their instrument, packed ticks by source."""
    assert (INPUT_TOPIC[type(event)], key_of(event)) == INPUT_KEYS[type(event).__name__]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_travels_on_its_topic_under_its_key(outcome: Outcome) -> None:
    """Decisions are keyed by account, or by instrument where there is none; views by what they are a view of."""
    assert (OUTCOME_TOPIC[type(outcome)], outcome_key(outcome)) == OUTCOME_KEYS[type(outcome).__name__]


@pytest.mark.parametrize(
    ("account", "instrument", "key"),
    [("alice", BTC, "alice"), ("alice", None, "alice"), (None, BTC, BTC), (None, None, "")],
)
def test_a_refusal_is_keyed_by_what_is_known_of_its_input(
    account: str | None, instrument: str | None, key: str
) -> None:
    """By the account, else the instrument, else by nothing: bytes that cannot be read name neither."""
    refused = Refused(
        id="0-refusals-1",
        time_us=0,
        cause=Cause(line=1),
        account=account,
        instrument=instrument,
        code="malformed",
        message="",
        input_type=None,
        input_id=None,
        input_hash="",
        applied_hash=None,
    )
    assert outcome_key(refused) == key


def test_every_event_has_a_topic_and_every_topic_an_event() -> None:
    """The tables leave no event without a topic and name no topic that nothing travels on."""
    assert set(INPUT_TOPIC) == set(get_args(Input))
    assert set(OUTCOME_TOPIC) == set(get_args(Outcome))
    assert set(INPUT_TOPIC.values()) == set(INPUT_TOPICS)
    assert set(OUTCOME_TOPIC.values()) == set(OUTPUT_TOPICS)


def test_equal_timestamps_are_merged_parameters_first_and_fills_last() -> None:
    """Topic rank: instruments < deposits < commands < ticks < fills."""
    assert sorted(TOPIC_RANK, key=TOPIC_RANK.__getitem__) == ["instruments", "deposits", "commands", "ticks", "fills"]


def test_exactly_the_topics_keyed_by_account_are_split_over_shards() -> None:
    """A shard owns a partition of what is keyed by account, and reads the rest whole."""
    assert {INPUT_TOPIC[type(event)] for event in INPUTS if key_of(event) == "alice"} == ACCOUNT_TOPICS
