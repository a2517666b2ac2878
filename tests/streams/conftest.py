"""What several claims about the motion and its command line begin with."""

from pathlib import Path

import pytest

from tests.streams.adapters import STORAGES, Storage
from tests.streams.command import Folder


@pytest.fixture
def folder(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Folder:
    """An empty folder for a log."""
    return Folder(tmp_path, capfdbinary)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Every kind of log, for one shard."""
    return STORAGES[request.param](tmp_path, 1)
