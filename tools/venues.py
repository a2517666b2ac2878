"""Write docs/guide/venues.md from the table of presets, or with ``--check`` tell whether it still says the same."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ringfence_streams.venues.presets import Preset, presets
from tools.reference import current, table

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "venues.md"
WRITTEN = "<!-- Written by `make docs` from streams/ringfence_streams/venues/presets.toml; edit that. -->\n"
HEAD = """# Venues, one by one

`ringfence instruments preset NAME` describes a venue in the terms of an [instrument event](instruments.md). This page
says what of each venue that matches, what differs, and which public pages it rests on. Those were read in stored
copies on the day given; what a page says is said in our words, and what no page said is called an assumption.

Common to all: a position here has margin of its own, so it is the venues' isolated margin that is matched, never
cross or portfolio margin. A mark is the last tick of the instrument: feed the venue's own mark price, with all that
it makes of index, premium and fair basis, as ticks. Tables of tiers are examples, and so are ticks and steps, which
are of one contract and come from no source; [brackets](brackets.md) turns a venue's own table into events. What a
reduction frees is this project's default everywhere, for no page that was read says it. `ringfence instruments
presets` lists them all.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; the exit status is 1 when the checked page is out of date."""
    parser = argparse.ArgumentParser(prog="python -m tools.venues", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is out of date")
    check = parser.parse_args(arguments).check
    if current(PAGE, page()):
        return 0
    if check:
        print("docs/guide/venues.md is out of date: run `make docs` and commit", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    print("wrote docs/guide/venues.md")
    return 0


def page() -> str:
    """Return the whole page."""
    return "\n".join([WRITTEN, HEAD, *overview(), *(line for each in presets().values() for line in section(each)), ""])


def overview() -> Iterator[str]:
    """Yield the lines of the table of all presets."""
    heads = "preset,contract,basis,tiers,trigger,to close,funding from,liquidation,what is left".split(",")
    rows = []
    for each in presets().values():
        parameters, liquidation = each.parameters, each.parameters["liquidation"]
        rows.append(
            (
                f"[`{each.name}`](#{each.name})",
                parameters["contract"],
                parameters["maintenance"]["basis"],
                parameters["tier_mode"],
                parameters["trigger"],
                parameters.get("close_fee_rate", "0"),
                parameters["funding_payer"],
                f"{liquidation['mode']}, at {liquidation['takeover_price']}",
                liquidation["residual"],
            )
        )
    yield from table(heads, rows)


def section(each: Preset) -> Iterator[str]:
    """Yield what there is to say of one venue."""
    yield f"\n## {each.name}\n"
    yield f"{each.venue}; the example is {each.example}.\n"
    yield f"- **Matches**: {each.matches}."
    yield f"- **Differs**: {each.differs}."
    yield f"- **Tiers**: {each.tiers_are}."
    plain = ((name, words(value)) for name, value in each.parameters.items() if name != "tiers")
    yield f"- **Parameters**: {', '.join(f'`{name}` {value}' for name, value in plain)}."
    for source in each.sources:
        yield f"- [{source.title}]({source.address}), looked at {source.looked_at}: {source.says}."


def words(value: Any) -> str:
    """Say a parameter's value: a group as its parts."""
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {part}' for name, part in value.items())})"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
