"""How much each step sees, the names of windows, and the runs that cover their pairs."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnat_plugins.errors import ConfigError
from lnat_plugins.steps.windows import (
    Pair,
    Run,
    parse_window,
    parse_windows,
    plan_runs,
    width,
)

WINDOWS = st.lists(
    st.one_of(
        st.integers(0, 12).map(str),
        st.integers(1, 100).map(lambda n: f"{n}%"),
        st.builds("{}/{}".format, st.integers(0, 6), st.integers(2, 9)),
        st.just("global"),
    ),
    min_size=1,
    max_size=5,
    unique=True,
)


def starts(window: str, n: int) -> list[int]:
    return [pair.start for pair in parse_window(window).pairs(n)]


def test_a_count_is_clipped_at_the_start() -> None:
    assert starts("2", 6) == [0, 0, 0, 1, 2, 3]


def test_window_zero_sees_only_the_prompt() -> None:
    assert starts("0", 4) == [0, 1, 2, 3]


def test_global_sees_everything() -> None:
    assert starts("global", 5) == [0, 0, 0, 0, 0]


def test_with_a_stride_blocks_of_steps_share_a_run() -> None:
    assert starts("2/4", 11) == [0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6]
    assert starts("0/2", 5) == [0, 0, 2, 2, 4]
    assert starts("9/2", 6) == [0] * 6  # never reaches past the start
    runs = plan_runs(parse_window("4/8").pairs(26))
    assert [(run.start, run.stop) for run in runs] == [(0, 8), (4, 16), (12, 24), (20, 26)]


@pytest.mark.parametrize("window", ["4/8", "1/2", "3/5"])
def test_a_stride_adds_up_to_its_length_less_one_step(window: str) -> None:
    count, stride = map(int, window.split("/"))
    seen = [parse_window(window).preceding(step) for step in range(60)]
    plain = [parse_window(count).preceding(step) for step in range(60)]
    assert all(p <= s <= min(step, count + stride - 1) for step, (p, s)
               in enumerate(zip(plain, seen, strict=True)))  # fmt: skip
    for step in range(count + stride, 60):
        assert seen[step] == count + step % stride


def test_a_share_is_rounded_up() -> None:
    # 25 % of 0, 1, ..., 8 preceding steps: 0, 1, 1, 1, 1, 2, 2, 2, 2
    assert [parse_window("25%").preceding(step) for step in range(9)] == [0, 1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("percent", [7, 29, 57, 58])
def test_a_share_is_exact_where_floating_point_is_not(percent: int) -> None:
    # 0.07 * 100 is 7.000000000000001 in floating point, whose ceiling is 8.
    assert parse_window(f"{percent}%").preceding(100) == percent


def test_a_hundred_percent_is_global() -> None:
    assert starts("100%", 7) == starts("global", 7)


def test_names_are_canonical() -> None:
    names = [
        parse_window(spec).name
        for spec in (4, "4", " 4 ", "10%", "10.0 %", "2.5%", "global", "4/8", " 04 / 8")
    ]
    assert names == ["4", "4", "4", "10%", "10%", "2.5%", "global", "4/8", "4/8"]


@pytest.mark.parametrize(
    "bad",
    [
        -1,
        "-1",
        "all",
        "0%",
        "101%",
        0.1,
        True,
        None,
        "",
        "4.5",
        "4/1",
        "4/0",
        "/8",
        "4/",
        "10%/8",
        [4],
        "9" * 5000,
        "9" * 5000 + "%",
    ],
    ids=lambda bad: repr(bad)[:9],
)
def test_a_bad_window_is_refused_with_the_allowed_forms(bad: object) -> None:
    with pytest.raises(ConfigError, match="whole number of preceding steps"):
        parse_window(bad)


def test_duplicate_windows_and_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="duplicate window"):
        parse_windows(["10%", "10.0%"])
    with pytest.raises(ConfigError, match="no window given"):
        parse_windows([])


def test_one_window_needs_no_list() -> None:
    assert [window.name for window in parse_windows(4)] == ["4"]


def test_runs_of_a_fixed_window() -> None:
    runs = plan_runs(parse_window("1").pairs(4))
    assert runs == (Run(0, 2, (0, 1)), Run(1, 3, (2,)), Run(2, 4, (3,)))


def test_narrower_windows_read_few_tokens_more() -> None:
    tokens = [3, 1, 4, 1, 5, 9, 2, 6]
    widest = plan_runs(parse_window("4").pairs(8))
    together = plan_runs(p for w in parse_windows([0, 1, 2, 3, 4]) for p in w.pairs(8))
    read = [sum(sum(tokens[run.start : run.stop]) for run in runs) for runs in (widest, together)]
    # Only the starts whose run of five steps would pass the end of the response are new.
    assert read[1] - read[0] == sum(sum(tokens[start:]) for start in range(4, 8))
    assert sorted(step for run in widest for step in run.scored) == list(range(8))


def test_the_global_run_reads_the_response_once() -> None:
    assert plan_runs(parse_window("global").pairs(3)) == (Run(0, 3, (0, 1, 2)),)


@given(n=st.integers(0, 30), specs=WINDOWS)
def test_runs_cover_exactly_the_requested_pairs(n: int, specs: list[str]) -> None:
    pairs = {pair for window in parse_windows(specs) for pair in window.pairs(n)}
    runs = plan_runs(pairs)
    assert {Pair(run.start, step) for run in runs for step in run.scored} == pairs
    assert len({run.start for run in runs}) == len(runs)
    assert all(run.stop == run.scored[-1] + 1 for run in runs)


@given(percent=st.integers(1, 100), step=st.integers(0, 200))
def test_shares_follow_the_definition(percent: int, step: int) -> None:
    expected = math.ceil(Fraction(percent, 100) * step)
    assert parse_window(f"{percent}%").preceding(step) == expected


def test_windows_are_ordered_from_narrow_to_wide() -> None:
    ordered = ["0", "2", "4", "4/8", "10", "5%", "10%", "50%", "global"]
    assert sorted(sorted(ordered), key=width) == ordered
