"""Claims about the generated documents: they say what the code says, and a reader of them can rely on it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ringfence_schemas import generate
from ringfence_schemas.outcomes import encode
from tests.schemas.examples import INPUTS, OUTCOMES


def test_the_committed_documents_are_what_the_code_generates() -> None:
    """`--check` passes on the repository: a change of a struct without `make docs` is caught here."""
    command = [sys.executable, "-m", "ringfence_schemas.generate", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_document_that_is_missing_changed_or_obsolete_is_reported_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` names the files and fails without writing; generating writes what differs, deletes what is obsolete."""
    folder = ["--folder", str(tmp_path)]
    assert generate.main(folder) == 0
    assert generate.main(["--check", *folder]) == 0
    (tmp_path / "inputs" / "tick.json").unlink()
    (tmp_path / "asyncapi.json").write_text("{}", encoding="utf-8")
    (tmp_path / "inputs" / "tock.json").write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert generate.main(["--check", *folder]) == 1
    reported = capsys.readouterr().err
    assert [name for name in ("tick.json", "asyncapi.json", "tock.json", "fill.json") if name in reported] == [
        "tick.json",
        "asyncapi.json",
        "tock.json",
    ]
    assert generate.main(folder) == 0
    assert generate.main(["--check", *folder]) == 0
    assert not (tmp_path / "inputs" / "tock.json").exists()


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the generated schema of an event, as a reader of the file gets it."""
    name = generate.wire_name(struct)
    documents = generate.documents()
    found: dict[str, Any] = json.loads(next(text for path, text in documents.items() if path.endswith(f"/{name}.json")))
    return found


@pytest.mark.parametrize("event", [*INPUTS, *OUTCOMES], ids=lambda event: type(event).__name__)
def test_an_example_of_every_event_satisfies_its_own_schema(event: msgspec.Struct) -> None:
    """Every field of the example is in the schema, every required one in the example, every pattern matches."""
    schema = schema_of(type(event))
    assert faults(json.loads(msgspec.json.encode(event)), schema, schema) == []


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """Return what a value breaks of the few JSON Schema keywords that the documents use."""
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        options = [faults(value, option, root) for option in schema["anyOf"]]
        return [] if [] in options else options[0]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{value} not in {schema['enum']}"]
    python = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    named = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if not isinstance(value, python[named]):
        return [f"{value!r} is no {named}"]
    if isinstance(value, dict):
        found = [f"{name} missing" for name in schema["required"] if name not in value]
        for name, member in value.items():
            found += faults(member, schema["properties"][name], root)
        return found
    if isinstance(value, list):
        shapes = schema.get("prefixItems") or [schema["items"]] * len(value)
        return [fault for item, shape in zip(value, shapes, strict=True) for fault in faults(item, shape, root)]
    if isinstance(value, str):
        fits = re.search(schema.get("pattern", ""), value) and len(value) <= schema.get("maxLength", len(value))
        return [] if fits else [f"{value!r} does not fit"]
    if value is None:
        return []
    return [] if schema.get("minimum", 0) <= value <= schema.get("maximum", value) else [f"{value} out of bounds"]


def test_a_decimal_of_an_input_may_be_a_number_and_one_of_an_outcome_is_text() -> None:
    """Producers may send `0.5`; what is published is always the string."""
    tick = schema_of(next(type(event) for event in INPUTS if generate.wire_name(type(event)) == "tick"))
    wallet = schema_of(type(OUTCOMES[-1]))
    assert tick["properties"]["price"]["type"] == ["string", "number"]
    assert wallet["properties"]["balance"]["type"] == "string"


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    """Each `$ref` resolves inside the document, and every event is a message of exactly one channel."""
    document = generate.asyncapi()
    for reference in re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target, reference
    listed = sorted(name for channel in document["channels"].values() for name in channel["messages"])
    assert listed == sorted(generate.wire_name(type(event)) for event in (*INPUTS, *OUTCOMES))
    assert "prefixItems" not in json.dumps(document), "AsyncAPI's own dialect of JSON Schema does not know it"


def test_an_outcome_has_all_its_fields_whether_they_apply_or_not() -> None:
    """Null is printed, so that a reader need not tell absent from unknown; only three fields are left out."""
    for outcome in OUTCOMES:
        assert set(json.loads(encode(outcome))) == set(schema_of(type(outcome))["properties"])
        optional = set(schema_of(type(outcome))["properties"]) - set(schema_of(type(outcome))["required"])
        assert optional <= {"uncertain", "liquidation_price_after_funding", "liquidation_price_moves"}
