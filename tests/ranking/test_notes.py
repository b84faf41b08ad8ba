"""Each warning appears when it must, and stays away when it need not appear."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking.result import needed_prompts
from tests.ranking.builders import rank_rows, row, table


def notes_of(rows: object, **more: object) -> str:
    return "\n".join(rank_rows(rows, **more).notes)  # type: ignore[arg-type]


def settled(n_prompts: int, n_teachers: int) -> list[object]:
    noise = np.random.default_rng(0).normal(size=n_prompts) / 100
    return list(table({f"T{t}": list(noise - 1 - t) for t in range(n_teachers)}))


def test_a_clear_case_needs_no_note() -> None:
    assert rank_rows(settled(30, 5)).notes == ()  # type: ignore[arg-type]


def test_few_prompts() -> None:
    assert "Only 29 prompts" in notes_of(settled(29, 5))
    assert "One prompt: no interval" in notes_of(settled(1, 5))


def test_few_teachers() -> None:
    text = notes_of(settled(30, 4))
    assert "Four teachers cannot support a significance claim" in text
    assert "even a perfect Kendall's tau has p = 2/4! = 0.0833" in text
    assert "p = 2/3! = 0.333" in notes_of(settled(30, 3))
    assert notes_of(settled(30, 1)) == "One teacher (T0): there is nothing to compare."


@pytest.mark.parametrize("n_teachers", [2, 3, 4])
def test_the_smallest_p_is_that_of_all_orders(n_teachers: int) -> None:
    orders = list(itertools.permutations(range(n_teachers)))
    extreme = [abs(stats.kendalltau(orders[0], order).statistic) == 1 for order in orders]
    p = sum(extreme) / len(orders)
    assert f"p = 2/{n_teachers}! = {p:.3g}." in notes_of(settled(30, n_teachers))


def test_a_first_place_that_is_not_settled() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 2))
    text = notes_of(table({"A": list(noise[:, 0]), "B": list(noise[:, 1] + 0.01)}))
    assert "The first place is not settled: P(best) of" in text


def test_intervals_that_overlap_though_the_paired_difference_is_clear() -> None:
    prompts = np.random.default_rng(0).normal(size=40)
    text = notes_of(table({"A": list(prompts), "B": list(prompts - 0.1)}))
    assert "The intervals of A and B overlap, yet on the same prompts B differs by -0.1000" in text
    assert "paired 95% interval [-0.1000, -0.1000]" in text


def test_a_paired_interval_that_holds_0_is_noted_though_the_first_place_is_likely() -> None:
    """P(best) ≥ 0.95 takes one side of the resamples, the interval both."""
    noise = np.random.default_rng(0).normal(size=60)
    low = noise - noise.mean() - 1.8 * noise.std() / math.sqrt(len(noise))
    text = notes_of(table({"A": [0.0] * 60, "B": list(low)}))
    assert re.search(r"barely settled: P\(best\) of A is 0\.9[5-7]\d, yet B differs by -0", text)
    assert re.search(r"paired 95% interval \[-0\.\d+, 0\.\d+\]", text)
    assert "overlap" not in text and "not settled" not in text


def test_the_rival_is_the_one_that_is_best_in_most_other_resamples() -> None:
    """Not the second by mean: B is steadily behind A, C is far above and far below it."""
    generator = np.random.default_rng(1)
    wild = list(-0.5 + 4 * generator.normal(size=40))
    text = notes_of(table({"A": [0.0] * 40, "B": [-0.1] * 40, "C": wild}))
    assert re.search(r"P\(best\) of A is 0\.\d+, of C 0\.\d+; C differs by -", text)
    noise = generator.normal(size=60)
    calm = list(noise - noise.mean() - 1.75 * noise.std() / math.sqrt(60))
    text = notes_of(table({"A": [0.0] * 60, "B": [-0.1] * 60, "C": calm}))
    assert re.search(r"barely settled: P\(best\) of A is 0\.\d+, yet C differs by -", text)


def test_few_resamples() -> None:
    assert "Only 999 resamples: with fewer than 1000" in notes_of(
        settled(30, 5), bootstrap_iters=999
    )
    assert "Only 1 resample:" in notes_of(settled(30, 5), bootstrap_iters=1)
    one_prompt = notes_of(settled(1, 5), bootstrap_iters=10)
    assert "One prompt" in one_prompt
    assert "resample" not in one_prompt  # nothing was resampled
    for many in (0, 1000):
        assert "resample" not in notes_of(settled(30, 5), bootstrap_iters=many)


def test_what_was_left_out_and_what_is_undefined() -> None:
    rows = [*table({"A": [-1.0, -2.0], "B": [-2.0, None]}), row("p1", "B", math.nan)]
    text = notes_of(rows)
    assert "1 of 2 prompts left out: not scored for every teacher (least covered: B, 1 prompt)" in (
        text
    )
    assert "B: 1 of 2 responses undefined: too long." in text


@pytest.mark.parametrize(("other", "count"), [(-1.0, 1), (-1.5, 0)])
def test_ties(other: float, count: int) -> None:
    assert (
        "1 of 2 prompts has several best" in notes_of(table({"A": [-1, -1], "B": [other, -2]}))
    ) is (bool(count))


def test_a_handful_of_prompts_is_not_printed_to_the_prompt() -> None:
    clear = rank_rows(settled(30, 5)).to_markdown()  # type: ignore[arg-type]
    assert "P(best) reaches 0.95 with fewer than 10 of the 30 prompts.\n" in clear
    few = rank_rows(settled(4, 5)).to_markdown()  # type: ignore[arg-type]
    assert "P(best) reaches 0.95 with these 4 prompts or fewer.\n" in few


def test_large_differences_are_not_printed_to_the_fourth_decimal() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 2)) * 1e6
    text = notes_of(table({"A": list(noise[:, 0] - 1e7), "B": list(noise[:, 1] - 1e7)}))
    assert re.search(r"differs by -\d+(\.\d)?, paired 95% interval \[-\d+, \d+\]", text)


@pytest.mark.parametrize(
    ("needed", "text"),
    [
        (35, "with about 35 of the 135 prompts"),
        (135, "with about 135 of the 135 prompts"),
        (136, "at about 140 prompts: need about 5 more"),
        (277, "at about 280 prompts: need about 140 more"),
    ],
)
def test_a_rounded_number_stays_on_its_side(needed: int, text: str) -> None:
    ranking = rank_rows(settled(135, 5))  # type: ignore[arg-type]
    stability = replace(ranking.stability, needed=needed)
    assert text in needed_prompts(replace(ranking, stability=stability))
