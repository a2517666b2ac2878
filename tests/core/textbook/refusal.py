"""How an input can end other than by being applied."""


class AlreadyApplied(Exception):
    """The same input was applied before: nothing happens."""


class Refused(Exception):
    """The input is refused with a code of events.md."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unacceptable(Exception):
    """The instrument's document contradicts itself (refusal `invalid_instrument`)."""
