"""The order by a prefix against the order by whole responses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import prefix_agreement
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.scoring.samples import ScoredSet, scored_set
from lnat_plugins.teacher_set import Candidate, Response
from tests.helpers_samples import SETTINGS, record_of

LN = METRICS["local_naturalness"]
ASKED = ({"role": "user", "content": "What?"},)


def made(scores_TP: Any, prefix: str = "", ids: str = "same", **settings: Any) -> ScoredSet:
    """Scores of teachers a, b, … on prompts p0, p1, …"""
    own = {**SETTINGS, **settings, **({"prefix": prefix} if prefix else {})}
    rows = [
        ScoredResponse(
            Candidate(0, f"p{p}", ASKED, Response("abcdef"[t], "x" * 10)),
            replace(record_of("abcdef"[t], value), settings=own, ids_digest=ids),
        )
        for t, values in enumerate(scores_TP)
        for p, value in enumerate(values)
    ]
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    return scored_set(tuple(rows), "t", "org/student", prompts)


def tau(one: Any, other: Any) -> float:
    """Kendall's tau of scores without ties, pair by pair."""
    pairs = [*combinations(range(len(one)), 2)]
    return sum(np.sign((one[i] - one[j]) * (other[i] - other[j])) for i, j in pairs) / len(pairs)


def scores(seed: int, prompts: int = 30, teachers: int = 4, apart: float = 0.3) -> Any:
    generator = np.random.default_rng(seed)
    level_T = -1.5 - apart * np.arange(teachers)
    return np.minimum(level_T[:, None] + generator.normal(0, 0.5, (teachers, prompts)), -0.01)


def test_tau_and_its_interval_are_those_of_the_definition() -> None:
    whole, part = (scores(seed, teachers=6, apart=0.05) for seed in (1, 2))
    found = prefix_agreement(made(part, "8 steps"), made(whole), LN, "4", bootstrap_iters=60)
    assert found.tau == pytest.approx(tau(part.mean(1), whole.mean(1)))
    drawn = np.random.default_rng(1234).integers(0, 30, (60, 30))
    taus = [tau(part[:, own].mean(1), whole[:, own].mean(1)) for own in drawn]
    low, high = np.quantile(taus, [0.025, 0.975], method="inverted_cdf")
    assert (found.tau_low, found.tau_high) == pytest.approx((low, high))
    same = part.argmax(0) == whole.argmax(0)
    assert found.same_winner == pytest.approx(same.mean())
    assert found.prompts == 30 and found.by_whole == tuple(
        "abcdef"[t] for t in np.argsort(-whole.mean(1))
    )
    assert found.by_prefix == tuple("abcdef"[t] for t in np.argsort(-part.mean(1)))
    assert found.as_dict()["prefix"] == "8 steps"


def test_the_same_scores_agree_fully() -> None:
    found = prefix_agreement(made(scores(1), "8 steps"), made(scores(1)), LN, "4")
    assert (found.tau, found.same_winner) == (1, 1)
    assert found.in_words() == (
        "The first 8 steps against whole responses, student org/student, local_naturalness: "
        f"Kendall's tau-b of both orders 1.000 [{found.tau_low:.3f}, 1.000] over 4 teachers and 30 "
        "prompts; a is first by both; same best teacher on 1.000 of the prompts."
    )


def test_only_prompts_that_both_have_for_every_teacher_count() -> None:
    whole, part = scores(3), scores(3)
    part[1, :10] = math.nan
    found = prefix_agreement(made(part, "8 steps"), made(whole[:, :25]), LN, "4")
    assert found.prompts == 15


def test_another_first_teacher_is_said() -> None:
    found = prefix_agreement(made(scores(1)[::-1], "9 tokens"), made(scores(1)), LN, "4")
    assert f"{found.by_prefix[0]} is first by the prefix, a by the whole" in found.in_words()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"steps": "line"}, "they differ in steps"),
        ({"ids": "other"}, "they differ in the responses' tokens"),
        ({"chat_template": "x", "markers": "keep"}, "they differ in markers, chat_template"),
    ],
)
def test_scores_of_another_kind_are_not_compared(change: dict[str, Any], why: str) -> None:
    found = prefix_agreement(made(scores(1), "8 steps", **change), made(scores(1)), LN, "4")
    assert found.not_compared == why and math.isnan(found.tau)
    assert found.in_words() == (
        f"The first 8 steps against whole responses, student org/student: not compared, {why}."
    )


def test_other_teachers_or_no_common_prompt_are_not_compared() -> None:
    found = prefix_agreement(made(scores(1)[:3], "8 steps"), made(scores(1)), LN, "4")
    assert found.not_compared == "they differ in teachers"
    part, whole = scores(1), scores(1)
    part[0] = math.nan
    found = prefix_agreement(made(part, "8 steps"), made(whole), LN, "4")
    assert found.not_compared == "no prompt has both for every teacher"


def test_two_of_a_kind_are_refused() -> None:
    for pair in ((made(scores(1)), made(scores(1))), (made(scores(1), "8 steps"),) * 2):
        with pytest.raises(ConfigError, match="held against those of whole responses"):
            prefix_agreement(*pair, LN, "4")
