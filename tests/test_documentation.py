"""Claims about the documentation: its links lead somewhere, and its reference says what the code does."""

import re
from pathlib import Path

import pytest

from ringfence_schemas.codes import CODES
from ringfence_schemas.topics import INPUT_TOPIC, OUTCOME_TOPIC
from ringfence_streams.cli.app import COMMANDS
from tests.test_tidy import ROOT, repository_files
from tools import reference

LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:)([^)\s#]*)#?([^)\s]*)\)")


def anchors(text: str) -> set[str]:
    """Return the anchors of a Markdown text's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page whose file or heading does not exist."""
    broken = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(f"{target}#{anchor}")
    return broken


def test_every_link_in_the_documentation_leads_to_a_file_and_heading() -> None:
    """A reader who follows a relative link arrives."""
    pages = [path for path in repository_files() if path.endswith(".md")]
    assert {path: broken for path in pages if (broken := broken_links(ROOT / path))} == {}


def test_a_link_to_a_missing_file_or_heading_is_reported(tmp_path: Path) -> None:
    """The check above bites: of three links two are dead, and only those are reported."""
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](page.md#one-thing) [b](absent.md) [c](#another-thing)\n", encoding="utf-8")
    assert broken_links(page) == ["absent.md#", "#another-thing"]


def test_every_decision_record_is_listed_and_every_listed_record_exists() -> None:
    """The table of decisions names exactly the records that stand beside it."""
    folder = ROOT / "docs" / "adr"
    listed = {target for target, _ in LINK.findall((folder / "README.md").read_text(encoding="utf-8"))}
    assert listed - {"template.md"} == {path.name for path in folder.glob("[0-9]*.md")}


def test_the_reference_has_a_place_for_every_type_refusal_code_and_command() -> None:
    """Every input, outcome and refusal code stands in the reference under its name on the wire, every command too."""
    pages = reference.pages()
    assert {reference.title(struct) for struct in INPUT_TOPIC} <= anchors(pages["inputs.md"])
    assert {reference.title(struct) for struct in OUTCOME_TOPIC} <= anchors(pages["outcomes.md"])
    assert [code for code in CODES if f"| `{code}` |" not in pages["refusals.md"]] == []
    assert {f"ringfence-{command.__name__}" for command in COMMANDS} <= anchors(pages["command-line.md"])


def test_a_page_that_says_something_else_than_the_code_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` fails for a page that is missing or changed by hand, and passes once the page is written again."""
    monkeypatch.setattr(reference, "REFERENCE", tmp_path)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "topics.md").write_text("# Topics\n", encoding="utf-8")
    assert reference.main(["--check"]) == 1
    assert "topics.md" in capsys.readouterr().err
