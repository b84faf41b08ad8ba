"""What the page says in words: counts, names, settings, and the order in which teachers stand."""

from __future__ import annotations

import dataclasses

import pytest

from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank
from lnat_plugins.report.data import gather
from lnat_plugins.report.markup import counted, number
from lnat_plugins.report.page import _plain, _short
from lnat_plugins.report.sections import stability
from tests.report.builders import Page, options, page_of, row, source, three_teachers, with_response


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-3.02504, "-3.0250"),
        (-0.00001, "0.0000"),
        (999.12345, "999.1235"),
        (1234.5678, "1,234.57"),
        (-56_789.123, "-56,789.1"),
        (1_479_266.1912, "1,479,266"),
        (float("inf"), "inf"),
        (float("nan"), "undefined"),
    ],
)
def test_large_numbers_have_six_digits_that_count(value: float, written: str) -> None:
    assert number(value) == written


def test_one_is_not_many() -> None:
    assert [counted(n, "metric") for n in (0, 1, 2000)] == [
        "0 metrics",
        "1 metric",
        "2,000 metrics",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("\n\n", '"\\n\\n"'), ("", '""'), (" a", '" a"'), ("plain words", "plain words"),
        (["4", "\t"], '4, "\\t"'), (None, "none"), (7, "7"),
    ],
)  # fmt: skip
def test_white_space_in_a_setting_can_be_seen(value: object, written: str) -> None:
    assert _plain(value) == written


def test_the_title_has_the_students_last_name_and_settings_the_whole() -> None:
    assert [_short(name) for name in ("org/student", "/a/b/", "C:\\m\\s", "s", "/")] == [
        "student", "b", "s", "s", "/",
    ]  # fmt: skip
    page = Page(page_of(three_teachers()))
    (title,) = page.all("h1")
    assert page.text(title) == "a_task: teachers for student"
    assert page.table("How this was scored")["student"] == ["org/student"]


def test_a_metric_without_a_unit_has_no_brackets() -> None:
    text = page_of(three_teachers(), metric=METRICS["random"])
    assert "random (higher is better)" in text
    assert Page(text).table("How this was scored")["metric"] == ["random"]


def test_samples_are_numbered_only_where_there_are_several() -> None:
    one = row("p", "A", [-1.0, -2.0])
    rows = [one, with_response(one, sample=1), row("p", "B", [-1.5, -2.0])]
    page = Page(page_of(rows))
    headings = [page.text(node).strip() for node in page.all("h4")]
    assert headings == ["A, sample 0", "A, sample 1", "B"]


def test_teachers_stand_in_rank_order_throughout() -> None:
    rows = three_teachers()[::-1]
    page = Page(page_of(rows))
    ranked = ["QwQ", "R1", "DSQ"]
    assert list(page.table("Teachers by local_naturalness")) == ranked
    assert [page.text(node).strip() for node in page.all("h4")][:3] == ranked
    caption = "Share of words in stretches of 20 that the same response had said before"
    assert list(page.table(caption)) == ranked


@pytest.mark.parametrize(
    ("needed", "words"),
    [(1, "with fewer than 10 of the 20 prompts"), (20, "with about 20 of the 20")],
)
def test_few_prompts_needed_are_not_counted(needed: int, words: str) -> None:
    given = source(three_teachers(20))
    figures = gather(given, options(seed=1))
    settled = dataclasses.replace(figures.ranking.stability, needed=needed)
    ranking = dataclasses.replace(figures.ranking, stability=settled)
    assert words in stability(dataclasses.replace(figures, ranking=ranking))


def test_no_notes_are_not_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*given: object, **more: object) -> object:
        found = rank(*given, **more)
        return dataclasses.replace(
            found, notes=(), confounds=dataclasses.replace(found.confounds, notes=())
        )

    monkeypatch.setattr("lnat_plugins.report.data.rank", silent)
    text = page_of(three_teachers())
    assert "Before trusting" not in text and "0 notes" not in text


def test_the_composition_is_that_of_the_confounds() -> None:
    given = source(three_teachers())
    figures = gather(given, options(bootstrap_iters=100, seed=1))
    assert figures.composition["local_naturalness[4]"] == figures.ranking.confounds.composition
