"""All that a ranking of several teachers prints, to the letter and to the digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lnat_plugins.metrics import METRICS, get_metric
from lnat_plugins.ranking import Leaderboard, Ranking, Reference, rank
from lnat_plugins.ranking.leaderboard import leaderboard
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.scoring.samples import scored_set
from lnat_plugins.teacher_set import Candidate, Response
from tests.helpers_samples import make_record
from tests.ranking.builders import TOKENS_PER_STEP

PRINTED = Path(__file__).parents[1] / "data" / "printed"
KNOWN = Reference("known.json", {"Q-32B": 0.6, "R1": 0.9, "Llama": 0.6, "phi": 0.2}, True)
N_PROMPTS = 24


def rows() -> list[ScoredResponse]:
    """Four teachers, one to nine steps, two windows; one response of one teacher is too long."""
    draw = np.random.default_rng(7)
    found: list[ScoredResponse] = []
    for p in range(N_PROMPTS):
        hard = draw.normal()
        for t, teacher in enumerate(KNOWN.values):
            tokens = draw.integers(1, 30, size=int(draw.integers(1, 10))).tolist()
            means = -1.5 - 0.2 * t + 0.3 * hard + 0.4 * draw.normal(size=len(tokens))
            near, far = (np.minimum(means + more, -0.01) * tokens for more in (0, 0.2))
            gone = teacher == "phi" and p == 5
            record = make_record(
                teacher,
                {"4": near.tolist(), "global": [math.nan] * len(tokens) if gone else far.tolist()},
                tokens,
                undefined={"global": "longer than the student's 4,096 tokens"} if gone else {},
            )
            text = " ".join(f"step {i} of {teacher}" for i in range(len(tokens)))
            response = Response(teacher, text, correct=bool(draw.random() < 0.8 - 0.1 * t))
            asked = ({"role": "user", "content": f"prompt {p}"},)
            found.append(ScoredResponse(Candidate(len(found), f"p{p}", asked, response), record))
    return found


def ranking_of(metric: str, window: str) -> Ranking:
    given = rows()
    prompts = list(dict.fromkeys(row.prompt_id for row in given))
    return rank(
        given, prompts, {**METRICS, "tokens_per_step": TOKENS_PER_STEP}[metric], window,
        bootstrap_iters=400, reference=KNOWN, texts=[row.text for row in given],
        prompts_in_set=30,
    )  # fmt: skip


def board(*metrics: str, every: bool = False) -> Leaderboard:
    given = tuple(rows())
    prompts = tuple(dict.fromkeys(row.prompt_id for row in given))
    scored = scored_set(given, "my_teachers", "student/5M", prompts)
    return leaderboard(
        scored, [get_metric(name) for name in metrics], "4", every=every, known=METRICS,
        bootstrap_iters=200,
    )  # fmt: skip


CASES: dict[str, Callable[[], str]] = {
    "local": lambda: ranking_of("local_naturalness", "4").to_markdown(),
    "local_brief": lambda: ranking_of("local_naturalness", "4").to_markdown(brief=True),
    "local_html": lambda: ranking_of("local_naturalness", "4")._repr_html_(),
    "global": lambda: ranking_of("global_naturalness", "global").to_markdown(),
    "ratio": lambda: ranking_of("tokens_per_step", "4").to_markdown(),
    "board": lambda: board("local_naturalness").to_markdown(),
    "board_of_two": lambda: board("local_naturalness", "global_naturalness").to_markdown(),
    "board_brief": lambda: board("global_naturalness", "local_naturalness").to_markdown(brief=True),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_printed(name: str) -> None:
    assert CASES[name]() == (PRINTED / f"{name}.txt").read_text(encoding="utf-8")
