"""The page as a whole: well formed, alone in the world, and the same every time."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank, read_reference
from lnat_plugins.report import report
from lnat_plugins.report.markup import number
from tests.ranking.builders import LOWER
from tests.report.builders import FAST, Page, page_of, row, source, three_teachers, with_response


@pytest.fixture(scope="module")
def text() -> str:
    reference = read_reference("QwQ>R1=DSQ", ["QwQ", "R1", "DSQ"])
    return page_of(three_teachers(), reference=reference)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_well_formed(page: Page) -> None:
    assert page.problems == []
    ids = [node.attributes["id"] for node in page.nodes if "id" in node.attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_has_its_target(page: Page) -> None:
    ids = {node.attributes.get("id") for node in page.nodes}
    links = [str(node.attributes["href"]) for node in page.all("a")]
    assert len(links) > 11
    assert [link for link in links if link[0] != "#" or link[1:] not in ids] == []
    named = " ".join(
        str(node.attributes["aria-labelledby"]) for node in page.all("svg", role="img")
    )
    assert set(named.split()) <= ids


def test_nothing_is_loaded(text: str, page: Page) -> None:
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert [
        node for node in page.nodes if {"src", "srcset", "style"} & node.attributes.keys()
    ] == []
    assert page.all("link") == []
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert str(policy.attributes["content"]).startswith("default-src 'none'; style-src 'sha256-")


def test_headings_come_in_order(page: Page) -> None:
    levels = [int(node.name[1]) for node in page.nodes if re.fullmatch("h[1-6]", node.name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_tables_have_headings(page: Page) -> None:
    tables = page.all("table")
    assert len(tables) >= 10
    assert len(page.all("caption")) == len(tables)
    assert [node for node in page.all("th") if node.attributes.get("scope") is None] == []


def test_plots_are_described_in_words(page: Page) -> None:
    plots = page.all("svg", role="img")
    assert len(plots) == 9
    descriptions = [page.text(node) for node in page.all("desc")]
    assert len(descriptions) == len(page.all("svg", class_="plot")) == len(plots)
    assert all(descriptions)


def test_the_figures_are_those_of_rank(page: Page) -> None:
    given = source(three_teachers())
    ranking = rank(given.rows, given.prompts, METRICS["local_naturalness"], "4", **FAST)
    shown = page.table("Teachers by local_naturalness")
    assert list(shown) == [line.teacher for line in ranking.teachers]
    for line in ranking.teachers:
        assert shown[line.teacher] == [
            str(line.rank),
            number(line.mean),
            f"[{number(line.low)}, {number(line.high)}]",
            number(line.median),
            number(line.difference),
            f"[{number(line.difference_low)}, {number(line.difference_high)}]",
            number(line.p_best, 3),
            number(line.win_rate, 3),
            number(line.coverage, 3),
            str(line.responses),
        ]
        assert page.table("Rank probabilities")[line.teacher] == [
            number(share, 3) for share in line.p_rank
        ]
        assert page.table("Means of plain counts")[line.teacher] == [
            number(value) for value in line.controls.values()
        ]
    panel = page.table("Spearman's correlation of local_naturalness with plain counts")
    for each in ranking.confounds.correlations:
        assert panel[each.control][0] == number(each.overall, 3)


def test_the_known_order_is_compared(page: Page) -> None:
    fit = page.table("Fit to the known order")
    assert fit["local_naturalness"][4] == "1.000"
    assert fit["local_naturalness"][6] == "QwQ"
    assert "Fit to the known order" not in page_of(three_teachers())


def test_the_same_input_gives_the_same_page() -> None:
    assert page_of(three_teachers()) == page_of(three_teachers())
    assert page_of(three_teachers(), seed=1) != page_of(three_teachers(), seed=2)


def test_the_template_is_full() -> None:
    folder = Path(report.__code__.co_filename).parent
    assert {"page.html", "script.js", "style.css"} <= {path.name for path in folder.iterdir()}
    assert "$" not in (folder / "style.css").read_text(encoding="utf-8")


def test_another_metric_and_window() -> None:
    page = Page(page_of(three_teachers(), metric=METRICS["global_naturalness"], window="global"))
    assert page.problems == []
    assert "Teachers by global_naturalness" in [page.text(node) for node in page.all("caption")]


def test_a_metric_that_is_better_when_lower() -> None:
    text = page_of(three_teachers(), metric=LOWER, metrics={**METRICS, LOWER.name: LOWER})
    shown = Page(text).table(f"Teachers by {LOWER.name}")
    assert list(shown) == ["QwQ", "R1", "DSQ"]
    assert f"{LOWER.name}[4], nats per token (lower is better)" in text
    taus = Page(text).table("Kendall tau-b of the teachers' order, metric by metric")
    assert taus[f"1 {LOWER.name}"][:2] == ["1.00", "1.00"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metric": METRICS["n_tokens"]}, "nothing can be ranked by 'n_tokens'"),
        ({"prompts": 0}, "prompts is below 1"),
        ({"bootstrap_iters": -1}, "bootstrap_iters is below 0"),
    ],
)
def test_a_wrong_setting_is_reported(more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        page_of(three_teachers(), **more)


def test_a_text_that_was_changed_is_reported() -> None:
    changed = with_response(row("p0", "QwQ", [-1.0, -2.0]), text="another")
    with pytest.raises(DataError, match=r"prompt 'p0', teacher 'QwQ': the scored steps do not"):
        page_of([changed])
