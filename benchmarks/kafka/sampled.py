"""``ringfence``, looked at every few milliseconds of its processor time: in which part of the program is it?

    python -m benchmarks.kafka.sampled run --log kafka://HOST:PORT --drain

Prints the samples of every part as one object when it ends.  What C code takes counts for the Python line that called
it.  A sample belongs to the innermost function that a part claims.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from types import FrameType
from typing import Final

from ringfence_streams.cli.app import main

INTERVAL_S: Final = 0.002

RECOVERY: Final = "recovery"
PARTS: Final = (
    ("ringfence_streams/recovery", RECOVERY),
    ("ringfence_streams/kafka/cursor", "reading the topics"),
    ("ringfence_streams/merge", "reading the topics"),
    ("aiokafka/consumer", "reading the topics"),
    ("ringfence_schemas/reading", "decoding inputs"),
    ("ringfence_schemas/content", "decoding inputs"),
    ("ringfence_schemas/frames", "frames of the journal"),
    ("ringfence_streams/owner", "frames of the journal"),
    ("ringfence_streams/folding", "frames of the journal"),
    ("ringfence/digest", "digests"),
    ("ringfence/hashing", "digests"),
    ("ringfence/views", "views drawn and encoded"),
    ("ringfence/figures", "views drawn and encoded"),
    ("ringfence/replica", "views drawn and encoded"),
    ("ringfence/", "folding"),
    ("ringfence_streams/envelope", "publishing"),
    ("ringfence_streams/publisher", "publishing"),
    ("ringfence_streams/chained", "publishing"),
    ("ringfence_streams/kafka/producer", "publishing"),
    ("aiokafka/", "publishing"),
    ("asyncio/", "event loop"),
)
"""Part of a file's path, and what is done there; the first that fits counts."""
OTHER: Final = "other"


class Sampler:
    """Counts where the program is."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self._parts: dict[str, str | None] = {}

    def sample(self, _signal: int, frame: FrameType | None) -> None:
        """Count one sample; what is done while recovering counts as recovery, whatever it is."""
        found = None
        while frame is not None:
            part = self._part(frame.f_code.co_filename)
            if part == RECOVERY:
                found = part
                break
            found = found or part
            frame = frame.f_back
        self.samples[found or OTHER] += 1

    def _part(self, path: str) -> str | None:
        if path not in self._parts:
            self._parts[path] = next((part for fragment, part in PARTS if fragment in path), None)
        return self._parts[path]


if __name__ == "__main__":
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    try:
        main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps({"samples": sampler.samples}), file=sys.stdout, flush=True)
