"""Scales, markers and plots: places that are right, and nothing drawn for what is undefined."""

from __future__ import annotations

import math
import re

import pytest

from lnat_plugins.report.plots import (
    MOST_POINTS,
    Markers,
    Scale,
    Spread,
    bars,
    left_of,
    lines,
    scale_of,
    scatter,
    tick_labels,
    whiskers,
)


def test_a_scale_maps_its_ends() -> None:
    scale = Scale(-5, -3, 100, 300)
    assert [scale(value) for value in (-5, -4, -3)] == [100, 200, 300]
    assert Scale(10, 1000, 0, 100, log=True)(100) == pytest.approx(50)


@pytest.mark.parametrize("values", [[-4.0], [0.0], [-4.25, -4.0], [1e-9, 3e5], [7.0, 7.0]])
def test_ticks_lie_inside(values: list[float]) -> None:
    scale = scale_of(values, 0, 1)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 11
    assert all(scale.low <= tick <= scale.high for tick in ticks)


@pytest.mark.parametrize("values", [[1.0], [300.0, 301.0], [1.0, 1e6], [40.0, 90.0]])
def test_ticks_of_a_logarithm_lie_inside(values: list[float]) -> None:
    scale = scale_of(values, 0, 1, log=True)
    assert scale.ticks()
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())


def test_ticks_of_a_narrow_range_are_round_also_by_the_logarithm() -> None:
    assert scale_of([120.3, 168.3], 0, 1, log=True).ticks() == [120, 140, 160]


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([1000.0, 2000.0], ["1,000", "2,000"]),
        ([0.0, 50_000.0, 150_000.0], ["0", "50k", "150k"]),
        ([-500_000.0, 1_500_000.0, 2e6], ["-500k", "1.5M", "2M"]),
        ([3e9, 4e12], ["3G", "4T"]),
    ],
)
def test_large_ticks_are_short(ticks: list[float], words: list[str]) -> None:
    assert tick_labels(ticks) == words


def test_the_plot_begins_to_the_right_of_its_longest_number() -> None:
    assert left_of([1.0, 2.0], 64) == 64
    assert left_of([1_479_266.25, 1_479_266.5], 64) > 64 + 20


def test_lines_of_no_teachers_have_looks_of_their_own() -> None:
    names = ["window 4", "global"]
    looks = {Markers(names, plain=True).colour(name) for name in names}
    assert len(looks) == 2
    assert looks.isdisjoint(Markers(names).colour(name) for name in names)


def test_long_names_stand_whole_beside_their_line() -> None:
    names = ["Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct", "B"]
    plot = whiskers("w", "T", {name: Spread(1.0, 0.5, 1.5) for name in names}, Markers(names), "x")
    assert all(f">{name}</text>" in plot for name in names)


def test_colour_and_shape_together_tell_fifty_six_apart() -> None:
    names = [f"t{n}" for n in range(56)]
    markers = Markers(names)
    assert len({(markers.colour(name), markers.path(name, [(0, 0)], 5)) for name in names}) == 56


def test_an_undefined_interval_is_a_word() -> None:
    plot = whiskers("w", "Title", {"A": Spread(-1.0)}, Markers(["A"]), "x")
    assert plot.count("interval undefined") == 2
    assert 'class="line' not in plot


def test_an_undefined_point_breaks_the_line() -> None:
    points = [(0.0, 1.0), (1.0, math.nan), (2.0, 3.0), (3.0, 2.0)]
    plot = lines("l", "Title", {"A": points}, Markers(["A"]), ("x", "y"), x_ticks=[0, 1, 2, 3])
    (drawn,) = re.findall(r'<path d="([^"]*)" class="line t0">', plot)
    assert (drawn.count("M"), drawn.count("L")) == (2, 1)
    assert "A: 1.0000, undefined, 3.0000, 2.0000" in plot


def test_many_responses_are_thinned_and_that_is_reported() -> None:
    points = {"A": [(float(n + 1), float(n)) for n in range(3 * MOST_POINTS)]}
    means = {"A": (Spread(1.0), Spread(2.0, 1.0, 3.0))}
    plot = scatter("s", "Title", points, means, Markers(["A"]), ("x", "y"), log_x=True)
    (drawn,) = re.findall(r'<path d="([^"]*)" class="faint t0">', plot)
    assert drawn.count("M") == MOST_POINTS
    assert "one in 3 of the responses is drawn" in plot


def test_a_teacher_who_is_never_best_has_no_bar() -> None:
    plot = bars("b", "Title", {"metric": {"A": 1.0, "B": 0.0}}, Markers(["A", "B"]))
    assert plot.count("<rect") == 1
    assert "metric: A 100%, B 0%" in plot


def test_long_names_are_cut_and_kept() -> None:
    name = "organisation/a-very-long-teacher-name-<70B>"
    plot = whiskers("w", "Title", {name: Spread(-1.0, -2.0, 0.0)}, Markers([name]), "x")
    assert "<title>organisation/a-very-long-teacher-name-&lt;70B&gt;</title>" in plot
