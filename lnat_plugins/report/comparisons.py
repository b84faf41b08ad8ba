"""The sections that set metrics side by side, and what a score may only echo. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lnat_plugins.ranking import Comparison, Ranking, ReferenceFit
from lnat_plugins.report.axes import figure
from lnat_plugins.report.figures import Figures
from lnat_plugins.report.marks import Marks
from lnat_plugins.report.markup import (
    Cell,
    Figure,
    Markup,
    counted,
    folded,
    items,
    join,
    table,
    tag,
)
from lnat_plugins.report.plots import bars
from lnat_plugins.report.sections import undefined


def composition(figures: Figures, marks: Marks) -> Markup:
    """Whose response is the best of its prompt, by each metric."""
    if not figures.composition:
        return undefined(_why(figures.comparison))
    shares = {
        name: {teacher: of[teacher] for teacher in figures.teachers}
        for name, of in figures.composition.items()
    }
    drawing = bars("composition-plot", "Best response per prompt", shares, marks)
    caption = (
        "Share of prompts on which a teacher's response is the best, by each metric's own "
        "direction: what choosing one response a prompt would train on."
    )
    rows: list[list[Cell]] = [
        [name, *(Figure(of[teacher], 3) for teacher in figures.teachers)]
        for name, of in shares.items()
    ]
    numbers = table("Best response per prompt", ["Metric", *figures.teachers], rows)
    return join([figure(drawing, caption), folded("The numbers", numbers)])


def agreement(figures: Figures) -> Markup:
    """Every metric's order, and each metric against each."""
    found = figures.comparison
    if isinstance(found, str):
        return undefined(found)
    orders: list[list[Cell]] = [
        [
            one.metric,
            one.window or "none",
            "higher" if one.higher_is_better else "lower",
            one.in_words(),
            Figure(one.p_best, 3, "nothing could be resampled"),
            one.prompts_used,
        ]
        for one in found.metrics
    ]
    headers = ["Metric", "Window", "Better", "Order, best first", "P(best) of the first", "Prompts"]
    names = [one.metric for one in found.metrics]
    reason = "no prompt has both, or all figures tie"
    matrices = [
        table(
            caption,
            ["", *map(str, range(1, len(names) + 1))],
            [
                [f"{place} {name}", *(Figure(value, 2, reason) for value in line)]
                for place, (name, line) in enumerate(zip(names, matrix, strict=True), start=1)
            ],
            shade=True,
        )
        for caption, matrix in (
            ("Kendall tau-b of the teachers' order, metric by metric", found.tau),
            ("Share of prompts with the same best teacher", found.overlap),
        )
    ]
    left_out = [f"{name}: {why}" for name, why in found.left_out.items()]
    said = f"{counted(len(left_out), 'metric')} left out"
    rest = folded(said, items(left_out)) if left_out else ""
    return join([table("Orders", headers, orders), *matrices, rest])


def reference(figures: Figures) -> Markup:
    """Every metric's order against a known one; nothing where none was given."""
    fit = figures.ranking.reference
    if fit is None:
        return Markup()
    found = figures.comparison
    fits = (
        {figures.ranking.metric: fit}
        if isinstance(found, str)
        else {one.metric: one.fit for one in found.metrics if one.fit is not None}
    )
    rows = [_fit(name, one, found) for name, one in fits.items()]
    headers = ["Metric", "tau-b", "tau-b, low end", "tau-b, high end", "Spearman"]
    headers += ["Pairwise accuracy", "Regret", "Chosen"]
    headers += ["tau-b minus the first's", "Its low end", "Its high end"]
    said = (
        f"Against {fit.name}; its best teacher is {fit.best}. Pairs of teachers that count: "
        f"{fit.pairs}; known ties, which do not: {fit.ties_excluded}. Low and high ends are "
        "those of 95 % intervals, which tell how far other prompts would change a figure, not how "
        "far other teachers would."
    )
    return join([tag("h3", "Against the known order"), tag("p", said),
                 table("Fit to the known order", headers, rows)])  # fmt: skip


def _fit(name: str, fit: ReferenceFit, comparison: Comparison | str) -> list[Cell]:
    difference = (math.nan, math.nan, math.nan)
    for one in () if isinstance(comparison, str) else comparison.metrics:
        if one.metric == name:
            difference = (one.tau_difference, one.tau_difference_low, one.tau_difference_high)
    tied, still = "all figures tie, or all known values", "nothing could be resampled"
    return [
        name,
        Figure(fit.tau, 3, tied),
        Figure(fit.tau_low, 3, still),
        Figure(fit.tau_high, 3, still),
        Figure(fit.spearman, 3, tied),
        Figure(fit.pairwise_accuracy, 3, "no two known values differ"),
        Figure(fit.regret, 4, "the known order has no numbers"),
        fit.chosen,
        *(Figure(value, 3, "no prompt has both, or nothing was resampled") for value in difference),
    ]


def confound_panel(ranking: Ranking) -> Markup:
    """Correlations with plain counts, what the windows show, loops, and all notes."""
    found = ranking.confounds
    repeated = {
        line.teacher: found.repetition[line.teacher]
        for line in ranking.teachers if line.teacher in found.repetition
    }  # fmt: skip
    constant = "fewer than two responses, or one side is constant"
    rows: list[list[Cell]] = [
        [
            each.control,
            Figure(each.overall, 3, constant),
            each.responses,
            Figure(each.within_prompt, 3, constant),
            each.prompts,
        ]
        for each in found.correlations
    ]
    headers = ["Control", "Over all responses", "Responses", "Within prompts", "Prompts"]
    caption = f"Spearman's correlation of {ranking.metric} with plain counts"
    said = "Positive: more of it goes with a better score, whichever direction that is."
    parts = [
        tag("h3", "Notes"),
        items([*ranking.notes, *found.notes]) or tag("p", "None."),
        tag("h3", "Length and steps"),
        table(caption, headers, rows),
        tag("p", said, class_="why"),
        tag("h3", "Windows"),
        _shares(
            "Share of the preceding tokens that a window shows", "Window", found.context,
            "no response has a second step", "only the global window was scored, which shows all",
        ),
        tag("h3", "Loops"),
        _shares(
            "Share of words in stretches of 20 that the same response had said before",
            "Teacher", repeated, "not a word", "no texts were given",
        ),
        tag("h3", "Family"),
        tag("p", _family(ranking)),
    ]  # fmt: skip
    return join(parts)


def _shares(
    caption: str, header: str, shares: Mapping[str, float], undefined_: str, none: str
) -> Markup:
    if not shares:
        return tag("p", f"None: {none}.")
    rows: list[list[Cell]] = [
        [name, Figure(share, 3, undefined_)] for name, share in shares.items()
    ]
    return table(caption, [header, "Share"], rows)


def _family(ranking: Ranking) -> str:
    found = ranking.confounds
    if not found.families:
        return "The student's name tells no family, so that none can be compared."
    named = ", ".join(found.families)
    if not found.same_family:
        return f"By name the student is of the family {named}; no teacher is."
    return f"By name the student is of the family {named}, as {', '.join(found.same_family)}."


def _why(comparison: Comparison | str) -> str:
    return comparison if isinstance(comparison, str) else "no metric can be compared"
