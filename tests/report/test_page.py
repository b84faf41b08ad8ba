"""The page as a whole: well formed, alone in the world, and the same every time.

What has no value is shown to have none, with the reason; it is never drawn as a number.

What the page says in words: counts, names, settings, and the order in which teachers stand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank, read_reference
from lnat_plugins.ranking.result import rank_span, right_of
from lnat_plugins.report import report
from lnat_plugins.report.cells import counted, last_part, number
from lnat_plugins.report.data import NEXT_COMMAND, gather
from lnat_plugins.report.page import bundle
from lnat_plugins.report.tables import left_out, plain, ways
from lnat_plugins.scoring.record import StepSums
from tests.ranking.builders import LOWER
from tests.report.builders import (
    FAST,
    Page,
    block,
    near_and_far,
    options,
    page_of,
    row,
    source,
    three_teachers,
    unpacked,
    values_of,
    with_response,
    without_script,
)


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
    assert len(links) > 5
    assert [link for link in links if link[0] != "#" or link[1:] not in ids] == []
    drawn = {node.attributes["data-chart"] for node in page.all("div", role="img")}
    assert len(drawn) == 8


def test_nothing_is_loaded(text: str, page: Page) -> None:
    written = without_script(text).replace("http://www.w3.org/", "")  # names of SVG's own words
    assert not re.search(r"https?://|//cdn|@import|url\(", written)
    assert [
        node for node in page.nodes if {"src", "srcset", "style"} & node.attributes.keys()
    ] == []
    assert page.all("link") == []
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert str(policy.attributes["content"]).startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in str(policy.attributes["content"])


def test_the_bundle_can_stand_in_a_page() -> None:
    assert not re.search("</script|<!--|[\x00\r]", bundle())
    assert 700_000 < len(bundle().encode("utf-8")) < 1_100_000


def test_headings_come_in_order(page: Page) -> None:
    levels = [int(node.name[1]) for node in page.nodes if re.fullmatch("h[1-6]", node.name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_tables_have_headings(page: Page) -> None:
    tables = page.all("table")
    assert len(tables) >= 10
    assert len(page.all("caption")) == len(tables)
    assert [node for node in page.all("th") if node.attributes.get("scope") is None] == []


def test_plots_are_described_in_words(text: str, page: Page) -> None:
    plots = page.all("div", role="img")
    assert all(len(str(node.attributes["aria-label"])) > 40 for node in plots)
    charts = block(text, "charts")
    assert charts.keys() == {node.attributes["data-chart"] for node in plots}
    for node in plots:
        chart = charts[str(node.attributes["data-chart"])]
        assert chart["description"] == node.attributes["aria-label"]
        assert chart["width"] == "container"


@pytest.mark.parametrize("n_prompts", [5, 12])
def test_the_figures_are_those_of_rank(n_prompts: int) -> None:
    page, given = Page(page_of(three_teachers(n_prompts))), source(three_teachers(n_prompts))
    ranking = rank(given.rows, given.prompts, METRICS["local_naturalness"], "4", **FAST)
    shown = page.table("Teachers by local_naturalness")
    assert list(shown) == [line.teacher for line in ranking.teachers]
    for line in ranking.teachers:
        assert shown[line.teacher] == [
            {None: "N/A", True: "yes", False: "no"}[line.may_be_best],
            number(line.mean),
            f"[{number(line.low)}, {number(line.high)}]",
            number(line.median),
            number(line.difference),
            "undefined"
            if n_prompts < 10
            # The leader's difference to itself has no interval, as in `lnat rank`.
            else ""
            if line.rank == 1
            else f"[{number(line.difference_low)}, {number(line.difference_high)}]",
            rank_span(line),
            number(line.first_in, 3),
            number(line.win_rate, 3),
            right_of(ranking, line.teacher),
            number(line.coverage, 3),
            str(line.responses),
        ]
        assert page.table("Means of plain counts")[line.teacher][:-1] == [
            number(value) for value in line.controls.values()
        ]
        assert page.table("Means and differences")[line.teacher][1:3] == [
            number(line.mean), number(line.difference)
        ]  # fmt: skip
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


def test_two_processes_write_the_same_page(repo: Path) -> None:
    program = (
        "import hashlib; from tests.report.builders import page_of, three_teachers; "
        "print(hashlib.sha256(page_of(three_teachers()).encode()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=repo, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(repo)},
    ).stdout  # fmt: skip
    own = page_of(three_teachers())
    assert hashlib.sha256(own.encode()).hexdigest() == other.strip()


def test_controls_are_no_scores() -> None:
    page = Page(page_of(three_teachers()))
    assert "random" not in page.table("Orders")
    assert "random" not in page.table("Best response per prompt")
    assert list(page.table("Controls ranked as if they were scores")) == ["random"]
    # Of the six orders of three: 1, 1/3 twice, -1/3 twice, -1.
    said = "A random order of 3 teachers reaches a tau-b of 0.56 on average, up or down."
    assert said in [page.text(node) for node in page.all("p", class_="why")]
    page = Page(page_of(three_teachers(), metric=METRICS["random"]))
    assert "random" in page.table("Orders")


def test_the_template_is_full() -> None:
    folder = Path(report.__code__.co_filename).parent
    names = {"page.html", "parts.html", "script.js", "style.css"}
    assert names == {path.name for path in (folder / "templates").iterdir()}
    assert "{{" not in page_of(three_teachers()).replace(bundle(), "")


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


NAN = math.nan


def words(text: str) -> list[str]:
    page = Page(text)
    assert page.problems == []
    assert ">nan" not in without_script(text).lower()
    assert "NaN" not in json.dumps(block(text, "charts"))
    return [page.text(node) for node in page.all("p", class_="why")]


def test_one_prompt_has_no_interval() -> None:
    text = page_of(three_teachers(1))
    page = Page(text)
    line = page.table("Teachers by local_naturalness")["QwQ"]
    assert line[2] == line[5] == line[7] == "undefined"
    assert line[1] != "undefined"
    assert (line[0], line[6]) == ("N/A", "N/A")
    assert sum("one prompt only" in each for each in words(text)) >= 2
    chart = block(text, "charts")["difference"]
    assert chart["description"].count("interval undefined") == 2
    assert "low" not in json.dumps(chart["layer"])


def test_without_resamples_there_is_no_interval() -> None:
    why = words(page_of(three_teachers(), bootstrap_iters=0))
    assert any("bootstrap_iters 0" in each for each in why)


@pytest.mark.parametrize(("n_prompts", "iters"), [(5, 200), (12, 199)])
def test_without_a_verdict_a_difference_has_no_interval_and_says_so(
    n_prompts: int, iters: int
) -> None:
    text = page_of(three_teachers(n_prompts), bootstrap_iters=iters)
    why = words(text)
    assert any("there is no verdict" in each for each in why)
    assert not any("bootstrap_iters 0" in each for each in why)
    cells = Page(text).table("Teachers by local_naturalness")["R1"]
    assert cells[2] != "undefined"
    assert (cells[0], *cells[5:7]) == ("N/A", "undefined", "N/A")


def test_one_teacher_is_reported_on_alone() -> None:
    rows = [each for each in three_teachers() if each.teacher == "R1"]
    text = page_of(rows)
    why = words(text)
    assert '<h2 class="said">No verdict: one teacher (R1), nothing to compare.</h2>' in text
    assert sum("one teacher only" in each for each in why) >= 2


def test_a_trace_too_long_for_global_keeps_its_local_scores() -> None:
    rows = three_teachers()
    rows[0] = row("p0", "QwQ", [-1.0] * 4, whole=[-1.0, NAN, NAN, NAN])
    text = page_of(rows)
    words(text)
    first = unpacked(text, "trace-0")["responses"][0]
    assert first["scores"] == {"4": [-1.0] * 4, "global": [-1.0, None, None, None]}
    assert first["why"] == {"global": "too long"}
    assert ["global_naturalness", None, "too long"] in first["values"]
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
    assert block(text, "charts").keys() & {"local_global", "position"} == {"position"}


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
    first = unpacked(text, "trace-0")["responses"][0]
    assert first["scores"] == {"4": None, "global": None}


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
    assert plain(value) == written


def test_the_title_has_the_students_last_name_and_settings_the_whole() -> None:
    assert [last_part(name) for name in ("org/student", "/a/b/", "C:\\m\\s", "s", "/")] == [
        "student", "b", "s", "s", "/",
    ]  # fmt: skip
    page = Page(page_of(three_teachers()))
    (title,) = page.all("h1")
    assert page.text(title) == "Which teacher suits the student “student”?"
    assert page.table("How this was scored")["student"] == ["org/student"]


def test_a_metric_without_a_unit_has_no_brackets() -> None:
    text = page_of(three_teachers(), metric=METRICS["random"])
    assert "random (higher is better)" in text
    assert Page(text).table("How this was scored")["metric"] == ["random"]


def test_samples_are_numbered_only_where_there_are_several() -> None:
    one = row("p", "A", [-1.0, -2.0])
    rows = [one, with_response(one, sample=1), row("p", "B", [-1.5, -2.0])]
    page = Page(page_of(rows))
    assert [page.text(node).strip()[2:] for node in page.all("h4")] == ["A", "A", "B"]
    trace = unpacked(page_of(rows), "trace-0")["responses"]
    assert [(one["teacher"], one["sample"]) for one in trace] == [(0, 0), (0, 1), (1, 0)]


def test_teachers_stand_in_rank_order_throughout() -> None:
    rows = three_teachers()[::-1]
    page = Page(page_of(rows))
    ranked = ["QwQ", "R1", "DSQ"]
    assert list(page.table("Teachers by local_naturalness")) == ranked
    assert [page.text(node).strip()[2:] for node in page.all("h4")] == ranked
    assert block(page_of(rows), "data")["teachers"] == ranked
    caption = "Share of words in stretches of 20 that the same response had said before"
    assert list(page.table(caption)) == ranked


def test_the_first_table_says_how_many_of_each_teacher_are_right() -> None:
    """Of those that are known; no column where none is."""
    rows = three_teachers(6)
    known = {name: [one.correct for one in rows if one.teacher == name] for name in ("R1", "DSQ")}
    rows = [with_response(one, correct=None) if one.teacher == "QwQ" else one for one in rows]
    rows[1] = with_response(rows[1], correct=None)
    page = Page(page_of(rows))
    for caption, place in (("Means and differences", -1), ("Teachers by local_naturalness", -3)):
        assert {name: cells[place] for name, cells in page.table(caption).items()} == {
            "QwQ": "N/A", "R1": f"{sum(known['R1'][1:])}/5", "DSQ": f"{sum(known['DSQ'])}/6",
        }  # fmt: skip
    nothing = page_of([with_response(one, correct=None) for one in rows])
    assert ">Right<" not in nothing


def test_the_table_of_all_figures_gives_the_rank_as_the_command_does() -> None:
    found = Page(page_of(three_teachers(12))).table("Teachers by local_naturalness")
    assert [cells[6] for cells in found.values()] == ["1", "2", "3"]
    assert "Rank interval" not in page_of(three_teachers(12))


def test_who_may_be_best_stands_behind_the_name() -> None:
    """So that it is seen without scrolling on a narrow screen."""
    headers = re.findall(r"<thead><tr>(.*?)</tr>", page_of(three_teachers(12)))
    named = [re.findall(r">([^<]+)</th>", each)[:2] for each in headers]
    assert named[:2] == [["Teacher", "May be best"]] * 2


def test_teachers_that_may_be_best_are_enlarged_where_others_hide_them() -> None:
    text = page_of(near_and_far())
    assert Page(text).problems == []
    chart = block(text, "charts")["enlarged"]
    assert [one["teacher"] for one in values_of(chart, 1)] == ["A", "B"]
    assert "Enlarged: the teachers that may be best" in text
    assert "far" not in chart["description"]
    for rows in (three_teachers(12), [one for one in near_and_far() if one.teacher != "far"]):
        assert "enlarged" not in block(page_of(rows), "charts")


def test_without_a_verdict_there_is_one_next_step() -> None:
    rows = three_teachers(1)
    verdict = gather(source(rows), options(**FAST)).ranking.verdict
    page = Page(page_of(rows))
    told = [page.text(node) for node in page.all("p", class_="numbers")]
    assert verdict.kind == "none" and verdict.next_step.startswith("Next: ")
    assert verdict.next_step in [one.strip() for one in told]
    assert not any("writes the rows" in one for one in told)


def test_the_head_is_the_verdict_and_what_bears_on_it() -> None:
    rows = [dataclasses.replace(one, record=told(one.record)) for one in three_teachers(12)]
    text = page_of(rows)
    given = source(rows)
    figures = gather(given, options(**FAST))
    ranking = figures.ranking
    page = Page(text)
    said = page.all("h2")[0]
    assert ranking.verdict.text.startswith(page.text(said))
    rest = ranking.verdict.text[len(page.text(said)) :].strip()
    told_so = [page.text(node) for node in page.all("p", class_="numbers")]
    assert told_so[0].startswith(
        f"{rest} R1 minus QwQ, on the same 12 prompts: -0.5042 nats per token (95% simultaneous "
    )
    line = ranking.teachers[1]
    assert (
        f"{number(line.difference_low)} to {number(line.difference_high)}; below 0 is"
        in (told_so[0])
    )
    assert (
        told_so[-1]
        == (
            f"{ranking.verdict.next_step} Next: {NEXT_COMMAND} writes the rows to train on."
        ).strip()
    )
    codes = [page.text(node) for node in page.all("code")]
    assert NEXT_COMMAND in codes and not any("lnat report" in code for code in codes)
    other = Page(page_of(rows, next_command="lnat select 'my out'"))
    assert "lnat select 'my out'" in [other.text(node) for node in other.all("code")]
    shown = [page.text(node) for node in page.all("li")]
    assert ranking.warnings and ranking.calibration is not None
    for line in (*ranking.warnings, *ranking.sensitivity_lines):
        assert line in shown
    assert ranking.calibration.in_words() in [page.text(node) for node in page.all("p")]
    opinions = {page.text(node): page.text(node) for node in page.all("dt")}
    for one in ranking.opinions:
        assert any(one.name in names.split(" · ") for names in opinions)
    ways = dict(zip(opinions, [page.text(node) for node in page.all("dd")], strict=True))
    assert ways["with steps line"] == "≠ DSQ first"
    assert ways["without first and last step"].startswith("✓ ")
    assert ways["with every token weighing the same"] == "– no effect, not counted"
    assert "The whole order in each way" in [page.text(node) for node in page.all("summary")]
    assert "DSQ instead of QwQ" not in text  # the list above says so
    without_effect = "without each trace's lowest 5% of steps, with every token weighing the same"
    assert f"{without_effect}: no effect on these responses, not counted" in shown
    assert "prompts scored for all of them: 12 of 12 ·" in text


def told(record: StepSums) -> StepSums:
    """With what a full run of an overconfident student that reads little leaves in a record."""
    by_line = {"QwQ": -3.0, "R1": -2.0, "DSQ": -1.0}[record.teacher]
    calibration = {
        "count": [4.0] + [0.0] * 14, "confidence": [0.2] + [0.0] * 14, "right": [1.0] + [0.0] * 14,
        "brier": [2.0], "nll": [9.0 + i for i in range(10)], "step_mean": [-1.0] * 10,
    }  # fmt: skip
    return dataclasses.replace(
        record, variants={"steps line": by_line}, calibration=calibration,
        student={"vocabulary": 10, "max_length": 5, "template_logprob": -9.0},
    )  # fmt: skip


def test_students_stand_side_by_side_before_the_rest() -> None:
    one, other = three_teachers(12), three_teachers(12)
    names = {"QwQ": "DSQ", "DSQ": "QwQ", "R1": "R1"}
    turned = [
        dataclasses.replace(
            with_response(each, teacher=names[each.teacher]),
            record=dataclasses.replace(each.record, teacher=names[each.teacher]),
        )
        for each in other
    ]
    text = report(source(one), options(), 3, [source(turned, student="org/large")])
    page = Page(text)
    assert page.problems == []
    sections = [node.attributes.get("id") for node in page.all("section")]
    assert sections.index("doubts") + 1 == sections.index("students")
    assert sections.index("students") + 1 == sections.index("traces")
    assert {"student-0", "student-1"} < block(text, "charts").keys()
    assert (
        "The best teacher differs beyond noise: no teacher may be best for both students (90% for "
        "all together)." in text
    )
    may_be_best = [cells[0] for cells in page.table("Teachers by local_naturalness").values()]
    assert may_be_best == ["yes", "no", "no"]  # of twelve prompts there is a verdict
    table = page.table("Teachers by students")
    assert {teacher: [cell[-4:] for cell in cells] for teacher, cells in table.items()} == {
        "QwQ": [" (1)", " (3)"], "R1": [" (2)", " (2)"], "DSQ": [" (3)", " (1)"],
    }  # fmt: skip
    verdicts = [page.text(node) for node in page.all("p", class_="verdict-line")]
    assert [line.split(" is best")[0].split()[-1] for line in verdicts] == ["QwQ", "DSQ"]
    alone = Page(report(source(one), options(), 3))
    assert "students" not in {node.attributes.get("id") for node in alone.nodes}


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


def test_names_flags_and_paths_are_broken_only_where_longer_than_a_line() -> None:
    names = {"QwQ": "Qwen2-72B-Instruct", "R1": "R1", "DSQ": "DSQ"}
    rows = [with_response(one, teacher=names[one.teacher]) for one in three_teachers(12)]
    rows = [
        dataclasses.replace(one, record=dataclasses.replace(one.record, teacher=one.teacher))
        for one in rows
    ]
    text = page_of(rows, next_command="lnat select my/out --output_path chosen")
    page = Page(text)
    kept = {page.text(node) for node in page.all("span", class_="w")}
    assert {"Qwen2-72B-Instruct", "my/out", "--output_path"} <= kept
    assert page.text(page.all("h2")[0]).startswith("By local_naturalness Qwen2-72B-Instruct ")


def test_metrics_that_cannot_be_compared_for_one_reason_stand_together() -> None:
    comparison = gather(source(three_teachers(12)), options(**FAST)).comparison
    assert not isinstance(comparison, str)
    found = list(left_out(comparison))
    assert len(found) == len({*comparison.left_out.values()}) < len(comparison.left_out)
    assert ", ".join(comparison.left_out) == ", ".join(
        name for line in found for name in line.split(": ")[0].split(", ")
    )


def test_a_way_that_says_nothing_of_the_leader_has_a_mark_of_its_own() -> None:
    ranking = gather(source(three_teachers(12)), options(**FAST)).ranking
    one = ranking.sensitivity.variants[0]
    marks = []
    for usual_first in (True, False):
        for same_first in (True, False):
            order = one.usual if same_first else one.usual[::-1]
            part = dataclasses.replace(
                one, order=order, same_first=same_first, usual_first=usual_first
            )
            found = dataclasses.replace(ranking.sensitivity, variants=(part,), without_effect=())
            (way,) = ways(dataclasses.replace(ranking, sensitivity=found))
            marks.append(way.mark)
    assert marks == ["✓", "≠", "–", "–"]
