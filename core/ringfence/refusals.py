"""A refusal: an input that changes nothing but engine time, with a stable code and a text that says what to do."""

from __future__ import annotations

from typing import Final

from ringfence_schemas.codes import CODES
from ringfence_schemas.reading import InputRefused

NO_LIMIT: Final = 10**30
"""No record is from the future: the limit of clock `events`."""


class InvalidInstrument(ValueError):
    """The parameters contradict themselves or ask for what this version cannot do.  The text names the row and the
    remedy.
    """


class Refusal(Exception):
    """Raised by a handler before anything has changed.  `code` is one of `ringfence_schemas.codes.CODES`."""

    def __init__(
        self, code: str, message: str, *, applied_hash: bytes | None = None, unsound: InputRefused | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.applied_hash = applied_hash
        """Content hash of the input that the refused one conflicts with."""
        self.unsound = unsound
        """What can safely be said of an input whose values are wrong in themselves."""


def refusal(code: str, detail: str = "") -> Refusal:
    """Return a refusal with the documented meaning and remedy of its code, and what is special about this one."""
    entry = CODES[code]
    text = f"{entry.meaning}; {entry.remedy}"
    return Refusal(code, f"{text} ({detail})" if detail else text)


def unsound(refused: InputRefused) -> Refusal:
    """Return the refusal of an input whose values are wrong in themselves."""
    return Refusal(refused.code, refused.message, unsound=refused)
