"""The guide to venues says what the table of presets says."""

from pathlib import Path

import pytest

from ringfence_streams.venues.presets import presets
from tools import venues


def test_the_guide_names_every_preset_with_its_sources() -> None:
    """The page in the repository is the one that `make docs` writes now; nothing of the table is left out."""
    text = venues.PAGE.read_text(encoding="utf-8")
    assert text == venues.page()
    for each in presets().values():
        assert f"\n## {each.name}\n" in text
        assert all(said in text for said in (each.matches, each.differs, each.tiers_are))
        for source in each.sources:
            assert f"[{source.title}]({source.address}), looked at {source.looked_at}: {source.says}." in text


def test_a_guide_that_drifts_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` fails for a page that is changed by hand, and passes once it is written again."""
    page = tmp_path / "venues.md"
    page.write_text(venues.page().replace("0.00055", "0.00075"), encoding="utf-8")
    monkeypatch.setattr(venues, "PAGE", page)
    assert venues.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert venues.main([]) == 0
    assert venues.main(["--check"]) == 0
