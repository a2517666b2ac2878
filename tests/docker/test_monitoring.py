"""Alert rules and dashboard: every metric and label in them exists, and every alert is explained."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from ringfence_schemas.codes import CODES
from ringfence_streams.app.metrics import NAMES
from ringfence_streams.shard import Mode
from tests.docker.definitions import read_json, read_yaml, services
from tests.test_tidy import ROOT

RULES: list[dict[str, Any]] = [
    rule for group in read_yaml("prometheus/rules.yaml")["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = read_json("grafana/dashboards/ringfence.json")
GUIDE = ROOT / "docs/guide/operating-kafka.md"
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds itself."""
SUFFIXES = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
SERIES = {
    name + suffix: {*metric.labels, *SCRAPED, *({"le"} if suffix == "_bucket" else ())}
    for name, metric in NAMES.items()
    for suffix in SUFFIXES[metric.kind]
} | {"up": SCRAPED}
"""Every series that Prometheus can have of us, with its labels."""
VALUES = {"mode": {mode.value for mode in Mode}, "code": set(CODES)}
"""What some labels can be."""


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, with the name of what asks it; a dashboard's interval as Grafana would fill it in."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "30s")


def selectors(expression: object) -> Iterator[promql_parser.VectorSelector]:
    """Every selection of series in an expression."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression
        case promql_parser.MatrixSelector():
            yield expression.vector_selector
        case promql_parser.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql_parser.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.SubqueryExpr():
            yield from selectors(expression.expr)


@pytest.mark.parametrize(("name", "text"), list(expressions()))
def test_every_query_asks_for_series_that_exist(name: str, text: str) -> None:
    """A query is PromQL, and its metrics, labels and values of labels are those of the table of metrics."""
    found = list(selectors(promql_parser.parse(text)))
    assert found, name
    for selector in found:
        assert selector.name in SERIES
        for matcher in selector.matchers.matchers:
            assert matcher.name in SERIES[selector.name]
            assert set(matcher.value.split("|")) <= VALUES.get(matcher.name, set(matcher.value.split("|")))


def grouped(expression: object) -> Iterator[tuple[list[str], set[str]]]:
    """For every aggregation: the labels it keeps, and those that its series have."""
    if isinstance(expression, promql_parser.AggregateExpr):
        inside = [SERIES[selector.name or ""] for selector in selectors(expression.expr)]
        if expression.modifier is not None:
            yield expression.modifier.labels, set.intersection(*inside)
        yield from grouped(expression.expr)
    elif isinstance(expression, promql_parser.BinaryExpr):
        yield from grouped(expression.lhs)
        yield from grouped(expression.rhs)
    elif isinstance(expression, promql_parser.Call):
        for argument in expression.args:
            yield from grouped(argument)
    elif isinstance(expression, promql_parser.ParenExpr | promql_parser.SubqueryExpr):
        yield from grouped(expression.expr)


@pytest.mark.parametrize(("name", "text"), list(expressions()))
def test_every_query_keeps_labels_that_its_series_have(name: str, text: str) -> None:
    """`sum by (shard)` of a metric without a shard would be one nameless line."""
    for kept, had in grouped(promql_parser.parse(text)):
        assert set(kept) <= had, name


def test_a_metric_that_does_not_exist_is_noticed() -> None:
    """The parser finds every selector, also inside functions, aggregations and sub-queries."""
    text = "min_over_time(sum by (a) (one)[2m:10s]) > 0.01 * (rate(two{b=~'c|d'}[5m]) unless three)"
    found = list(selectors(promql_parser.parse(text)))
    assert [selector.name for selector in found] == ["one", "two", "three"]
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse("sum by (a (one)")


def test_every_metric_is_looked_at() -> None:
    """Each metric of the table stands on the dashboard."""
    shown = {selector.name for _, text in expressions() for selector in selectors(promql_parser.parse(text))}
    for name, metric in NAMES.items():
        assert shown & {name + suffix for suffix in SUFFIXES[metric.kind]}, name


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_says_what_happened_and_the_guide_what_to_do(rule: dict[str, Any]) -> None:
    """An alert has a severity and a summary, and its row in the guide; labels in the summary are labels it has."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    labels = {
        label for selector in selectors(promql_parser.parse(rule["expr"])) for label in SERIES[selector.name or ""]
    }
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= labels
    assert f"| `{rule['alert']}` |" in GUIDE.read_text(encoding="utf-8")


def test_prometheus_finds_the_services_that_have_metrics() -> None:
    """It asks for the containers of engine and views at the port of their web server, and reads the rules."""
    configuration = read_yaml("prometheus/prometheus.yaml")
    (job,) = configuration["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert job["job_name"] == "ringfence"
    assert set(found["names"]) == {"engine", "views"} <= services().keys()
    assert found["port"] == 6066
    assert configuration["rule_files"] == ["/etc/prometheus/rules.yaml"]


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    """Every panel uses the one data source by its id; no two panels have the same id or overlap."""
    (source,) = read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    panels = DASHBOARD["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in cells_of(panel["gridPos"])]
    assert len(cells) == len(set(cells))


def cells_of(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    """The cells of Grafana's grid that a panel covers."""
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            assert x < 24
            yield x, y
