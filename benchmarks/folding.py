"""The engine as it is measured: bytes in, decoded and folded, the collector of cycles tuned as `ringfence run` does."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.fold import Fold
from ringfence.origins import RecordOrigin
from ringfence_schemas.frames import Settings
from ringfence_schemas.reading import decode_input

FRAME_INPUTS = 1_000
"""Views are forgotten after so many inputs, as after a frame."""

_ORIGIN = RecordOrigin("fills", 0)


class Engine:
    """A fold that takes lines."""

    def __init__(self) -> None:
        self.fold = Fold(Settings())

    def run(self, lines: Iterable[bytes]) -> int:
        """Decode and fold every line; returns the number of decisions."""
        fold, apply, decisions = self.fold, self.fold.apply, 0
        for number, line in enumerate(lines):
            decisions += len(apply(decode_input(line), _ORIGIN, number))
            if number % FRAME_INPUTS == 0:
                fold.clear_touched()
        fold.clear_touched()
        return decisions

    def prepare(self, lines: Iterable[bytes]) -> None:
        """The same for inputs that must all be applied, or what is measured is not what is said."""
        refused = self.fold.refused
        self.run(lines)
        assert self.fold.refused == refused, f"{self.fold.refused - refused} made-up inputs were refused"
