"""ASLEC: mean log-probability, corrected for the improbable first token of each step.

DROP takes the mean without these tokens; CASL subtracts what their share explains of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from lnat_plugins.engine.types import Floats
from lnat_plugins.metrics.base import GLOBAL, Metric, Scored, UndefinedError, log_prob, summed
from lnat_plugins.metrics.steps import Steps, together
from lnat_plugins.scoring.record import StepSums


def _drop_together(steps: Steps, skip: int, statistic: str) -> Floats:
    n_others_R = steps.n_tokens - steps.added(np.minimum(steps.tokens, skip))
    return np.asarray((steps.totals(GLOBAL) - steps.summed(statistic)) / n_others_R)


@together(lambda steps, _: _drop_together(steps, 1, "first_token"))
def aslec_drop(record: StepSums, window: str = GLOBAL) -> float:
    """Mean of log p(y_t | x, y_<t) over all tokens but the first of each step.

    (Σ_t log p − Σ_i log p of the first token of s_i) / (n − p), with n tokens and p steps.

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the other tokens, then mean over prompts.

    Differs from `global_naturalness` by the tokens dropped only: the first token of a step is
    improbable, and a long step dilutes it, so that means over all tokens reward long steps.

    Source: ASLEC-DROP, arXiv 2604.06834. Ours: a token belongs to the step that holds its first
    character that is not white space.

    Raises:
        UndefinedError: no other token.
    """
    return _drop(record, 1, "first_token")


@together(lambda steps, _: _drop_together(steps, 2, "first_two_tokens"))
def aslec_drop2(record: StepSums, window: str = GLOBAL) -> float:
    """As `aslec_drop`, without the first two tokens of each step; a step of one loses that one.

    Source: the driver that the authors of arXiv 2604.06834 published skips two tokens; the paper
    skips one. Theirs counts the prompt's last token as the first of the first step, and so skips
    one token of it.
    """
    return _drop(record, 2, "first_two_tokens")


def _drop(record: StepSums, skip: int, statistic: str) -> float:
    n_others = record.n_tokens - sum(min(skip, count) for count in record.tokens)
    if not n_others:
        raise UndefinedError(f"no step has more than {skip} token{'s' * (skip > 1)}")
    return (log_prob(record) - summed(record, statistic)) / n_others


ASLEC_DROP = Metric(
    name="aslec_drop", higher_is_better=True, scope="response", unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-DROP)", aggregate="mean", compute=aslec_drop, reads="global",
    needs=frozenset({"first_token"}),
    of_prefix=True,
)  # fmt: skip
ASLEC_DROP2 = Metric(
    name="aslec_drop2", higher_is_better=True, scope="response", unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-DROP), as its authors' driver", aggregate="mean",
    compute=aslec_drop2, reads="global", needs=frozenset({"first_two_tokens"}),
    of_prefix=True,
)  # fmt: skip

FEWEST: Final = 5
"""Responses below which four coefficients are not fitted."""


def aslec_casl(rows: Sequence[Scored], window: str = GLOBAL) -> list[float]:
    """M − g·F, with g from least squares over the rows given: M ~ b1·M_non + b2·M_first + g·F + c.

    Of a response, M is the mean log p over its tokens under the whole trace, M_first over the
    first token of each step, M_non over the others, F = steps / tokens.

    Unit: nats per token. Higher = more natural to the student = better.
    Aggregation: a value a response, then mean over prompts. Every value depends on all rows:
    figures of different sets of rows cannot be compared.

    Differs from `global_naturalness` by g·F only. M = F·M_first + (1 − F)·M_non exactly, so the
    regression separates what depends on the means from what depends on their mixture.

    Source: ASLEC-CASL, arXiv 2604.06834. Ours: the rows are all that is scored. The paper's one
    token a step; the authors' driver takes two, here too, and F as their share.

    Raises:
        UndefinedError: for responses whose steps all have one token, which have no M_non; and
            for all, if fewer than 5 are left, or if they leave g undetermined.
    """
    records = [row.record for row in rows]
    tokens_R = np.array([record.n_tokens for record in records], dtype=np.float64)
    steps_R = np.array([record.n_steps for record in records], dtype=np.float64)
    if bare := np.flatnonzero(tokens_R == steps_R).tolist():
        raise UndefinedError("no step has more than 1 token", bare)
    if len(rows) < FEWEST:
        raise UndefinedError(f"fewer than {FEWEST} responses to fit CASL on")
    ratio_R = steps_R / tokens_R
    if not np.ptp(ratio_R):
        raise UndefinedError("all responses have the same first-token ratio, so CASL has no slope")
    total_R = np.array([log_prob(record) for record in records])
    first_R = np.array([summed(record, "first_token") for record in records])
    mean_R = total_R / tokens_R
    non_R = (total_R - first_R) / (tokens_R - steps_R)
    return without_slope(mean_R, non_R, first_R / steps_R, ratio_R)


def without_slope(mean_R: Floats, non_R: Floats, first_R: Floats, ratio_R: Floats) -> list[float]:
    """M − g·F of R responses, by CASL's regression; raises UndefinedError if it leaves g open."""
    design_RC = np.stack([non_R, first_R, ratio_R, np.ones_like(ratio_R)], axis=1)
    # A singular value below 1e-10 of the largest is 0: rounding leaves some 1e-16 of it.
    coefficients_C, _, rank, _ = np.linalg.lstsq(design_RC, mean_R, rcond=1e-10)
    if rank < design_RC.shape[1]:
        raise UndefinedError("the responses are too alike to fit CASL on")
    scores: list[float] = (mean_R - coefficients_C[2] * ratio_R).tolist()
    return scores


def aslec_casl_by_teacher(rows: Sequence[Scored], window: str = GLOBAL) -> list[float]:
    """As `aslec_casl`, with a regression, and so a slope, for each teacher.

    Source: as the driver that the authors of arXiv 2604.06834 published.
    """
    by_teacher: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_teacher.setdefault(row.teacher, []).append(i)
    scores = [math.nan] * len(rows)
    for own in by_teacher.values():
        try:
            found = aslec_casl([rows[i] for i in own])
        except UndefinedError as cause:
            undefined = [own[k] for k in cause.rows] or own
            raise UndefinedError(str(cause), undefined) from None
        for i, score in zip(own, found, strict=True):
            scores[i] = score
    return scores


ASLEC_CASL = Metric(
    name="aslec_casl", higher_is_better=True, scope="corpus", unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-CASL); the pool: all teachers", aggregate="mean",
    compute=aslec_casl, reads="global", needs=frozenset({"first_token"}),
    of_prefix=True,
)  # fmt: skip
ASLEC_CASL_BY_TEACHER = Metric(
    name="aslec_casl_by_teacher", higher_is_better=True, scope="corpus", unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-CASL); the pool: each teacher, as its authors' driver",
    aggregate="mean", compute=aslec_casl_by_teacher, reads="global",
    needs=frozenset({"first_token"}),
    of_prefix=True,
)  # fmt: skip
