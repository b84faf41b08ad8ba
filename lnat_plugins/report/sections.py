"""The sections of a report as HTML: tables and plots of figures that are computed already."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking import Ranking, TeacherRank
from lnat_plugins.ranking.bootstrap import INTERVAL
from lnat_plugins.ranking.result import rank_span, yes_or_no
from lnat_plugins.ranking.students import StudentComparison
from lnat_plugins.report.data import BINS, Figures
from lnat_plugins.report.markup import (
    Cell,
    Figure,
    Markup,
    cells,
    counted,
    folded,
    items,
    join,
    number,
    table,
    tag,
    undefined,
)
from lnat_plugins.report.plots import Markers, Spread, bars, figure, lines, scatter, whiskers
from lnat_plugins.scoring.samples import ScoredSet


def unit_of(ranking: Ranking) -> str:
    """The metric with its unit and direction, for an axis."""
    window = f"[{ranking.window}]" if ranking.window not in (None, GLOBAL) else ""
    unit = f", {ranking.unit}" if ranking.unit != "none" else ""
    direction = "higher" if ranking.higher_is_better else "lower"
    return f"{ranking.metric}{window}{unit} ({direction} is better)"


def teachers(figures: Figures, markers: Markers) -> Markup:
    """Means with intervals, and the table of every figure."""
    ranking = figures.ranking
    drawing = whiskers(
        "teachers-plot", f"Teachers' means with {INTERVAL}s", _spreads(ranking), markers,
        unit_of(ranking),
    )  # fmt: skip
    caption = (
        f"Mean over {ranking.prompts_used} prompts and its {INTERVAL}, from a paired bootstrap "
        f"over prompts ({counted(ranking.bootstrap_iters, 'resample')}, seed {ranking.seed})."
    )
    why = _no_interval(ranking)
    why_difference = why if math.isnan(ranking.teachers[0].low) else "there is no verdict"
    headers = [
        "Teacher", "Rank", "Mean", INTERVAL, "Median", "Difference", "Its interval",
        "May be best", "Rank interval", "First in", "Win rate", "Coverage", "Responses",
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            _named(line, markers), line.rank,
            Figure(line.mean), _interval(line.low, line.high, why), Figure(line.median),
            Figure(line.difference),
            _interval(line.difference_low, line.difference_high, why_difference),
            yes_or_no(line.may_be_best), rank_span(line), Figure(line.first_in, 3, why),
            Figure(line.win_rate, 3), Figure(line.coverage, 3),
            line.responses,
        ]
        for line in ranking.teachers
    ]  # fmt: skip
    counts = (
        [_named(line, markers), *cells(line.controls.values(), reason="no response has it")]
        for line in ranking.teachers
    )
    explained = [
        "Difference: to the leader; its interval is paired by prompt and simultaneous over all "
        "pairs of teachers.",
        "May be best: in the set that holds the best teacher with 95 % confidence. Rank interval: "
        "simultaneous over all teachers.",
        "First in: share of resamples in which its mean is the best; no probability of being best.",
        "Win rate: share of prompts on which the teacher's response is the best.",
        "Coverage: share of all prompts for which it has a score.",
    ]
    return join([
        figure(drawing, caption),
        table(f"Teachers by {ranking.metric}", headers, rows),
        items(explained),
        table("Means of plain counts", ["Teacher", *ranking.teachers[0].controls], counts),
    ])  # fmt: skip


def students(found: StudentComparison) -> Markup:
    """Each student's verdict, and teachers by students."""
    verdicts = (
        " ".join([f"{student}: {ranking.verdict.text}", *ranking.warnings])
        for student, ranking in zip(found.students, found.rankings, strict=True)
    )
    headers, rows = found.table()
    return join(
        [tag("p", found.text), items(verdicts), table("Teachers by students", headers, rows)]
    )


def local_global(scored: ScoredSet, figures: Figures, markers: Markers) -> Markup:
    """Local against global naturalness, for teachers and for responses."""
    x, y = figures.local_ranking, figures.global_ranking
    if isinstance(x, str):
        return undefined(x)
    if isinstance(y, str):
        return undefined(y)
    return _two_scatters(
        "local-global", "Local against global naturalness", _spreads(x), _spreads(y),
        _points(scored, figures.local_scores.values, figures.global_scores.values),
        markers, (unit_of(x), unit_of(y)),
    )  # fmt: skip


def length(scored: ScoredSet, figures: Figures, markers: Markers) -> Markup:
    """The score against the number of tokens, for teachers and for responses."""
    ranking = figures.ranking
    # A count of 0, which some plain metrics allow, has no logarithm.
    tokens = [float(row.record.n_tokens) or math.nan for row in scored.rows]
    means = {line.teacher: line.controls["n_tokens"] or math.nan for line in ranking.teachers}
    across = {name: Spread(mean) for name, mean in means.items() if not math.isnan(mean)}
    if not across:
        return undefined("no response holds a token")
    return _two_scatters(
        "length", f"{ranking.metric} against length", across, _spreads(ranking),
        _points(scored, tokens, figures.scores.values), markers,
        ("tokens of the response, by their logarithm", unit_of(ranking)), log_x=True,
    )  # fmt: skip


def position(figures: Figures, markers: Markers) -> Markup:
    """Step scores over the ten tenths of a trace, and what global gains over local."""
    found = figures.positions
    if not found.means:
        return undefined("no response has a score for each of its steps under every window")
    percent = [100 * i // BINS for i in range(BINS + 1)]
    x_title = "position in the trace, % of its steps"
    names = {w: "global" if w == GLOBAL else f"window {w}" for w in found.means}
    scores = {names[window]: _tenths(means) for window, means in found.means.items()}
    dropped = f"; {found.dropped} dropped, which lack one of the windows" if found.dropped else ""
    first = figure(
        lines("position-plot", "Step scores by position", scores, Markers(scores, plain=True),
              (x_title, "mean step score, nats per token"), x_ticks=percent),
        f"Mean over {counted(found.responses, 'response')}{dropped}: of each, the mean score of "
        "its steps in the tenth; a step that lies in two weighs in each as much as it takes of it.",
    )  # fmt: skip
    gains = {who: _tenths(found.gains[who]) for who in figures.teachers if who in found.gains}
    if not gains:
        second = undefined("global minus local needs both windows, and they are not one")
    else:
        y_title = f"global minus window {figures.local_window}, nats per token"
        second = figure(
            lines("gain-plot", "Global minus local by position", gains, markers,
                  (x_title, y_title), x_ticks=percent, level=0.0),
            "What a step gains from seeing the whole trace before it; in the paper this grows with "
            "the position (arXiv 2510.03988).",
        )  # fmt: skip
    numbers = {**scores, **{f"gain, {who}": points for who, points in gains.items()}}
    headers = ["", *(f"{low}–{high} %" for low, high in itertools.pairwise(percent))]
    rows = ([name, *cells((y for _, y in points), 3)] for name, points in numbers.items())
    return join([
        tag("div", first, second, class_="pair"),
        folded("The numbers", table("Step scores by position", headers, rows)),
    ])  # fmt: skip


def _tenths(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(100 * (i + 0.5) / BINS, value) for i, value in enumerate(values)]


def stability(figures: Figures) -> Markup:
    """In which share of the resamples the leader is first, by the number of prompts."""
    ranking, found = figures.ranking, figures.ranking.stability
    if not found.sizes:
        single = len(ranking.teachers) < 2
        return undefined("one teacher only" if single else _no_interval(ranking))
    best = f"share of resamples with {figures.teachers[0]} first"
    series = {
        best: list(zip(found.sizes, found.first, strict=True)),
        "Kendall tau-b with the order of all": list(zip(found.sizes, found.tau, strict=True)),
    }
    # Sizes far enough from each other for their numbers to fit, the last one included.
    ticks = [found.sizes[-1]]
    for size in found.sizes[::-1]:
        if size * 1.5 <= ticks[0]:
            ticks.insert(0, size)
    known = [y for y in (*found.first, *found.tau) if not math.isnan(y)]
    drawing = lines(
        "stability-plot", "Stability by number of prompts", series, Markers(series, plain=True),
        ("prompts, by their logarithm", "share, or tau"), x_ticks=ticks, log_x=True,
        y_range=(min(0.0, *known) - 0.02, 1.05),
    )  # fmt: skip
    caption = (
        f"Resamples of fewer and of more prompts than the {ranking.prompts_used} used; beyond "
        f"that number, further prompts are taken to be like these."
    )
    rows = (
        [f"{size:,}", *cells([first], 3), *cells([tau], 3, "every resample is one tie")]
        for size, first, tau in zip(found.sizes, found.first, found.tau, strict=True)
    )
    headers = ["Prompts", best, "Kendall tau-b"]
    numbers = folded("The numbers", table("Stability by number of prompts", headers, rows))
    return join([figure(drawing, caption), numbers])


def _two_scatters(
    name: str, title: str, across: Mapping[str, Spread], up: Mapping[str, Spread],
    points: Mapping[str, Sequence[tuple[float, float]]], markers: Markers, axes: tuple[str, str],
    *, log_x: bool = False,
) -> Markup:  # fmt: skip
    """Teachers alone, near enough to be distinguished, and the responses behind them."""
    means = {teacher: (mean, up[teacher]) for teacher, mean in across.items()}
    count = sum(map(len, points.values()))
    near = scatter(f"{name}-teachers", f"{title}: teachers", {}, means, markers, axes, log_x=log_x)
    wide = scatter(f"{name}-responses", f"{title}: responses", points, means, markers, axes,
                   log_x=log_x)  # fmt: skip
    return tag(
        "div",
        figure(near, f"Teachers' means, with their {INTERVAL}s where these are defined."),
        figure(wide, f"{count} responses with both figures, faint; teachers' means, full."),
        class_="pair",
    )


def _points(
    scored: ScoredSet, xs: Sequence[float], ys: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    points: dict[str, list[tuple[float, float]]] = {teacher: [] for teacher in scored.teachers}
    for row, x, y in zip(scored.rows, xs, ys, strict=True):
        if not math.isnan(x) and not math.isnan(y):
            points[row.teacher].append((x, y))
    return points


def _named(line: TeacherRank, markers: Markers) -> Markup:
    return join([markers.inline(line.teacher), "\N{NO-BREAK SPACE}", line.teacher])


def _interval(low: float, high: float, why: str) -> Cell:
    if math.isnan(low) or math.isnan(high):
        return Figure(math.nan, reason=why)
    return tag("span", f"[{number(low)}, {number(high)}]", class_="whole")


def _spreads(ranking: Ranking) -> dict[str, Spread]:
    return {line.teacher: Spread(line.mean, line.low, line.high) for line in ranking.teachers}


def _no_interval(ranking: Ranking) -> str:
    if ranking.prompts_used < 2:
        return "one prompt only, so that there is nothing to resample"
    return "no resamples were requested (bootstrap_iters 0)"


def composition(figures: Figures, markers: Markers) -> Markup:
    """Whose response is the best of its prompt, by each metric."""
    if isinstance(figures.comparison, str):
        return undefined(figures.comparison)
    shares = {
        name: {teacher: of[teacher] for teacher in figures.teachers}
        for name, of in figures.composition.items()
    }
    drawing = bars("composition-plot", "Best response per prompt", shares, markers)
    caption = (
        "Share of prompts on which a teacher's response is the best, by each metric's own "
        "direction: what choosing one response a prompt would train on."
    )
    rows = ([name, *cells(of.values(), 3)] for name, of in shares.items())
    numbers = table("Best response per prompt", ["Metric", *figures.teachers], rows)
    return join([figure(drawing, caption), folded("The numbers", numbers)])


def agreement(figures: Figures) -> Markup:
    """Every metric's order, and each metric against each."""
    found = figures.comparison
    if isinstance(found, str):
        return undefined(found)
    headers = ["Metric", "Window", "Better", "Order, best first", "May be best", "Prompts"]
    orders: list[list[Cell]] = [
        [
            one.metric, one.window or "none", "higher" if one.higher_is_better else "lower",
            one.in_words(), ", ".join(one.may_be_best), one.prompts_used,
        ]
        for one in found.metrics
    ]  # fmt: skip
    names = [f"{i} {one.metric}" for i, one in enumerate(found.metrics, start=1)]
    reason = "no prompt has both, or all figures tie"
    matrices = [
        table(
            caption,
            ["", *(name.split()[0] for name in names)],
            ([name, *cells(line, 2, reason)] for name, line in zip(names, matrix, strict=True)),
            shade=True,
        )
        for caption, matrix in (
            ("Kendall tau-b of the teachers' order, metric by metric", found.tau),
            ("Share of prompts with the same best teacher", found.overlap),
        )
    ]
    reasons = [f"{name}: {why}" for name, why in found.left_out.items()]
    rest = f"{counted(len(reasons), 'metric')} not compared"
    return join([table("Orders", headers, orders), *matrices,
                 folded(rest, items(reasons)) if reasons else ""])  # fmt: skip


def reference(figures: Figures) -> Markup:
    """Every metric's order against a known one; nothing where none was given."""
    fit = figures.ranking.reference
    if fit is None:
        return Markup()
    found = figures.comparison
    fits = [(figures.ranking.metric, fit, [math.nan] * 3)]
    if not isinstance(found, str):
        fits = [
            (one.metric, one.fit,
             [one.tau_difference, one.tau_difference_low, one.tau_difference_high])
            for one in found.metrics if one.fit is not None
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
    return join([tag("h3", "Against the known order"), tag("p", intro),
                 table("Fit to the known order", headers, rows)])  # fmt: skip


def confounds(ranking: Ranking) -> Markup:
    """Correlations with plain counts, what the windows show, loops, and all notes."""
    found = ranking.confounds
    repeated = {
        teacher: found.repetition[teacher]
        for teacher in (line.teacher for line in ranking.teachers) if teacher in found.repetition
    }  # fmt: skip
    constant = "fewer than two responses, or one side is constant"
    rows: list[list[Cell]] = [
        [
            each.control, Figure(each.overall, 3, constant), each.responses,
            Figure(each.within_prompt, 3, constant), each.prompts,
        ]
        for each in found.correlations
    ]  # fmt: skip
    headers = ["Control", "Over all responses", "Responses", "Within prompts", "Prompts"]
    family = "The student's name shows no family, so that none can be compared."
    if found.families:
        same = f", as {', '.join(found.same_family)}" if found.same_family else "; no teacher is"
        family = f"By name the student is of the family {', '.join(found.families)}{same}."
    return join([
        tag("h3", "Notes"),
        items((*found.notes, *ranking.notes)) or tag("p", "None."),
        tag("h3", "Length and steps"),
        table(f"Spearman's correlation of {ranking.metric} with plain counts", headers, rows),
        tag("p", "Positive: more of it goes with a better score, whichever direction that is.",
            class_="why"),
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
        tag("p", family),
    ])  # fmt: skip


def _shares(
    caption: str, header: str, shares: Mapping[str, float], reason: str, none: str
) -> Markup:
    if not shares:
        return tag("p", f"None: {none}.")
    rows = ([name, *cells([share], 3, reason)] for name, share in shares.items())
    return table(caption, [header, "Share"], rows)
