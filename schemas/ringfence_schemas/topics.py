"""Which topic an event travels on, and under which key: the logical names, without any prefix."""

from ringfence_schemas.inputs import (
    AddMargin,
    Asset,
    Deposit,
    Fill,
    FundDeposit,
    Funding,
    Input,
    Instrument,
    LiquidationReport,
    RemoveMargin,
    SetLeverage,
    Settlement,
    Tick,
    Ticks,
    Withdrawal,
)
from ringfence_schemas.outcomes import (
    DeleverageRequested,
    FillFlagged,
    InstrumentChanged,
    InstrumentDecision,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationProgress,
    LiquidationStarted,
    MarginCall,
    MarkFresh,
    MarkStale,
    Outcome,
    Position,
    PositionTakenOver,
    Posting,
    Refused,
    RequirementAnnounced,
    RequirementChanged,
    ShortfallRecorded,
    TickConfirmed,
    TickDiscarded,
    TickQuarantined,
    UncoveredLoss,
    Underfunded,
    Wallet,
)

INSTRUMENTS = "instruments"
DEPOSITS = "deposits"
COMMANDS = "commands"
TICKS = "ticks"
FILLS = "fills"

INPUT_TOPICS = (INSTRUMENTS, DEPOSITS, COMMANDS, TICKS, FILLS)
"""The input topics in order of rank: of records with equal timestamps, those of the earlier topic are folded first."""

TOPIC_RANK = {topic: rank for rank, topic in enumerate(INPUT_TOPICS)}

ACCOUNT_TOPICS = frozenset({DEPOSITS, COMMANDS, FILLS})
"""Input topics keyed by account: a shard owns one partition of each.  The others are read whole by every shard."""

MARGIN_CALLS = "margin-calls"
LIQUIDATIONS = "liquidations"
RISK_PARAMETERS = "risk-parameters"
REFUSALS = "refusals"
LEDGER = "ledger"
POSITIONS = "positions"
WALLETS = "wallets"

DECISION_TOPICS = (MARGIN_CALLS, LIQUIDATIONS, RISK_PARAMETERS, REFUSALS, LEDGER)
"""Topics of decisions: numbered densely per shard."""

VIEW_TOPICS = (POSITIONS, WALLETS)
"""Topics of views: compacted, versioned by the frame."""

OUTPUT_TOPICS = DECISION_TOPICS + VIEW_TOPICS

JOURNAL = "journal"

DEAD_LETTER_SUFFIX = ".dlq"
"""An input that cannot be read goes, untouched, to the topic of this suffix beside the one it came from."""

_INPUTS: dict[type[Input], tuple[str, str]] = {
    Instrument: (INSTRUMENTS, "instrument"),
    Asset: (INSTRUMENTS, "asset"),
    FundDeposit: (INSTRUMENTS, "instrument"),
    Settlement: (INSTRUMENTS, "instrument"),
    Tick: (TICKS, "instrument"),
    Ticks: (TICKS, "source"),
    Funding: (TICKS, "instrument"),
    Deposit: (DEPOSITS, "account"),
    Withdrawal: (DEPOSITS, "account"),
    Fill: (FILLS, "account"),
    LiquidationReport: (FILLS, "account"),
    SetLeverage: (COMMANDS, "account"),
    AddMargin: (COMMANDS, "account"),
    RemoveMargin: (COMMANDS, "account"),
}

INPUT_TOPIC: dict[type[Input], str] = {struct: topic for struct, (topic, _) in _INPUTS.items()}
"""The topic of every input, by its struct."""

OUTCOME_TOPIC: dict[type[Outcome], str] = {
    MarginCall: MARGIN_CALLS,
    Underfunded: LIQUIDATIONS,
    FillFlagged: LIQUIDATIONS,
    LiquidationStarted: LIQUIDATIONS,
    LiquidationOrder: LIQUIDATIONS,
    LiquidationProgress: LIQUIDATIONS,
    LiquidationCompleted: LIQUIDATIONS,
    PositionTakenOver: LIQUIDATIONS,
    ShortfallRecorded: LIQUIDATIONS,
    UncoveredLoss: LIQUIDATIONS,
    DeleverageRequested: LIQUIDATIONS,
    InstrumentChanged: RISK_PARAMETERS,
    RequirementAnnounced: RISK_PARAMETERS,
    RequirementChanged: RISK_PARAMETERS,
    TickQuarantined: RISK_PARAMETERS,
    TickConfirmed: RISK_PARAMETERS,
    TickDiscarded: RISK_PARAMETERS,
    MarkStale: RISK_PARAMETERS,
    MarkFresh: RISK_PARAMETERS,
    Refused: REFUSALS,
    Posting: LEDGER,
    Position: POSITIONS,
    Wallet: WALLETS,
}
"""The topic of every outcome, by its struct."""


def key_of(event: Input) -> str:
    """Return the key an input is published under: its account, its instrument, or the asset or source it is about."""
    key: str = getattr(event, _INPUTS[type(event)][1])
    return key


def outcome_key(outcome: Outcome) -> str:
    """Return the key an outcome is published under.

    A refusal or a posting that names neither an account nor an instrument has the empty key.
    """
    match outcome:
        case Position():
            return f"{outcome.account}|{outcome.instrument}"
        case Wallet():
            return f"{outcome.account}|{outcome.asset}"
        case InstrumentDecision():
            return outcome.instrument
        case _:
            return outcome.account or getattr(outcome, "instrument", None) or ""
