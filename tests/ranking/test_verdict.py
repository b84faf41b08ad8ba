"""The verdict in words: a table of what is known and what may be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lnat_plugins.ranking.result import rank_span
from lnat_plugins.ranking.sensitivity import Sensitivity, Variant
from lnat_plugins.ranking.verdict import FEW, FEWEST, FEWEST_RESAMPLES, Verdict, verdict
from tests.ranking.builders import LOWER, rank_rows, table

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "verdicts.yaml").read_text(encoding="utf-8")
)


def ways(changed: list[list[Any]], order: list[str]) -> Sensitivity:
    found = []
    for name, then, *more in changed:
        before = tuple(more[0] if more else order)
        part = more[1:]
        found.append(
            Variant(
                name,
                tuple(then),
                before,
                then[0] == before[0],
                0.0,
                *(part or [50]),
                bool(part),
                before[0] == order[0],
            )
        )
    return Sensitivity(tuple(found), {})


NARROWS = "More prompts narrow the choice of a teacher."
MAY_NOT = "A and B may be equally good."


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
        resamples=case.get("resamples", 200),
        grown_from=case.get("grown_from", 0),
    )
    kept = tuple(case.get("kept", may_be_best))
    unknown = case.get("more") is None and not case.get("grown_from")
    said = " and ".join(filter(None, [", ".join(kept[:-1]), *kept[-1:]]))
    if len(kept) > 3:
        said = f"{', '.join(kept[:3])} and {len(kept) - 3} more"
    leads = f"{said} may be equally good." if unknown else NARROWS
    then = {"none": case.get("next"), "best": "", "leads": leads}[case["kind"]]
    assert found == Verdict(case["kind"], case["text"], kept, case.get("more"), then)


def test_the_table_names_every_limit() -> None:
    prompts = {case.get("prompts", 50) for case in CASES}
    assert {FEWEST - 1, FEWEST, FEW - 1, FEW} <= prompts
    resamples = {case.get("resamples", 200) for case in CASES}
    assert {0, FEWEST_RESAMPLES - 1, FEWEST_RESAMPLES} <= resamples
    assert {case["kind"] for case in CASES} == {"none", "best", "leads"}


def noisy(n_prompts: int, gap: float) -> dict[str, list[float]]:
    noise = np.random.default_rng(0).normal(size=(n_prompts, 2)) / 2
    noise -= noise.mean(axis=0)
    return {name: list(noise[:, t] - 3 - gap * t) for t, name in enumerate("AB")}


def test_what_to_do_next() -> None:
    """Of a ranking, one for each cause; it stands last under the verdict."""
    found = {
        "Next: score the answers of other teachers too.": rank_rows(table({"A": [-1.0] * 20})),
        "Next: score more prompts.": rank_rows(table(noisy(9, 1.0))),
        "Next: give more --bootstrap_iters.": rank_rows(table(noisy(60, 1.0)), bootstrap_iters=199),
        NARROWS: rank_rows(table(noisy(60, 0.12))),
        MAY_NOT: rank_rows(table(noisy(60, 0.02))),
    }
    for words, ranking in found.items():
        assert ranking.verdict.next_step == words
        assert ranking.headline()[-1] == words
    clear = rank_rows(table(noisy(60, 1.0)))
    assert clear.verdict.next_step == "" and all(clear.headline())


def test_a_ranking_says_what_its_best_set_holds() -> None:
    clear, close = (rank_rows(table(noisy(60, gap))) for gap in (1.0, 0.05))
    assert (clear.verdict.kind, clear.verdict.may_be_best) == ("best", ("A",))
    assert (clear.verdict.more_prompts, clear.verdict.text[:49]) == (
        None,
        "By local_naturalness A is best for this student (",
    )
    assert (close.verdict.kind, close.verdict.may_be_best) == ("leads", ("A", "B"))
    assert [line.may_be_best for line in clear.teachers] == [True, False]
    assert close.verdict.more_prompts is None or close.verdict.more_prompts > 60
    assert rank_rows(table(noisy(60, 1.0)), LOWER).verdict.text.startswith(
        "By mean_nll A is best for this student (95%"
    )


def test_without_a_verdict_no_teacher_is_named_as_one_that_may_be_best() -> None:
    for rows, more in (
        (noisy(9, 1.0), {}),
        (noisy(60, 1.0), {"bootstrap_iters": 0}),
        (noisy(60, 1.0), {"bootstrap_iters": FEWEST_RESAMPLES - 1}),
        ({"A": [-1.0] * 20}, {}),
    ):
        found = rank_rows(table(rows), **more).verdict
        assert (found.kind, found.may_be_best, found.more_prompts) == ("none", (), None)
        assert found.text.startswith("No verdict: ")


def test_without_a_verdict_a_rank_may_be_any_and_differences_have_no_interval() -> None:
    """Nor are they printed; with one resample more they all are."""
    for n_prompts, iters, known in ((60, 199, False), (9, 1000, False), (60, 200, True)):
        scores = {**noisy(n_prompts, 1.0), "C": [-9.0] * n_prompts}
        ranking = rank_rows(table(scores), bootstrap_iters=iters)
        assert (ranking.verdict.kind != "none") is known
        for place, line in enumerate(ranking.teachers, 1):
            spread = (line.difference_low, line.difference_high)
            assert line.rank == place
            if known:
                assert (line.rank_low, line.rank_high) == (place, place)
                assert line.may_be_best is (place == 1)
                assert np.isfinite(spread).all()
            else:
                assert (line.rank_low, line.rank_high, line.may_be_best) == (1, 3, None)
                assert np.isnan(spread).all()
            assert np.isfinite([line.low, line.high, line.first_in]).all()
            assert rank_span(line) == (str(place) if known else "N/A")
