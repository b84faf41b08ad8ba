"""Plots: what they hold, that Vega-Lite takes them, and that nothing undefined is drawn."""

from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.report import KINDS, charts, picture, plot
from lnat_plugins.report.data import gather
from lnat_plugins.report.looks import Looks, in_light, light
from lnat_plugins.report.plots import plots_of
from tests.report.builders import near_and_far, options, row, source, three_teachers, values_of


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    figures = gather(source(three_teachers(12)), options())
    return plots_of(figures, Looks(figures.teachers))


def test_every_plot_is_valid_vega_lite(made: dict[str, Any]) -> None:
    assert tuple(made) == KINDS
    for each in made.values():
        alt.Chart.from_dict(each.chart)
        assert each.title and each.caption.endswith(".")


def test_a_plot_that_is_not_valid_is_noticed(made: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="squares"):
        alt.Chart.from_dict({**made["difference"].chart, "height": "squares"})


def test_colour_and_shape_together_separate_fifty_six() -> None:
    names = [f"t{n}" for n in range(56)]
    looks = Looks(names)
    assert len({(looks.variable(name), looks.shape(name)) for name in names}) == 56
    assert len({(looks.colour(name), looks.glyph(name)) for name in names}) == 56


def test_the_style_has_every_colour_that_a_plot_names(made: dict[str, Any]) -> None:
    for each in made.values():
        named = {f"var({part.split(')')[0]})" for part in json.dumps(each.chart).split("var(")[1:]}
        assert named <= light().keys()
        assert "var(" not in json.dumps(in_light(each.chart))


def test_the_first_plot_is_that_of_the_ranking(made: dict[str, Any]) -> None:
    ranking = gather(source(three_teachers(12)), options()).ranking
    rows = values_of(made["difference"].chart, 1)
    for line, found in zip(ranking.teachers, rows, strict=True):
        assert found["teacher"] == line.teacher
        assert found["difference"] == pytest.approx(line.difference, rel=1e-4)
        if line.rank > 1:
            assert found["low"] == pytest.approx(line.difference_low, rel=1e-4)
            assert found["high"] == pytest.approx(line.difference_high, rel=1e-4)
        else:
            assert "low" not in found


def test_an_undefined_point_breaks_the_line() -> None:
    points = [(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)]
    chart = charts.lines({"A": points}, ("x", "y"), "Title", looks=Looks(["A"]))
    assert [each["y"] for each in values_of(chart, 0)] == [1.0, None, 3.0]
    assert "A: 1.0000, undefined, 3.0000" in chart["description"]


def test_a_teacher_who_is_never_best_has_no_bar() -> None:
    chart = charts.winners({"metric": {"A": 1.0, "B": 0.0}}, Looks(["A", "B"]))
    assert [each["teacher"] for each in values_of(chart, 0)] == ["A"]
    assert "metric: A 100%, B 0%" in chart["description"]


def test_hostile_names_are_data_only() -> None:
    name = "\"]} </script> ' \\ {{x}}"
    rows = [row(f"p{p}", t, [-1.0 - p, -2.0]) for p in range(3) for t in (name, "B")]
    chart = plot(source(rows), options(), "winners").to_dict()
    colour = chart["layer"][0]["encoding"]["color"]
    assert set(colour["scale"]["domain"]) == {name, "B"}
    labels = json.loads(colour["legend"]["labelExpr"].removesuffix("[datum.label]"))
    assert labels.keys() == {name, "B"}


def test_a_picture_enlarges_the_teachers_that_may_be_best() -> None:
    given = source(near_and_far())
    chart = plot(given, options()).to_dict()
    upper, lower = chart["vconcat"]
    assert lower["title"]["text"] == "Enlarged: the teachers that may be best"
    drawn = [{one["teacher"] for one in values_of({**chart, **each}, 1)} for each in (upper, lower)]
    assert drawn == [{"A", "B", "far"}, {"A", "B"}]
    assert b"Enlarged" in picture(given, options(), "svg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_gets_an_altair_chart(kind: str) -> None:
    chart = plot(source(three_teachers(12)), options(bootstrap_iters=50), kind)
    assert isinstance(chart, alt.LayerChart)
    if kind in ("length", "local_global"):
        assert len(values_of(chart.to_dict(), 0)) == 36
        assert len(values_of(chart.to_dict(), -1)) == 3


def test_a_plot_that_cannot_be_given_says_why() -> None:
    alone = [each for each in three_teachers() if each.teacher == "R1"]
    with pytest.raises(
        ConfigError, match="plot: stability: this plot cannot be given: one teacher"
    ):
        plot(source(alone), options(), "stability")
    with pytest.raises(ConfigError, match="no such plot.*Did you mean 'length'"):
        plot(source(alone), options(), "lenght")


def test_pictures_need_no_browser() -> None:
    given = source(three_teachers(12))
    svg, png = (picture(given, options(), format) for format in ("svg", "png"))
    assert svg.startswith(b"<svg") and b"QwQ" in svg and b"var(" not in svg
    assert png.startswith(b"\x89PNG") and len(png) > 5_000
    assert svg == picture(given, options(), "svg")


def test_no_name_ends_the_process() -> None:
    names = ["a\x00b", "\ud800", "\x1b[31m", "\ufffe", "\u202eabc", "😀", "\n"]
    rows = [row(f"p{p}", t, [-1.0 - i, -2.0]) for p in range(2) for i, t in enumerate(names)]
    assert picture(source(rows), options(), "svg").count("\ufffd".encode()) >= 4


def test_eleven_teachers_have_shapes_of_their_own() -> None:
    names = [f"t{i}" for i in range(11)]
    looks = Looks(names)
    assert len({looks.shape(name) for name in names}) == 11
    assert len({looks.glyph(name) for name in names}) == 11
    pairs = {(looks.shape(f"t{i}"), looks.colour(f"t{i}")) for i in range(11)}
    assert len(pairs) == 11
    rows = [row(f"p{p}", t, [-1.0 - p]) for p in range(2) for t in names]
    assert b"<svg" in picture(source(rows), options(), "svg")


def test_a_narrow_part_of_a_bar_has_its_mark() -> None:
    chart = charts.winners({"metric": {"A": 0.965, "B": 0.025, "C": 0.01}}, Looks(["A", "B", "C"]))
    assert [each["label"] for each in values_of(chart, 0)] == ["●", "■", ""]


def test_the_subtitle_quotes_the_student() -> None:
    chart = plot(source(three_teachers(12)), options()).to_dict()
    assert chart["title"]["subtitle"][0].startswith("a_task, student “student”, 12 prompts.")
