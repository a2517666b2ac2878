"""Write docs/reference/ from the code, or with ``--check`` tell which pages no longer say what the code does."""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from msgspec import Meta, Struct, UnsetType
from msgspec.structs import FieldInfo, fields

from ringfence_schemas import codes, inputs, kinds, outcomes, topics
from ringfence_streams.cli.app import app

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
WRITTEN = "<!-- Written by `make docs` from {source}; edit that. -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; the exit status is 1 when a checked page is out of date."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    check = parser.parse_args(arguments).check
    stale = [name for name, text in pages().items() if not current(REFERENCE / name, text)]
    if check and stale:
        print(f"docs/reference/ is out of date ({', '.join(stale)}): run `make docs` and commit", file=sys.stderr)
        return 1
    for name in stale:
        (REFERENCE / name).write_text(pages()[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def current(path: Path, text: str) -> bool:
    """Tell whether a page exists and says exactly this."""
    return path.is_file() and path.read_text(encoding="utf-8") == text


def pages() -> dict[str, str]:
    """Return every page of the reference by its file name."""
    bodies = {
        "index.md": ("tools/reference.py", index_page()),
        "inputs.md": ("schemas/ringfence_schemas/inputs.py", inputs_page()),
        "outcomes.md": ("schemas/ringfence_schemas/outcomes.py", outcomes_page()),
        "topics.md": ("schemas/ringfence_schemas/topics.py", topics_page()),
        "refusals.md": ("schemas/ringfence_schemas/codes.py", refusals_page()),
        "command-line.md": ("streams/ringfence_streams/cli/", command_line_page()),
    }
    return {name: WRITTEN.format(source=source) + "\n" + "\n".join(body) for name, (source, body) in bodies.items()}


# -------------------------------------------------------------------------------------------------------------- pages


def index_page() -> Iterator[str]:
    """Yield the lines of the page that lists the others."""
    yield "# Reference\n"
    yield "- [Inputs](inputs.md): facts and commands, with every field."
    yield "- [Outcomes](outcomes.md): decisions and views, with every field."
    yield "- [Topics](topics.md): what travels where, and under which key."
    yield "- [Refusal codes](refusals.md): what each means and what the sender can do."
    yield "- [Command line](command-line.md): every command with its options.\n"


def inputs_page() -> Iterator[str]:
    """Yield the lines of the page on inputs."""
    yield "# Inputs\n"
    yield "One JSON object each, told apart by `type`. Decimals are strings; a JSON number is accepted and read exactly"
    yield "from its text. A field marked with ? may be left out, or null. Unknown fields are ignored.\n"
    for struct in get_args(inputs.Input):
        yield from section(struct, f"On `{topics.INPUT_TOPIC[struct]}`.")
    yield "## Parts of an instrument\n"
    for struct in (s for s in structs(inputs) if issubclass(s, inputs.Part) and s is not inputs.Part):
        yield from section(struct, level=3)
    yield "## Kinds of value\n"
    yield from table(("kind", "what it accepts"), ((f"*{words}*", said) for words, said, _ in named_kinds()))


def outcomes_page() -> Iterator[str]:
    """Yield the lines of the page on outcomes."""
    yield "# Outcomes\n"
    yield "One JSON object each, told apart by `type`. Numbers are decimal strings without exponent or trailing zeros,"
    yield "counts and times are integers. What does not apply, or needs a mark that is missing, is null; only fields"
    yield "marked with ? are left out. Decisions are made per event and numbered; views are published per frame.\n"
    for struct in get_args(outcomes.Outcome):
        topic = topics.OUTCOME_TOPIC[struct]
        yield from section(struct, f"{'View' if topic in topics.VIEW_TOPICS else 'Decision'} on `{topic}`.")
    yield from section(outcomes.LiquidationPriceMove)
    yield from section(outcomes.Cause)


def topics_page() -> Iterator[str]:
    """Yield the lines of the page on topics."""
    yield "# Topics\n"
    yield "The logical names, before any prefix. Inputs, in the order in which equal timestamps are merged:\n"
    yield from table(("topic", "inputs"), by_topic(topics.INPUT_TOPICS, topics.INPUT_TOPIC, "inputs"))
    yield "\nDecisions, each numbered densely per shard and topic:\n"
    yield from table(("topic", "decisions"), by_topic(topics.DECISION_TOPICS, topics.OUTCOME_TOPIC, "outcomes"))
    yield "\nViews, compacted and versioned by the frame:\n"
    yield from table(("topic", "views"), by_topic(topics.VIEW_TOPICS, topics.OUTCOME_TOPIC, "outcomes"))
    yield f"\nThe frames of shard *p* are partition *p* of `{topics.JOURNAL}`. An input that cannot be read goes,"
    yield f"untouched, to the topic it came from with `{topics.DEAD_LETTER_SUFFIX}` added.\n"


def refusals_page() -> Iterator[str]:
    """Yield the lines of the page on refusal codes."""
    yield "# Refusal codes\n"
    yield "In order of precedence: when several apply to one input, the first is reported."
    yield "Codes are never renamed or reused.\n"
    rows = ((f"`{row.code}`", row.stage, row.meaning, row.remedy) for row in codes.CODES.values())
    yield from table(("code", "depends on", "meaning", "remedy"), rows)
    yield ""


def command_line_page() -> Iterator[str]:
    """Yield the lines of the page on the command line."""
    yield "# Command line\n"
    root = typer.main.get_command(app)
    yield from command_section(root, typer.Context(root, info_name="ringfence", terminal_width=120))


def command_section(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the usage, help and options of one command, then those of the commands below it."""
    yield f"## {context.command_path}\n"
    yield f"    {command.get_usage(context).removeprefix('Usage: ').strip()}\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        yield from table(("option", "meaning"), ((f"`{names}`", said) for names, said in records))
        yield ""
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from command_section(below, typer.Context(below, info_name=name, parent=context))


def section(struct: type[Struct], note: str = "", level: int = 2) -> Iterator[str]:
    """Yield a heading, the docstring and a table of the fields of one struct."""
    yield f"{'#' * level} {title(struct)}\n"
    yield " ".join(filter(None, (inspect.cleandoc(struct.__doc__ or ""), note))) + "\n"
    hints = get_type_hints(struct, include_extras=True)
    rows = ((field_name(field), field_type(field, hints[field.name])) for field in fields(struct))
    yield from table(("field", "type"), rows)
    yield ""


def by_topic(names: Iterable[str], of: dict[Any, str], page: str) -> Iterator[tuple[str, str]]:
    """Yield each topic with links to the types that travel on it."""
    for name in names:
        types = ", ".join(
            f"[{title(struct)}]({page}.md#{title(struct)})" for struct, topic in of.items() if topic == name
        )
        yield f"`{name}`", types


# -------------------------------------------------------------------------------------------------------- how to say it


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def title(struct: type[Struct]) -> str:
    """Return a struct's name on the wire, or in words when it has none there."""
    return struct.__struct_config__.tag or words_of(struct.__name__)  # type: ignore[return-value]  # our tags are strings


def field_name(field: FieldInfo) -> str:
    """Return a field's name on the wire, with ? when it may be left out."""
    return f"`{field.encode_name}`{'' if field.required else '?'}"


def field_type(field: FieldInfo, hint: Any) -> str:
    """Say in words what a field may hold when it is there; that one may be left out is said by its name."""
    return type_text(hint) if field.required else type_text(hint).removesuffix(" or null")


def type_text(hint: Any) -> str:
    """Say in words what a field may hold."""
    arguments = get_args(hint)
    origin = get_origin(hint)
    if origin is Annotated:
        return next(f"*{words}*" for words, _, kind in named_kinds() if kind == hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(type_text(part) for part in arguments if part is not UnsetType)
    if origin is list:
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(type_text(part) for part in arguments)}]"
    if issubclass(hint, Struct):
        return f"[{title(hint)}](#{title(hint).replace(' ', '-')})"
    return {str: "string", int: "integer", bool: "boolean", NoneType: "null"}[hint]


def named_kinds() -> Iterator[tuple[str, str, Any]]:
    """Yield the name, description and annotation of every kind of value that inputs carry."""
    for name, kind in vars(kinds).items():
        if get_origin(kind) is Annotated:
            meta = next(part for part in get_args(kind) if isinstance(part, Meta))
            yield words_of(name), meta.description or "", kind


def structs(module: Any) -> list[type[Struct]]:
    """Return the structs defined in a module, in the order of the source."""
    return [
        s
        for s in vars(module).values()
        if inspect.isclass(s) and issubclass(s, Struct) and s.__module__ == module.__name__
    ]


def words_of(name: str) -> str:
    """Return a class name as words: PositiveDecimal is a positive decimal."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


if __name__ == "__main__":
    sys.exit(main())
