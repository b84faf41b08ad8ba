"""`best_teacher`: the teacher that ranks first, and all of its rows."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank
from tests.ranking.builders import random_rows
from tests.selection.builders import LOWER, names, pool_of, row, run, select, table


def test_all_rows_of_the_teacher_with_the_best_mean() -> None:
    pool = table({"A": [-1.0, -9.0, -1.0], "B": [-2.0, -2.0, -2.0]})
    choice = run(pool, "best_teacher")
    assert names(pool, choice.positions) == ["p0 B", "p1 B", "p2 B"]
    assert choice.reasons == dict.fromkeys((0, 2, 4), "another teacher ranks higher: B")
    assert choice.ties == 0


def test_only_prompts_that_every_teacher_has_decide_but_all_its_rows_are_chosen() -> None:
    pool = table({"A": [-1.0, -9.0, None], "B": [-2.0, None, -0.1], "C": [-3.0, -0.1, -0.1]})
    assert names(pool, run(pool, "best_teacher").positions) == ["p0 A", "p1 A"]


def test_samples_are_averaged_before_prompts() -> None:
    # Row by row A has the mean -2.5, B -2.4; cell by cell A has -2, B -2.2.
    pool = pool_of(
        *(row("p0", "A", -3.5), row("p0", "A", -2.5, sample=1), row("p0", "A", -3, sample=2)),
        *(row("p1", "A", -1), row("p0", "B", -2), row("p1", "B", -2.4)),
    )
    assert names(pool, run(pool, "best_teacher").positions) == ["p0 A", "p0 A", "p0 A", "p1 A"]


def test_of_equal_teachers_the_one_with_the_first_row_wins() -> None:
    pool = table({"C": [-4.0, -4.0], "B": [-1.0, -2.0], "A": [-2.0, -1.0]})
    choice = run(pool, "best_teacher")
    assert names(pool, choice.positions) == ["p0 B", "p1 B"]
    assert choice.ties == 1
    assert choice.reasons[0] == "another teacher ranks higher: B"
    assert choice.reasons[2] == "an equally good teacher comes first: B"


def test_a_teacher_alone_is_the_best() -> None:
    pool = table({"A": [-1.0, -2.0]})
    assert run(pool, "best_teacher").positions == (0, 1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", [METRICS["local_naturalness"], LOWER], ids=["higher", "lower"])
def test_it_is_the_teacher_that_the_ranking_puts_first(seed: int, metric: object) -> None:
    rows = random_rows(seed)
    prompts = list(dict.fromkeys(each.prompt_id for each in rows))
    ranking = rank(rows, prompts, metric, "4", bootstrap_iters=0)  # type: ignore[arg-type]
    pool = pool_of(
        *(
            row(
                each.prompt_id,
                each.teacher,
                METRICS["local_naturalness"].of(each.record, "4"),
                sample=int(each.record.sample),
            )
            for each in rows
        )
    )
    selection = select(pool, strategy="best_teacher", metric=metric.name)  # type: ignore[attr-defined]
    assert {pool.rows[i].teacher for i in selection.indices} == {ranking.teachers[0].teacher}


def test_teachers_without_a_prompt_in_common_cannot_be_compared() -> None:
    pool = table({"A": [-1.0, -1.0, None], "B": [None, -1.0, -2.0], "C": [-1.0, None, None]})
    with pytest.raises(DataError) as caught:
        run(pool, "best_teacher")
    assert str(caught.value) == (
        "strategy 'best_teacher': no prompt has a row of every teacher, so that teachers cannot be "
        "compared (found 'C: 1 of 3 prompts'). Leave that teacher's rows out, loosen the filters, "
        "or choose by `strategy: best`."
    )
