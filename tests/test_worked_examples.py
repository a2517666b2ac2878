"""Every worked example in the documentation is folded, run and compared, so no number there can go stale.

A page's fenced blocks are read in order; the words after the first of a fence say what a block is:

    ```jsonl inputs      inputs, folded one by one; every heading of the second level begins with an empty engine
    ```jsonl decisions   the decisions of the inputs above it, in order, none left out but `instrument_changed`
    ```jsonl state       lines of what `ringfence fold --state` prints now; any selection, in any order
    ```sh                commands, run in one empty folder per page; the status of each must be 0
    ```python            a program, run in the same folder
    ```sh kafka          the same, and python kafka, with RINGFENCE_LOG naming a log of the page's own on a real Kafka
    ```text output       what the commands or the program above print, to the last character
    ```jsonl output      the same as lines of JSON

A line of JSON shows what matters: the fields that it shows must have exactly these values.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.temporary import free_ports
from tests.core.agreement import agree
from tests.core.engines import FoldEngine, Json
from tests.test_tidy import ROOT, repository_files

FENCE = re.compile(r"^(?:## (?P<heading>[^\n]+)|```(?P<kind>\S[^\n]*)\n(?P<body>.*?)^```)$", re.MULTILINE | re.DOTALL)
PAGES = [path for path in repository_files() if path == "README.md" or re.fullmatch(r"docs/.*\.md", path)]
LONGEST_PAGE = 250


class Block(NamedTuple):
    """One fenced block, with the heading it stands under."""

    heading: str
    kind: str
    body: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    heading = ""
    for match in FENCE.finditer(text):
        if match["heading"] is not None:
            heading = match["heading"]
        else:
            yield Block(heading, match["kind"], match["body"])


class Reader:
    """Reads one page as its reader would, believing nothing."""

    def __init__(self, folder: Path, kafka_log: Callable[[], str]) -> None:
        self._folder = folder
        self._kafka_log = kafka_log
        self._state = folder / ".state"
        self._own_kafka = {"XDG_STATE_HOME": str(self._state), "RINGFENCE_KAFKA_PORT": str(free_ports(6))}
        self._heading: str | None = None
        self._engine = FoldEngine()
        self._decisions: list[Json] = []
        self._printed = ""

    def read(self, text: str) -> None:
        """Fold, run and compare every example of a page."""
        for block in blocks(text):
            if block.heading != self._heading:
                self.turn()
                self._heading, self._engine = block.heading, FoldEngine()
            self._take(block)
        self.turn()

    def leave(self) -> None:
        """Stop a Kafka that the page started, however far it came."""
        for record in self._state.glob("ringfence/kafka/cluster.json"):
            LocalCluster(record.parent).delete()

    def turn(self) -> None:
        """Nothing that was decided may have been left out."""
        agree(without_listing(self._decisions), [], f"{self._heading}: decisions not shown")
        self._decisions = []

    def _take(self, block: Block) -> None:
        match block.kind:
            case "jsonl inputs":
                self.turn()
                self._decisions = [
                    decision for line in block.body.splitlines() for decision in self._engine.apply(line.encode())
                ]
            case "jsonl decisions":
                expected = [json.loads(line) for line in block.body.splitlines()]
                agree(without_listing(self._decisions), expected, block.heading)
                self._decisions = []
            case "jsonl state":
                state = {name_of(line): line for line in self._engine.statement()}
                expected = [json.loads(line) for line in block.body.splitlines()]
                agree([state[name_of(line)] for line in expected], expected, block.heading)
            case "sh" | "sh kafka":
                self._run(["bash", "-euo", "pipefail", "-c", block.body], on_kafka=block.kind.endswith("kafka"))
            case "python":
                self._run([sys.executable, "-W", "error", "-c", block.body])
            case "python kafka":
                self._run([sys.executable, "-c", block.body], on_kafka=True)
            case "text output":
                assert self._printed == block.body, block.heading
            case "jsonl output":
                printed = [json.loads(line) for line in self._printed.splitlines()]
                agree(printed, [json.loads(line) for line in block.body.splitlines()], block.heading)

    def _run(self, command: list[str], *, on_kafka: bool = False) -> None:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        environment = {
            **os.environ,
            **self._own_kafka,
            "PATH": path,
            **({"RINGFENCE_LOG": self._kafka_log()} if on_kafka else {}),
        }
        done = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self._heading}: {command[-1]}{done.stdout}{done.stderr}"
        self._printed = done.stdout


def without_listing(decisions: list[Json]) -> list[Json]:
    """The decisions of an example, as JSON has them, but those that only say that its instrument is listed."""
    decided: list[Json] = json.loads(json.dumps(decisions))
    return [decision for decision in decided if decision.get("previous_version", 0) is not None]


def name_of(line: Json) -> tuple[object, object]:
    """What a line of a state is about."""
    return line["type"], line.get("account")


@pytest.mark.parametrize("page", PAGES)
def test_every_example_does_what_the_page_says(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A reader who tries the examples of a page sees exactly what it promises."""
    reader = Reader(tmp_path, lambda: str(request.getfixturevalue("kafka_log")))
    try:
        reader.read((ROOT / page).read_text(encoding="utf-8"))
    finally:
        reader.leave()


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("docs/reference/")])
def test_a_page_can_be_read_in_one_sitting(page: str) -> None:
    """No page that people write is longer than 250 lines."""
    assert (ROOT / page).read_text(encoding="utf-8").count("\n") <= LONGEST_PAGE


INPUT = '{"type": "deposit", "transfer_id": "t", "account": "ann", "asset": "USDT", "amount": "1", "time_us": 1}'
ACCOUNT = '{"type": "account", "account": "ann", "wallets": {"USDT": "2"}}'
WRONG = [
    f'```jsonl inputs\n{INPUT}\n```\n```jsonl decisions\n{{"type": "refused"}}\n```\n',
    f"```jsonl inputs\n{INPUT.replace('1', '0')}\n```\n",
    f"```jsonl inputs\n{INPUT}\n```\n```jsonl state\n{ACCOUNT}\n```\n",
    f'## One\n```jsonl inputs\n{INPUT}\n```\n## Two\n```jsonl state\n{{"type": "account", "account": "ann"}}\n```\n',
    "```sh\nfalse\n```\n",
    '```sh\necho "{}"\n```\n```jsonl output\n{"a": 1}\n```\n',
    "```python\nprint(2)\n```\n```text output\n3\n```\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_example_is_reported(text: str, tmp_path: Path) -> None:
    """A decision that does not come, one that is left out, another state, a failing command, another output."""
    with pytest.raises((AssertionError, KeyError)):
        Reader(tmp_path, str).read(text)
