"""The printed ranking, to the letter: it is what most users will ever see."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking import Reference, compare, read_reference
from tests.ranking.builders import LOWER, rank_rows, table

EXPECTED = """\
No verdict: 2 prompts of 2 teachers, and 10 are the least that carry one. A|1 has the best mean.
- No response has a second step, so that window 4 shows what global shows: this is global naturalness under another name.
Sensitivity, the order when it is scored in another way:
- without steps under 4 tokens, without each trace's lowest 5% of steps, with every token weighing the same, under the whole context: no effect on these responses, not counted
- without first and last step: not done; it needs responses of three steps or more
- with steps line, with window 10%: not done; score with `sensitivity: full`, which reads 20 prompts in these ways
Next: score more prompts.

one
two

|Teacher|May be best|Mean ↑ |   95% interval   |Median |Difference|95%, all pairs|Rank|First in|Win rate|
|-------|----------:|------:|-----------------:|------:|---------:|-------------:|---:|-------:|-------:|
|A\\|1    |        N/A|-1.2500|[-1.5000, -1.0000]|-1.2500|    0.0000|              | N/A|   1.000|   1.000|
|B      |        N/A|-2.0000|[-2.0000, -2.0000]|-2.0000|   -0.7500|           N/A| N/A|   0.000|   0.000|

|Mean at window|   4   |whole context|
|--------------|------:|------------:|
|A\\|1           |-1.2500|      -1.2500|
|B             |-2.0000|      -2.0000|

|Controls|n_tokens|n_steps|mean_step_tokens|first_token_ratio|responses|
|--------|-------:|------:|---------------:|----------------:|--------:|
|A\\|1     | 10.0000| 1.0000|         10.0000|           0.1000|        2|
|B       | 10.0000| 1.0000|         10.0000|           0.1000|        2|

|Spearman of the score with|n_tokens|n_steps|mean_step_tokens|first_token_ratio|
|--------------------------|-------:|------:|---------------:|----------------:|
|over 4 responses          |     N/A|    N/A|             N/A|              N/A|
|within prompts, mean      |     N/A|    N/A|             N/A|              N/A|

Share of resamples with A|1 first, and the order's tau-b, by prompts: 2: 1.00 (1.00).
Share of the preceding tokens that a step sees: window 4: N/A.
Agreement with global_naturalness: Kendall's tau-b 1.000 over 2 teachers, same winner on 2 of 2 prompts.
"""  # noqa: E501


def test_a_table_in_the_look_of_lm_eval() -> None:
    text = rank_rows(table({"A|1": [-1.0, -1.5], "B": [-2.0, -2.0]})).to_markdown(["one", "two"])
    assert text == EXPECTED


@pytest.mark.parametrize(
    ("n_in_set", "undefined", "words"),
    [
        (None, 0, "10 of 10"),
        (None, 3, "7 of 10"),
        (25, 0, "10 of 25 (--limit)"),
        (25, 3, "7 of 10 scored, of 25 (--limit)"),
    ],
)
def test_of_how_many_prompts(n_in_set: int | None, undefined: int, words: str) -> None:
    scores = {"A": [-1.0] * 10, "B": [math.nan] * undefined + [-2.0] * (10 - undefined)}
    ranking = rank_rows(table(scores), prompts_in_set=n_in_set)
    assert ranking.prompts_in_words == words
    assert ranking.title()[0] == f"prompts: {words}, responses: 20"


def test_who_may_be_best_is_said_where_there_is_a_verdict() -> None:
    cells = {}
    for n_prompts in (9, 10):
        text = rank_rows(table({"A": [-1.0] * n_prompts, "B": [-2.0] * n_prompts})).to_markdown()
        rows = [line.split("|")[1:] for line in text.splitlines() if line.startswith("|")]
        cells[n_prompts] = [row[1].strip() for row in rows[:1] + rows[2:4]]
    assert cells == {9: ["May be best", "N/A", "N/A"], 10: ["May be best", "yes", "no"]}


def test_a_ranking_prints_itself() -> None:
    ranking = rank_rows(table({"A": [-1.0, -1.5], "B": [-2.0, -2.0]}))
    title = [
        "prompts: 2 of 2, responses: 4",
        "metric: local_naturalness, window 4 (nats per token, higher is better), bootstrap_iters: "
        f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
    ]
    assert ranking.to_markdown() == ranking.to_markdown(title)


@pytest.mark.parametrize("n_teachers", [1, 4, 15])
def test_every_line_of_a_table_is_equally_long(n_teachers: int) -> None:
    scores = {f"teacher-{t}": [-1.0 - t, -2.0 * t] for t in range(n_teachers)}
    text = rank_rows(table(scores)).to_markdown()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for block in tables:
        assert len(block.splitlines()) == (4 if "|Spearman" in block else n_teachers + 2)
        assert len({len(line) for line in block.splitlines()}) == 1
        assert max(map(len, block.splitlines())) <= 140


def test_the_arrow_points_the_way_the_metric_says() -> None:
    rows = table({"A": [-1.0]})
    assert "|Mean ↑ |" in rank_rows(rows).to_markdown()
    assert "|Mean ↓|" in rank_rows(rows, LOWER).to_markdown()


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


def test_repetition_is_a_column_where_texts_are_known() -> None:
    rows = table({"A": [-1.0], "B": [-2.0]})
    assert (
        "|words repeated (stretches of 20)|responses|"
        in rank_rows(rows, texts=["a", "b"]).to_markdown()
    )


def test_right_answers_are_a_column_where_rows_say_it() -> None:
    ranking = rank_rows(table({"A": [-1.0], "B": [-2.0]}))
    assert "Right" not in ranking.to_markdown()
    text = replace(ranking, right={"A": (26, 30), "B": (0, 0)}).to_markdown(brief=True)
    head, _, *lines = [line.split("|")[1:-1] for line in text.splitlines() if line[:1] == "|"]
    assert [each[-1].strip() for each in (head, *lines)] == ["Right", "26/30", "N/A"]


def test_windows_are_named_from_narrow_to_wide() -> None:
    ranking = rank_rows(table({"A": [-1.0, -1.5], "B": [-2.0, -2.0]}))
    shown = replace(ranking.confounds, context={"0": 0.0, "4": 0.82, "10%": 0.9})
    assert (
        "\nShare of the preceding tokens that a step sees: window 0: 0%, 4: 82%, 10%: 90%.\n"
        in replace(ranking, confounds=shown).to_markdown()
    )


def test_metrics_side_by_side() -> None:
    scores = {f"T{t}": [-1.0 - t, -2.0 - t] for t in range(7)}
    known = Reference("known.json", {f"T{t}": float(t // 2) for t in range(7)}, True)
    needy = replace(LOWER, name="needy", needs=frozenset({"entropy"}))
    metrics = [get_metric("local_naturalness"), LOWER, get_metric("n_tokens"), needy]
    found = compare(table(scores), ["p0", "p1"], metrics, "4", bootstrap_iters=50, reference=known)
    text = found.to_markdown(["one"])
    assert text.startswith("one\n\n|     Metric      |Window|   |")
    assert "|mean_nll         |4     |↓  |T0 > T1 > T2 > T3 > T4 > … 2 more|N/A        |" in text
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
