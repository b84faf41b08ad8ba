"""Each warning appears when it must, and stays away when it need not appear."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking import Reference, read_reference
from tests.ranking.builders import rank_rows, row, table


def notes_of(rows: object, **more: object) -> str:
    return "\n".join(rank_rows(rows, **more).notes)  # type: ignore[arg-type]


def clear(n_prompts: int, n_teachers: int) -> list[object]:
    noise = np.random.default_rng(0).normal(size=n_prompts) / 100
    return list(table({f"T{t}": list(noise - 1 - t) for t in range(n_teachers)}))


def test_a_clear_case_needs_no_note() -> None:
    assert rank_rows(clear(30, 5)).notes == ()  # type: ignore[arg-type]


def test_one_prompt() -> None:
    assert notes_of(clear(1, 5)) == "One prompt: no interval can be given."
    assert notes_of(clear(2, 5)) == ""  # the verdict says that they are few


def known(n_teachers: int) -> Reference:
    names = [f"T{t}" for t in range(n_teachers)]
    return read_reference(">".join(names), names)


def test_few_teachers_of_a_known_order() -> None:
    text = notes_of(clear(30, 4), reference=known(4))
    assert "Four teachers cannot support a claim about the known order" in text
    assert "even a perfect Kendall's tau has p = 2/4! = 0.0833" in text
    assert "p = 2/3! = 0.333" in notes_of(clear(30, 3), reference=known(3))
    for n_teachers in (1, 5):
        assert "known order" not in notes_of(
            clear(30, n_teachers), reference=known(n_teachers) if n_teachers > 1 else None
        )
    assert notes_of(clear(30, 3)) == ""


@pytest.mark.parametrize("n_teachers", [2, 3, 4])
def test_the_smallest_p_is_that_of_all_orders(n_teachers: int) -> None:
    orders = list(itertools.permutations(range(n_teachers)))
    extreme = [abs(stats.kendalltau(orders[0], order).statistic) == 1 for order in orders]
    p = sum(extreme) / len(orders)
    assert f"p = 2/{n_teachers}! = {p:.3g}." in notes_of(
        clear(30, n_teachers), reference=known(n_teachers)
    )


def test_few_resamples() -> None:
    assert "Only 999 resamples: with fewer than 1000" in notes_of(clear(30, 5), bootstrap_iters=999)
    assert "Only 1 resample:" in notes_of(clear(30, 5), bootstrap_iters=1)
    one_prompt = notes_of(clear(1, 5), bootstrap_iters=10)
    assert "One prompt" in one_prompt
    assert "resample" not in one_prompt  # nothing was resampled
    for many in (0, 1000):
        assert "resample" not in notes_of(clear(30, 5), bootstrap_iters=many)


def test_what_was_left_out_and_what_is_undefined() -> None:
    rows = [*table({"A": [-1.0, -2.0], "B": [-2.0, None]}), row("p1", "B", math.nan)]
    text = notes_of(rows)
    assert "1 of 2 prompts left out: not scored for every teacher (least covered: B, 1 prompt)" in (
        text
    )
    assert "B: 1 of 2 responses undefined: too long." in text
