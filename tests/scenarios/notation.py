r"""A scenario as text: every input on a line of its own, what it led to indented below it.

    1000002  fill f1 alice BTC buy 1 @ 60000
    1000003  tick BTC 57400
        margin_call alice BTC called level=3 equity=400 ...
    ? alice
        wallet USDT 1970

An input starts with its `time_us` and its type; the fields that every input of the type has follow in the order of
`FIELDS`, all others as `name=value`, `name.inner=value` for a field inside a field, and `name=a,b` for a list.  A tier
is `floor:maintenance_rate:max_leverage`.  `raw` stands before bytes that are no such input, as Python writes them.
A line that ends in a backslash goes on in the next.  `? alice` asks for the statement of an account and `? ledger` for
the balances.  Whatever is indented is an answer, and is written by `make golden`; everything else is kept as it is.
"""

import ast
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Json = dict[str, object]

FIELDS = {
    "asset": ("asset", "decimals"),
    "instrument": ("instrument", "version", "settle_asset"),
    "fund_deposit": ("transfer_id", "instrument", "amount"),
    "settlement": ("settlement_id", "instrument", "price"),
    "tick": ("instrument", "price"),
    "ticks": ("source",),
    "funding": ("funding_id", "instrument", "rate"),
    "deposit": ("transfer_id", "account", "asset", "amount"),
    "withdrawal": ("transfer_id", "account", "asset", "amount"),
    "fill": ("fill_id", "account", "instrument", "side", "quantity", "price"),
    "liquidation_report": ("report_id", "account", "instrument", "liquidation_id", "step", "result"),
    "set_leverage": ("command_id", "account", "instrument", "leverage"),
    "add_margin": ("command_id", "account", "instrument", "amount"),
    "remove_margin": ("command_id", "account", "instrument", "amount"),
}
"""The fields of each type that stand without their names."""

TIER = ("floor", "maintenance_rate", "max_leverage")
INTEGERS = frozenset({"version", "decimals", "step", "sequence", "max_steps", "confirm_ticks", "confirm_sources"})
"""Beside all times; the step of `volatility` is a rate."""
TRUTH = {"true": True, "false": False}
LISTS = frozenset({"margin_call_levels", "tiers", "prices", "sources", "weights"})

QUIET = frozenset({
    "type", "id", "cause", "account", "instrument", "parameters", "message", "announcement",
    "input_type", "input_id", "input_hash", "applied_hash",
})  # fmt: skip
"""Fields of a decision that its line does not name: they stand first, or say nothing about the story."""

NAMELESS = ("status", "result", "code", "reason")
"""What happened, in one word: it needs no name."""

SHORT = {
    "maintenance_margin": "maintenance",
    "mark_price": "mark",
    "margin_ratio": "ratio",
    "liquidation_id": "liquidation",
    "case_id": "case",
}
WIDTH = 120


@dataclass(frozen=True)
class Line:
    """One line of a scenario that is not an answer: an input, a question, or words for the reader."""

    text: str
    data: bytes | None = None
    question: str | None = None


def read(path: Path) -> list[Line]:
    """The lines of a scenario, its answers left out."""
    return list(_lines(path.read_text(encoding="utf-8")))


def _lines(text: str) -> Iterator[Line]:
    """Yield the lines of a scenario's text, joined where they go on."""
    gathered = ""
    for line in text.splitlines():
        if not gathered and line.startswith(" "):
            continue
        gathered = f"{gathered}\n{line}" if gathered else line
        if line.endswith("\\"):
            continue
        yield _line(gathered)
        gathered = ""


def _line(text: str) -> Line:
    """Read one line: a question, an input, or a comment (which may be empty)."""
    if text.startswith("?"):
        return Line(text, question=text[1:].strip())
    if not text or text.startswith("#"):
        return Line(text)
    if text.startswith("raw "):
        data = ast.literal_eval(text[4:])
        if not isinstance(data, bytes):
            raise ValueError(f"raw takes bytes: {text}")
        return Line(text, data=data)
    return Line(text, data=json.dumps(document(text)).encode())


def document(text: str) -> Json:
    """The JSON object that a line of a scenario stands for."""
    time_us, kind, *words = text.replace("\\\n", " ").split()
    positional = [word for word in words if "=" not in word and word != "@"]
    named = [word for word in words if "=" in word]
    names = FIELDS[kind]
    event: Json = {"type": kind}
    if kind == "instrument":
        event["contract"] = "linear"
    if kind == "ticks":
        event["prices"] = [word.split(":") for word in positional[1:]]
        positional = positional[:1]
    for name, value in zip(names, positional, strict=True):
        event[name] = _value(name, value)
    for word in named:
        path, value = word.split("=", 1)
        *outer, name = path.split(".")
        target: Json = event
        for step in outer:
            inner = target.setdefault(step, {})
            assert isinstance(inner, dict)
            target = inner
        target[name] = value if path == "volatility.step" else _value(name, value)
    event["time_us"] = int(time_us)
    return event


def _value(name: str, text: str) -> object:
    """Read the value of a field; money, sizes and prices stay text."""
    if name == "tiers":
        return [dict(zip(TIER, row.split(":"), strict=False)) for row in text.split(",")]
    if name in LISTS:
        return text.split(",")
    if name in INTEGERS or name.endswith("_us"):
        return int(text)
    return TRUTH.get(text, text)


def decision_line(decision: Json, event_us: int | None) -> str:
    """One decision as an indented line; its time only where it is not that of the input."""
    words = [str(decision["type"])]
    words += [str(decision[name]) for name in ("account", "instrument") if decision.get(name) is not None]
    words += [str(decision[name]) for name in NAMELESS if decision.get(name) is not None]
    cause = decision.get("cause")
    if isinstance(cause, dict) and "timer" in cause:
        words.append(f"timer={cause['timer']}@{cause['due_us']}")
    for name, value in decision.items():
        quiet = name in QUIET or name in NAMELESS or value is None or (name == "time_us" and value == event_us)
        if not quiet:
            words.append(f"{SHORT.get(name, name)}={_printed(value)}")
    return _indented(" ".join(words))


def _printed(value: object) -> str:
    """A value without blanks in it."""
    if isinstance(value, list | tuple):
        return "/".join(_printed(item) for item in value)
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def account_lines(statement: Json) -> list[str]:
    """The answer to `? account`."""
    wallets, positions = statement["wallets"], statement["positions"]
    assert isinstance(wallets, dict)
    assert isinstance(positions, list)
    lines = [_indented(f"wallet {asset} {balance}") for asset, balance in wallets.items()]
    for position in positions:
        words = [f"position {position['instrument']}", position["quantity"], f"@ {position['entry_price']}"]
        hidden = {"type", "account", "instrument", "quantity", "entry_price", "sequence", "hash"}
        words += [f"{SHORT.get(k, k)}={_printed(v)}" for k, v in position.items() if k not in hidden and v is not None]
        lines.append(_indented(" ".join(words)))
    return lines


def ledger_lines(balances: dict[str, dict[str, str]]) -> list[str]:
    """The answer to `? ledger`."""
    width = max(map(len, balances), default=0)
    return [
        _indented(f"{account:{width}} " + " ".join(f"{amount} {asset}" for asset, amount in held.items())).rstrip()
        for account, held in balances.items()
    ]


def _indented(text: str) -> str:
    """Fold a long answer; what goes on is indented deeper."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )
