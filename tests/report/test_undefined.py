"""What has no value is shown to have none, with the reason; it is never drawn as a number."""

from __future__ import annotations

import dataclasses
import math

from lnat_plugins.metrics import METRICS
from tests.report.builders import Page, page_of, row, three_teachers

NAN = math.nan


def words(text: str) -> list[str]:
    page = Page(text)
    assert page.problems == []
    assert ">nan" not in text.lower()
    assert "NaN" not in text.split("<script>", maxsplit=1)[0]
    return [page.text(node) for node in page.all("p", class_="why")]


def test_one_prompt_has_no_interval() -> None:
    text = page_of(three_teachers(1))
    page = Page(text)
    line = page.table("Teachers by local_naturalness")["QwQ"]
    assert line[2] == line[5] == line[6] == "undefined"
    assert line[1] != "undefined"
    assert page.table("Rank probabilities")["QwQ"] == ["undefined"] * 3
    assert sum("one prompt only" in each for each in words(text)) >= 3
    (plot,) = page.all(
        "svg", **{"aria-labelledby": "teachers-plot-title teachers-plot-description"}
    )
    assert page.text(plot).count("interval undefined") == 6  # drawn, and written in words


def test_without_resamples_there_is_no_interval() -> None:
    why = words(page_of(three_teachers(), bootstrap_iters=0))
    assert any("bootstrap_iters 0" in each for each in why)


def test_one_teacher_is_reported_on_alone() -> None:
    rows = [each for each in three_teachers() if each.teacher == "R1"]
    text = page_of(rows)
    why = words(text)
    assert "The only teacher, by local_naturalness[4]" in text and "P(best) 1" not in text
    assert "Undefined: one teacher only, who has no rank among others." in why
    assert sum("one teacher only" in each for each in why) >= 3


def test_a_trace_too_long_for_global_keeps_its_local_scores() -> None:
    rows = three_teachers()
    rows[0] = row("p0", "QwQ", [-1.0] * 4, whole=[-1.0, NAN, NAN, NAN])
    text = page_of(rows)
    words(text)
    assert "window 4 -1.0000; global undefined (too long)" in text
    assert "global_naturalness undefined (too long)" in text
    assert "1 dropped, which lack one of the windows" in text


def test_global_that_was_never_defined_leaves_its_plots_out() -> None:
    rows = [
        row(f"p{p}", teacher, [-1.0 - t, -2.0], whole=[NAN, NAN])
        for p in range(3)
        for t, teacher in enumerate(("A", "B"))
    ]
    text = page_of(rows)
    why = words(text)
    assert any("no response has a value of global_naturalness" in each for each in why)
    assert any("global minus local needs both windows" in each for each in why)
    assert 'id="local-global-teachers-title"' not in text
    assert 'id="position-plot-title"' in text


def test_totals_alone_have_no_steps() -> None:
    rows = []
    for each in three_teachers():
        only = dataclasses.replace(each.record, sums=dict.fromkeys(each.record.sums))
        rows.append(dataclasses.replace(each, record=only))
    text = page_of(rows, metric=METRICS["global_naturalness"])
    words(text)
    assert "window 4 undefined (the back end gives only the total, not the steps)" in text
    assert 'class="u" role="listitem"' in text
    assert 'class="s3" role="listitem"' not in text
    assert "Undefined: fewer than two steps have a score." in text
