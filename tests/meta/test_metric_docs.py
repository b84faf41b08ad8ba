"""docs/metrics says of every metric what the code declares, and names no other.

Each has a line in the table of the index there, and a page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from lnat_plugins.metrics import METRICS, Metric
from tests.meta.test_selection_docs import dead_links

OF_TEACHERS = {"grace.md"}
"""Pages of scores that a teacher has and a response has not: no `Metric` declares them."""
HEADINGS = ("Formula", "Direction", "Cost", "When to distrust it", "What is ours", "Source")
BETTER = {"higher": True, "lower": False, "–": None}
HEAD = (
    "metric", "formula", "unit", "better", "scope", "window", "needs", "cost", "source",
)  # fmt: skip


class Told(NamedTuple):
    """What the table says of a metric."""

    unit: str
    better: bool | None
    scope: str
    needs: frozenset[str]


def declared(metric: Metric) -> Told:
    return Told(metric.unit, metric.higher_is_better, metric.scope, metric.needs)


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip("|").split("|"))


def table(text: str) -> dict[str, Told]:
    """Name -> what the generated table says; a line must have every cell."""
    first, _, _ = text.partition("<!-- generated: metrics -->\n")[2].partition("<!-- end -->")
    lines = [line for line in first.splitlines() if line.startswith("|")]
    assert cells(lines[0]) == HEAD
    told = {}
    for line in lines[2:]:
        name, formula, unit, better, scope, _, needs, cost, source = cells(line)
        assert formula and cost and source
        (name,) = re.findall(r"`(\w+)`", name)
        assert name not in told
        told[name] = Told(unit, BETTER[better], scope, frozenset(re.findall(r"`(\w+)`", needs)))
    return told


def pages_of(folder: Path) -> dict[str, str]:
    """Page -> text, without the index."""
    return {
        page.name: page.read_text(encoding="utf-8")
        for page in sorted(folder.glob("*.md"))
        if page.name != "index.md"
    }


def page_of(name: str, text: str) -> str:
    """The page that the table's line of the metric leads to."""
    (page,) = re.findall(rf"^\| \[`{name}`\]\((\w+\.md)\) \|", text, re.MULTILINE)
    return page


@pytest.fixture(scope="module")
def folder(repo: Path) -> Path:
    return repo / "docs" / "metrics"


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "index.md").read_text(encoding="utf-8")


def test_the_table_says_what_the_code_declares(text: str) -> None:
    assert table(text) == {name: declared(metric) for name, metric in METRICS.items()}
    assert list(table(text)) == list(METRICS)


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("| ranks per nat | lower |", "| ranks per nat | higher |"),
        ("| ranks per nat | lower |", "| nats per rank | lower |"),
        ("| higher | corpus |", "| higher | response |"),
        ("| `capped_rank` |", "| – |"),
        ("| `brier` |", "| `brier`, `entropy` |"),
        ("[`rsr`](rsr.md)", "[`rsr2`](rsr.md)"),
    ],
)
def test_a_table_that_says_otherwise_is_caught(text: str, said: str, instead: str) -> None:
    assert said in text
    found = table(text.replace(said, instead))
    assert found != {name: declared(metric) for name, metric in METRICS.items()}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_without_a_line_is_caught(text: str, name: str) -> None:
    shorter = re.sub(rf"^\| \[`{name}`\].*\n", "", text, flags=re.MULTILINE)
    assert set(METRICS) - set(table(shorter)) == {name}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_page_that_names_it(folder: Path, text: str, name: str) -> None:
    assert f"`{name}`" in pages_of(folder)[page_of(name, text)]


def test_every_page_is_that_of_a_metric(folder: Path, text: str) -> None:
    assert set(pages_of(folder)) == {page_of(name, text) for name in METRICS} | OF_TEACHERS
    assert all(f"]({page})" in text for page in OF_TEACHERS)


def test_every_page_has_the_same_sections(folder: Path) -> None:
    for page, content in pages_of(folder).items():
        assert tuple(re.findall(r"^## (.*)$", content, re.MULTILINE)) == HEADINGS, page


def test_every_page_names_the_papers_of_its_metrics(folder: Path, text: str) -> None:
    pages = pages_of(folder)
    for name, metric in METRICS.items():
        _, _, source = pages[page_of(name, text)].partition("\n## Source\n")
        (line,) = re.findall(rf"^\| \[`{name}`\].*$", text, re.MULTILINE)
        papers = re.findall(r"arXiv \d{4}\.\d{5}", metric.source)
        assert [paper for paper in papers if paper not in source] == []
        assert not papers or papers[0] in line


def test_what_the_statistics_are_called_is_told(text: str) -> None:
    needs = frozenset().union(*(told.needs for told in table(text).values()))
    assert needs == frozenset().union(*(metric.needs for metric in METRICS.values()))


def test_every_link_leads_somewhere(folder: Path) -> None:
    for page in sorted(folder.glob("*.md")):
        assert dead_links(page) == [], page.name
