"""The verdict in words: a table of what is known and what may be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lnat_plugins.ranking.sensitivity import Sensitivity, Variant
from lnat_plugins.ranking.verdict import FEW, FEWEST, Verdict, verdict
from tests.ranking.builders import LOWER, rank_rows, table

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "verdicts.yaml").read_text(encoding="utf-8")
)


def ways(changed: list[list[Any]], order: list[str]) -> Sensitivity:
    found = []
    for name, then, *usual in changed:
        before = usual[0] if usual else order
        found.append(Variant(name, tuple(then), tuple(before), then[0] == before[0], 0.0, 20))
    return Sensitivity(tuple(found), {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_what_is_said(case: dict[str, Any]) -> None:
    order = case.get("order", ["A", "B", "C"])
    may_be_best = case.get("may_be_best", order[:1])
    found = verdict(
        order,
        may_be_best,
        case.get("prompts", 50),
        case.get("needed"),
        ways(case.get("changed", []), order),
        metric=case.get("metric", "local_naturalness"),
        resampled=case.get("resampled", True),
    )
    kept = tuple(case.get("kept", may_be_best))
    assert found == Verdict(case["kind"], case["text"], kept, case.get("more"))


def test_the_table_names_every_limit() -> None:
    prompts = {case.get("prompts", 50) for case in CASES}
    assert {FEWEST - 1, FEWEST, FEW - 1, FEW} <= prompts
    assert {case["kind"] for case in CASES} == {"none", "best", "leads"}


def test_what_to_do_next() -> None:
    few = rank_rows(table({"A": [-1.0] * 9, "B": [-2.0] * 9})).verdict
    assert few.next_step.startswith(
        "Next: score more prompts of two teachers or more; `lnat report OUT`"
    )
    clear = rank_rows(table({"A": [-1.0] * 10, "B": [-2.0] * 10})).verdict
    assert clear.next_step == (
        "Next: `lnat report OUT` shows the traces, `lnat select OUT --output_path chosen` writes "
        "the rows to train on."
    )


def noisy(n_prompts: int, gap: float) -> dict[str, list[float]]:
    noise = np.random.default_rng(0).normal(size=(n_prompts, 2)) / 2
    noise -= noise.mean(axis=0)
    return {name: list(noise[:, t] - 3 - gap * t) for t, name in enumerate("AB")}


def test_a_ranking_says_what_its_best_set_holds() -> None:
    clear, close = (rank_rows(table(noisy(60, gap))) for gap in (1.0, 0.05))
    assert (clear.verdict.kind, clear.verdict.may_be_best) == ("best", ("A",))
    assert (clear.verdict.more_prompts, clear.verdict.text[:28]) == (
        None,
        "A is best for this student (",
    )
    assert (close.verdict.kind, close.verdict.may_be_best) == ("leads", ("A", "B"))
    assert [line.may_be_best for line in clear.teachers] == [True, False]
    assert close.verdict.more_prompts is None or close.verdict.more_prompts > 60
    assert rank_rows(table(noisy(60, 1.0)), LOWER).verdict.text.startswith(
        "A is best for this student by mean_nll (95%"
    )


def test_without_a_verdict_no_teacher_is_named_as_one_that_may_be_best() -> None:
    for rows, more in (
        (noisy(9, 1.0), {}),
        (noisy(60, 1.0), {"bootstrap_iters": 0}),
        ({"A": [-1.0] * 20}, {}),
    ):
        found = rank_rows(table(rows), **more).verdict
        assert (found.kind, found.may_be_best, found.more_prompts) == ("none", (), None)
        assert found.text.startswith("No verdict: ")
