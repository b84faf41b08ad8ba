"""Masters: right answers and ease of transfer, together, compared within the prompt."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from lnat_plugins.metrics.base import Metric, Scored, UndefinedError, log_prob
from lnat_plugins.metrics.naturalness import local_naturalness

COLUMN: Final = "teacher_logprobs"

WEIGHT: Final = 1.0
"""λ, nats per token to one right answer. Ours: the abstract names no weight."""


def masters(rows: Sequence[Scored], window: str) -> list[float]:
    """(r − mean of r) / standard deviation of r over the responses to the prompt.

    r = 1[correct] + λ·d with λ = 1. Where all the prompt's rows carry `teacher_logprobs` (what the
    teacher gave its own tokens: a list of log-probabilities in nats, or their sum),
    d = −(Σ log p_teacher − Σ log p_student) / n with n the student's tokens. Else d is the
    response's `local_naturalness`. The standard deviation divides by the number of responses; where
    all r are equal, all values are 0.

    Unit: standard deviations. Higher is better.
    Aggregation: a value a response, then mean over prompts; a teacher's figure says where it stands
    among the others, prompt by prompt.

    Source: Masters, arXiv 2512.22238, "an accuracy reward that measures the correctness of the
        generated responses, and a distillation reward that quantifies the ease of responses'
        transferability" (abstract; the formula is known to us from there only). Ours: λ, the mean
        difference of log-probabilities as d, and local naturalness in its place.

    Raises:
        UndefinedError: a response whose correctness is not known, or one alone.
    """
    unknown = [i for i, row in enumerate(rows) if row.correct is None]
    if unknown:
        raise UndefinedError("it is not known whether the response is correct", unknown)
    if len(rows) < 2:
        raise UndefinedError("no other response to the prompt to compare with")
    by_teacher = [_log_ratio(row) for row in rows]
    own = [local_naturalness(row.record, window) for row in rows]
    eases = own if any(math.isnan(d) for d in by_teacher) else by_teacher
    undefined = [i for i, d in enumerate(eases) if math.isnan(d)]
    if undefined:
        raise UndefinedError("the steps have no log-probabilities under the window", undefined)
    rewards = [bool(row.correct) + WEIGHT * d for row, d in zip(rows, eases, strict=True)]
    if min(rewards) == max(rewards):
        return [0.0] * len(rows)
    mean = statistics.fmean(rewards)
    deviation = math.hypot(*(r - mean for r in rewards)) / math.sqrt(len(rows))
    return [(r - mean) / deviation if deviation else 0.0 for r in rewards]


def _log_ratio(row: Scored) -> float:
    """−(Σ log p_teacher − Σ log p_student) / n; NaN if the row does not say, or wrongly."""
    given = row.extra.get(COLUMN)
    values = given if isinstance(given, list) else [given]
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if not numbers or len(numbers) != len(values) or not all(x <= 0 for x in numbers):
        return math.nan
    return -(math.fsum(numbers) - log_prob(row.record)) / row.record.n_tokens


MASTERS = Metric(
    name="masters", higher_is_better=True, scope="prompt", unit="standard deviations",
    source="arXiv 2512.22238 (Masters), abstract; ours: formula and weight", aggregate="mean",
    compute=masters, reads="window",
)  # fmt: skip
