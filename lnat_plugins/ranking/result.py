"""What a ranking says: the teachers in order, how sure that is, and what it may only echo.

Knows nothing of how the figures are computed. Undefined figures are NaN, written as null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lnat_plugins.ranking.agreement import Agreement
from lnat_plugins.ranking.confounds import Confounds
from lnat_plugins.ranking.plain import plain
from lnat_plugins.ranking.reference_fit import ReferenceFit
from lnat_plugins.ranking.stability import Stability


@dataclass(frozen=True)
class TeacherRank:
    """One teacher's line. Figures are over the prompts used unless said otherwise.

    Attributes:
        rank: 1 = best by the metric's direction.
        teacher: the name.
        mean: over prompts, of the mean over the teacher's samples; of a ratio of means, the mean of
            the numerators / the mean of the denominators.
        median: over prompts, of each prompt's value; of a ratio, the ratio within the prompt.
        low, high: 95 % percentile bootstrap interval of `mean`, over prompts.
        difference: `mean` minus the first teacher's; 0 for the first.
        difference_low, difference_high: its 95 % interval, paired by prompt.
        p_best: share of resamples in which the teacher's mean is the best; ties share.
        p_rank: share of resamples in which it takes rank 1 … T; ties share equally.
        win_rate: share of prompts on which the teacher is the best; of a tie, the first row.
        scored_prompts: prompts, of all, for which the teacher has a defined value.
        coverage: scored_prompts / all prompts.
        responses: rows of the teacher, on all prompts.
        undefined: reason -> rows without a defined value, on all prompts.
        controls: n_tokens, n_steps, mean_step_tokens and first_token_ratio of the responses behind
            `mean`.
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
    p_rank: tuple[float, ...]
    win_rate: float
    scored_prompts: int
    coverage: float
    responses: int
    undefined: Mapping[str, int]
    controls: Mapping[str, float]


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
        stability: P(best) of the first and the order's tau, by number of prompts.
        agreement: local with global (or, for a global metric, with local).
        reference: the order against a known one, if that was given.
        confounds: what the score may only be echoing.
        bootstrap_iters, seed: of the intervals.
        resamples_undefined: those in which a teacher's ratio has the denominator 0; they count
            nowhere.
        notes: what a reader must know before trusting the order; those of `confounds` stand there.
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
    stability: Stability
    agreement: Agreement
    reference: ReferenceFit | None
    confounds: Confounds
    bootstrap_iters: int
    seed: int
    resamples_undefined: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found

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
