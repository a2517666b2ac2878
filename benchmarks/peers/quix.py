"""Quix Streams, stateful and exactly once, in an environment of its own: its libraries are none of ours.

    python -m benchmarks.peers.quix <bootstrap> <application> <fills> <ticks> <inputs> <folder>

Prints when the first input is folded, and ends, with everything committed, after so many inputs.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]  # installed where this program runs

from benchmarks.peers.book import NOTHING, Program, after


def main(program: Program) -> None:
    """Run until every input is folded."""
    app = Application(
        broker_address=program.bootstrap,
        consumer_group=program.application,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=program.folder,
        loglevel="WARNING",
    )

    def keep(fill: dict[str, str], state: Any) -> None:
        state.set("position", after(state.get("position", NOTHING), fill))
        program.counted()

    def note(tick: dict[str, str], state: Any) -> None:
        state.set("price", tick["price"])
        program.counted()

    app.dataframe(app.topic(program.fills, key_deserializer="str")).apply(keep, stateful=True)
    app.dataframe(app.topic(program.ticks, key_deserializer="str")).apply(note, stateful=True)
    app.run(count=program.inputs, collect=False)


if __name__ == "__main__":
    main(Program(*sys.argv[1:]))
