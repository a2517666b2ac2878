"""The jars of Apache Kafka: which ones, with which checksums, and where they are kept.

`jars.txt` beside this module pins every jar; `python -m tools.kafka_jars VERSION` writes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

PINNED: Final = Path(__file__).with_name("jars.txt")
KAFKA: Final = "kafka_2.13"
"""The artifact that is the broker; its version is the version of Kafka."""


class Jar(NamedTuple):
    """One file of a Maven repository."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.artifact}-{self.version}.jar"

    def is_at(self, path: Path) -> bool:
        """Whether the file there is this jar, to the last byte."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def pinned_jars() -> tuple[Jar, ...]:
    """Return every jar of the pinned version, in the order of the class path."""
    jars = []
    for line in PINNED.read_text(encoding="utf-8").splitlines()[1:]:
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, digest.removeprefix("sha256:")))
    return tuple(jars)


def kafka_version() -> str:
    """Return the pinned version of Apache Kafka."""
    return next(jar.version for jar in pinned_jars() if jar.artifact == KAFKA)


def cache_folder() -> Path:
    """Return where the jars of the pinned version are kept: in the user's cache, shared by every cluster."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ringfence" / f"kafka-{kafka_version()}"


Watch = Callable[[int, int], None]
"""Told how many jars of how many have been downloaded."""


def installed_jars(watch: Watch = lambda _done, _total: None) -> list[Path]:
    """Return the path of every jar, each with its checksum verified; what the cache lacks is downloaded.

    Raises JarsUnavailable and ChecksumWrong.
    """
    folder = cache_folder()
    jars = pinned_jars()
    with locked(folder / "lock"):
        missing = [jar for jar in jars if not jar.is_at(folder / jar.name)]
        if missing:
            from ringfence_streams.localkafka.download import download  # noqa: PLC0415 -- half a second, needed once

            watch(0, len(missing))
            for done, _ in enumerate(download(missing, folder), start=1):
                watch(done, len(missing))
    return [folder / jar.name for jar in jars]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time do what follows; the others wait.  The lock ends with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
