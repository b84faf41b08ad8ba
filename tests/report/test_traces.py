"""The traces: every text and number of the record, in blocks that the page unpacks, and bounded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.report import report
from lnat_plugins.report.data import gather
from lnat_plugins.report.prompts import NOBODY, Prompts, prompts_of
from lnat_plugins.report.traces import (
    DIFFERENCE,
    MOST_POINTS,
    MOST_STEPS,
    View,
    compressed,
    details,
    kept,
    listed,
    pieces,
    places_of,
    points,
    steps_shown,
    views_of,
)
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.steps.markers import find_tags
from tests.report.builders import (
    FAST,
    Page,
    options,
    page_of,
    row,
    source,
    three_teachers,
    traces_in,
    unpacked,
    without_script,
)


def test_the_places_of_rows() -> None:
    rows = [row(f"p{i % 7}", "A", [-1.0]) for i in range(50)]
    place = places_of(rows)
    assert [place(one) for one in reversed(rows)] == list(reversed(range(50)))


NASTY = [
    "</script><script>alert(1)</script> ",
    "<b onmouseover=alert(1)>& &amp; 'quoted' \"twice\"</b>\r\n",
    "]]> <!-- --> $title ${style} %s {x}\t{{ 7 * 7 }}",
    "\u202eright to left\u202c 数学 😀 é \u2028",
    "<think>\n\nx\n</think>\n",
]  # fmt: skip
UNWRITABLE = ["a\x00b", "\ud800c", "\udc00d", "e"]


def steps_of(page: Page) -> list[str]:
    return [page.text(node) for node in page.all("span", role="listitem")]


def test_hostile_text_stays_text() -> None:
    scores = [-1.0, -2.0, -3.0, -4.0, -5.0]
    rows = [row("<i>p</i>", t, scores, steps=NASTY) for t in ("<u>A</u>", "B\"'&")]
    text = page_of(rows)
    page = Page(text)
    assert page.problems == []
    assert {node.name for node in page.nodes} & {"b", "i", "u", "think"} == set()
    assert len([node for node in page.all("script") if "type" not in node.attributes]) == 2
    assert steps_of(page) == NASTY * 2
    trace = unpacked(text, "trace-0")
    assert [one["steps"] for one in trace["responses"]] == [NASTY, NASTY]
    assert unpacked(text, "list-block")["id"] == ["<i>p</i>"]


def test_what_html_cannot_hold_is_shown_as_such_and_kept_in_the_block() -> None:
    rows = [row("p\ud800", t, [-1.0] * 4, steps=UNWRITABLE) for t in ("A", "B\x00")]
    text = page_of(rows)
    text.encode("utf-8")
    assert steps_of(Page(text))[:4] == ["a\ufffdb", "\ufffdc", "\ufffdd", "e"]
    assert unpacked(text, "trace-0")["responses"][0]["steps"] == UNWRITABLE


def test_each_step_shows_its_numbers() -> None:
    rows = [row("p", t, [-1.0, -2.5], whole=[-1.0, -2.25], tokens=[1, 4]) for t in "AB"]
    text = page_of(rows)
    titles = [n.attributes["title"] for n in Page(text).all("span", role="listitem")]
    assert titles[:2] == [
        "step 1 of 2, 1 token: window 4 -1.00; global -1.00; global minus window 4 0.00",
        "step 2 of 2, 4 tokens: window 4 -2.50; global -2.25; global minus window 4 0.25",
    ]
    first = unpacked(text, "trace-0")["responses"][0]
    assert first["scores"] == {"4": [-1.0, -2.5], "global": [-1.0, -2.25]}
    assert first["tokens"] == [1, 4]


def test_shades_follow_the_scores() -> None:
    rows = [row(f"p{p}", t, [-5.0, -3.0, -3.0, -3.0, -1.0]) for p in range(4) for t in "AB"]
    views = views_of([each.record for each in rows], ("4", "global"), "4")
    assert [view.name for view in views] == ["4", "global", DIFFERENCE]
    assert views[0].edges == (-5.0, -5.0, -3.0, -3.0, -1.0, -1.0)
    assert views[2].edges == (0.0,) * 6
    assert [views[0].shade(score) for score in (-9.0, -5.0, -3.5, -2.0, 0.0, float("nan"))] == [
        "s0", "s2", "s2", "s4", "s6", "u",
    ]  # fmt: skip
    assert len(views[0].legend()) == 7
    assert views_of([each.record for each in rows], ("global",), "global")[-1].name == "global"


def test_a_prompt_tells_who_leads_and_whether_local_and_global_agree() -> None:
    rows = [
        row("same", "A", [-1.0, -1.0]), row("same", "B", [-2.0, -2.0], correct=False),
        row("apart", "A", [-1.0, -1.0], whole=[-4.0, -4.0], correct=None),
        row("apart", "B", [-2.0, -2.0], whole=[-3.5, -3.5]),
        row("half", "B", [-2.0, -2.0]),
        row("none", "A", [math.nan, math.nan]), row("none", "B", [math.nan, math.nan]),
    ]  # fmt: skip
    found = prompts_of(source(rows), ("A", "B"), options(), "4")
    assert found.winner.tolist() == [0, 0, 1, NOBODY]
    assert found.lead[:2].tolist() == [1.0, 1.0] and np.isnan(found.lead[2:]).all()
    assert found.global_.tolist() == [0, 1, 1, NOBODY]
    assert found.disagreement[:3].tolist() == [0.0, 1.5, 0.0] and math.isnan(found.disagreement[3])
    assert found.correct == "y?y?"
    assert found.all_correct.tolist() == [False, False, True, True]
    assert [*found.informative()] == [0, 1, 2, 3]


def made(rows: Sequence[ScoredResponse]) -> tuple[Prompts, tuple[str, ...]]:
    figures = gather(source(rows), options(**FAST))
    return prompts_of(source(rows), figures.teachers, options(), "4"), figures.teachers


def test_the_most_informative_prompts_are_kept_and_the_page_says_so() -> None:
    rows = three_teachers(9)
    prompts, _ = made(rows)
    text = page_of(rows, prompts=2)
    assert traces_in(text) == sorted([*prompts.informative()][:2])
    assert "The traces of 2 of 9 prompts are here" in text
    assert "<code>lnat report OUT --prompts 4</code>" in text
    assert len(unpacked(text, "list-block")["id"]) == 9
    whole = page_of(rows)
    assert "All 9 prompts with a response are here." in whole and traces_in(whole) == [*range(9)]


def test_traces_stop_at_the_room_there_is() -> None:
    rows = three_teachers(9)
    prompts, teachers = made(rows)
    given = source(rows)
    rows = given.rows
    everything = kept(given, prompts, teachers, {}, most=None, room=10**6)
    assert everything.whole
    size = max(len(block) for block in everything.blocks.values()) + 80
    some = kept(given, prompts, teachers, {}, most=None, room=3 * size)
    assert 2 <= len(some.blocks) < 9
    assert sum(len(block) + 80 for block in some.blocks.values()) <= 3 * size
    assert some.blocks.items() <= everything.blocks.items()


def test_a_page_never_is_larger_than_its_bound() -> None:
    noise = np.random.default_rng(0).integers(32, 127, size=(16, 150_000), dtype=np.uint8)
    rows = [
        row(f"p{p}", t, [-1.0 - p], steps=[noise[2 * p + i].tobytes().decode("ascii")])
        for p in range(8)
        for i, t in enumerate("AB")
    ]
    text = report(source(rows), options(), max_size=2.0)
    assert len(text.encode("utf-8")) <= 2_000_000
    assert 0 < len(traces_in(text)) < 8
    assert "--max_size 4" in text
    with pytest.raises(ConfigError, match=r"max_size is below 2 \(megabytes\) \(found 1.5\)"):
        report(source(rows), options(), max_size=1.5)


def many(n_prompts: int, width: int = 60) -> Prompts:
    """So many prompts with ids and texts that compress badly."""
    drawn = np.random.default_rng(1)
    letters = drawn.integers(97, 123, size=(n_prompts, width), dtype=np.uint8)
    texts = tuple(line.tobytes().decode("ascii") for line in letters)
    lead = drawn.random(n_prompts)
    nobody = np.zeros(n_prompts, dtype=np.int64)
    return Prompts(
        tuple(f"{text[:12]}-{i}" for i, text in enumerate(texts)), texts, ((),) * n_prompts,
        nobody, ((),) * n_prompts, lead, nobody, nobody, np.zeros(n_prompts), "y" * n_prompts,
        np.ones(n_prompts, dtype=np.bool_),
    )  # fmt: skip


@pytest.mark.parametrize(("room", "width", "rows"), [(400_000, 90, 2000), (70_000, 0, 2000)])
def test_the_list_shortens_prompts_before_it_leaves_them_out(
    room: int, width: int, rows: int
) -> None:
    found, shown = listed(many(2000), room)
    assert (shown, len(found["id"]), found["place"]) == (width, rows, None)
    assert len(compressed(found)) <= room


def test_a_list_that_cannot_hold_all_names_the_most_informative() -> None:
    prompts = many(2000)
    found, _ = listed(prompts, 15_000)
    assert len(compressed(found)) <= 15_000
    assert found["place"] == sorted(found["place"]) and 10 < len(found["place"]) < 2000
    assert int(np.argmax(prompts.lead)) in found["place"]


def test_points_are_thinned_teacher_by_teacher() -> None:
    rows = [row(f"p{p}", t, [-1.0]) for p in range(MOST_POINTS) for t in "AB"]
    given = source(rows)
    values = options().metric.rate(given.rows, "4")
    prompts = prompts_of(given, ("A", "B"), options(), "4")
    found, every = points(given, prompts, ("A", "B"), scores=values, local=values, whole=values)
    assert every == 2
    assert len(found["p"]) == MOST_POINTS
    assert [found["teacher"].count(t) for t in (0, 1)] == [MOST_POINTS // 2] * 2
    assert found["p"][:4] == [0, 0, 2, 2]


def test_prompts_without_a_response_do_no_harm() -> None:
    given = source(three_teachers(2), prompts=("empty", "p0", "p1"))
    text = report(given, options(bootstrap_iters=50))
    assert "All 2 prompts with a response are here." in text


def test_a_long_loop_is_kept_whole_and_costs_little() -> None:
    loop = "wait " * 100_000
    rows = [row(f"p{p}", t, [-1.0, -0.1], steps=["So ", loop]) for p in range(2) for t in "AB"]
    short = [dataclasses.replace(each) for each in three_teachers(2)]
    text = page_of(rows)
    assert unpacked(text, "trace-1")["responses"][0]["steps"][1] == loop
    # The first trace stands in the page as it is, so that it can be read without a script.
    assert len(text) < len(page_of(short)) + 2.2 * len(loop) + 20_000


@pytest.mark.parametrize(
    ("edges", "ends"),
    [
        ((-5.0, -5.0, -3.0, -3.0, -1.0, -1.0), "-5.00 -5.00 -3.00 -3.00 -1.00 -1.00"),
        ((-5.0, -3.0, -2.0, -1.754, -1.751, -0.0012), "-5.00 -3.00 -2.00 -1.754 -1.751 -0.001"),
        ((-5.0, -3.0, -2.0, -1.75, -0.0004, -1e-6), "-5.00 -3.00 -2.00 -1.75 -0.0004 near 0"),
        ((0.0,) * 6, "0.00 0.00 0.00 0.00 0.00 0.00"),
    ],
)
def test_bounds_of_shades_that_differ_do_not_read_alike(
    edges: tuple[float, ...], ends: str
) -> None:
    legend = [scores for _, _, scores in View("4", edges).legend()]
    last = legend[-1].removesuffix(" or more")
    assert " ".join([each.split(" to ")[0] for each in legend[1:-1]] + [last]) == ends
    assert legend[-1].endswith(" or more") is (last != "near 0")


def test_numbers_of_a_step_are_as_many_as_are_kept() -> None:
    scored = row("p0", "A", [-3.43, -0.0123], tokens=[2, 2])
    said = [
        details(step, scored.record, {"4": scored.record.step_means("4")}, "global")
        for step in (0, 1)
    ]
    assert [line.partition(": ")[2] for line in said] == [
        "window 4 -3.43", "window 4 -0.0123",
    ]  # fmt: skip


def test_tags_that_are_not_scored_stand_apart() -> None:
    scored = row("p0", "A", [-1.0, -2.0], steps=["<think>\nSo 3.", "\n</think>\n\nIt is 3."])
    whole = [["<think>\nSo 3."], ["\n</think>\n\nIt is 3."]]
    assert [pieces(scored, step, find_tags(scored.text)) for step in (0, 1)] == whole
    record = dataclasses.replace(scored.record, tag_tokens=(2, 2))
    skipped = dataclasses.replace(scored, record=record)
    parts = [["", "<think>", "\nSo 3."], ["\n", "</think>", "\n\nIt is 3."]]
    assert [pieces(skipped, step, find_tags(skipped.text)) for step in (0, 1)] == parts
    text = page_of([skipped, row("p0", "B", [-3.0])])
    by_teacher = {one["teacher"]: one["tags"] for one in unpacked(text, "trace-0")["responses"]}
    assert by_teacher == {0: {"0": parts[0], "1": parts[1]}, 1: {}}
    assert '<span class="tag">&lt;/think&gt;</span>' in text


def test_a_shared_win_is_that_of_all_who_share_it() -> None:
    rows = [
        row("tie", "A", [-1.0]), row("tie", "B", [-1.0], correct=False), row("tie", "C", [-2.0]),
        row("one", "A", [-2.0]), row("one", "B", [-1.0]), row("one", "C", [-2.0]),
        row("none", "A", [math.nan]),
    ]  # fmt: skip
    found = prompts_of(source(rows), ("A", "B", "C"), options(), "4")
    assert (found.tied, found.winner.tolist()) == (((0, 1), (), ()), [0, 1, NOBODY])
    assert found.correct == "ny?"
    assert listed(found, 10**6)[0]["tied"] == [(0, 1), (), ()]


def test_a_trace_of_very_many_steps_is_shown_in_part() -> None:
    n = MOST_STEPS + 7
    rows = [row("p", name, [-1.0 - step / n for step in range(n)]) for name in ("A", "B")]
    text = report(source(rows), options(**FAST))
    shown = [(len(one["steps"]), one["n_steps"]) for one in unpacked(text, "trace-0")["responses"]]
    assert shown == [(MOST_STEPS, n)] * 2
    said = " ".join(without_script(text).split())
    assert "Of 2 responses only the first 5,000 steps" in said
    assert "14 steps are not. Every number above rests on all steps." in said
    assert len(text.encode()) < 10e6


def test_how_many_steps_are_shown() -> None:
    record = row("p", "A", [-1.0, -2.0, -3.0]).record
    end = record.spans[1][1]
    assert [steps_shown(record, size) for size in (0, end - 1, end, 10**6)] == [1, 1, 2, 3]
