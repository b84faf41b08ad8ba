"""Small tables of scores, and the rows that a ranking takes."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lnat_plugins.metrics import Metric, get_metric
from lnat_plugins.ranking import Ranking, TeacherRank, rank
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import record_of

LOWER = Metric(
    name="mean_nll",
    higher_is_better=False,
    scope="response",
    unit="nats per token",
    source="for tests",
    aggregate="mean",
    compute=lambda record, window: -get_metric("local_naturalness").of(record, window),
    reads="window",
)

TOKENS_PER_STEP = Metric(
    name="tokens_per_step",
    higher_is_better=False,
    scope="response",
    unit="tokens per step",
    source="for tests: a ratio of means",
    aggregate="ratio_of_means",
    compute=lambda record, window: record.n_tokens / record.n_steps,
    reads="counts",
    parts=lambda record, window: (float(record.n_tokens), float(record.n_steps)),
)


class Row(NamedTuple):
    prompt_id: str
    teacher: str
    record: StepSums


def row(prompt_id: str, teacher: str, value: float, tokens: int = 10, **more: Any) -> Row:
    record = record_of(teacher, value, tokens=tokens, **{"splitter": "sentence@2", **more})
    return Row(prompt_id, teacher, record)


def table(scores: Mapping[str, Sequence[float | None]]) -> list[Row]:
    """teacher -> a value per prompt; None = no such row. Prompt by prompt."""
    n_prompts = len(next(iter(scores.values())))
    return [
        row(f"p{i}", teacher, value)
        for i in range(n_prompts)
        for teacher, values in scores.items()
        if (value := values[i]) is not None
    ]


def rank_rows(rows: Sequence[Row], metric: Metric | None = None, **more: Any) -> Ranking:
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    settings = {"bootstrap_iters": 1000, **more}
    return rank(rows, prompts, metric or get_metric("local_naturalness"), "4", **settings)


def lines(ranking: Ranking) -> dict[str, TeacherRank]:
    return {line.teacher: line for line in ranking.teachers}


def random_rows(seed: int, holes: bool = True) -> list[Row]:
    """Three to five teachers, several samples, missing rows and undefined values.

    The first two prompts have no hole, so that there is something to resample.
    """
    draw = random.Random(seed)
    teachers = "ABCDE"[: draw.randint(3, 5)]
    rows = []
    for i in range(draw.randint(3, 9)):
        for teacher in teachers:
            for sample in range(draw.randint(1, 3)):
                value = -draw.randint(1, 30) / 10
                if holes and i > 1 and draw.random() < 0.15:
                    value = math.nan
                elif holes and i > 1 and draw.random() < 0.1:
                    continue
                tokens = draw.randint(1, 40)
                rows.append(row(f"p{i}", teacher, value, tokens, sample=sample))
    return rows
