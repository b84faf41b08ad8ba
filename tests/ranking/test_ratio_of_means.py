"""A metric whose figure is a ratio of means: by hand, resampled in step, and its direction."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import Metric
from lnat_plugins.ranking import compare, read_reference
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.ranking.builders import TOKENS_PER_STEP, Row, lines, rank_rows


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
        assert (line.low, line.high) == pytest.approx(tuple(np.quantile(figures, (0.025, 0.975))))
        others = [resampled[name] for name in "ABC" if name != teacher]
        lowest = np.array(figures) < np.min(others, axis=0)
        assert line.p_best == pytest.approx(lowest.mean())


def test_a_constant_ratio_has_no_spread() -> None:
    rows = [steps(f"p{i}", t, *[n] * (i + 1)) for i in range(5) for t, n in (("A", 3), ("B", 4))]
    first = rank_rows(rows, TOKENS_PER_STEP).teachers[0]
    assert (first.teacher, first.low, first.high) == ("A", pytest.approx(3), pytest.approx(3))
    assert first.p_best == 1.0


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
    assert found.p_best == ranking.teachers[0].p_best


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
    assert (line.low, line.high) == pytest.approx(tuple(np.quantile(figures, (0.025, 0.975))))
    assert line.p_best == pytest.approx((figures < 2).mean())
    note = f"{ranking.resamples_undefined} of 400 resamples left out of the intervals"
    assert any(note in one for one in ranking.notes)
    known = read_reference("A>B", ("A", "B"))
    (found,) = compare(
        rows, ["p0", "p1", "p2"], [metric], "4", bootstrap_iters=400, reference=known
    ).metrics
    assert found.p_best == lines(ranking)[found.order[0]].p_best
    assert found.fit is not None
    assert (found.fit.tau_low, found.tau_difference_low) == (-1.0, 0.0)


def test_a_figure_with_the_denominator_0_is_refused_with_its_reason() -> None:
    rows, metric = of_parts({"A": [(1, 1), (1, -1)], "B": [(2, 1)] * 2})
    with pytest.raises(DataError, match="teacher 'A': .* is undefined: the denominators add up"):
        rank_rows(rows, metric)
    both = [metric, replace(TOKENS_PER_STEP, name="other")]
    left_out = compare(rows, ["p0", "p1"], both, "4", bootstrap_iters=10).left_out
    assert left_out == {metric.name: "the denominators add up to 0 of A"}
