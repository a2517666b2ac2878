"""Try a mapping without a cluster: `python -m ringfence_streams.app.preview MAPPING < records.jsonl`.

Every line of standard input is the value of one foreign record.  Fills are printed as they would be published, items
that give none as objects with `code` and `message`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import orjson

from ringfence_streams.app.mapping import (
    FillMapping,
    ForeignRecord,
    ItemRefused,
    MappingRefused,
    map_record,
    read_mapping,
)


def preview(mapping: FillMapping, lines: Iterable[bytes]) -> Iterable[bytes]:
    """Yield what every line becomes, one JSON object per fill or refusal."""
    for offset, line in enumerate(line for line in lines if line.strip()):
        record = ForeignRecord(mapping.topic, 0, offset, 0, None, line)
        try:
            for mapped in map_record(mapping, record):
                yield mapped.fill if mapped.fill is not None else _refusal(offset, mapped.item, mapped.refused)
        except ItemRefused as refused:
            yield _refusal(offset, None, refused)


def _refusal(offset: int, item: int | None, refused: ItemRefused | None) -> bytes:
    assert refused is not None, "what is no fill was refused"
    return orjson.dumps({"offset": offset, "item": item, "code": refused.code, "message": refused.message})


def main() -> int:
    """Print the preview; 2 when the mapping cannot be used."""
    try:
        mapping = read_mapping(sys.argv[1])
    except MappingRefused as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    for line in preview(mapping, sys.stdin.buffer):
        sys.stdout.buffer.write(line + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
