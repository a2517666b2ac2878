"""`ringfence topics`: the topics of a Kafka cluster, made, shown, and compared with what the engine needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from ringfence_schemas.topics import JOURNAL
from ringfence_streams.cli.cluster import ClusterOption, connected
from ringfence_streams.cli.console import counted
from ringfence_streams.cli.durations import duration_us
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.problems import Exit
from ringfence_streams.cli.rendering import table
from ringfence_streams.motion import MotionSettings

if TYPE_CHECKING:
    from ringfence_streams.kafka.administration import Creation, Topic
    from ringfence_streams.kafka.findings import Finding

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

_REPLICATION = 3
"""Copies of each record where the cluster has as many brokers."""


def create(
    *,
    log: ClusterOption = None,
    shards: Annotated[
        int | None,
        typer.Option("--shards", min=1, metavar="N", help="Partitions of every sharded topic.", show_default="1"),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            "--replication", min=1, metavar="R", help="Copies of each record.", show_default="3, or all brokers"
        ),
    ] = None,
    input_retention: Annotated[
        str | None,
        typer.Option("--input-retention", metavar="TIME", help="Keep inputs for so long.", show_default="forever"),
    ] = None,
    alter: Annotated[
        bool, typer.Option("--alter", help="Give topics that are already there these settings too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the topics that are missing.

    What is there already stays as it is and is reported, with every setting that differs; `--alter` sets those.
    The number of partitions never changes: it decides which shard owns an account.  Where the journal exists, its
    partitions are the default of `--shards`.

    ```sh kafka
    ringfence topics create --shards 4
    ```
    """
    retention_us = None if input_retention is None else duration_us("--input-retention", input_retention)
    with connected(log) as connection:
        from ringfence_streams.kafka import administration, specs  # noqa: PLC0415 -- the extra may be missing

        with administration.Administration(connection) as cluster:
            copies = replication or min(_REPLICATION, cluster.brokers())
            journal = cluster.topics([JOURNAL], configs=False).get(JOURNAL)
            wanted = specs.specs(
                shards or (len(journal.partitions) if journal else 1),
                replication=copies,
                input_retention_ms=None if retention_us is None else retention_us // 1_000,
            )
            made = cluster.create(wanted, replication=copies, alter=alter)
    _print(map(_creation_object, made), list(_creation_lines(made)), as_json=as_json)


def describe(*, log: ClusterOption = None, as_json: JsonOption = False) -> None:
    """Show the topics as they are: partitions, copies, settings, records.

    ```sh kafka
    ringfence topics describe
    ```
    """
    with connected(log) as connection:
        from ringfence_streams.kafka import administration, specs  # noqa: PLC0415 -- the extra may be missing

        with administration.Administration(connection) as cluster:
            topics = cluster.topics(specs.ROLES)
            records = cluster.records(topics.values())
    roles = specs.ROLES
    found = [_topic_object(topics[name], roles[name].value, records[name]) for name in roles if name in topics]
    _print(found, list(_topic_lines(found)), as_json=as_json)


def check(
    *,
    log: ClusterOption = None,
    shards: Annotated[
        int | None,
        typer.Option(
            "--shards", min=1, metavar="N", help="Shards of the log.", show_default="the partitions of the journal"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the topics with what the engine needs.

    An error is what an engine refuses to start with, and the exit status is 1.  A warning can wait.  Each finding has
    a stable code and says what to do.

    ```sh kafka
    ringfence topics check
    ```
    """
    with connected(log) as connection:
        from ringfence_streams.kafka import suitability  # noqa: PLC0415 -- the extra may be missing

        found = worst_first(suitability.check_cluster(connection, MotionSettings(), shards=shards))
    lines = list(finding_lines(found)) or ["Every topic suits the engine"]
    _print(map(finding_object, found), lines, as_json=as_json)
    raise typer.Exit(findings_status(found))


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings."""
    return sorted(found, key=lambda finding: finding.severity.value)


def findings_status(found: Iterable[Finding]) -> int:
    """The exit status: whether a person must act."""
    return Exit.FAILED if any(finding.severity.value == "error" for finding in found) else 0


def finding_lines(found: Iterable[Finding]) -> Iterator[str]:
    """Yield each finding and, below it, what to do; what is the same of several topics once."""
    subjects: dict[tuple[str, str, str, str], list[str]] = {}
    for finding in found:
        same = finding.severity.value, finding.message, finding.code, finding.remedy
        subjects.setdefault(same, []).append(finding.subject)
    for (severity, message, code, remedy), names in subjects.items():
        yield f"{severity}: {', '.join(names)}: {message} ({code})"
        yield f"  {remedy}"


def finding_object(finding: Finding) -> dict[str, Any]:
    """A finding in the words of JSON output."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _print(objects: Iterable[dict[str, Any]], lines: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        write_out(b"".join(orjson.dumps(each) + b"\n" for each in objects))
    else:
        write_out("".join(f"{line}\n" for line in lines).encode())


def _creation_object(creation: Creation) -> dict[str, Any]:
    return {
        "topic": creation.spec.topic,
        "name": creation.name,
        "partitions": creation.spec.partitions,
        "result": creation.result,
        "differences": {key: {"is": held, "wanted": wanted} for key, (held, wanted) in creation.differences.items()},
    }


def _creation_lines(made: Sequence[Creation]) -> Iterator[str]:
    for creation in made:
        what = f"{creation.name}: {creation.result}"
        differences = ", ".join(f"{key} {held}, not {wanted}" for key, (held, wanted) in creation.differences.items())
        if creation.result == "created":
            what += f" with {counted(creation.spec.partitions, 'partition')}"
        elif differences:
            what += f": {differences}"
        yield what


def _topic_object(topic: Topic, role: str, records: int) -> dict[str, Any]:
    return {
        "topic": topic.topic,
        "name": topic.name,
        "role": role,
        "id": topic.identity,
        "partitions": len(topic.partitions),
        "replication": topic.replication,
        "in_sync": min(len(partition.in_sync) for partition in topic.partitions),
        "records": records,
        "configs": dict(topic.configs),
    }


def _topic_lines(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    heads = ("topic", "for", "partitions", "replicas", "in sync", "cleanup", "retention", "largest", "records")
    rows = [
        [
            topic["name"],
            topic["role"],
            str(topic["partitions"]),
            str(topic["replication"]),
            str(topic["in_sync"]),
            topic["configs"].get("cleanup.policy", "-"),
            _retention(topic["configs"].get("retention.ms", "-1")),
            f"{int(topic['configs'].get('max.message.bytes', 0)):,}",
            f"{topic['records']:,}",
        ]
        for topic in found
    ]
    yield from table(heads, rows)
    if not rows:
        yield "There are no topics: `ringfence topics create` makes them"


def _retention(text: str) -> str:
    hours, rest = divmod(int(text), 3_600_000)
    if int(text) < 0:
        return "forever"
    return f"{text} ms" if rest or not hours else f"{hours} h"
