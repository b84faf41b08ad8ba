"""The printed ranking, to the letter: it is what most users will ever see."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.ranking import to_markdown
from lnat_plugins.ranking.markdown import number
from tests.ranking.builders import LOWER, rank_rows, table

EXPECTED = """\
one
two

|Teacher|     Metric      |Window|   | Mean  |   95% interval   |Median |Difference|P(best)|Win rate|Coverage|
|-------|-----------------|------|---|------:|-----------------:|------:|---------:|------:|-------:|-------:|
|A\\|1    |local_naturalness|4     |↑  |-1.2500|[-1.5000, -1.0000]|-1.2500|    0.0000|  1.000|   1.000|   1.000|
|B      |local_naturalness|4     |↑  |-2.0000|[-2.0000, -2.0000]|-2.0000|   -0.7500|  0.000|   0.000|   1.000|

|Controls|n_tokens|mean_step_tokens|first_token_ratio|responses|
|--------|-------:|---------------:|----------------:|--------:|
|A\\|1     | 10.0000|         10.0000|           0.1000|        2|
|B       | 10.0000|         10.0000|           0.1000|        2|

Spearman of the score with n_tokens: N/A over 4 responses, N/A within prompts (mean of 0).
Agreement with global_naturalness: Kendall's tau-b 1.000 over 2 teachers, same winner on 2 of 2 prompts.

- Only 2 prompts: with fewer than 30 the intervals are rough, and rather too narrow.
- Kendall's tau over 2 teachers describes these teachers; with fewer than 5 it supports no claim.
"""  # noqa: E501


def test_a_table_in_the_look_of_lm_eval() -> None:
    text = to_markdown(rank_rows(table({"A|1": [-1.0, -1.5], "B": [-2.0, -2.0]})), ["one", "two"])
    assert text == EXPECTED


def test_a_ranking_prints_itself() -> None:
    ranking = rank_rows(table({"A": [-1.0, -1.5], "B": [-2.0, -2.0]}))
    title = [
        "prompts: 2 of 2, responses: 4",
        "metric: local_naturalness (nats per token, higher is better), bootstrap_iters: "
        f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
    ]
    assert ranking.to_markdown() == to_markdown(ranking, title)


@pytest.mark.parametrize("n_teachers", [1, 4, 15])
def test_every_line_of_a_table_is_equally_long(n_teachers: int) -> None:
    scores = {f"teacher-{t}": [-1.0 - t, -2.0 * t] for t in range(n_teachers)}
    text = to_markdown(rank_rows(table(scores)))
    for block in text.split("\n\n")[:2]:
        assert len(block.splitlines()) == n_teachers + 2
        assert len({len(line) for line in block.splitlines()}) == 1
        assert max(map(len, block.splitlines())) <= 130


def test_the_arrow_points_the_way_the_metric_says() -> None:
    rows = table({"A": [-1.0]})
    assert "|↑  |" in to_markdown(rank_rows(rows))
    assert "|↓  |" in to_markdown(rank_rows(rows, LOWER))


def test_undefined_figures_are_said_to_be_so() -> None:
    assert "N/A" in to_markdown(rank_rows(table({"A": [-1.0], "B": [-2.0]})))
    assert number(math.nan) == "N/A"


@pytest.mark.parametrize(("value", "text"), [(-2.5, "-2.5000"), (-1e-9, "0.0000"), (0, "0.0000")])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
