"""The printed ranking, to the letter: it is what most users will ever see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.formatting import roughly
from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking import Reference, compare, read_reference
from lnat_plugins.ranking.result import MOST_RANKS
from tests.ranking.builders import LOWER, rank_rows, table

EXPECTED = """\
one
two

|Teacher|     Metric      |Window|   | Mean  |   95% interval   |Median |Difference|P(best)|Win rate|Coverage|
|-------|-----------------|------|---|------:|-----------------:|------:|---------:|------:|-------:|-------:|
|A\\|1    |local_naturalness|4     |↑  |-1.2500|[-1.5000, -1.0000]|-1.2500|    0.0000|  1.000|   1.000|   1.000|
|B      |local_naturalness|4     |↑  |-2.0000|[-2.0000, -2.0000]|-2.0000|   -0.7500|  0.000|   0.000|   1.000|

|P(rank)|  1  |  2  |
|-------|----:|----:|
|A\\|1    |1.000|0.000|
|B      |0.000|1.000|

|Controls|n_tokens|n_steps|mean_step_tokens|first_token_ratio|responses|
|--------|-------:|------:|---------------:|----------------:|--------:|
|A\\|1     | 10.0000| 1.0000|         10.0000|           0.1000|        2|
|B       | 10.0000| 1.0000|         10.0000|           0.1000|        2|

|Spearman of the score with|n_tokens|n_steps|mean_step_tokens|first_token_ratio|
|--------------------------|-------:|------:|---------------:|----------------:|
|over 4 responses          |     N/A|    N/A|             N/A|              N/A|
|within prompts, mean      |     N/A|    N/A|             N/A|              N/A|

P(best) of A|1, and the order's tau-b, by prompts: 2: 1.00 (1.00).
P(best) reaches 0.95 with these 2 prompts or fewer.
Of what precedes a step, the window shows: 4: N/A.
Agreement with global_naturalness: Kendall's tau-b 1.000 over 2 teachers, same winner on 2 of 2 prompts.

- Only 2 prompts: with fewer than 30 the intervals are rough, and rather too narrow.
- Two teachers cannot support a significance claim: even a perfect Kendall's tau has p = 2/2! = 1.
- No response has a second step, so that window 4 shows what global shows: this is global naturalness under another name.
"""  # noqa: E501


def test_a_table_in_the_look_of_lm_eval() -> None:
    text = rank_rows(table({"A|1": [-1.0, -1.5], "B": [-2.0, -2.0]})).to_markdown(["one", "two"])
    assert text == EXPECTED


def test_a_ranking_prints_itself() -> None:
    ranking = rank_rows(table({"A": [-1.0, -1.5], "B": [-2.0, -2.0]}))
    title = [
        "prompts: 2 of 2, responses: 4",
        "metric: local_naturalness (nats per token, higher is better), bootstrap_iters: "
        f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
    ]
    assert ranking.to_markdown() == ranking.to_markdown(title)


@pytest.mark.parametrize("n_teachers", [1, 4, 15])
def test_every_line_of_a_table_is_equally_long(n_teachers: int) -> None:
    scores = {f"teacher-{t}": [-1.0 - t, -2.0 * t] for t in range(n_teachers)}
    text = rank_rows(table(scores)).to_markdown()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == (4 if 1 < n_teachers <= MOST_RANKS else 3)
    for block in tables:
        assert len(block.splitlines()) == (4 if "|Spearman" in block else n_teachers + 2)
        assert len({len(line) for line in block.splitlines()}) == 1
        assert max(map(len, block.splitlines())) <= 130


def test_the_arrow_points_the_way_the_metric_says() -> None:
    rows = table({"A": [-1.0]})
    assert "|↑  |" in rank_rows(rows).to_markdown()
    assert "|↓  |" in rank_rows(rows, LOWER).to_markdown()


def test_the_fit_to_a_known_order() -> None:
    scores = {"A": [-1.0, -1.5], "B": [-2.0, -2.0], "C": [-3.0, -3.0]}
    known = Reference("known.json", {"A": 0.5, "B": 0.75, "C": 0.5}, True)
    text = rank_rows(table(scores), reference=known).to_markdown()
    assert (
        "Against known.json: Kendall's tau-b 0.000 [0.000, 0.000], Spearman 0.000, 1 of 2 "
        "pairs the known way round (known ties left out: 1), regret 0.2500 (known best: B, "
        "chosen: A).\n"
    ) in text
    order = read_reference("A>B>C", list("ABC"))
    text = rank_rows(table(scores), reference=order).to_markdown()
    assert "3 of 3 pairs the known way round (known best: A, chosen: A).\n" in text


def test_the_curve_ends_where_the_first_place_is_settled() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 2))
    noise -= noise.mean(axis=0)
    open_ended = rank_rows(table({"A": list(noise[:, 0] - 5.2), "B": list(noise[:, 1] - 5.0)}))
    needed = open_ended.stability.needed
    assert needed is not None
    assert needed > 40
    printed = open_ended.to_markdown()
    about = roughly(needed)
    assert f"at about {about} prompts: need about {roughly(about - 40)} more.\n" in printed
    assert printed.count("P(best) reaches 0.95") == 1
    assert " 40: " in printed
    assert " 400: " not in printed


def test_repetition_is_a_column_where_texts_are_known() -> None:
    rows = table({"A": [-1.0], "B": [-2.0]})
    assert "|repetition|responses|" in rank_rows(rows, texts=["a", "b"]).to_markdown()


def test_metrics_side_by_side() -> None:
    scores = {f"T{t}": [-1.0 - t, -2.0 - t] for t in range(7)}
    known = Reference("known.json", {f"T{t}": float(t // 2) for t in range(7)}, True)
    needy = replace(LOWER, name="needy", needs=frozenset({"entropy"}))
    metrics = [get_metric("local_naturalness"), LOWER, get_metric("n_tokens"), needy]
    found = compare(table(scores), ["p0", "p1"], metrics, "4", bootstrap_iters=50, reference=known)
    text = found.to_markdown(["one"])
    assert text.startswith("one\n\n|     Metric      |Window|   |")
    assert "|mean_nll         |4     |↓  |T0 > T1 > T2 > T3 > T4 > … 2 more|  1.000|" in text
    assert "|Against known.json|" in text
    assert "|0 of 18|" in text
    assert "- Known ties, left out of the pairs: 3." in text
    assert (
        "- Not compared: n_tokens [it describes, and has no better or worse], "
        "needy [not gathered: score again with it among the metrics (`naturalness: metrics:` "
        "in a teacher set's YAML, `metrics=` of `score()`)].\n"
    ) in text
    assert "|tau-b|" not in text
    several = compare(table(scores), ["p0", "p1"], [LOWER] * 3, "4", bootstrap_iters=50)
    text = several.to_markdown()
    assert "|  tau-b   | 1  | 2  | 3  |" in text
    assert "Against" not in text


def test_undefined_figures_are_printed_as_such() -> None:
    assert "N/A" in rank_rows(table({"A": [-1.0], "B": [-2.0]})).to_markdown()
