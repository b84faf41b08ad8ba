"""Teachers' scores over the matched prompts, as `ranking.table` takes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking.table import score_table
from lnat_plugins.study import MetricScores
from tests.ranking.builders import LOWER, TOKENS_PER_STEP, random_rows
from tests.study.builders import scores

NAN = math.nan


def test_a_mean_is_taken_over_prompts_that_every_teacher_has() -> None:
    found = scores(np.array([[[1, 2, 3], [4, NAN, 6]], [[NAN, 1, 5], [0, 1, NAN]]]))
    assert found.matched.tolist() == [[True, False, True], [False, True, False]]
    assert found.means(0, found.matched[0]).tolist() == [[2.0, 5.0]]
    assert found.means(1, found.matched[1]).tolist() == [[1.0, 1.0]]
    drawn = np.array([[2, 0, 1], [0, 3, 0]])
    assert found.means(0, found.matched[0], drawn)[0].tolist() == [5 / 3, 14 / 3]
    assert np.isnan(found.means(0, found.matched[0], drawn)[1]).all()


def test_a_ratio_is_that_of_the_means() -> None:
    values = np.array([[[1.0, 3.0], [2.0, 2.0]]])
    found = scores(values, denominators=np.array([[[1.0, 3.0], [4.0, 0.5]]]))
    assert found.means(0, found.matched[0]).tolist() == [[1.0, 4 / 4.5]]
    none = scores(values, denominators=np.array([[[1.0, 0.0], [4.0, 0.5]]]))
    assert none.matched.tolist() == [[True, False]]


def test_teachers_are_taken_by_name() -> None:
    found = scores(np.arange(6.0).reshape(1, 3, 2), teachers="ABC").of(["C", "A"])
    assert found.teachers == ("C", "A")
    assert found.values[0].tolist() == [[4, 5], [0, 1]]
    with pytest.raises(DataError, match="a teacher without scores"):
        found.of(["B"])


@pytest.mark.parametrize(
    ("metrics", "teachers", "shape", "message"),
    [
        (("a",), ("A", "B"), (1, 3, 2), "a value by metric, teacher and prompt"),
        (("a",), ("A", "B"), (1, 2, 0), "a value by metric, teacher and prompt"),
        ((), (), (0, 0, 2), "a value by metric, teacher and prompt"),
        (("a", "a"), ("A", "B"), (2, 2, 2), "named twice (found 'a')"),
        (("a",), ("A", "A"), (1, 2, 2), "named twice (found 'A')"),
    ],
)
def test_what_is_refused(
    metrics: tuple[str, ...], teachers: tuple[str, ...], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError) as error:
        MetricScores(metrics, teachers, np.zeros(shape))
    assert message in str(error.value)


@pytest.mark.parametrize("seed", range(4))
def test_tables_of_the_ranking_give_the_ranking_s_scores(seed: int) -> None:
    rows = random_rows(seed)
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    teachers = sorted({row.teacher for row in rows})
    metrics = [get_metric("local_naturalness"), LOWER, TOKENS_PER_STEP]
    tables = [score_table(rows, prompts, teachers, metric, "4") for metric in metrics]
    names = ("local_naturalness[4]", "mean_nll", "tokens_per_step")
    found = MetricScores.from_tables(dict(zip(names, tables, strict=True)))
    assert found.metrics == names
    for index, table in enumerate(tables):
        assert found.matched[index].tolist() == table.matched.tolist()
        ours = found.means(index, found.matched[index])[0]
        assert ours == pytest.approx(table.teacher_scores(table.matched))


def test_tables_of_other_teachers_are_refused() -> None:
    rows = random_rows(0)
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    teachers = sorted({row.teacher for row in rows})
    orders = [teachers, teachers[::-1]]
    tables = [score_table(rows, prompts, names, LOWER, "4") for names in orders]
    with pytest.raises(DataError, match="tables of different teachers"):
        MetricScores.from_tables({"a": tables[0], "b": tables[1]})
