"""The dashboard and the alerts ask for what the collector gives, and in a way that it allows."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import promql_parser as promql
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cachepool_lib import AsyncCache, Canary, DatabasePool
from cachepool_lib.metrics import Collector

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "examples" / "monitoring"
NOTEBOOK = ROOT / "notebooks" / "06-watch-and-tune.ipynb"

DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
[GROUP] = yaml.safe_load((MONITORING / "alerts.yaml").read_text("utf-8"))["groups"]
RULES = {rule["alert"]: rule for rule in GROUP["rules"]}
# What Grafana puts in its place is as long as some scrapes.
QUERIES = {
    f"{panel['title']}, {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
EXPRESSIONS = QUERIES | {name: rule["expr"] for name, rule in RULES.items()}
OF_PROMETHEUS = {"job", "instance"}  # labels that each series gets when it is scraped
RATES = {"rate", "increase", "irate"}


class Series(NamedTuple):
    """What the collector says of one name: whether it only grows, and its labels' values."""

    grows: bool
    labels: dict[str, set[str]]


@cache
def collected() -> dict[str, Series]:
    """Every name that Prometheus gets to see, from a real scrape."""
    cache, pool = AsyncCache(), DatabasePool("postgresql://localhost/shop")
    registry, found = CollectorRegistry(), dict[str, Series]()
    registry.register(Collector({"pages": cache}, {"shop": pool}, {"pages": Canary(cache)}))
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, Series(family.type != "gauge", {})).labels
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


# What is wrong with an expression


def parts(node: Any) -> Iterator[Any]:
    """The expressions that *node* is made of, one level down."""
    if isinstance(node, promql.Call):
        yield from node.args
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (part := getattr(node, name, None)) is not None:
            yield part


def all_parts(node: Any) -> Iterator[Any]:
    yield node
    for part in parts(node):
        yield from all_parts(part)


def selectors(node: Any) -> list[Any]:
    return [part for part in all_parts(node) if isinstance(part, promql.VectorSelector)]


def faults(node: Any, within: str = "") -> Iterator[str]:
    """What the collector does not give, or does not allow; *within* is the function around."""
    if isinstance(node, promql.VectorSelector):
        yield from faults_of_selector(node, within)
    if isinstance(node, promql.AggregateExpr):
        # For each series that goes in: what it does not have would be empty in what comes out.
        wanted = set(node.modifier.labels) if node.modifier else set()
        for selector in selectors(node):
            has = labels_of(selector)
            yield from (f"{selector.name} has no label {label}" for label in wanted - has)
        if not wanted & OF_PROMETHEUS:
            yield "services that are scraped by one Prometheus are added up: keep job"
    if isinstance(node, promql.Call) and node.func.name == "histogram_quantile":
        for selector in selectors(node):
            if not selector.name.endswith("_bucket"):
                yield f"{selector.name} has no buckets for histogram_quantile"
    if isinstance(node, promql.Call):
        within = node.func.name
    for part in parts(node):
        yield from faults(part, within)


def labels_of(selector: Any) -> set[str]:
    series = collected().get(selector.name)
    return OF_PROMETHEUS | (series.labels.keys() if series else set())


def faults_of_selector(selector: Any, within: str) -> Iterator[str]:
    series = collected().get(selector.name)
    if series is None:
        yield f"the collector gives no {selector.name}"
        return
    if series.grows and within not in RATES:
        yield f"{selector.name} only grows: ask for its rate"
    if not series.grows and within in RATES:
        yield f"{selector.name} goes up and down: it has no {within}"
    for matcher in selector.matchers.matchers:
        known = series.labels.get(matcher.name)
        if known is None:
            yield f"{selector.name} has no label {matcher.name}"
        elif unknown := set(matcher.value.split("|")) - known:
            yield f"{matcher.name} is never {min(unknown)}"


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(expression: str) -> None:
    """Names, labels and their words are the collector's; counters are asked for their rate."""
    assert list(faults(promql.parse(expression))) == []


BROKEN = {
    "a name": ("cachepool_pool_wait > 0", "gives no cachepool_pool_wait"),
    "the name without its end": ("rate(cachepool_cache_loads[1m])", "gives no"),
    "a word": ('rate(cachepool_cache_loads_total{result="error"}[1m])', "result is never error"),
    "one word of two": (
        'rate(cachepool_cache_requests_total{outcome=~"hit|old"}[1m])',
        "outcome is never old",
    ),
    "a label": ('cachepool_pool_waiting{cache="pages"}', "has no label cache"),
    "a label to keep": ("sum by (job, cache) (cachepool_pool_waiting)", "has no label cache"),
    "no service": ("sum by (pool) (cachepool_pool_waiting)", "keep job"),
    "everything": ("sum(cachepool_pool_waiting)", "keep job"),
    "the rate of a gauge": ("rate(cachepool_pool_waiting[1m])", "it has no rate"),
    "a counter as it is": ("cachepool_cache_errors_total > 10", "ask for its rate"),
    "a sum as it is": ("cachepool_pool_hold_seconds_sum / 2", "ask for its rate"),
    "a quantile of a sum": (
        "histogram_quantile(0.99, rate(cachepool_pool_wait_seconds_sum[1m]))",
        "no buckets",
    ),
}


@pytest.mark.parametrize("expression, fault", BROKEN.values(), ids=BROKEN)
def test_a_wrong_expression_is_found(expression: str, fault: str) -> None:
    """This test would say so."""
    assert fault in "; ".join(faults(promql.parse(expression)))


def test_a_quantile_of_buckets_is_allowed() -> None:
    """The histograms are there to be asked."""
    quantile = "histogram_quantile(0.99, sum by (job, le) (rate({}_bucket[5m])))"
    for name in ("cachepool_pool_wait_seconds", "cachepool_pool_hold_seconds"):
        assert list(faults(promql.parse(quantile.format(name)))) == []


# Alerts


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_alert_says_what_to_do_and_where_it_is_shown(rule: dict[str, Any]) -> None:
    """It waits before it fires, and it names nothing that the expression has dropped."""
    expression = promql.parse(rule["expr"])
    assert promql.parse_duration(rule["for"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    summary, shown_in = rule["annotations"]["summary"], rule["annotations"]["shown_in"]
    assert len(summary.split()) > 20
    path, sections = shown_in.split(", ", 1)
    assert ROOT / path == NOTEBOOK
    kept = [
        set(part.modifier.labels)
        for part in all_parts(expression)
        if isinstance(part, promql.AggregateExpr)
    ]
    kept += [labels_of(each) for each in selectors(expression)]
    named = set(re.findall(r"\$labels\.(\w+)", summary))
    assert named
    assert all(named <= labels for labels in kept)
    numbers = re.findall(r"section (\d)", sections)
    assert numbers
    if NOTEBOOK.exists():
        cells = nbformat.read(NOTEBOOK, as_version=4).cells
        headings = [cell.source for cell in cells if cell.cell_type == "markdown"]
        for number in numbers:
            assert any(text.startswith(f"## {number} ") for text in headings)


NOTICED = {"CachepoolCallersRefused", "CachepoolLoadsFail"}


def test_somebody_is_woken_for_what_visitors_notice_alone() -> None:
    """As section 7 of the notebook says: all else is for those who are at work."""
    pages = {name for name, rule in RULES.items() if rule["labels"]["severity"] == "page"}
    assert pages == NOTICED


SHARES = ("CachepoolCallersRefused", "CachepoolLoadsFail", "CachepoolCacheErrors")


@pytest.mark.parametrize("name", [*SHARES, "CachepoolHitsStale"])
def test_a_share_is_asked_for_in_two_windows(name: str) -> None:
    """Over 1 % in five minutes, and by the same question in the last one: a blip wakes nobody."""
    expression = promql.parse(RULES[name]["expr"])
    assert str(expression.op) == "and"
    long, short = str(expression.lhs), str(expression.rhs)
    assert long.endswith("> 0.01")
    assert "[5m]" in long and "[1m]" not in long
    assert long.replace("[5m]", "[1m]") == short


# The dashboard, and the page about both


def test_the_five_graphs_are_there_and_none_covers_another() -> None:
    """Each has a title, a word on what to see in it, and the data source that one chooses."""
    panels = DASHBOARD["panels"]
    assert len(panels) == len({panel["id"] for panel in panels}) == 5
    [variable] = DASHBOARD["templating"]["list"]
    places = set()
    for panel in panels:
        assert panel["type"] == "timeseries"
        assert panel["title"] and panel["description"]
        sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
        assert all(each["uid"] == f"${{{variable['name']}}}" for each in sources)
        letters = {target["refId"] for target in panel["targets"]}
        shown = panel["fieldConfig"]["overrides"]
        assert {each["matcher"]["options"] for each in shown} <= letters
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        area = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not area & places
        places |= area


@pytest.mark.parametrize("key, expression", QUERIES.items(), ids=QUERIES)
def test_a_legend_names_what_the_query_keeps(key: str, expression: str) -> None:
    """A label that was added up would be empty there."""
    title, letter = key.rsplit(", ", 1)
    [legend] = [
        target["legendFormat"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        if (panel["title"], target["refId"]) == (title, letter)
    ]
    kept = [
        set(part.modifier.labels)
        for part in all_parts(promql.parse(expression))
        if isinstance(part, promql.AggregateExpr)
    ]
    named = set(re.findall(r"{{(\w+)}}", legend))
    assert named and all(named <= labels for labels in kept)


def test_the_page_names_each_graph_and_each_rule() -> None:
    """In the order in which they stand."""
    text = (MONITORING / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    graphs = [panel["title"] for panel in DASHBOARD["panels"]]
    assert [row for row in rows if row in graphs] == graphs
    assert [row for row in rows if row.startswith("Cachepool")] == list(RULES)
