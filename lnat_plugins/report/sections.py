"""The sections about one metric's order: teachers, chances, plots. Computes nothing itself.

The sections that set metrics side by side, and what a score may only echo. Computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lnat_plugins.metrics import GLOBAL, Metric
from lnat_plugins.ranking import Comparison, Ranking, ReferenceFit, TeacherRank
from lnat_plugins.ranking.result import needed_prompts
from lnat_plugins.report.data import BINS, Figures
from lnat_plugins.report.markup import (
    Cell,
    Figure,
    Markup,
    counted,
    folded,
    items,
    join,
    number,
    table,
    tag,
)
from lnat_plugins.report.plots import Marks, Spread, bars, figure, lines, scatter, whiskers
from lnat_plugins.scoring.samples import ScoredSet


def undefined(reason: str) -> Markup:
    """What stands in place of a plot or a table that cannot be given."""
    return tag("p", tag("strong", "Undefined: "), reason, ".", class_="why")


def unit_of(ranking: Ranking) -> str:
    """The metric with its unit and direction, for an axis."""
    window = f"[{ranking.window}]" if ranking.window not in (None, GLOBAL) else ""
    unit = f", {ranking.unit}" if ranking.unit != "none" else ""
    direction = "higher" if ranking.higher_is_better else "lower"
    return f"{ranking.metric}{window}{unit} ({direction} is better)"


def teachers(figures: Figures, marks: Marks) -> Markup:
    """Means with intervals, and the table of every figure."""
    ranking = figures.ranking
    spreads = {line.teacher: _spread(line) for line in ranking.teachers}
    drawing = whiskers(
        "teachers-plot", "Teachers' means with 95 % intervals", spreads, marks, unit_of(ranking)
    )
    caption = (
        f"Mean over {ranking.prompts_used} prompts and its 95 % interval, from a paired bootstrap "
        f"over prompts ({counted(ranking.bootstrap_iters, 'resample')}, seed {ranking.seed})."
    )
    why = _no_interval(ranking)
    headers = ["Teacher", "Rank", "Mean", "95 % interval", "Median", "Difference", "Its interval"]
    headers += ["P(best)", "Win rate", "Coverage", "Responses"]
    rows: list[list[Cell]] = [
        [
            _named(line, marks),
            line.rank,
            Figure(line.mean),
            _interval(line.low, line.high, why),
            Figure(line.median),
            Figure(line.difference),
            _interval(line.difference_low, line.difference_high, why),
            Figure(line.p_best, 3, why),
            Figure(line.win_rate, 3),
            Figure(line.coverage, 3),
            line.responses,
        ]
        for line in ranking.teachers
    ]
    controls = list(ranking.teachers[0].controls)
    counts: list[list[Cell]] = [
        [
            _named(line, marks),
            *(Figure(line.controls[name], 4, "no response has it") for name in controls),
        ]
        for line in ranking.teachers
    ]
    explained = [
        "Difference: to the first teacher, with its own interval, paired by prompt.",
        "Win rate: share of prompts on which the teacher's response is the best.",
        "Coverage: share of all prompts for which it has a score.",
    ]
    return join(
        [
            figure(drawing, caption),
            table(f"Teachers by {ranking.metric}", headers, rows),
            items(explained),
            table("Means of plain counts", ["Teacher", *controls], counts),
        ]
    )


def chances(figures: Figures, marks: Marks) -> Markup:
    """P(rank): teachers by ranks."""
    ranking = figures.ranking
    if len(ranking.teachers) < 2:
        return undefined("one teacher only, who has no rank among others")
    ranks = range(1, len(ranking.teachers) + 1)
    rows: list[list[Cell]] = [
        [
            _named(line, marks),
            *(Figure(share, 3, _no_interval(ranking)) for share in line.p_rank),
        ]
        for line in ranking.teachers
    ]
    said = (
        "In which share of the resamples each teacher takes each rank; the stronger the shade, "
        "the more often. Teachers that tie share their ranks."
    )
    headers = ["Teacher", *(f"Rank {place}" for place in ranks)]
    return join([tag("p", said), table("Rank probabilities", headers, rows, shade=True)])


def local_global(scored: ScoredSet, figures: Figures, marks: Marks) -> Markup:
    """Local against global naturalness, for teachers and for responses."""
    local, whole = figures.local_ranking, figures.global_ranking
    if isinstance(local, str):
        return undefined(local)
    if isinstance(whole, str):
        return undefined(whole)
    means = _both({line.teacher: _spread(line) for line in local.teachers}, whole)
    axes = (unit_of(local), unit_of(whole))
    points = _points(scored, figures.local_scores.values, figures.global_scores.values)
    return _pair("local-global", "Local against global naturalness", means, points, marks, axes)


def length(scored: ScoredSet, figures: Figures, metric: Metric, marks: Marks) -> Markup:
    """The score against the number of tokens, for teachers and for responses."""
    ranking = figures.ranking
    # A count of 0, which some plain metrics allow, has no logarithm.
    tokens = [float(row.record.n_tokens) or math.nan for row in scored.rows]
    points = _points(scored, tokens, figures.scores.values)
    across = {
        line.teacher: Spread(line.controls["n_tokens"] or math.nan) for line in ranking.teachers
    }
    axes = ("tokens of the response, by their logarithm", unit_of(ranking))
    means = _both(across, ranking)
    if not means:
        return undefined("no response holds a token")
    return _pair("length", f"{metric.name} against length", means, points, marks, axes, log_x=True)


def position(figures: Figures, marks: Marks) -> Markup:
    """Step scores over the ten tenths of a trace, and what global gains over local."""
    found = figures.positions
    if not found.means:
        return undefined("no response has a score for each of its steps under every window")
    ticks = [100 * place / BINS for place in range(BINS + 1)]
    axes = ("position in the trace, % of its steps", "mean step score, nats per token")
    names = {w: "global" if w == GLOBAL else f"window {w}" for w in found.means}
    scores = {names[window]: _tenths(means) for window, means in found.means.items()}
    left = f"; {found.left_out} left out, which lack one of the windows" if found.left_out else ""
    first = figure(
        lines("position-plot", "Step scores by position", scores,
              Marks(tuple(scores), plain=True), axes, x_ticks=ticks),
        f"Mean over {counted(found.responses, 'response')}{left}: of each, the mean score of its "
        "steps in the tenth; a step that lies in two weighs in each as much as it takes of it.",
    )  # fmt: skip
    gains = {who: _tenths(found.gains[who]) for who in figures.teachers if who in found.gains}
    if not gains:
        second = undefined("global minus local needs both windows, and they are not one")
    else:
        named = f"global minus window {figures.local_window}, nats per token"
        second = figure(
            lines("gain-plot", "Global minus local by position", gains, marks, (axes[0], named),
                  x_ticks=ticks, level=0.0),
            "What a step gains from seeing the whole trace before it; in the paper this grows with "
            "the position (arXiv 2510.03988).",
        )  # fmt: skip
    numbers = {**scores, **{f"gain, {who}": of for who, of in gains.items()}}
    rows: list[list[Cell]] = [
        [name, *(Figure(value, 3) for _, value in of)] for name, of in numbers.items()
    ]
    headers = ["", *(f"{100 * b // BINS}–{100 * (b + 1) // BINS} %" for b in range(BINS))]
    said = folded("The numbers", table("Step scores by position", headers, rows))
    return join([tag("div", first, second, class_="pair"), said])


def stability(figures: Figures) -> Markup:
    """P(best) of the first teacher by the number of prompts."""
    ranking, found = figures.ranking, figures.ranking.stability
    first = figures.teachers[0]
    if not found.sizes:
        few = len(ranking.teachers) < 2
        return undefined("one teacher only" if few else _no_interval(ranking))
    chance = list(zip(map(float, found.sizes), found.p_best, strict=True))
    tau = list(zip(map(float, found.sizes), found.tau, strict=True))
    series = {f"P(best) of {first}": chance, "Kendall tau-b with the order of all": tau}
    known = [value for of in series.values() for _, value in of if not math.isnan(value)]
    ends = (min(0.0, *known) - 0.02, 1.05)
    drawing = lines(
        "stability-plot", "Stability by number of prompts", series,
        Marks(tuple(series), plain=True), ("prompts, by their logarithm", "share, or tau"),
        x_ticks=_sparse(found.sizes), log_x=True, y_range=ends, level=0.95,
    )  # fmt: skip
    caption = (
        f"Resamples of fewer and of more prompts than the {ranking.prompts_used} used; beyond "
        "that number, further prompts are taken to be like these. Dashed: 0.95."
    )
    rows: list[list[Cell]] = [
        [f"{size:,}", Figure(best, 3), Figure(order, 3, "every resample is one tie")]
        for size, best, order in zip(found.sizes, found.p_best, found.tau, strict=True)
    ]
    headers = ["Prompts", f"P(best) of {first}", "Kendall tau-b"]
    numbers = folded("The numbers", table("Stability by number of prompts", headers, rows))
    return join([tag("p", needed_prompts(ranking)), figure(drawing, caption), numbers])


def _sparse(sizes: Sequence[int]) -> list[float]:
    """Sizes far enough from each other for their numbers to fit, the last one included."""
    kept: list[float] = [float(sizes[-1])]
    for size in sizes[::-1]:
        if size * 1.5 <= kept[0]:
            kept.insert(0, float(size))
    return kept


def _pair(
    name: str,
    title: str,
    means: Mapping[str, tuple[Spread, Spread]],
    points: Mapping[str, Sequence[tuple[float, float]]],
    marks: Marks,
    axes: tuple[str, str],
    *,
    log_x: bool = False,
) -> Markup:
    """Teachers alone, near enough to be told apart, and the responses behind them."""
    count = sum(map(len, points.values()))
    near = scatter(f"{name}-teachers", f"{title}: teachers", {}, means, marks, axes, log_x=log_x)
    wide = scatter(f"{name}-responses", f"{title}: responses", points, means, marks, axes,
                   log_x=log_x)  # fmt: skip
    return tag(
        "div",
        figure(near, "Teachers' means, with their 95 % intervals where these are defined."),
        figure(wide, f"{count} responses with both figures, faint; teachers' means, full."),
        class_="pair",
    )


def _both(across: Mapping[str, Spread], up: Ranking) -> dict[str, tuple[Spread, Spread]]:
    """Teachers in the order of `across`, with both figures."""
    upward = {line.teacher: _spread(line) for line in up.teachers}
    return {
        name: (spread, upward[name]) for name, spread in across.items()
        if not math.isnan(spread.mean)
    }  # fmt: skip


def _points(
    scored: ScoredSet, xs: Sequence[float], ys: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    points: dict[str, list[tuple[float, float]]] = {row.teacher: [] for row in scored.rows}
    for row, x, y in zip(scored.rows, xs, ys, strict=True):
        if not math.isnan(x) and not math.isnan(y):
            points[row.teacher].append((x, y))
    return points


def _tenths(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(100 * (place + 0.5) / BINS, value) for place, value in enumerate(values)]


def _named(line: TeacherRank, marks: Marks) -> Markup:
    return join([marks.inline(line.teacher), "\N{NO-BREAK SPACE}", line.teacher])


def _interval(low: float, high: float, why: str) -> Cell:
    if math.isnan(low) or math.isnan(high):
        return Figure(math.nan, reason=why)
    return tag("span", f"[{number(low)}, {number(high)}]", class_="whole")


def _spread(line: TeacherRank) -> Spread:
    return Spread(line.mean, line.low, line.high)


def _no_interval(ranking: Ranking) -> str:
    if ranking.prompts_used < 2:
        return "one prompt only, so that there is nothing to resample"
    return "no resamples were asked for (bootstrap_iters 0)"


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
