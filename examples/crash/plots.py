"""The report's plots as plotly figures: plain dictionaries with `data` and `layout`, made of the run's own records."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from examples.crash.accounts import Strategy
from examples.crash.case import Case
from examples.crash.chronicle import Hour
from examples.crash.market import HOUR_US, INSTRUMENTS, MINUTE_US, SECOND_US, Minute
from examples.crash.requirement import SHOWN, Announced
from ringfence_schemas.outcomes import (
    LiquidationCompleted,
    LiquidationStarted,
    MarginCall,
    RequirementAnnounced,
    RequirementChanged,
)

Figure = dict[str, Any]
FundHistory = Mapping[str, Sequence[tuple[int, Decimal]]]

INK, GREY, GRID, BLUE, AMBER, RED, GREEN = "#1d2733", "#7b8794", "#e8ecf0", "#2f6db5", "#e39b1f", "#c93a3a", "#2e8b57"
INSTRUMENT_COLOURS = dict(zip(INSTRUMENTS, ("#2f6db5", "#8d5bb5", "#1f9aa0", "#d0742c"), strict=True))
RESULTS = {
    "restored": ("restored by a partial close", GREEN),
    "cured": ("cured by added margin", BLUE),
    "closed": ("closed in the market", AMBER),
    "taken_over": ("taken over by the fund", "#8d5bb5"),
}


def moment(time_us: int) -> str:
    """Engine time as plotly's date text, UTC, to the second."""
    return datetime.fromtimestamp(time_us // SECOND_US, UTC).strftime("%Y-%m-%d %H:%M:%S")


def axis(title: str = "", **more: object) -> Figure:
    """An axis in the report's style."""
    return {"title": {"text": title, "standoff": 12}, "gridcolor": GRID, "zeroline": False, "linecolor": GRID} | more


def layout(height: int, **more: object) -> Figure:
    """A layout in the report's style; `height` in pixels."""
    return {
        "height": height,
        "margin": {"l": 70, "r": 16, "t": 40, "b": 70},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": INK},
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "itemsizing": "constant",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "yref": "paper",
        },
        "hoverlabel": {"font": {"size": 12}},
    } | more


def line(x: Sequence[str], y: Sequence[Decimal | str | None], name: str, colour: str, **more: object) -> Figure:
    """A line trace; Decimals become numbers here, for the eye only."""
    numbers = [None if value is None else float(value) for value in y]
    style = {"color": colour, "width": 1.6}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": numbers, "name": name, "line": style} | more


def prices(minutes: Sequence[Minute], calls: Sequence[MarginCall], started: Sequence[LiquidationStarted]) -> Figure:
    """One panel per instrument: the real price with the minutes in which positions were called and liquidated."""
    times = [moment(minute.open_us) for minute in minutes]
    data: list[Figure] = []
    figure_layout = layout(900, hovermode="closest", annotations=[])
    for row, instrument in enumerate(INSTRUMENTS):
        suffix = "" if row == 0 else str(row + 1)
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        bars = [minute.bars[row] for minute in minutes]
        edge: Figure = {"line": {"width": 0}, "hoverinfo": "skip", "showlegend": False} | axes
        data.append(line(times, [bar.low for bar in bars], "low", BLUE) | edge)
        band: Figure = {"fill": "tonexty", "fillcolor": "rgba(47,109,181,0.18)"}
        data.append(line(times, [bar.high for bar in bars], "high", BLUE) | edge | band)
        first = {"showlegend": row == 0} | axes
        data.append(
            line(times, [bar.close for bar in bars], "price (minute's close; band: low to high)", BLUE, **first)
        )
        opened = [call for call in calls if call.status == "called" and call.instrument == instrument]
        begun = [start for start in started if start.instrument == instrument]
        data.append(_markers(opened, "margin calls", AMBER, "circle") | first)
        data.append(_markers(begun, "liquidations", RED, "triangle-down") | first)
        figure_layout[f"yaxis{suffix}"] = axis("USDT", domain=_panel(row, len(INSTRUMENTS)))
        shown = row == len(INSTRUMENTS) - 1
        figure_layout[f"xaxis{suffix}"] = axis(
            "time, UTC" if shown else "", type="date", anchor=f"y{suffix}", showticklabels=shown, matches="x"
        )
        figure_layout["annotations"].append(_panel_title(instrument, f"y{suffix} domain"))
    return {"data": data, "layout": figure_layout}


def _panel(row: int, rows: int) -> tuple[float, float]:
    """Vertical extent of a panel, the first row on top."""
    height, gap = 1 / rows, 0.03
    top = 1 - row * height
    return round(top - height + gap, 4), round(top, 4)


def _panel_title(text: str, yref: str) -> Figure:
    return {
        "text": f"<b>{text}</b>",
        "xref": "paper",
        "yref": yref,
        "x": 0.006,
        "y": 0.04,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }


def _markers(decisions: Iterable[MarginCall | LiquidationStarted], name: str, colour: str, symbol: str) -> Figure:
    """One marker per minute at the mark that triggered the first of them; its area grows with their number."""
    minutes: defaultdict[int, list[str]] = defaultdict(list)
    for decision in decisions:
        minutes[decision.time_us // MINUTE_US].append(decision.mark_price or "")
    counts = [len(marks) for marks in minutes.values()]
    most = max(counts, default=1)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [moment(minute * MINUTE_US) for minute in minutes],
        "y": [float(marks[0]) for marks in minutes.values()],
        "text": [f"{count} {name}" for count in counts],
        "hovertemplate": "%{text}<br>%{x}<br>mark %{y} USDT<extra></extra>",
        "name": name,
        "marker": {
            "color": colour,
            "symbol": symbol,
            "opacity": 0.6,
            "size": [round(4 + 14 * (count / most) ** 0.5, 1) for count in counts],
            "line": {"width": 0},
        },
    }


def account(case: Case) -> Figure:
    """Two panels: the mark against the position's liquidation price; its equity against its maintenance margin."""
    times = [moment(time_us) for time_us, _ in case.views]
    views = [view for _, view in case.views]
    top_ups = [moment(time_us) for time_us, _ in case.top_ups]
    steps: Figure = {"line": {"shape": "hv", "color": RED, "width": 2}}
    dotted: Figure = {"yaxis": "y2", "line": {"color": RED, "width": 1.6, "dash": "dot"}}
    data = [
        line(times, [view.mark_price for view in views], "mark price", BLUE),
        line(times, [view.liquidation_price for view in views], "liquidation price", RED) | steps,
        line(times, [view.equity for view in views], "equity of the position", GREEN, yaxis="y2"),
        line(times, [view.maintenance_margin for view in views], "maintenance margin", RED) | dotted,
        _top_ups(case, top_ups),
    ]
    shapes = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "line": {"color": AMBER, "width": 1, "dash": "dot"},
        }
        for x in top_ups
    ]
    return {
        "data": data,
        "layout": layout(
            620,
            hovermode="x unified",
            shapes=shapes,
            xaxis=axis("time, UTC", type="date", anchor="y2"),
            yaxis=axis("price, USDT", domain=[0.52, 1]),
            yaxis2=axis("USDT", domain=[0, 0.46]),
        ),
    }


def _top_ups(case: Case, times: list[str]) -> Figure:
    equities = [case.equity_after(time_us) for time_us, _ in case.top_ups]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": times,
        "y": [None if equity is None else float(equity) for equity in equities],
        "text": [f"{amount:,.2f} USDT" for _, amount in case.top_ups],
        "hovertemplate": "top-up of %{text}<extra></extra>",
        "name": "top-up",
        "yaxis": "y2",
        "marker": {"symbol": "triangle-up", "size": 13, "color": AMBER, "line": {"width": 1, "color": INK}},
    }


def per_minute(started: Sequence[LiquidationStarted], calls: Sequence[MarginCall], worst: Hour | None) -> Figure:
    """Calls above, liquidations below, both counted per minute; buttons zoom to the worst hour."""
    data = [
        _counts((call.time_us for call in calls if call.status == "called"), "margin calls opened", AMBER)
        | {"yaxis": "y2"}
    ]
    for instrument, colour in INSTRUMENT_COLOURS.items():
        times = (start.time_us for start in started if start.instrument == instrument)
        data.append(_counts(times, f"liquidations {instrument.partition('-')[0]}", colour))
    figure_layout = layout(
        500,
        barmode="stack",
        bargap=0,
        xaxis=axis("time, UTC", type="date"),
        yaxis=axis("liquidations a minute", domain=[0, 0.6]),
        yaxis2=axis("calls a minute", domain=[0.66, 1]),
    )
    if worst:
        near = [moment(worst.start_us - HOUR_US // 2), moment(worst.start_us + 3 * HOUR_US // 2)]
        figure_layout["updatemenus"] = [_zoom(near)]
        figure_layout["margin"]["t"] = 84
    return {"data": data, "layout": figure_layout}


def _zoom(near: list[str]) -> Figure:
    return {
        "type": "buttons",
        "direction": "right",
        "x": 1,
        "xanchor": "right",
        "y": 1.1,
        "yanchor": "bottom",
        "buttons": [
            {"label": "whole window", "method": "relayout", "args": [{"xaxis.autorange": True}]},
            {"label": "around the worst hour", "method": "relayout", "args": [{"xaxis.range": near}]},
        ],
    }


def _counts(times_us: Iterable[int], name: str, colour: str) -> Figure:
    counts = sorted(Counter(time_us // MINUTE_US for time_us in times_us).items())
    return {
        "type": "bar",
        "x": [moment(minute * MINUTE_US) for minute, _ in counts],
        "y": [count for _, count in counts],
        "width": MINUTE_US // 1000,
        "offset": 0,
        "name": name,
        "marker": {"color": colour, "line": {"width": 0.4, "color": colour}},
    }


def funds(history: FundHistory) -> Figure:
    """Balance of each instrument's insurance fund over time."""
    data = [
        line(
            [moment(time_us) for time_us, _ in points],
            [balance for _, balance in points],
            name,
            INSTRUMENT_COLOURS[name],
        )
        | {"line": {"shape": "hv", "width": 2, "color": INSTRUMENT_COLOURS[name]}}
        for name, points in history.items()
    ]
    axes = {"xaxis": axis("time, UTC", type="date"), "yaxis": axis("balance, USDT", rangemode="tozero")}
    return {"data": data, "layout": layout(420, hovermode="x unified", **axes)}


def requirement(minutes: Sequence[Minute], said: Announced) -> Figure:
    """The price of one instrument, and below it the rate that volatility asks for, in force and announced."""
    row = INSTRUMENTS.index(SHOWN)
    times = [moment(minute.open_us) for minute in minutes]
    changed = [each for each in said if isinstance(each, RequirementChanged) and each.new_rate is not None]
    announced = [each for each in said if isinstance(each, RequirementAnnounced)]
    in_force = [(moment(each.time_us), each.new_rate) for each in changed]
    in_force.append((times[-1], in_force[-1][1]))
    lower = {"xaxis": "x2", "yaxis": "y2"}
    step: Figure = {"line": {"shape": "hv", "width": 2, "color": RED}}
    marks: Figure = {"type": "scatter", "mode": "markers", "name": "a rise is announced"}
    marks |= {"marker": {"color": AMBER, "size": 8, "symbol": "triangle-up"}}
    marks |= {"x": [moment(each.time_us) for each in announced]}
    marks |= {"y": [float(each.new_rate) for each in announced if each.new_rate is not None]}
    data = [
        line(times, [minute.bars[row].close for minute in minutes], f"price of {SHOWN}", BLUE),
        line([time for time, _ in in_force], [rate for _, rate in in_force], "rate in force", RED) | step | lower,
        marks | lower,
    ]
    axes = {
        "xaxis": axis(type="date", showticklabels=False, matches="x2", anchor="y"),
        "yaxis": axis("USDT", domain=_panel(0, 2)),
        "xaxis2": axis("time, UTC", type="date", anchor="y2"),
        "yaxis2": axis("of notional", domain=_panel(1, 2), tickformat=".0%", rangemode="tozero"),
    }
    return {"data": data, "layout": layout(560, hovermode="closest", **axes)}


def containment(completed: Sequence[LiquidationCompleted]) -> Figure:
    """Loss against collateral of every liquidation, both logarithmic; nothing lies above the diagonal."""
    data: list[Figure] = []
    edges = [Decimal(1), Decimal(1)]
    for result, (name, colour) in RESULTS.items():
        points = [done for done in completed if done.result == result and Decimal(done.loss) > 0]
        edges += [Decimal(done.collateral) for done in points]
        data.append(
            {
                "type": "scattergl",
                "mode": "markers",
                "x": [float(done.collateral) for done in points],
                "y": [float(done.loss) for done in points],
                "text": [done.liquidation_id for done in points],
                "hovertemplate": "%{text}<br>collateral %{x:,.2f}<br>loss %{y:,.2f} USDT<extra></extra>",
                "name": f"{name} ({len(points):,})",
                "marker": {"color": colour, "size": 4, "opacity": 0.4},
            }
        )
    ends = [min(edges), max(edges) * 2]
    diagonal = line(["", ""], ends, "loss = collateral", INK, hoverinfo="skip")
    diagonal |= {"x": diagonal["y"], "line": {"color": INK, "width": 1.5, "dash": "dash"}}
    logarithmic = {"type": "log", "dtick": 1, "tickformat": ",~r"}
    axes = {"xaxis": axis("collateral in the bucket, USDT", **logarithmic), "yaxis": axis("loss, USDT", **logarithmic)}
    return {"data": [*data, diagonal], "layout": layout(560, **axes)}


def outcomes(table: Mapping[Strategy, Counter[str]]) -> Figure:
    """What became of called positions, by their owner's strategy, in per cent of the called."""
    fates = {"kept": ("never liquidated", GREEN), "liquidated": ("liquidated", RED)}
    shown = [strategy for strategy, fate in table.items() if fate.total()]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": [f"{strategy.value} ({table[strategy].total():,} called)" for strategy in shown],
            "x": [100 * table[strategy][fate] / table[strategy].total() for strategy in shown],
            "hovertemplate": "%{x:.1f} %<extra></extra>",
            "name": name,
            "marker": {"color": colour},
        }
        for fate, (name, colour) in fates.items()
    ]
    axes = {"xaxis": axis("per cent of called positions", range=[0, 100]), "yaxis": axis(autorange="reversed")}
    wide: Figure = {"l": 240, "r": 16, "t": 36, "b": 60}
    return {"data": data, "layout": layout(360, barmode="stack", **axes) | {"margin": wide}}
