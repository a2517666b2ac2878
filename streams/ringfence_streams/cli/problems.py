"""What ends a command early, and with which exit status.

0    done; refused inputs are outcomes, not failures
1    a verification failed, an invariant broke, or the engine stopped
2    the input or the command line cannot be used
130  interrupted (Ctrl-C)
141  nobody reads the output any more
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit statuses of every command."""

    FAILED = 1
    UNUSABLE = 2
    INTERRUPTED = 130
    UNREAD = 141


class Problem(Exception):
    """Ends the command.  `code` never changes; `message` says what is wrong, `remedy` what to do about it."""

    def __init__(self, code: str, message: str, remedy: str, status: Exit = Exit.UNUSABLE) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy
        self.status = status
