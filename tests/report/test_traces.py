"""The trace view: every character and step, escaped, with the numbers of the record."""

from __future__ import annotations

import re

from lnat_plugins.report import report
from lnat_plugins.report.traces import shades_of
from tests.report.builders import Page, options, page_of, row, source, three_teachers

NASTY = [
    "</script><script>alert(1)</script> ",
    "<b onmouseover=alert(1)>& &amp; 'quoted' \"twice\"</b>\r\n",
    "]]> <!-- --> $title ${style} %s {x}\t",
    "\u202eright to left\u202c 数学 😀 é \u2028",
    "<think>\n\nx\n</think>\n",
]  # fmt: skip


def steps_of(page: Page) -> list[str]:
    return [page.text(node) for node in page.all("span", role="listitem")]


def test_hostile_text_stays_text() -> None:
    scores = [-1.0, -2.0, -3.0, -4.0, -5.0]
    rows = [row("<i>p</i>", t, scores, steps=NASTY) for t in ("<u>A</u>", "B\"'&")]
    text = page_of(rows)
    page = Page(text)
    assert page.problems == []
    assert {node.name for node in page.nodes} & {"b", "i", "u", "think"} == set()
    assert len(page.all("script")) == 1
    assert steps_of(page) == NASTY * 2


def test_what_html_cannot_hold_is_shown_as_such() -> None:
    rows = [row("p", t, [-1.0, -2.0], steps=["a\x00b", "\ud800c"]) for t in "AB"]
    text = page_of(rows)
    text.encode("utf-8")
    assert steps_of(Page(text))[:2] == ["a\ufffdb", "\ufffdc"]


def test_each_step_shows_its_numbers() -> None:
    rows = [row("p", t, [-1.0, -2.5], whole=[-1.0, -2.25], tokens=[1, 4]) for t in "AB"]
    titles = [n.attributes["title"] for n in Page(page_of(rows)).all("span", role="listitem")]
    assert titles[:2] == [
        "step 1 of 2, 1 token: window 4 -1.0000; global -1.0000; global minus window 4 0.0000",
        "step 2 of 2, 4 tokens: window 4 -2.5000; global -2.2500; global minus window 4 0.2500",
    ]


def test_shades_follow_the_scores() -> None:
    rows = [row(f"p{p}", t, [-5.0, -3.0, -3.0, -3.0, -1.0]) for p in range(4) for t in "AB"]
    shades = shades_of([each.record for each in rows], "4")
    assert shades.edges == (-5.0, -5.0, -3.0, -3.0, -1.0, -1.0)
    shown = Page(page_of(rows)).all("span", role="listitem")[:5]
    assert [node.attributes["class"] for node in shown] == ["s2", "s4", "s4", "s4", "s6"]
    assert [shades.shade(score) for score in (-9.0, -5.0, -3.5, -2.0, 0.0, float("nan"))] == [
        "s0", "s2", "s2", "s4", "s6", "u",
    ]  # fmt: skip


def test_the_extreme_steps_are_linked() -> None:
    scores = [-3.0, -9.0, -1.0, -8.0, -2.0, -7.0, -4.0]
    page = Page(page_of([row("p", t, scores) for t in "AB"]))
    links = [
        str(n.attributes["href"]) for n in page.all("a") if "p0r0" in str(n.attributes["href"])
    ]
    assert links == [f"#p0r0s{step}" for step in (1, 3, 5, 2, 4, 0)]


def test_few_steps_are_not_listed_twice() -> None:
    page = Page(page_of([row("p", t, [-3.0, -9.0, -1.0]) for t in "AB"]))
    links = [
        str(n.attributes["href"]) for n in page.all("a") if "p0r0" in str(n.attributes["href"])
    ]
    assert links == ["#p0r0s1", "#p0r0s2"]


def test_only_so_many_prompts_are_shown() -> None:
    text = page_of(three_teachers(6), prompts=2)
    page = Page(text)
    assert len(page.all("article")) == len(page.all("option")) == 2
    assert "The first 2 of 6 prompts are here; the other 4 are omitted" in text
    assert "lnat report --prompts 6" in text
    assert "All 6 prompts with a response are here." in page_of(three_teachers(6), prompts=6)


def test_the_first_prompt_shows_without_a_script() -> None:
    articles = Page(page_of(three_teachers())).all("article")
    assert ["hidden" in node.attributes for node in articles] == [False, *[True] * 4]


def test_prompts_without_a_response_do_no_harm() -> None:
    given = source(three_teachers(2), prompts=("empty", "p0", "p1"))
    text = report(given, options(bootstrap_iters=50))
    assert "All 2 prompts with a response are here." in text


def test_a_long_loop_is_kept_whole_and_written_once() -> None:
    loop = "wait " * 20_000
    rows = [row(f"p{p}", t, [-1.0, -0.1], steps=["So ", loop]) for p in range(2) for t in "AB"]
    text = page_of(rows)
    assert steps_of(Page(text))[1] == loop
    assert len(text) < 4 * len(loop) + 120_000
    assert not re.search(r'title="[^"]{400}', text)
