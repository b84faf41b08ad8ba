"""Controls: plain counts that may explain a score, and a random score to compare with.

Scores reward long steps, because the improbable first token of a step is diluted (ASLEC, arXiv
2604.06834), and on some traces plain length ranks teachers better than any likelihood. So the
counts are printed with every ranking; they have no direction. They are of whole responses, also
where only a prefix is scored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from lnat_plugins.metrics.base import Metric, Scored
from lnat_plugins.metrics.steps import together
from lnat_plugins.scoring.record import StepSums


@together(lambda steps, _: steps.whole_tokens.astype(np.float64))
def n_tokens(record: StepSums, window: str = "") -> float:
    """Σ |s_i|: tokens of the response, in the student's own tokenizer. Unit: tokens."""
    return float(record.whole_tokens)


@together(lambda steps, _: steps.whole_steps.astype(np.float64))
def n_steps(record: StepSums, window: str = "") -> float:
    """p: steps of the response. Unit: steps."""
    return float(record.whole_steps)


@together(lambda steps, _: steps.whole_tokens / steps.whole_steps)
def mean_step_tokens(record: StepSums, window: str = "") -> float:
    """Σ |s_i| / p: mean length of a step. Unit: tokens per step."""
    return record.whole_tokens / record.whole_steps


@together(lambda steps, _: steps.whole_steps / steps.whole_tokens)
def first_token_ratio(record: StepSums, window: str = "") -> float:
    """F = p / Σ |s_i|: the share of tokens that open a step (F of ASLEC, arXiv 2604.06834)."""
    return record.whole_steps / record.whole_tokens


def _control(name: str, unit: str, source: str, compute: Callable[..., float]) -> Metric:
    return Metric(name, None, "response", unit, source, "mean", compute, "counts", of_prefix=True)


CONTROLS = (
    _control("n_tokens", "tokens", "plain count", n_tokens),
    _control("n_steps", "steps", "plain count", n_steps),
    _control("mean_step_tokens", "tokens per step", "plain count", mean_step_tokens),
    _control("first_token_ratio", "share", "arXiv 2604.06834 (ASLEC)", first_token_ratio),
)

SEED: Final = 1234


def random(rows: Sequence[Scored], window: str = "") -> list[float]:
    """Uniform in [0, 1), from a fixed seed and the response's prompt, teacher and sample.

    The same response has the same value in every run, whatever else is scored, by any student.

    Unit: none. Higher is better by convention, so that it can be ranked by and compared with.
    Aggregation: mean over prompts.
    """
    # As JSON, in which no two triples read the same.
    keys = [json.dumps([SEED, one.prompt_id, one.teacher, one.record.sample]) for one in rows]
    digests = [hashlib.sha256(key.encode()).digest() for key in keys]
    # 53 bits, as many as a float holds.
    return [(int.from_bytes(digest[:8], "big") >> 11) / 2**53 for digest in digests]


RANDOM = Metric(
    name="random", higher_is_better=True, scope="prompt", unit="none", source="ours: a control",
    aggregate="mean", compute=random, reads="counts", of_prefix=True,
)  # fmt: skip

NAMES: Final = frozenset(metric.name for metric in (*CONTROLS, RANDOM))
"""Metrics that a score is held against; they are no scores themselves."""
