"""The result types of a ranking, and a ranking as text in the look of lm-eval's tables.

Undefined figures are NaN, written as null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.formatting import (
    join_blocks,
    markdown_table,
    number,
    plain,
    plural,
    roughly,
    share_of,
    span,
)
from lnat_plugins.ranking.bootstrap import INTERVAL, SURE, Stability
from lnat_plugins.ranking.confounds import Confounds
from lnat_plugins.ranking.orders import Agreement
from lnat_plugins.ranking.reference import ReferenceFit


@dataclass(frozen=True)
class TeacherRank:
    """One teacher's line. Figures are over the prompts used unless said otherwise.

    Attributes:
        rank: 1 = best by the metric's direction.
        mean: over prompts, of the mean over the teacher's samples; of a ratio of means, the mean of
            the numerators / the mean of the denominators.
        median: over prompts, of each prompt's value; of a ratio, the ratio within the prompt.
        low, high: percentile bootstrap interval of `mean`, over prompts, at `bootstrap.LEVEL`.
        difference: `mean` minus the first teacher's; 0 for the first.
        difference_low, difference_high: its interval, paired by prompt.
        p_best, p_rank: shares of resamples in which the teacher's mean is the best, and in which it
            takes rank 1 … T; ties share equally.
        win_rate: share of prompts on which the teacher is the best; of a tie, the first row.
        scored_prompts, coverage: on how many of all prompts the teacher has a defined value, and
            the same as a share.
        responses, undefined: rows of the teacher on all prompts, and reason -> rows among them
            without a defined value.
        controls: control -> its mean over the responses behind `mean`.
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


@dataclass(frozen=True, repr=False)
class Ranking:
    """Teachers, best first.

    Attributes:
        metric, unit, higher_is_better: as the metric declares.
        window: the window it reads; None if it reads none.
        prompts, responses: of the set.
        prompts_used: prompts scored for every teacher; all figures rest on these.
        ties: prompts used on which several teachers are best.
        agreement: local with global (or, for a global metric, with local).
        reference: the order against a known one, if that was given.
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

    def __repr__(self) -> str:
        window = f", window {self.window}" if self.window else ""
        order = ", ".join(line.teacher for line in self.teachers)
        return f"<Ranking by {self.metric}{window}: {order}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found

    def title(self) -> tuple[str, str]:
        """What is ranked, in two lines: prompts and responses, metric and resampling."""
        direction = "higher" if self.higher_is_better else "lower"
        return (
            f"prompts: {self.prompts_used} of {self.prompts}, responses: {self.responses}",
            f"metric: {self.metric} ({self.unit}, {direction} is better), bootstrap_iters: "
            f"{self.bootstrap_iters}, seed: {self.seed}",
        )

    def to_markdown(self, title: Sequence[str] = ()) -> str:
        """The title's lines, teachers, how sure their order is, possible confounds, and notes."""
        return join_blocks(
            title or self.title(),
            _teachers(self),
            _ranks(self),
            _controls(self),
            _correlations(self.confounds),
            [*_sentences(self)],
            [f"- {note}" for note in (*self.notes, *self.confounds.notes)],
        )


ARROW: Final = {True: "↑", False: "↓"}

FEWEST_PRINTED: Final = 10
"""Below this many the number of prompts needed is not printed: it is a guess."""

MOST_RANKS: Final = 12
"""With more teachers than this, P(rank) stands in the json alone."""


def _teachers(ranking: Ranking) -> str:
    headers = ["Teacher", "Metric", "Window", "", "Mean", INTERVAL, "Median", "Difference"]
    headers += ["P(best)", "Win rate", "Coverage"]
    metric = [ranking.metric, ranking.window or "", ARROW[ranking.higher_is_better]]
    rows = [
        [
            line.teacher, *metric, number(line.mean), span(line.low, line.high),
            number(line.median), number(line.difference),
            *(number(share, 3) for share in (line.p_best, line.win_rate, line.coverage)),
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    return markdown_table(headers, rows, left=4)


def _ranks(ranking: Ranking) -> str:
    """P(rank); nothing for one teacher or many, or without a resample."""
    n_teachers = len(ranking.teachers)
    if not 1 < n_teachers <= MOST_RANKS or math.isnan(ranking.teachers[0].p_best):
        return ""
    headers = ["P(rank)", *map(str, range(1, n_teachers + 1))]
    rows = [[line.teacher, *(number(p, 3) for p in line.p_rank)] for line in ranking.teachers]
    return markdown_table(headers, rows, left=1)


def _controls(ranking: Ranking) -> str:
    repetition = ranking.confounds.repetition
    headers = ["Controls", *ranking.teachers[0].controls, "repetition", "responses"]
    if not repetition:
        headers.remove("repetition")
    rows = [
        [
            line.teacher, *map(number, line.controls.values()),
            *([number(repetition[line.teacher], 3)] if repetition else []), str(line.responses),
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    return markdown_table(headers, rows, left=1)


def _correlations(confounds: Confounds) -> str:
    found = confounds.correlations
    headers = ["Spearman of the score with", *(one.control for one in found)]
    everywhere = f"over {plural(found[0].responses, 'response')}"
    rows = [
        [everywhere, *(number(one.overall, 3) for one in found)],
        ["within prompts, mean", *(number(one.within_prompt, 3) for one in found)],
    ]
    return markdown_table(headers, rows, left=1)


def _sentences(ranking: Ranking) -> Iterator[str]:
    """Fit to the reference, stability, context shown, agreement."""
    fit, stability, agreement = ranking.reference, ranking.stability, ranking.agreement
    first = ranking.teachers[0]
    if fit is not None:
        pairs = f"{share_of(fit.pairwise_accuracy, fit.pairs)} pair{'' if fit.pairs == 1 else 's'}"
        ties = f" (known ties left out: {fit.ties_excluded})" if fit.ties_excluded else ""
        regret = "" if math.isnan(fit.regret) else f", regret {number(fit.regret)}"
        yield (
            f"Against {fit.name}: Kendall's tau-b {number(fit.tau, 3)} "
            f"{span(fit.tau_low, fit.tau_high, 3)}, Spearman {number(fit.spearman, 3)}, "
            f"{pairs} the known way round{ties}{regret} (known best: {fit.best}, chosen: "
            f"{fit.chosen})."
        )
    if stability.sizes:
        end = max(ranking.prompts_used, stability.needed or stability.sizes[-1])
        points = ", ".join(
            f"{size}: {number(p, 2)} ({number(tau, 2)})"
            for size, p, tau in zip(stability.sizes, stability.p_best, stability.tau, strict=True)
            if size <= end
        )
        yield f"P(best) of {first.teacher}, and the order's tau-b, by prompts: {points}."
        if first.p_best >= SURE:
            yield needed_prompts(ranking)
    if context := ranking.confounds.context:
        shown = ", ".join(
            f"{window}: {'N/A' if math.isnan(share) else f'{100 * share:.0f}%'}"
            for window, share in context.items()
        )
        yield f"Of what precedes a step, the window shows: {shown}."
    at_window = f" at window {agreement.window}" if agreement.window != "global" else ""
    same = 0 if math.isnan(agreement.same_winner) else agreement.same_winner * agreement.prompts
    yield (
        f"Agreement with {agreement.metric}{at_window}: Kendall's tau-b "
        f"{number(agreement.tau, 3)} over {plural(len(ranking.teachers), 'teacher')}, same winner "
        f"on {round(same)} of {plural(agreement.prompts, 'prompt')}."
    )


def needed_prompts(ranking: Ranking) -> str:
    """How many prompts the first place needs, as a sentence; "" where that is not known."""
    stability, used = ranking.stability, ranking.prompts_used
    if not stability.sizes:
        return ""
    if stability.needed is None:
        return (
            f"P(best) does not reach {SURE} with {stability.sizes[-1]} prompts like these either: "
            f"nothing here tells {ranking.teachers[0].teacher} from the next best."
        )
    if stability.needed <= used < FEWEST_PRINTED:
        return f"P(best) reaches {SURE} with these {used} prompts or fewer."
    if stability.needed < FEWEST_PRINTED <= used:
        return f"P(best) reaches {SURE} with fewer than {FEWEST_PRINTED} of the {used} prompts."
    if stability.needed <= used:
        about = min(roughly(stability.needed), used)
        return f"P(best) reaches {SURE} with about {about} of the {used} prompts."
    about = max(roughly(stability.needed), used + 1)
    return (
        f"P(best) reaches {SURE} at about {about} prompts: need about {roughly(about - used)} more."
    )
