"""Every metric against the slow oracle, on random responses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

import pytest

from lnat_plugins.metrics import METRICS
from tests.metrics import oracle
from tests.metrics.oracle import Response

SEEDS = range(3)

ALONE: dict[str, Callable[[Response], float]] = {
    "global_naturalness": lambda r: fmean(-token.nll for token in r.tokens),
    "global_step_naturalness": lambda r: fmean(
        fmean(-token.nll for token in step) for step in r.steps
    ),
    "aslec_drop": lambda r: oracle.drop(r, 1),
    "aslec_drop2": lambda r: oracle.drop(r, 2),
    "rsr": oracle.rsr,
    "scas": oracle.scas,
    "perplexity": lambda r: math.prod(math.exp(t.nll) for t in r.tokens) ** (1 / len(r.tokens)),
    "entropy": oracle.entropy,
    "ifd": oracle.ifd,
    "car": oracle.car,
    "contrast": lambda r: fmean(-t.nll for t in r.tokens) - fmean(t.alone for t in r.tokens),
    "strategy_count": oracle.strategy_count,
    "strategy_density": lambda r: oracle.strategy_count(r) / len(r.tokens) * 1000,
    "n_tokens": lambda r: len(r.tokens),
    "n_steps": lambda r: len(r.steps),
    "mean_step_tokens": lambda r: fmean(len(step) for step in r.steps),
    "first_token_ratio": lambda r: len(r.steps) / len(r.tokens),
}
TOGETHER: dict[str, Callable[[Sequence[Response]], list[float]]] = {
    "aslec_casl": oracle.casl,
    "aslec_casl_by_teacher": lambda all_: by(all_, lambda r: r.teacher, oracle.casl),
    "lark": lambda all_: by(all_, lambda r: r.prompt_id, oracle.lark),
    "lark_top50": lambda all_: by(
        all_, lambda r: r.prompt_id, lambda group: oracle.lark(group, 50)
    ),
    "masters": lambda all_: by(all_, lambda r: r.prompt_id, oracle.masters),
    "disagreement": lambda all_: by(all_, lambda r: r.prompt_id, oracle.disagreement),
}


def by(
    responses: Sequence[Response],
    key: Callable[[Response], str],
    score: Callable[[Sequence[Response]], list[float]],
) -> list[float]:
    """The score of each group by itself, back in the order of the responses."""
    found = {}
    for name in {key(response) for response in responses}:
        indices = [i for i, response in enumerate(responses) if key(response) == name]
        found |= dict(zip(indices, score([responses[i] for i in indices]), strict=True))
    return [found[i] for i in range(len(responses))]


def rated(name: str, responses: Sequence[Response]) -> list[float]:
    ratings = METRICS[name].rate([oracle.row_of(response) for response in responses], "4")
    assert set(ratings.reasons) == {""}
    return list(ratings.values)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ALONE)
def test_of_one_response(name: str, seed: int) -> None:
    responses = oracle.draw(seed)
    expected = [ALONE[name](response) for response in responses]
    assert rated(name, responses) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", TOGETHER)
def test_of_several_responses(name: str, seed: int) -> None:
    responses = oracle.draw(seed, prompts=6)
    assert rated(name, responses) == pytest.approx(TOGETHER[name](responses), rel=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_teachers_rsr(seed: int) -> None:
    responses = [each for each in oracle.draw(seed) if each.teacher == "T1"]
    parts = METRICS["rsr"].parts_of
    ranks, surprise = zip(*(parts(oracle.row_of(r).record, "4") for r in responses), strict=True)
    found = fmean(ranks) / fmean(surprise)
    assert found == pytest.approx(oracle.rsr_of_teacher(responses))
    assert found != pytest.approx(fmean(oracle.rsr(r) for r in responses), rel=1e-3)


def test_every_metric_has_an_oracle() -> None:
    """Local naturalness has one for its windows in tests/engine; a random score has no formula."""
    assert set(METRICS) - set(ALONE) - set(TOGETHER) == {"local_naturalness", "random"}
