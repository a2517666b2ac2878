"""The guide for operators knows every way in which an engine stops."""

from ringfence_streams.errors import LogError
from tests.test_tidy import ROOT

GUIDE = (ROOT / "docs/guide/operating-sqlite.md").read_text(encoding="utf-8")


def test_every_code_that_stops_a_shard_stands_in_the_guide_with_its_remedy() -> None:
    """Whatever code an operator reads in a message, the guide repeats what to do about it."""
    rows = {line.split("`")[1]: line for line in GUIDE.splitlines() if line.startswith("| `")}
    assert {error.code for error in LogError.__subclasses__() if error.remedy not in rows.get(error.code, "")} == set()
