"""The tables of a page, and what stands in words beside its plots."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.metrics.controls import NAMES as CONTROLS
from lnat_plugins.ranking import Comparison, MetricOrder, Ranking
from lnat_plugins.ranking.bootstrap import INTERVAL, LEVEL
from lnat_plugins.ranking.confounds import REPEATED
from lnat_plugins.ranking.random_order import random_order as of_random_order
from lnat_plugins.ranking.result import rank_span, right_of, yes_or_no
from lnat_plugins.report.cells import Cell, Figure, Table, Teacher, Whole, cells, counted, number
from lnat_plugins.report.charts import window_name
from lnat_plugins.report.data import BINS, Figures
from lnat_plugins.report.study import StudyPart
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection.student import provenance_of_scores

EXPLAINED: Final = (
    "Difference: to the leader; its interval is paired by prompt and simultaneous over all pairs "
    "of teachers.",
    "May be best: in the set that holds the best teacher with 95 % confidence. Rank: its interval, "
    "simultaneous over all teachers.",
    "First in: share of resamples in which its mean is the best; no probability of being best.",
    "Win rate: share of prompts on which the teacher's response is the best; t equal ones count "
    "1/t each.",
    "Right: of its responses, those that are right / those of which the rows say whether they are.",
    "Coverage: share of all prompts for which it has a score.",
)

PERCENT: Final = tuple(100 * i // BINS for i in range(BINS + 1))


class Way(NamedTuple):
    """One line of what could change the verdict.

    Attributes:
        name: the other way of scoring.
        result: "same order", or who leads.
        kind: "same" = the first teacher stays first, "other" = another one is, "neither" = it says
            nothing of the first teacher's lead.
    """

    name: str
    result: str
    kind: Literal["same", "other", "neither"]

    @property
    def mark(self) -> str:
        """The sign before the result."""
        return {"same": "✓", "other": "≠", "neither": "–"}[self.kind]


def unit_of(ranking: Ranking) -> str:
    """The metric with its unit and direction."""
    window = f"[{ranking.window}]" if ranking.window not in (None, GLOBAL) else ""
    unit = f", {ranking.unit}" if ranking.unit != "none" else ""
    direction = "higher" if ranking.higher_is_better else "lower"
    return f"{ranking.metric}{window}{unit} ({direction} is better)"


def in_numbers(ranking: Ranking) -> str:
    """The second minus the leader, as in every table, with the interval; "" for one teacher."""
    if len(ranking.teachers) < 2:
        return ""
    first, second = ranking.teachers[:2]
    unit = "" if ranking.unit == "none" else f" {ranking.unit}"
    interval = "no interval, as there is no verdict"
    if not math.isnan(second.difference_low):
        ends = f"{number(second.difference_low)} to {number(second.difference_high)}"
        interval = f"{LEVEL:.0%} simultaneous interval {ends}"
    worse = "below" if ranking.higher_is_better else "above"
    prompts = counted(ranking.prompts_used, "prompt")
    return (
        f"{second.teacher} minus {first.teacher}, on the same {prompts}: "
        f"{number(second.difference)}{unit} ({interval}; {worse} 0 is worse)."
    )


def ways(ranking: Ranking) -> Iterator[Way]:
    """The sensitivity of the order, a line a way of scoring."""
    found = ranking.sensitivity
    for one in found.variants:
        leads = f"{one.order[0]} first"
        if not one.usual_first:  # on a part of the prompts, where another teacher leads anyway
            yield Way(one.where, "no change of leader" if one.same_first else leads, "neither")
        elif not one.same_first:
            yield Way(one.where, leads, "other")
        elif one.same_order:
            yield Way(one.where, "same order", "same")
        else:
            yield Way(one.where, f"{leads}, other order", "same")
    for name in found.without_effect:
        yield Way(name, "no effect, not counted", "neither")


def sentences(verdict: str) -> tuple[str, str]:
    """Who leads and who may be as good; and what follows, such as how many prompts would tell."""
    found = re.search(
        r"(?<=\.) (?=In \d+ of \d|About |Even |With fewer |[\d,]+ of these )", verdict
    )
    return (verdict, "") if found is None else (verdict[: found.start()], verdict[found.end() :])


def overview(figures: Figures) -> Table:
    """What the first plot shows, in numbers."""
    ranking = figures.ranking
    why = no_interval(ranking)
    why_difference = why if math.isnan(ranking.teachers[0].low) else "there is no verdict"
    rows: list[list[Cell]] = [
        [
            Teacher(line.teacher), yes_or_no(line.may_be_best), Figure(line.mean),
            Figure(line.difference),
            _interval(line.difference_low, line.difference_high, why_difference)
            if line.rank > 1 or math.isnan(line.difference_low) else "",
            Figure(line.win_rate, 3), *_right_cell(ranking, line.teacher),
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    headers = ["Teacher", "May be best", "Mean", "Difference", f"{LEVEL:.0%}, all pairs"]
    headers += ["Win rate", *_right_header(ranking)]
    return Table("Means and differences", headers, rows)


def _right_header(ranking: Ranking) -> list[str]:
    return ["Right"] if ranking.right else []


def _right_cell(ranking: Ranking, teacher: str) -> list[Cell]:
    return [Whole(right_of(ranking, teacher))] if ranking.right else []


def teachers(figures: Figures) -> Table:
    """Every figure of every teacher."""
    ranking = figures.ranking
    why = no_interval(ranking)
    why_difference = why if math.isnan(ranking.teachers[0].low) else "there is no verdict"
    headers = [
        "Teacher", "May be best", "Mean", INTERVAL, "Median", "Difference",
        f"{LEVEL:.0%}, all pairs", "Rank", "First in", "Win rate", *_right_header(ranking),
        "Coverage", "Responses",
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            Teacher(line.teacher), yes_or_no(line.may_be_best),
            Figure(line.mean), _interval(line.low, line.high, why), Figure(line.median),
            Figure(line.difference),
            _interval(line.difference_low, line.difference_high, why_difference)
            if line.rank > 1 or math.isnan(line.difference_low) else "",
            rank_span(line), Figure(line.first_in, 3, why),
            Figure(line.win_rate, 3), *_right_cell(ranking, line.teacher),
            Figure(line.coverage, 3), line.responses,
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    return Table(f"Teachers by {ranking.metric}", headers, rows)


def plain_counts(figures: Figures) -> Table:
    """Length and steps of the teachers, and how much they repeat."""
    ranking = figures.ranking
    repeated = ranking.confounds.repetition
    headers = ["Teacher", *ranking.teachers[0].controls, *([REPEATED] if repeated else [])]
    rows: list[list[Cell]] = [
        [
            Teacher(line.teacher),
            *cells(line.controls.values(), reason="no response has it"),
            *(cells([repeated[line.teacher]], 3, "not a word") if repeated else []),
        ]
        for line in ranking.teachers
    ]
    return Table("Means of plain counts", headers, rows)


def position(figures: Figures) -> Table:
    """Step scores over the ten tenths of a trace."""
    found = figures.positions
    numbers = {
        **{window_name(window): means for window, means in found.means.items()},
        **found.by_teacher,
        **{f"gain, {who}": gains for who, gains in found.gains.items()},
    }
    headers = ["", *(f"{low}–{high} %" for low, high in itertools.pairwise(PERCENT))]
    rows = [[name, *cells(values, 3)] for name, values in numbers.items()]
    return Table("Step scores by position", headers, rows)


def stability(figures: Figures) -> Table:
    """By the number of prompts."""
    found = figures.ranking.stability
    best = f"share of resamples with {figures.teachers[0]} first"
    rows: list[list[Cell]] = [
        [f"{size:,}", *cells([first], 3), *cells([tau], 3, "every resample is one tie")]
        for size, first, tau in zip(found.sizes, found.first, found.tau, strict=True)
    ]
    return Table("Stability by number of prompts", ["Prompts", best, "Kendall tau-b"], rows)


def composition(figures: Figures) -> Table:
    """Whose response is the best of its prompt, by each metric."""
    rows = [
        [name, *cells([of[teacher] for teacher in figures.teachers], 3)]
        for name, of in figures.composition.items()
    ]
    return Table("Best response per prompt", ["Metric", *figures.teachers], rows)


def orders(found: Comparison, main: str) -> Table:
    """Every metric's order; controls are not among them."""
    rows = [[*_order(one), one.prompts_used] for one in scores_of(found, main)]
    headers = ["Metric", "Window", "Better", "Order, best first", "May be best", "Prompts"]
    return Table("Orders", headers, rows)


def left_out(found: Comparison) -> Iterator[str]:
    """Metrics that could not be compared, those with the same reason in one line."""
    for why in dict.fromkeys(found.left_out.values()):
        names = [name for name, reason in found.left_out.items() if reason == why]
        yield f"{', '.join(names)}: {why}"


def scores_of(found: Comparison, main: str) -> list[MetricOrder]:
    """The metrics that are no controls, and the one that ranks."""
    return [one for one in found.metrics if one.metric == main or one.metric not in CONTROLS]


def _order(one: MetricOrder) -> list[Cell]:
    return [
        one.metric, one.window or "none", "higher" if one.higher_is_better else "lower",
        one.in_words(), ", ".join(one.may_be_best),
    ]  # fmt: skip


def matrices(found: Comparison, main: str) -> list[Table]:
    """Each metric against each."""
    kept = [found.metrics.index(one) for one in scores_of(found, main)]
    names = [f"{i} {found.metrics[place].metric}" for i, place in enumerate(kept, start=1)]
    reason = "no prompt has both, or all figures tie"
    return [
        Table(
            caption,
            ["", *(name.split()[0] for name in names)],
            [
                [name, *cells([matrix[row][column] for column in kept], 2, reason)]
                for name, row in zip(names, kept, strict=True)
            ],
            shade=True,
        )
        for caption, matrix in (
            ("Kendall tau-b of the teachers' order, metric by metric", found.tau),
            ("Share of prompts with the same best teacher", found.overlap),
        )
    ]


def random_order(found: Comparison, main: str) -> Table | None:
    """What a score without any knowledge gives; None where it was not computed."""
    rows: list[list[Cell]] = [
        [one.metric, one.in_words(), *cells([found.tau[0][i], found.overlap[0][i]], 2)]
        for i, one in enumerate(found.metrics)
        if one.metric in CONTROLS and one.metric != main
    ]
    headers = ["Control", "Order, best first", f"tau-b with {main}", "Same best teacher"]
    return Table("Controls ranked as if they were scores", headers, rows) if rows else None


def chance(found: Comparison, main: str) -> str:
    """What a random order of so many teachers reaches against that of the main metric."""
    one = next(one for one in found.metrics if one.metric == main)
    expected = of_random_order(np.array([*one.figures.values()]), 1).expected
    if math.isnan(expected):
        return ""
    n_teachers = counted(len(one.order), "teacher")
    return (
        f"A random order of {n_teachers} reaches a tau-b of {number(expected, 2)} on average, "
        "up or down."
    )


def reference(figures: Figures) -> tuple[str, Table] | None:
    """Every metric's order against a known one, and what it means; None without one."""
    fit = figures.ranking.reference
    if fit is None:
        return None
    found = figures.comparison
    fits = [(figures.ranking.metric, fit, [math.nan] * 3)]
    if not isinstance(found, str):
        fits = [
            (one.metric, one.fit,
             [one.tau_difference, one.tau_difference_low, one.tau_difference_high])
            for one in scores_of(found, figures.ranking.metric) if one.fit is not None
        ]  # fmt: skip
    tied, fixed = "all figures tie, or all known values", "nothing could be resampled"
    rows: list[list[Cell]] = [
        [
            metric, Figure(one.tau, 3, tied), *cells([one.tau_low, one.tau_high], 3, fixed),
            Figure(one.spearman, 3, tied),
            Figure(one.pairwise_accuracy, 3, "no two known values differ"),
            Figure(one.regret, 4, "the known order has no numbers"), one.chosen,
            *cells(differences, 3, "no prompt has both, or nothing was resampled"),
        ]
        for metric, one, differences in fits
    ]  # fmt: skip
    headers = [
        "Metric", "tau-b", "tau-b, low end", "tau-b, high end", "Spearman", "Pairwise accuracy",
        "Regret", "Chosen", "tau-b minus the first's", "Its low end", "Its high end",
    ]  # fmt: skip
    intro = (
        f"Against {fit.name}; its best teacher is {fit.best}. Pairs of teachers that count: "
        f"{fit.pairs}; known ties, which do not: {fit.ties_excluded}. Low and high ends are "
        f"those of {INTERVAL}s, which show how far other prompts would change a figure, not how "
        "far other teachers would."
    )
    return intro, Table("Fit to the known order", headers, rows)


def confounds(ranking: Ranking) -> list[Table | str]:
    """Correlations with plain counts, what the windows show, loops; a text where there is none."""
    found = ranking.confounds
    constant = "fewer than two responses, or one side is constant"
    rows: list[list[Cell]] = [
        [
            each.control, Figure(each.overall, 3, constant), each.responses,
            Figure(each.within_prompt, 3, constant), each.prompts,
        ]
        for each in found.correlations
    ]  # fmt: skip
    headers = ["Control", "Over all responses", "Responses", "Within prompts", "Prompts"]
    repeated = {
        line.teacher: found.repetition[line.teacher]
        for line in ranking.teachers
        if line.teacher in found.repetition
    }
    return [
        Table(f"Spearman's correlation of {ranking.metric} with plain counts", headers, rows),
        _shares(
            "Share of the preceding tokens that a step sees", "Window", found.context,
            "no response has a second step", "only the global window was scored, which shows all",
        ),
        _shares(
            "Share of words in stretches of 20 that the same response had said before",
            "Teacher", repeated, "not a word", "no texts were given",
        ),
    ]  # fmt: skip


def family(ranking: Ranking) -> str:
    """Whether the student's name points to a teacher's family."""
    found = ranking.confounds
    if not found.families:
        return "The student's name shows no family, so that none can be compared."
    same = f", as {', '.join(found.same_family)}" if found.same_family else "; no teacher is"
    return f"By name the student is of the family {', '.join(found.families)}{same}."


def trained(part: StudyPart) -> Table:
    """Every metric's scores, and the accuracy after training."""
    names = list(part.accuracy)
    reached = [one.value for one in part.accuracy.values()]
    rows: list[list[Cell]] = [["accuracy", "", "", *cells(reached, 3)]]
    for one in part.metrics:
        tau = one.resampled["tau"]
        scores = [one.scores.get(name, math.nan) for name in names]
        interval = _interval(tau.low, tau.high, "nothing could be resampled", 2)
        rows.append([one.metric, *cells([one.tau], 2, "one tie"), interval, *cells(scores, 3)])
    headers = ["Metric", "tau-b", f"{LEVEL:.0%}, other teachers", *names]
    return Table(f"Scores and accuracy after training, {part.budget}", headers, rows)


def settings(scored: ScoredSet, figures: Figures, version: str) -> Table:
    """How this was scored, with what, and from which files."""
    ranking = figures.ranking
    named = {
        "splitter": scored.splitter,
        "engine": ", ".join(scored.paths),
        "settings hash": scored.settings_hash,
        **scored.settings,
    }
    versions = provenance_of_scores(scored).versions
    rows = [
        ("task", scored.task),
        ("student", scored.student),
        *((name, plain(value)) for name, value in named.items()),
        ("metric", ranking.metric + (f" ({ranking.unit})" if ranking.unit != "none" else "")),
        ("bootstrap_iters", str(ranking.bootstrap_iters)),
        ("seed", str(ranking.seed)),
        ("report written by", f"lnat-plugins {version}"),
        *(("scored with", f"{package} {version}") for package, version in versions.items()),
        *(("file", file) for file in scored.files),
    ]
    return Table("How this was scored", ["Setting", "Value"], rows)


def plain(value: object) -> str:
    """In words; text with white space that a page would not show stands in quotes, as in JSON."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    if isinstance(value, str) and (not value or value != " ".join(value.split())):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)


def no_interval(ranking: Ranking) -> str:
    """Why nothing was resampled."""
    if ranking.prompts_used < 2:
        return "one prompt only, so that there is nothing to resample"
    return "no resamples were requested (bootstrap_iters 0)"


def _interval(low: float, high: float, why: str, digits: int = 4) -> Cell:
    if math.isnan(low) or math.isnan(high):
        return Figure(math.nan, reason=why)
    return Whole(f"[{number(low, digits)}, {number(high, digits)}]")


def _shares(
    caption: str, header: str, shares: Mapping[str, float], reason: str, none: str
) -> Table | str:
    if not shares:
        return f"None: {none}."
    rows: Sequence[Sequence[Cell]] = [
        [name, *cells([share], 3, reason)] for name, share in shares.items()
    ]
    return Table(caption, [header, "Share"], rows)
