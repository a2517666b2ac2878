"""Jars from a Maven repository, by jgo: its resolver in Python needs neither Maven nor Java."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import requests
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from ringfence_streams.localkafka.errors import ChecksumWrong, JarsUnavailable
from ringfence_streams.localkafka.jars import Jar

_CONNECTIONS: Final = 6
_TIMEOUT_S: Final = 60


def maven_context(cache: Path) -> MavenContext:
    """Return the Maven repository of RINGFENCE_MAVEN_REPOSITORY, by default the central one, cached in a folder."""
    trusted = os.environ.get("SSL_CERT_FILE")
    if trusted:  # requests has a name of its own for what every other program calls so
        os.environ.setdefault("REQUESTS_CA_BUNDLE", trusted)
    repository = os.environ.get("RINGFENCE_MAVEN_REPOSITORY") or MAVEN_CENTRAL_URL
    return MavenContext(
        repo_cache=cache, local_repos=[], remote_repos={"maven": repository.rstrip("/")}, timeout=_TIMEOUT_S
    )


def download(jars: Sequence[Jar], folder: Path) -> Iterator[Jar]:
    """Download jars into a folder and yield each one once it is there whole and verified.

    Raises JarsUnavailable and ChecksumWrong; what came before stays in the folder.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(_CONNECTIONS) as pool:
        context = maven_context(Path(scratch))
        fetches = [pool.submit(_fetch, context, jar, folder) for jar in jars]
        try:
            for fetch in as_completed(fetches):
                yield fetch.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(context: MavenContext, jar: Jar, folder: Path) -> Jar:
    try:
        path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise JarsUnavailable(f"{jar.name} could not be downloaded into {folder}: {error}") from error
    if not jar.is_at(path):
        raise ChecksumWrong(f"{jar.name} from the Maven repository does not have the checksum sha256:{jar.sha256}")
    path.replace(folder / jar.name)
    return jar
