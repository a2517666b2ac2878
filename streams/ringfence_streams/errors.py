"""What can stop or interrupt the motion.

LogError                      stops the shard; a person must look.  Has a stable code and a remedy.
+-- LogAddressRefused         bad_address          the address or the configuration of the connection is not usable
+-- LogUnavailable            log_unavailable      the log cannot be opened or reached
+-- LogBusy                   log_busy             another program holds the log for too long
+-- LogFull                   log_full             no room is left for another record
+-- LogReadOnly               log_read_only        the log may not be written
+-- LogUnsuitable             log_unsuitable       topics or settings of the log do not fit the engine
+-- RecordsLost               records_lost         acknowledged records are gone (R3)
+-- JournalDamaged            journal_damaged      a journal record cannot be read
+-- Diverged                  diverged             folding a frame again gave other bytes (V2)
+-- OutputsDiverged           outputs_diverged     published outcomes do not fit the chain (V4)
+-- SourceReplaced            source_replaced      a source is not the one the journal read from (V6)
+-- SettingsConflict          settings_conflict    the journal was written under other settings
+-- ClockStep                 clock_step           the clock jumped too far at a take-over
+-- ShardOwned                shard_owned          another process owns the shard
OwnershipLost                 interrupts the shard: it stands down and follows again (W5-W7, P3)
SnapshotRefused               refuses one snapshot: an older one or the whole journal is read instead (V1)
"""

from __future__ import annotations

from typing import ClassVar


class LogError(Exception):
    """The shard stopped before anything wrong was written.  `code` never changes; `remedy` says what to do."""

    code: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}. {self.remedy}"


class LogAddressRefused(LogError):
    """The address of a log, or the configuration of the connection to it, cannot be used."""

    code = "bad_address"
    remedy = "Give kafka://HOST:PORT[,HOST:PORT][?prefix=NAME], and check the configuration file if there is one"


class LogUnavailable(LogError):
    """The log cannot be opened or reached."""

    code = "log_unavailable"
    remedy = "Check its address or path and that this user may open it"


class LogBusy(LogError):
    """Another program held the log for longer than this one waits."""

    code = "log_busy"
    remedy = "End the program that holds it, then start again: nothing was written"


class LogFull(LogError):
    """No room is left; the frame was not written."""

    code = "log_full"
    remedy = "Make room where the log lives, then start again: the journal ends with the last whole frame"


class LogReadOnly(LogError):
    """The log may not be written."""

    code = "log_read_only"
    remedy = "Make it writable for this user, then start again"


class LogUnsuitable(LogError):
    """Topics, partitions or the format of the log do not fit this engine."""

    code = "log_unsuitable"
    remedy = "Mend the log or the settings named here; running would give wrong results"


class RecordsLost(LogError):
    """Records that had been acknowledged are gone (R3)."""

    code = "records_lost"
    remedy = "Restore the log from a copy that has them; do not go on from here, others may have acted on them"


class JournalDamaged(LogError):
    """A journal record does not read back as it was written."""

    code = "journal_damaged"
    remedy = "Restore this record from a copy of the log; everything before it is sound"


class Diverged(LogError):
    """Folding a frame again gave another state or other outcomes than the frame recorded (V2)."""

    code = "diverged"
    remedy = "Run the engine version that wrote the frame, or find what made the fold depend on anything else"


class OutputsDiverged(LogError):
    """What stands on an output topic is not what the chain says (V4)."""

    code = "outputs_diverged"
    remedy = "Find who else writes to this topic; subscribers may have acted on these records"


class SourceReplaced(LogError):
    """A source topic is not the one the journal read from (V6)."""

    code = "source_replaced"
    remedy = "Restore the topic, or begin a new journal: its offsets mean something else now"


class SettingsConflict(LogError):
    """The journal was written under settings that cannot change."""

    code = "settings_conflict"
    remedy = "Start with the settings of the journal, or begin a new journal"


class ClockStep(LogError):
    """The wall clock is further from the journal's than a take-over accepts."""

    code = "clock_step"
    remedy = "Check the machine's clock; if it is right, start with a larger max_clock_step_us"


class ShardOwned(LogError):
    """Another process owns the shard."""

    code = "shard_owned"
    remedy = "Stop that process first, or leave this one following"


class OwnershipLost(Exception):
    """This process may no longer write: it drops its working state and follows again (W7)."""


class SnapshotRefused(Exception):
    """A snapshot that cannot be used; the message says why."""
