"""What several claims about the command line begin with."""

from pathlib import Path

import pytest

from tests.streams.command import Folder


@pytest.fixture
def folder(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Folder:
    """An empty folder for a log."""
    return Folder(tmp_path, capfdbinary)
