"""`best_set`: the set that the ranking finds, then the best row of each prompt among its teachers.

`best_teacher` is tested in `test_strategies.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank
from lnat_plugins.selection import ScoredStudent, Selection, choose
from tests.metrics.rows import Row, record_with
from tests.selection.builders import (
    KNOWN,
    names,
    pool_of,
    row,
    run,
    select,
    spec_of,
    table,
)

OUTSIDE = "the teacher is not among those that may be best: "
BEATEN = "another response to the prompt scored better"


def rows_of(seed: int) -> list[Row]:
    """Twelve to 60 prompts, four teachers further apart by seed, some rows and samples missing."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(int(draw.integers(12, 60))):
        for column, teacher in enumerate("ABCD"):
            if i > 2 and draw.random() < 0.1:
                continue
            for _ in range(draw.integers(1, 3)):
                tokens = draw.integers(5, 30, size=draw.integers(1, 4))
                worse = 1 + 0.1 * (seed % 4) * column
                record = record_with(
                    (-tokens * worse * draw.gamma(9.0, 1 / 9, size=len(tokens))).tolist(),
                    tokens.tolist(),
                    teacher=teacher,
                    capped_rank=(tokens * draw.integers(20, 40, size=len(tokens))).tolist(),
                    reward=float(draw.normal(2 / worse)),
                )
                rows.append(Row(f"p{i}", teacher, record))
    return rows


def chosen_from(rows: Sequence[Row], metric: str, seed: int = 1234) -> tuple[Selection, set[str]]:
    """The choice by `best_set`, and the teachers whose rows were not left out as a whole."""
    pool = pool_of(
        *(row(one.prompt_id, one.teacher, text=f"response {i}") for i, one in enumerate(rows))
    )
    student = ScoredStudent("org/student", [one.record for one in rows], plain=False)
    selection = choose(pool, student, spec_of(strategy="best_set", metric=metric, seed=seed))
    inside = {
        teacher
        for i, teacher in enumerate(selection.teachers)
        if not selection.reasons.get(i, "").startswith(OUTSIDE)
    }
    return selection, inside


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", ["local_naturalness", "mean_nll", "rsr", "car"])
def test_the_set_is_that_of_the_ranking(seed: int, metric: str) -> None:
    rows = rows_of(seed)
    prompts = list(dict.fromkeys(one.prompt_id for one in rows))
    ranking = rank(rows, prompts, KNOWN[metric], "4", seed=77, metrics=KNOWN)
    members = {line.teacher for line in ranking.teachers if line.may_be_best}
    selection, inside = chosen_from(rows, metric, seed=77)
    assert inside == members
    # Slow and plain: per prompt the best row of a member.
    sign = 1 if KNOWN[metric].higher_is_better else -1
    expected = []
    for prompt in prompts:
        own = [
            (-sign * score, i)
            for i, score in enumerate(selection.scores)
            if selection.prompts[i] == prompt and selection.teachers[i] in members
        ]
        expected += [min(own)[1]] if own else []
    assert selection.indices == tuple(sorted(expected))
    order = [line.teacher for line in ranking.teachers if line.may_be_best]
    outside = {r for r in selection.reasons.values() if r.startswith(OUTSIDE)}
    assert outside <= {OUTSIDE + ", ".join(order)}


def test_the_tables_above_have_sets_of_several_sizes() -> None:
    sizes = {len(chosen_from(rows_of(seed), "rsr")[1]) for seed in range(8)}
    assert 1 in sizes and len(sizes) > 2


def test_a_clear_loser_is_left_out_even_where_its_row_is_best() -> None:
    a, b = [-1.0, -1.2] * 10, [-1.2, -1.0] * 10
    pool = table({"A": a, "B": b, "C": [-0.5, *([-3.0, -3.1] * 10)[:19]]})
    assert "p0 C" in names(pool, run(pool, "best").positions)
    choice = run(pool, "best_set")
    assert names(pool, choice.positions) == [f"p{i} {'AB'[i % 2]}" for i in range(20)]
    assert choice.reasons == dict.fromkeys(range(2, 60, 3), f"{OUTSIDE}A, B")
    assert choice.ties == 0
    selection = select(pool, strategy="best_set")
    assert selection.dropped == {BEATEN: {"B": 10, "A": 10}, OUTSIDE[:-2]: {"C": 20}}


def test_ties_are_counted_among_members_alone() -> None:
    pool = table({"C": [-3.0, *[-3.0, -3.2] * 10], "A": [-1.0] * 21, "B": [-1.0] * 21})
    choice = run(pool, "best_set")
    assert (len(choice.positions), choice.ties) == (21, 21)
    assert {choice.reasons[i] for i in range(2, 63, 3)} == {"an equally good row comes first"}


def test_a_prompt_without_a_row_of_a_member_gives_none() -> None:
    pool = table({"A": [-1.0, -1.1] * 10 + [None], "B": [-3.0, -3.2] * 10 + [-0.1]})
    choice = run(pool, "best_set")
    assert names(pool, choice.positions) == [f"p{i} A" for i in range(20)]
    assert choice.reasons[40] == f"{OUTSIDE}A"


def test_one_teacher_or_one_matched_prompt_leaves_all_in() -> None:
    alone = table({"A": [-1.0, -2.0, -1.5]})
    assert run(alone, "best_set").positions == (0, 1, 2)
    pool = table({"A": [-1.0, -9.0, None], "B": [-9.0, None, -1.0]})
    choice = run(pool, "best_set")
    assert names(pool, choice.positions) == ["p0 A", "p1 A", "p2 B"]
    assert choice.reasons == {}


def test_nothing_in_common_is_an_error_that_names_the_strategy() -> None:
    pool = table({"A": [-1.0, None], "B": [None, -1.0]})
    with pytest.raises(DataError, match="strategy 'best_set': no prompt has a row of every"):
        run(pool, "best_set")


def test_the_same_seed_gives_the_same_choice() -> None:
    rows = rows_of(1)
    assert chosen_from(rows, "rsr")[0] == chosen_from(rows, "rsr")[0]
    assert METRICS["rsr"].higher_is_better is False
