"""Pin a version of Apache Kafka for the local broker: write jars.txt with the checksum of every jar.

    python -m tools.kafka_jars 4.3.1

The jars are what Maven would put on the class path of `org.apache.kafka:kafka_2.13`, and what lets Kafka write its log.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import Artifact

from ringfence_streams.localkafka.download import maven_context
from ringfence_streams.localkafka.jars import KAFKA, PINNED

BROKER = f"org.apache.kafka:{KAFKA}"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl"
LOGGING_CORE = "log4j-core"
HEADER = "# Apache Kafka {version} with everything it needs: written by `python -m tools.kafka_jars {version}`.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pinned list of one version."""
    parser = argparse.ArgumentParser(prog="python -m tools.kafka_jars", description=__doc__)
    parser.add_argument("version", help="of Apache Kafka, for example 4.3.1")
    version = parser.parse_args(arguments).version
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as pool:
        lines = sorted(pool.map(pinned, class_path(Path(scratch), version)))
    PINNED.write_text(HEADER.format(version=version) + "".join(lines), encoding="utf-8")
    print(f"pinned {len(lines)} jars of Apache Kafka {version}")
    return 0


def class_path(cache: Path, version: str) -> list[Artifact]:
    """Return every artifact that the broker needs when it runs."""
    context = maven_context(cache)
    _, needed = context.resolver.resolve([context.create_dependency(f"{BROKER}:{version}")])
    log4j = next(dependency.version for dependency in needed if dependency.artifactId == LOGGING_CORE)
    wanted = [f"{BROKER}:{version}", f"{LOGGING}:{log4j}"]
    artifacts = [context.create_dependency(coordinate).artifact for coordinate in wanted]
    return artifacts + [dependency.artifact for dependency in needed if dependency.scope in {"compile", "runtime"}]


def pinned(artifact: Artifact) -> str:
    """Return the line that pins one artifact."""
    digest = hashlib.sha256(artifact.resolve().read_bytes()).hexdigest()
    return f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} sha256:{digest}\n"


if __name__ == "__main__":
    sys.exit(main())
