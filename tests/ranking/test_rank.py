"""The order of teachers: by hand, against loops, and under changes that must not matter.

A metric whose figure is a ratio of means: by hand, resampled in step, and its direction.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import Metric, get_metric
from lnat_plugins.ranking import compare, rank, read_reference
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.ranking import oracle
from tests.ranking.builders import (
    LOWER,
    TOKENS_PER_STEP,
    Row,
    lines,
    random_rows,
    rank_rows,
    row,
    table,
)

LN = get_metric("local_naturalness")


def test_three_teachers_by_hand() -> None:
    ranking = rank_rows(
        table({"A": [-3, -1, -2, -6], "B": [-1, -2, -1, -2], "C": [-2, -3, -3, -1]})
    )
    assert [line.teacher for line in ranking.teachers] == ["B", "C", "A"]
    assert [line.rank for line in ranking.teachers] == [1, 2, 3]
    assert [line.mean for line in ranking.teachers] == pytest.approx([-1.5, -2.25, -3.0])
    assert [line.median for line in ranking.teachers] == pytest.approx([-1.5, -2.5, -2.5])
    assert [line.difference for line in ranking.teachers] == pytest.approx([0, -0.75, -1.5])
    assert [line.win_rate for line in ranking.teachers] == [0.5, 0.25, 0.25]
    assert (ranking.prompts, ranking.prompts_used, ranking.responses) == (4, 4, 12)
    assert ranking.ties == 0


def windowed(prompt: str, teacher: str, **means: float | None) -> Row:
    """One step of ten tokens; `w1=None`: not recorded at window 1, NaN: undefined there."""
    names = {"w0": "0", "w1": "1", "w4": "4", "whole": "global"}
    sums = {names[name]: [10 * mean] for name, mean in means.items() if mean is not None}
    gone = {name: "too long" for name, (one,) in sums.items() if math.isnan(one)}
    return Row(prompt, teacher, make_record(teacher, sums, [10], undefined=gone))


def of_windows(*, w1: float | None, w4: float = -2.0) -> list[Row]:
    """Two teachers on three prompts; B's last record has these means."""
    all_of_them = {"whole": -1.0, "w4": -2.0, "w1": -3.0, "w0": -5.0}
    found = [windowed(f"p{p}", t, **all_of_them) for p in range(3) for t in "AB"]
    found[-1] = windowed("p2", "B", **{**all_of_them, "w4": w4, "w1": w1})
    return found


def test_the_means_at_every_window_narrowest_first() -> None:
    found = rank_rows(of_windows(w1=-6.0)).windows
    assert list(found) == ["0", "1", "4", "global"]
    assert found["1"] == pytest.approx({"A": -3.0, "B": -4.0})
    assert found["global"] == pytest.approx({"A": -1.0, "B": -1.0})


@pytest.mark.parametrize("w1", [None, math.nan])
def test_a_window_that_a_prompt_lacks_is_left_out(w1: float | None) -> None:
    """As those that are recorded on a sample: means over fewer prompts cannot be compared."""
    assert list(rank_rows(of_windows(w1=w1)).windows) == ["0", "4", "global"]


def test_so_is_one_that_has_prompts_which_the_ranking_lacks() -> None:
    ranking = rank_rows(of_windows(w1=None, w4=math.nan))
    assert ranking.prompts_used == 2
    assert list(ranking.windows) == ["1", "4"]


@pytest.mark.parametrize("metric", [LOWER, "global_naturalness", "global_step_naturalness"])
def test_rankings_by_other_metrics_have_no_windows(metric: Metric | str) -> None:
    known = get_metric(metric) if isinstance(metric, str) else metric
    ranking = rank_rows(of_windows(w1=-3.0), known)
    assert ranking.windows == {}
    assert "Mean at window" not in ranking.to_markdown()


def test_a_lower_is_better_metric_ranks_the_other_way_round() -> None:
    rows = table({"A": [-3, -1, -2], "B": [-1, -2, -1]})
    ranking = rank_rows(rows, LOWER)
    assert [line.teacher for line in ranking.teachers] == ["B", "A"]
    assert [line.mean for line in ranking.teachers] == pytest.approx([4 / 3, 2])
    assert ranking.teachers[0].win_rate == pytest.approx(2 / 3)
    assert ranking.teachers[1].difference == pytest.approx(2 / 3)
    same = rank_rows(rows)
    assert [line.first_in for line in ranking.teachers] == [line.first_in for line in same.teachers]
    assert ranking.agreement.tau == pytest.approx(1.0)
    assert ranking.agreement.same_winner == 1.0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("metric", [LN, LOWER], ids=lambda metric: str(metric.name))
def test_the_loops_agree(seed: int, metric: object) -> None:
    rows = random_rows(seed)
    expected = oracle.ranking(rows, metric, iters=50, seed=7)  # type: ignore[arg-type]
    ranking = rank_rows(rows, metric, bootstrap_iters=50, seed=7)  # type: ignore[arg-type]
    assert lines(ranking).keys() == expected.keys()
    for teacher, figures in expected.items():
        for name, value in figures.items():
            found = getattr(lines(ranking)[teacher], name)
            assert found == pytest.approx(value, abs=1e-9), (teacher, name)


def test_samples_are_averaged_before_prompts() -> None:
    rows = [row("p0", "A", -1.0), row("p1", "A", -2.0), row("p1", "A", -4.0, sample=1)]
    assert rank_rows(rows).teachers[0].mean == pytest.approx((-1 - 3) / 2)
    assert rank_rows(rows).teachers[0].responses == 3


def test_an_undefined_sample_is_counted_and_the_others_stand() -> None:
    rows = [
        *(row("p0", "A", -1.0), row("p0", "A", math.nan, sample=1), row("p0", "B", -2.0)),
        *(row("p1", "A", math.nan), row("p1", "B", -2.0)),
    ]
    ranking = rank_rows(rows)
    first = lines(ranking)["A"]
    assert (first.scored_prompts, first.coverage, first.responses) == (1, 0.5, 3)
    assert first.undefined == {"too long": 2}
    assert ranking.prompts_used == 1
    assert first.mean == -1.0


def test_all_figures_rest_on_the_prompts_that_every_teacher_has() -> None:
    complete = {"A": [-1.0, -2.0, -3.0], "B": [-2.0, -1.0, -1.0]}
    full = rank_rows(table(complete))
    holes = rank_rows(table({"A": [-1.0, -2.0, -3.0, -9.0], "B": [-2.0, -1.0, -1.0, None]}))
    assert (holes.prompts, holes.prompts_used) == (4, 3)
    for one, other in zip(full.teachers, holes.teachers, strict=True):
        assert (one.mean, one.median, one.low, one.high) == (
            *(other.mean, other.median, other.low, other.high),
        )
        assert (one.first_in, one.win_rate) == (other.first_in, other.win_rate)
    assert lines(holes)["B"].coverage == 0.75
    assert lines(holes)["A"].coverage == 1.0


def test_no_common_prompt_names_the_teacher_that_covers_least() -> None:
    rows = [row("p0", "A", -1.0), row("p1", "A", -1.0), row("p2", "B", -1.0)]
    rows += [row("p0", "B", math.nan), row("p1", "B", math.nan), row("p2", "A", math.nan)]
    with pytest.raises(DataError, match=r"teacher 'B': no prompt has local_naturalness") as caught:
        rank_rows(rows)
    assert "1 of 3 prompts scored; undefined: too long (2)" in str(caught.value)


def test_a_tied_win_is_shared_and_counted_whatever_the_order_of_rows() -> None:
    rows = table({"A": [-1.0, -1.0], "B": [-1.0, -2.0], "C": [-1.0 - 1e-9, -3.0]})
    for order in (rows, [rows[1], rows[0], *rows[2:]]):
        ranking = rank_rows(order)
        assert ranking.ties == 1
        rates = {name: line.win_rate for name, line in lines(ranking).items()}
        assert rates == {"A": 0.75, "B": 0.25, "C": 0.0}
    three = rank_rows(table({"A": [-1.0], "B": [-1.0], "C": [-1.0], "D": [-2.0]}))
    assert [line.win_rate for line in three.teachers] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_teachers_with_equal_means_keep_their_order() -> None:
    for teachers in itertools.permutations("ABC"):
        ranking = rank_rows(table({teacher: [-1.0, -2.0] for teacher in teachers}))
        assert tuple(line.teacher for line in ranking.teachers) == teachers


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_and_teachers_plays_no_part(seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        row(f"p{i}", teacher, -draw.random(), draw.randint(1, 40))
        for i in range(12)
        for teacher in "ABCD"
    ]
    prompts = [f"p{i}" for i in range(12)]
    expected = rank(rows, prompts, LN, "4", bootstrap_iters=200)
    shuffled = draw.sample(rows, len(rows))
    found = rank(shuffled, prompts, LN, "4", bootstrap_iters=200)
    for one, other in zip(expected.teachers, found.teachers, strict=True):
        assert one.teacher == other.teacher
        for name in ("mean", "median", "low", "high", "first_in", "win_rate", "difference_low"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)
    correlations = zip(found.confounds.correlations, expected.confounds.correlations, strict=True)
    for one, other in correlations:
        assert one.within_prompt == pytest.approx(other.within_prompt, nan_ok=True)
    assert found.agreement == expected.agreement


def test_controls_are_those_of_the_responses_behind_the_mean() -> None:
    rows = [row("p0", "A", -1.0, 10), row("p0", "A", -1.0, 30, sample=1), row("p0", "B", -1.0, 5)]
    rows += [row("p1", "A", -1.0, 900), row("p1", "B", math.nan, 900)]
    ranking = rank_rows(rows)
    assert lines(ranking)["A"].controls == pytest.approx(
        {
            "n_tokens": 20,
            "n_steps": 1,
            "mean_step_tokens": 20,
            "first_token_ratio": (1 / 10 + 1 / 30) / 2,
        }
    )
    assert lines(ranking)["B"].controls["n_tokens"] == 5


def test_a_statistic_that_was_not_gathered_is_an_error() -> None:
    needy = replace(LN, name="needy", needs=frozenset({"entropy"}))
    with pytest.raises(DataError, match=r"no response has a value of needy") as caught:
        rank_rows(table({"A": [-1.0, -1.0], "B": [-1.0, -2.0]}), needy)
    assert "the statistic 'entropy' was not gathered (4)" in str(caught.value)
    where = "among the metrics (`naturalness: metrics:` in a teacher set's YAML, `metrics=` of"
    assert f"Score again with needy {where}" in str(caught.value)


def test_a_corpus_metric_is_computed_on_all_rows() -> None:
    calls = set()

    def centred(rows: list[Row], window: str) -> list[float]:
        calls.add(len(rows))
        values = [row.record.totals[window] for row in rows]
        return [value - sum(values) / len(values) for value in values]

    metric = replace(LN, name="centred", scope="corpus", compute=centred)
    ranking = rank_rows(table({"A": [-1.0, -2.0], "B": [-2.0, -4.0]}), metric)
    assert calls == {4}
    assert [line.mean for line in ranking.teachers] == pytest.approx([7.5, -7.5])


def test_a_metric_without_a_direction_cannot_rank() -> None:
    with pytest.raises(ConfigError, match=r"ranked by 'n_tokens'.*Rank by one of local_nat"):
        rank_rows(table({"A": [-1.0]}), get_metric("n_tokens"))


def test_a_window_that_was_not_scored_is_refused() -> None:
    rows = table({"A": [-1.0]})
    with pytest.raises(ConfigError, match=r"needs window '40', which was not scored.*'4'\? known"):
        rank(rows, ["p0"], LN, "40")
    local_only = [Row("p0", "A", make_record("A", {"4": [-1.0, -1.0]}))]
    with pytest.raises(ConfigError, match=r"'global_naturalness' needs window 'global'"):
        rank_rows(local_only, get_metric("global_naturalness"))


@pytest.mark.parametrize("setting", ["bootstrap_iters", "seed"])
def test_settings_below_zero_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting} is below 0 \(found -1\)"):
        rank_rows(table({"A": [-1.0]}), **{setting: -1})


@pytest.mark.parametrize(
    ("teachers", "most"), [(1, 1_000_000), (5, 1_000_000), (20, 238_095), (100, 10_000)]
)
def test_more_resamples_than_memory_allows_are_refused(teachers: int, most: int) -> None:
    rows = table({f"t{i}": [-1.0 - i] for i in range(teachers)})
    message = f"^bootstrap_iters is above {most:,}, .*found {most + 1}"
    with pytest.raises(ConfigError, match=message):
        rank_rows(rows, bootstrap_iters=most + 1)
    with pytest.raises(ConfigError, match=message):
        compare(rows, ["p0"], [TOKENS_PER_STEP], "4", bootstrap_iters=most + 1)


def test_undefined_figures_become_null() -> None:
    plain = rank_rows(table({"A": [-1.0]})).as_dict()
    assert plain["teachers"][0]["low"] is None
    assert plain["teachers"][0]["mean"] == -1.0
    assert plain["teachers"][0]["controls"]["n_tokens"] == 10.0
    assert plain["agreement"]["tau"] is None
    assert isinstance(plain["notes"], list)


def steps(prompt: str, teacher: str, *tokens: int, sample: int = 0) -> Row:
    sums = {"4": [-1.0] * len(tokens), "global": [-1.0] * len(tokens)}
    return Row(prompt, teacher, make_record(teacher, sums, tokens, sample=sample))


ROWS = [
    *(steps("p0", "A", 10), steps("p0", "B", 4, 4)),
    *(steps("p1", "A", 2, 2, 2, 2), steps("p1", "B", 6)),
]


def test_by_hand() -> None:
    ranking = rank_rows(ROWS, TOKENS_PER_STEP)
    assert [line.teacher for line in ranking.teachers] == ["A", "B"]
    found = lines(ranking)
    assert found["A"].mean == pytest.approx(18 / 5)
    assert found["B"].mean == pytest.approx(14 / 3)
    assert found["A"].median == pytest.approx((10 + 2) / 2)
    assert found["A"].win_rate == 0.5
    assert found["B"].difference == pytest.approx(14 / 3 - 18 / 5)


def test_a_mean_of_the_ratios_would_say_otherwise() -> None:
    found = lines(rank_rows(ROWS, TOKENS_PER_STEP))
    assert np.mean([10 / 1, 8 / 4]) > np.mean([8 / 2, 6 / 1])
    assert found["A"].mean < found["B"].mean


def test_samples_are_averaged_part_by_part() -> None:
    rows = [steps("p0", "A", 10), steps("p0", "A", 2, 2, 2, sample=1), steps("p0", "B", 5)]
    assert lines(rank_rows(rows, TOKENS_PER_STEP))["A"].mean == pytest.approx(16 / 4)


def test_both_parts_are_resampled_on_the_same_prompts() -> None:
    draw = np.random.default_rng(0)
    rows = [
        steps(f"p{i}", teacher, *draw.integers(1, 20, size=draw.integers(1, 8)).tolist())
        for i in range(12)
        for teacher in "ABC"
    ]
    ranking = rank_rows(rows, TOKENS_PER_STEP, bootstrap_iters=40, seed=5)
    parts = {
        teacher: np.array([(r.record.n_tokens, r.record.n_steps) for r in rows if r[1] == teacher])
        for teacher in "ABC"
    }
    drawn = np.random.default_rng(5).integers(0, 12, size=(40, 12))
    resampled = {
        teacher: [both[one, 0].mean() / both[one, 1].mean() for one in drawn]
        for teacher, both in parts.items()
    }
    for teacher, figures in resampled.items():
        line = lines(ranking)[teacher]
        assert (line.low, line.high) == pytest.approx(tuple(np.quantile(figures, oracle.TAILS)))
        others = [resampled[name] for name in "ABC" if name != teacher]
        lowest = np.array(figures) < np.min(others, axis=0)
        assert line.first_in == pytest.approx(lowest.mean())


def test_a_constant_ratio_has_no_spread() -> None:
    rows = [steps(f"p{i}", t, *[n] * (i + 1)) for i in range(5) for t, n in (("A", 3), ("B", 4))]
    first = rank_rows(rows, TOKENS_PER_STEP).teachers[0]
    assert (first.teacher, first.low, first.high) == ("A", pytest.approx(3), pytest.approx(3))
    assert first.first_in == 1.0


def test_an_undefined_ratio_is_counted() -> None:
    of_several = replace(
        TOKENS_PER_STEP, compute=lambda record, window: math.nan if record.n_steps == 1 else 1.0
    )
    ranking = rank_rows([*ROWS, steps("p2", "A", 1, 1), steps("p2", "B", 1, 1)], of_several)
    assert ranking.prompts_used == 1
    assert lines(ranking)["A"].undefined == {"no reason was recorded": 1}


def test_compare_takes_the_same_figures() -> None:
    prompts = ["p0", "p1"]
    (found,) = compare(ROWS, prompts, [TOKENS_PER_STEP], "4", bootstrap_iters=100).metrics
    ranking = rank_rows(ROWS, TOKENS_PER_STEP, bootstrap_iters=100)
    assert found.figures == {line.teacher: line.mean for line in ranking.teachers}
    assert found.may_be_best == ranking.verdict.may_be_best == ()
    assert {t.may_be_best for t in ranking.teachers} == {None}  # too few prompts


def of_parts(parts: dict[str, list[tuple[float, float]]]) -> tuple[list[Row], Metric]:
    """A ratio whose parts are given by hand, one pair a prompt and teacher."""
    rows = [steps(f"p{i}", t, 1, sample=0) for t in parts for i in range(len(parts[t]))]
    known = {id(row.record): parts[row.teacher][int(row.prompt_id[1:])] for row in rows}

    def value(record: StepSums, window: str) -> float:
        over, under = known[id(record)]
        return over / under if under else 0.0

    return rows, replace(
        TOKENS_PER_STEP, compute=value, parts=lambda record, window: known[id(record)]
    )


def test_a_response_with_the_denominator_0_is_undefined() -> None:
    rows, metric = of_parts({"A": [(1, 1), (1, 0), (1, 1)], "B": [(2, 1), (2, 1), (2, 1)]})
    ranking = rank_rows(rows, metric)
    assert ranking.prompts_used == 2
    assert lines(ranking)["A"].undefined == {"the denominator is 0": 1}


def test_resamples_with_the_denominator_0_count_nowhere() -> None:
    rows, metric = of_parts({"A": [(1, 1), (1, -1), (1, 2)], "B": [(2, 1)] * 3})
    ranking = rank_rows(rows, metric, bootstrap_iters=400)
    drawn = np.random.default_rng(1234).integers(0, 3, size=(400, 3))
    sums = np.array([1, -1, 2])[drawn].sum(axis=1)
    assert ranking.resamples_undefined == (sums == 0).sum() > 0
    figures = 3 / sums[sums != 0]
    line = lines(ranking)["A"]
    assert (line.low, line.high) == pytest.approx(tuple(np.quantile(figures, oracle.TAILS)))
    assert line.first_in == pytest.approx((figures < 2).mean())
    note = f"{ranking.resamples_undefined} of 400 resamples left out of the intervals"
    assert any(note in one for one in ranking.notes)
    known = read_reference("A>B", ("A", "B"))
    (found,) = compare(
        rows, ["p0", "p1", "p2"], [metric], "4", bootstrap_iters=400, reference=known
    ).metrics
    assert found.may_be_best == ranking.verdict.may_be_best == ()
    assert {t.may_be_best for t in ranking.teachers} == {None}  # too few prompts
    assert found.fit is not None
    assert (found.fit.tau_low, found.tau_difference_low) == (-1.0, 0.0)


@pytest.mark.parametrize(("iters", "enough"), [(199, False), (210, False), (400, True)])
def test_those_do_not_count_for_a_verdict_either(iters: int, enough: bool) -> None:
    """Of 210 resamples fewer than 200 are left, of 400 more."""
    under = [1.0, -1.0] * 6 + [2.0]
    rows, metric = of_parts({"A": [(1, one) for one in under], "B": [(2, 1)] * 13})
    ranking = rank_rows(rows, metric, bootstrap_iters=iters)
    left = iters - ranking.resamples_undefined
    assert 0.7 * iters < left < 0.95 * iters
    assert (ranking.verdict.kind != "none") is enough
    if not enough:
        assert ranking.verdict.text.startswith(f"No verdict: {left} resamples in which every")
    prompts = [f"p{i}" for i in range(13)]
    (found,) = compare(rows, prompts, [metric], "4", bootstrap_iters=iters).metrics
    assert bool(found.may_be_best) is enough
    assert found.may_be_best == ranking.verdict.may_be_best


def test_a_figure_with_the_denominator_0_is_refused_with_its_reason() -> None:
    rows, metric = of_parts({"A": [(1, 1), (1, -1)], "B": [(2, 1)] * 2})
    with pytest.raises(DataError, match="teacher 'A': .* is undefined: the denominators add up"):
        rank_rows(rows, metric)
    both = [metric, replace(TOKENS_PER_STEP, name="other")]
    left_out = compare(rows, ["p0", "p1"], both, "4", bootstrap_iters=10).left_out
    assert left_out == {metric.name: "the denominators add up to 0 of A"}
