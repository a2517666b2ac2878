"""Write the contract for other languages: JSON Schema of every input and outcome, and one AsyncAPI document.

python -m ringfence_schemas.generate            writes schemas/generated/
python -m ringfence_schemas.generate --check    writes nothing; fails when a file there is out of date
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from ringfence_schemas.inputs import Input
from ringfence_schemas.outcomes import Outcome
from ringfence_schemas.topics import INPUT_TOPIC, INPUT_TOPICS, OUTCOME_TOPIC, OUTPUT_TOPICS, VIEW_TOPICS

GENERATED = Path(__file__).parent.parent / "generated"
CONTRACT_VERSION = "1.0.0"
"""Of the wire format: a new optional field is a new minor version, anything else a new major one."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ABOUT = (
    "Facts and commands go in, decisions and views come out. Decimals are strings; in inputs a JSON number is accepted "
    "and read exactly from its text. Topic names are given without a prefix. Records are keyed, and partitioned by the "
    "default partitioner of Kafka's Java client."
)

Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or check them; the exit status is 1 when a checked file is out of date."""
    parser = argparse.ArgumentParser(prog="python -m ringfence_schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    parser.add_argument("--folder", type=Path, default=GENERATED, help="where the files are (default: %(default)s)")
    options = parser.parse_args(arguments)
    expected = documents()
    stale = [name for name, text in expected.items() if _text_of(options.folder / name) != text]
    obsolete = [path for path in _files(options.folder) if path.relative_to(options.folder).as_posix() not in expected]
    if options.check:
        for name in [*stale, *map(str, obsolete)]:
            print(f"out of date: {name}; run `make docs` and commit", file=sys.stderr)
        return 1 if stale or obsolete else 0
    for path in obsolete:
        path.unlink()
    for name in stale:
        path = options.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(expected[name], encoding="utf-8")
        print(f"wrote {path}")
    return 0


def documents() -> dict[str, str]:
    """Return every generated document by its file name."""
    files: dict[str, Json] = {"asyncapi.json": asyncapi()}
    for folder, structs in (("inputs", get_args(Input)), ("outcomes", get_args(Outcome))):
        files |= {f"{folder}/{wire_name(struct)}.json": json_schema(struct) for struct in structs}
    return {name: json.dumps(document, indent=2) + "\n" for name, document in files.items()}


def wire_name(struct: type[Struct]) -> str:
    """Return the `type` of an event."""
    return str(struct.__struct_config__.tag)


def json_schema(struct: type[Struct]) -> Json:
    """Return the JSON Schema of one event, the parts it is made of under `$defs`."""
    _, components = msgspec.json.schema_components([struct])
    own = components.pop(struct.__name__)
    schema = {"$schema": _DIALECT, **own, **({"$defs": components} if components else {})}
    rewritten: Json = _rewritten(schema, _finished)
    return rewritten


def asyncapi() -> Json:
    """Return the AsyncAPI document: every topic is a channel, from the engine's side of it."""
    inputs, outcomes = get_args(Input), get_args(Outcome)
    _, schemas = msgspec.json.schema_components([*inputs, *outcomes], ref_template="#/components/schemas/{name}")
    topics = INPUT_TOPIC | OUTCOME_TOPIC
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Ringfence", "version": CONTRACT_VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            topic: _channel(topic, [struct for struct in topics if topics[struct] == topic])
            for topic in (*INPUT_TOPICS, *OUTPUT_TOPICS)
        },
        "operations": {
            f"{action}-{topic}": {"action": action, "channel": {"$ref": f"#/channels/{topic}"}}
            for action, names in (("receive", INPUT_TOPICS), ("send", OUTPUT_TOPICS))
            for topic in names
        },
        "components": {
            "messages": {wire_name(struct): _message(struct, topics[struct]) for struct in topics},
            "schemas": _rewritten(schemas, _draft_07),
        },
    }


def _channel(topic: str, structs: Iterable[type[Struct]]) -> Json:
    names = [wire_name(struct) for struct in structs]
    channel: Json = {
        "address": topic,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }
    if topic in VIEW_TOPICS:
        channel["bindings"] = {"kafka": {"topicConfiguration": {"cleanup.policy": ["compact"]}}}
    return channel


def _message(struct: type[Struct], topic: str) -> Json:
    message: Json = {
        "name": wire_name(struct),
        "summary": (struct.__doc__ or "").partition("\n")[0],
        "payload": {"$ref": f"#/components/schemas/{struct.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string"}}},
    }
    if topic in VIEW_TOPICS:
        version = {"type": "string", "description": "the number of the frame; a lower one is older"}
        shard = {"type": "string", "description": "the shard that owns the account"}
        message["headers"] = {"type": "object", "properties": {"version": version, "shard": shard}}
    return message


def _rewritten(schema: Any, rewrite: Callable[[Json], Json]) -> Any:
    """Return a schema with every object in it rewritten, the innermost first."""
    if isinstance(schema, list):
        return [_rewritten(item, rewrite) for item in schema]
    if isinstance(schema, dict):
        return rewrite({name: _rewritten(value, rewrite) for name, value in schema.items()})
    return schema


def _finished(schema: Json) -> Json:
    """Let a decimal of an input, which is a string with a numeric bound, be a number too; unfold the description."""
    if schema.get("type") == "string" and "exclusiveMaximum" in schema:
        schema["type"] = ["string", "number"]
    if "description" in schema:
        # Whether the lines of a docstring are still indented depends on the version of Python.
        schema["description"] = " ".join(schema["description"].split())
    return schema


def _draft_07(schema: Json) -> Json:
    """Say it in AsyncAPI's own dialect, which knows fixed rows by another name."""
    schema = _finished(schema)
    if "prefixItems" in schema:
        schema |= {"items": schema["prefixItems"], "additionalItems": False}
        del schema["prefixItems"]
    return schema


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
