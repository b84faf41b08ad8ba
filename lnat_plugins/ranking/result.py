"""What a ranking says: the teachers in order, how sure that is, and what it may only echo.

Knows nothing of how the figures are computed. Undefined figures are NaN, written as null.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TeacherRank:
    """One teacher's line. Figures are over the prompts used unless said otherwise.

    Attributes:
        rank: 1 = best by the metric's direction.
        teacher: the name.
        mean, median: over prompts; a prompt's value is the mean over the teacher's samples.
        low, high: 95 % percentile bootstrap interval of the mean, over prompts.
        difference: mean minus the first teacher's mean; 0 for the first.
        difference_low, difference_high: its 95 % interval, paired by prompt.
        p_best: share of resamples in which the teacher's mean is the best; ties share.
        win_rate: share of prompts on which the teacher is the best; of a tie, the first row.
        scored_prompts: prompts, of all, for which the teacher has a defined value.
        coverage: scored_prompts / all prompts.
        responses: rows of the teacher, on all prompts.
        undefined: reason -> rows without a defined value, on all prompts.
        controls: n_tokens, mean_step_tokens and first_token_ratio of the responses behind `mean`.
    """

    rank: int
    teacher: str
    mean: float
    median: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    p_best: float
    win_rate: float
    scored_prompts: int
    coverage: float
    responses: int
    undefined: Mapping[str, int]
    controls: Mapping[str, float]


@dataclass(frozen=True)
class LengthCorrelation:
    """Spearman's correlation of the score, as it stands, with n_tokens.

    Attributes:
        overall: over all responses with a defined score.
        responses: how many those are.
        within_prompt: mean of the correlations inside each prompt.
        prompts: prompts that have one: two responses or more, neither figure constant.
    """

    overall: float
    responses: int
    within_prompt: float
    prompts: int


@dataclass(frozen=True)
class Agreement:
    """How far another metric says the same, on the prompts where both score every teacher.

    Attributes:
        metric: the other metric.
        window: the window it reads.
        tau: Kendall's tau-b of the teachers' means, each by its own direction.
        same_winner: share of prompts with the same best teacher.
        prompts: how many prompts that is.
    """

    metric: str
    window: str | None
    tau: float
    same_winner: float
    prompts: int


@dataclass(frozen=True)
class Ranking:
    """Teachers, best first.

    Attributes:
        metric, unit, higher_is_better: as the metric declares.
        window: the window it reads; None if it reads none.
        teachers: best first.
        prompts: prompts in the set.
        prompts_used: prompts scored for every teacher; all figures rest on these.
        responses: rows in the set.
        ties: prompts used on which several teachers are best.
        length: correlation of the score with length.
        agreement: local with global (or, for a global metric, with local).
        bootstrap_iters, seed: of the intervals.
        notes: what a reader must know before trusting the order.
    """

    metric: str
    unit: str
    higher_is_better: bool
    window: str | None
    teachers: tuple[TeacherRank, ...]
    prompts: int
    prompts_used: int
    responses: int
    ties: int
    length: LengthCorrelation
    agreement: Agreement
    bootstrap_iters: int
    seed: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def to_markdown(self) -> str:
        """The tables of `lnat rank` and its notes, below two lines that say what is ranked."""
        from lnat_plugins.ranking.markdown import to_markdown

        direction = "higher" if self.higher_is_better else "lower"
        title = [
            f"prompts: {self.prompts_used} of {self.prompts}, responses: {self.responses}",
            f"metric: {self.metric} ({self.unit}, {direction} is better), bootstrap_iters: "
            f"{self.bootstrap_iters}, seed: {self.seed}",
        ]
        return to_markdown(self, title)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
