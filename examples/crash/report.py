"""The report: one self-contained HTML page with plotly's script inside, so that it opens without a network."""

import importlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.crash import plots, texts
from examples.crash.accounts import Strategy, Trader
from examples.crash.case import Case
from examples.crash.chronicle import Chronicle, Figures
from examples.crash.market import Minute
from examples.crash.requirement import follow
from ringfence_schemas.outcomes import LiquidationCompleted, LiquidationStarted, MarginCall

PAGE = Path(__file__).parent / "page.html"
CONFIGURATION = {"responsive": True, "displayModeBar": False}


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the report tells: the market, who traded, what the engine decided, and the figures."""

    seed: int
    digest: str
    minutes: Sequence[Minute]
    traders: Sequence[Trader]
    chronicle: Chronicle
    figures: Figures
    fund_history: plots.FundHistory
    case: Case | None


@dataclass(frozen=True, slots=True)
class Section:
    """One plot with its title and the explanation beside it (HTML)."""

    anchor: str
    title: str
    text: str
    figure: plots.Figure


def write_report(path: Path, story: Story) -> None:
    """Write the page to ``path``.  Raises ModuleNotFoundError when plotly (extra ``report``) is not installed."""
    script: str = importlib.import_module("plotly.offline").get_plotlyjs()
    sections = sections_of(story)
    first, last = story.minutes[0], story.minutes[-1]
    parts = {
        "lead": texts.lead(story.minutes, len(story.traders)),
        "window": f"{plots.moment(first.open_us)[:-3]} to {plots.moment(last.open_us)[:-3]} UTC",
        "generated": texts.generated(story.seed, story.traders),
        "cards": "".join(_card(*card) for card in texts.cards(story.figures)),
        "sections": "".join(map(_section, sections)),
        "seed": str(story.seed),
        "digest": story.digest,
        "figures": json.dumps({section.anchor: section.figure for section in sections}, separators=(",", ":")),
        "configuration": json.dumps(CONFIGURATION),
        "plotly": script,
    }
    page = PAGE.read_text(encoding="utf-8")
    path.write_text(re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page), encoding="utf-8")


def _card(name: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><div class="name">{name}</div>'
        f'<div class="value">{value}</div><div class="note">{note}</div></div>\n'
    )


def _section(section: Section) -> str:
    return (
        f'<section><div><h2>{section.title}</h2><div id="{section.anchor}"></div></div>\n'
        f'<div class="text">{section.text}</div></section>\n'
    )


def sections_of(story: Story) -> list[Section]:
    """The report's plots in reading order."""
    chronicle, worst = story.chronicle, story.figures.worst_hour
    calls, started = chronicle.every(MarginCall), chronicle.every(LiquidationStarted)
    completed = chronicle.every(LiquidationCompleted)
    sections = [
        Section(
            "prices",
            "Price, margin calls and liquidations",
            texts.PRICES,
            plots.prices(story.minutes, calls, started),
        ),
        Section(
            "minutes",
            "Calls and liquidations per minute",
            texts.per_minute(worst),
            plots.per_minute(started, calls, worst),
        ),
    ]
    if story.case:
        title, text = texts.case_title(story.case), texts.case_text(story.case)
        sections.append(Section("account", title, text, plots.account(story.case)))
    table = fates(story.traders, calls, started)
    return [
        *sections,
        Section("containment", "Loss against collateral", texts.CONTAINMENT, plots.containment(completed)),
        Section("funds", "Insurance funds", texts.FUNDS, plots.funds(story.fund_history)),
        Section(
            "requirement",
            "A requirement that follows volatility",
            texts.REQUIREMENT,
            plots.requirement(story.minutes, follow(story.minutes)),
        ),
        Section("strategies", "Who was liquidated after a call", texts.STRATEGIES, plots.outcomes(table)),
    ]


def fates(
    traders: Sequence[Trader], calls: Sequence[MarginCall], started: Sequence[LiquidationStarted]
) -> dict[Strategy, Counter[str]]:
    """Per strategy, how many called positions were `liquidated` and how many were `kept`."""
    strategies = {trader.name: trader.strategy for trader in traders}
    liquidated = {(start.account, start.instrument) for start in started}
    table: dict[Strategy, Counter[str]] = {strategy: Counter() for strategy in Strategy}
    for key in sorted({(call.account, call.instrument) for call in calls if call.status == "called"}):
        table[strategies[key[0]]]["liquidated" if key in liquidated else "kept"] += 1
    return table
