"""The result types of a ranking, and a ranking as text in the look of lm-eval's tables.

Undefined figures are NaN, written as null.
"""

from __future__ import annotations

import html
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
    share_of,
    span,
    with_span,
)
from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking.bootstrap import INTERVAL, LEVEL, Stability
from lnat_plugins.ranking.calibration import Calibration
from lnat_plugins.ranking.confounds import REPEATED, Confounds
from lnat_plugins.ranking.opinions import Opinion
from lnat_plugins.ranking.orders import Agreement
from lnat_plugins.ranking.reference import ReferenceFit
from lnat_plugins.ranking.sensitivity import Sensitivity
from lnat_plugins.ranking.verdict import Verdict
from lnat_plugins.teacher_set.degenerate import DegenerateCount
from lnat_plugins.teacher_set.unusable import UnusableRows


@dataclass(frozen=True)
class TeacherRank:
    """One teacher's line. Figures are over the prompts used unless said otherwise.

    Attributes:
        rank: 1 = best by the metric's direction.
        mean: over prompts, of the mean over the teacher's samples; of a ratio of means, the mean of
            the numerators / the mean of the denominators.
        median: over prompts, of each prompt's value; of a ratio, the ratio within the prompt.
        low, high: percentile bootstrap interval of `mean`, over prompts, at `bootstrap.LEVEL`.
        difference: `mean` minus the leader's; 0 for the leader.
        difference_low, difference_high: its interval, paired by prompt, simultaneous over all pairs
            of teachers.
        may_be_best: whether the teacher is in the set of those that may be best (`best_set`); None
            where there is no verdict.
        rank_low, rank_high: simultaneous interval of the rank.
        first_in: share of resamples in which the teacher's mean is the best; ties share equally. It
            describes the resampling and is no probability of being best.
        win_rate: share of prompts on which the teacher is the best; a prompt with t best teachers
            counts 1/t for each of them.
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
    may_be_best: bool | None
    rank_low: int
    rank_high: int
    first_in: float
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
        verdict: what may be said of the first place.
        sensitivity: whether the order depends on the way of scoring.
        warnings: what speaks against the verdict: the student, rows left out, degenerate responses.
        calibration: of the student, where it was measured.
        opinions: whom other scores put first.
        windows: window scored -> teacher -> local naturalness there; empty for other metrics.
        degenerate: teacher -> its degenerate responses; empty if they were not counted.
        unusable: teacher -> its rows that could not be used; empty if that is not known.
        right: teacher -> of its responses those that are right, and those of which the rows say
            whether they are; empty if they say it of none.
        prompts, responses: scored.
        prompts_in_set: of the teacher set; more than `prompts` under `--limit`.
        prompts_used: prompts scored for every teacher; all figures rest on these.
        grown_from: prompts of an earlier look at fewer of them; 0 if this is the first.
        ties: prompts used on which several teachers are best, and share the win.
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
    verdict: Verdict
    sensitivity: Sensitivity
    warnings: tuple[str, ...]
    calibration: Calibration | None
    opinions: tuple[Opinion, ...]
    windows: Mapping[str, Mapping[str, float]]
    degenerate: Mapping[str, DegenerateCount]
    unusable: Mapping[str, UnusableRows]
    right: Mapping[str, tuple[int, int]]
    teachers: tuple[TeacherRank, ...]
    prompts: int
    prompts_in_set: int
    prompts_used: int
    grown_from: int
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

    def _repr_html_(self) -> str:
        """The verdict and a line a teacher, as a notebook shows it."""
        headers = ["Teacher", "May be best", f"Mean {ARROW[self.higher_is_better]}", "Difference"]
        headers += [f"{LEVEL:.0%}, all pairs", "Win rate"]
        rows = [
            [
                line.teacher, yes_or_no(line.may_be_best), number(line.mean),
                number(line.difference),
                span(line.difference_low, line.difference_high) if line.rank > 1 else "",
                number(line.win_rate, 3),
            ]
            for line in self.teachers
        ]  # fmt: skip

        def row(tag: str, cells: Sequence[str]) -> str:
            written = (f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{''.join(written)}</tr>"

        body = "".join(row("td", cells) for cells in rows)
        doubts = "".join(f"<li>{html.escape(line)}</li>" for line in self.warnings)
        text = (
            f"<p><strong>{html.escape(self.verdict.text)}</strong></p>"
            f"{f'<ul>{doubts}</ul>' if doubts else ''}"
            f"<table><thead>{row('th', headers)}</thead><tbody>{body}</tbody></table>"
        )
        return text.encode("utf-8", "replace").decode("utf-8")

    def headline(self, *, brief: bool = False) -> tuple[str, ...]:
        """The verdict, warnings and confounds, second opinions, sensitivity: a line each.

        `brief`: the sensitivity in one line, and without what would settle more.
        """
        doubts = (*self.warnings, *self.confounds.notes)
        lines = [self.verdict.text, *(f"- {line}" for line in doubts)]
        lines += self.second_opinions
        if brief:
            return (*lines, *self.sensitivity.in_words())
        if self.sensitivity_lines:
            lines += [_SENSITIVITY, *(f"- {line}" for line in self.sensitivity_lines)]
        if self.calibration is not None:
            lines.append(self.calibration.in_words())
        return (*lines, *filter(None, [self.verdict.next_step]))

    @property
    def prompts_in_words(self) -> str:
        """ "15 of 20", and of how many in the set where `--limit` left some out."""
        if self.prompts == self.prompts_in_set:
            return f"{self.prompts_used} of {self.prompts}"
        if self.prompts_used == self.prompts:
            return f"{self.prompts} of {self.prompts_in_set} (--limit)"
        return f"{self.prompts_used} of {self.prompts} scored, of {self.prompts_in_set} (--limit)"

    @property
    def second_opinions(self) -> tuple[str, ...]:
        """Whom the other scores put first, those that agree together: one sentence, or none."""
        by_teacher: dict[str, list[str]] = {}
        for one in self.opinions:
            by_teacher.setdefault(one.first, []).append(one.name)
        named = "; ".join(f"{name} ({', '.join(by)})" for name, by in by_teacher.items())
        return (f"Second opinions, first by other scores: {named}.",) if named else ()

    @property
    def sensitivity_lines(self) -> tuple[str, ...]:
        """One line for each way of scoring, and one for those that were not done."""
        return tuple(_sensitivity(self))

    def title(self) -> tuple[str, ...]:
        """What is ranked: prompts and responses, metric, resampling."""
        direction = "higher" if self.higher_is_better else "lower"
        window = f", window {self.window}" if self.window else ""
        return (
            f"prompts: {self.prompts_in_words}, responses: {self.responses}",
            f"metric: {self.metric}{window} ({self.unit}, {direction} is better), "
            f"bootstrap_iters: {self.bootstrap_iters}, seed: {self.seed}",
        )

    def to_markdown(self, title: Sequence[str] = (), *, brief: bool = False) -> str:
        """The verdict with what bears on it, the title's lines, and the teachers.

        Then controls, possible confounds, and notes. `brief`: the verdict, the teachers, and the
        fit to a known order.
        """
        if brief:
            return join_blocks(self.headline(brief=True), _teachers(self), [*_fit(self)])
        return join_blocks(
            self.headline(),
            title or self.title(),
            _teachers(self),
            _windows(self),
            _controls(self),
            _correlations(self.confounds),
            [*_fit(self), *_sentences(self)],
            [f"- {note}" for note in self.notes],
        )


_SENSITIVITY: Final = "Sensitivity, the order when it is scored in another way:"


def _sensitivity(ranking: Ranking) -> Iterator[str]:
    """One line for each way of scoring."""
    found = ranking.sensitivity
    for one in found.variants:
        if one.same_order:
            what = "same order" if one.usual_first else "no change of order"
        elif one.same_first:
            what = "same first, other order" if one.usual_first else "no change of leader"
            what += f": {_in_order(one.order)}"
        else:
            what = f"{one.order[0]} first: {_in_order(one.order)}"
        yield f"{one.where}: {what}"
    if found.without_effect:
        yield f"{', '.join(found.without_effect)}: no effect on these responses, not counted"
    for why in dict.fromkeys(found.not_done.values()):
        names = ", ".join(name for name, reason in found.not_done.items() if reason == why)
        yield f"{names}: not done; {why}"


def _in_order(order: Sequence[str]) -> str:
    further = len(order) - _MOST_IN_ORDER
    return " > ".join(order[:_MOST_IN_ORDER]) + (f" > … {further} more" if further > 0 else "")


ARROW: Final = {True: "↑", False: "↓"}
_MOST_IN_ORDER: Final = 5
_WHOLE: Final = {GLOBAL: "whole context"}


def _teachers(ranking: Ranking) -> str:
    """A line each; no column that says the same on every line."""
    headers = ["Teacher", "May be best", f"Mean {ARROW[ranking.higher_is_better]}", INTERVAL]
    headers += ["Median", "Difference", f"{LEVEL:.0%}, all pairs", "Rank", "First in"]
    headers += ["Win rate"]
    rows = [
        [
            line.teacher, yes_or_no(line.may_be_best), number(line.mean),
            span(line.low, line.high), number(line.median), number(line.difference),
            span(line.difference_low, line.difference_high) if line.rank > 1 else "",
            rank_span(line), number(line.first_in, 3), number(line.win_rate, 3),
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    if ranking.right:
        headers.append("Right")
        for row, line in zip(rows, ranking.teachers, strict=True):
            row.append(right_of(ranking, line.teacher))
    if any(line.coverage < 1 for line in ranking.teachers):
        headers.append("Coverage")
        for row, line in zip(rows, ranking.teachers, strict=True):
            row.append(number(line.coverage, 3))
    return markdown_table(headers, rows, left=1)


def yes_or_no(value: bool | None) -> str:
    """As tables print it."""
    return "N/A" if value is None else "yes" if value else "no"


def right_of(ranking: Ranking, teacher: str) -> str:
    """Its right responses of those known, "26/30"; "N/A" where none is known."""
    right, known = ranking.right[teacher]
    return f"{right}/{known}" if known else "N/A"


def rank_span(line: TeacherRank) -> str:
    """The interval of a rank: "1", "2–4"; "N/A" without a verdict."""
    if line.may_be_best is None:
        return "N/A"
    if line.rank_low == line.rank_high:
        return str(line.rank_low)
    return f"{line.rank_low}–{line.rank_high}"


def _windows(ranking: Ranking) -> str:
    """The means at every window that was scored; nothing where there is one."""
    if len(ranking.windows) < 2:
        return ""
    headers = ["Mean at window", *(_WHOLE.get(name, name) for name in ranking.windows)]
    rows = [
        [line.teacher, *(number(means[line.teacher]) for means in ranking.windows.values())]
        for line in ranking.teachers
    ]
    return markdown_table(headers, rows, left=1)


def _controls(ranking: Ranking) -> str:
    repetition = ranking.confounds.repetition
    repeated = [REPEATED] if repetition else []
    headers = ["Controls", *ranking.teachers[0].controls, *repeated, "responses"]
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


def _fit(ranking: Ranking) -> Iterator[str]:
    """How far the order is the known one."""
    fit = ranking.reference
    if fit is None:
        return
    pairs = f"{share_of(fit.pairwise_accuracy, fit.pairs)} pair{'' if fit.pairs == 1 else 's'}"
    ties = f" (known ties left out: {fit.ties_excluded})" if fit.ties_excluded else ""
    regret = "" if math.isnan(fit.regret) else f", regret {number(fit.regret)}"
    yield (
        f"Against {fit.name}: Kendall's tau-b "
        f"{with_span(fit.tau, fit.tau_low, fit.tau_high, 3)}, "
        f"Spearman {number(fit.spearman, 3)}, "
        f"{pairs} the known way round{ties}{regret} (known best: {fit.best}, chosen: "
        f"{fit.chosen})."
    )


def _sentences(ranking: Ranking) -> Iterator[str]:
    """Stability, context shown, agreement."""
    stability, agreement = ranking.stability, ranking.agreement
    if stability.sizes:
        points = ", ".join(
            f"{size}: {number(first, 2)} ({number(tau, 2)})"
            for size, first, tau in zip(
                stability.sizes, stability.first, stability.tau, strict=True
            )
            if size <= ranking.prompts_used
        )
        yield (
            f"Share of resamples with {ranking.teachers[0].teacher} first, and the order's tau-b, "
            f"by prompts: {points}."
        )
    if context := ranking.confounds.context:
        shown = ", ".join(
            f"{'' if place else 'window '}{window}: "
            f"{'N/A' if math.isnan(share) else f'{100 * share:.0f}%'}"
            for place, (window, share) in enumerate(context.items())
        )
        yield f"Share of the preceding tokens that a step sees: {shown}."
    at_window = f" at window {agreement.window}" if agreement.window != "global" else ""
    same = 0 if math.isnan(agreement.same_winner) else agreement.same_winner * agreement.prompts
    yield (
        f"Agreement with {agreement.metric}{at_window}: Kendall's tau-b "
        f"{number(agreement.tau, 3)} over {plural(len(ranking.teachers), 'teacher')}, same winner "
        f"on {round(same)} of {plural(agreement.prompts, 'prompt')}."
    )
