"""Puts the page together: what was computed, its plots and traces, the style and the script.

The page loads nothing: its own policy forbids it. Vega's expressions are interpreted, as the policy
allows no code to be made from text.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jinja2
import vl_convert
from markupsafe import Markup, escape

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.ranking.students import StudentComparison, compare_students
from lnat_plugins.ranking.table import RowsWithTables
from lnat_plugins.report import charts, tables
from lnat_plugins.report.cells import Table, counted, last_part, number
from lnat_plugins.report.data import Figures, ReportOptions, gather, ranking_of
from lnat_plugins.report.looks import Looks, drawable, style
from lnat_plugins.report.plots import enlarged, plots_of
from lnat_plugins.report.prompts import Prompts, prompts_of
from lnat_plugins.report.traces import (
    DIFFERENCE,
    MOST_STEPS,
    Kept,
    View,
    compressed,
    details,
    kept,
    listed,
    pieces,
    places_of,
    points,
    steps_shown,
    tags_in,
    views_of,
)
from lnat_plugins.scoring.samples import ScoredSet

MAX_SIZE: Final = 10.0
"""Megabytes that a page may have."""

LEAST_SIZE: Final = 2.0
"""Megabytes below which a page has no room for traces."""

_LIST_SHARE: Final = 0.35
"""Share of the bound that the list of prompts may take."""

_SPARE: Final = 4_000
"""Bytes between what was measured and the bound."""

_LONGEST_PLAIN: Final = 150_000
"""Characters of the trace that stands in the page as plain HTML."""

_MANY_METRICS: Final = 9
"""From so many on, plot and table of all metrics take the whole width."""

_STATIC_WIDTH: Final = 640

# NUL and half characters cannot stand in an HTML file at all.
_UNWRITABLE: Final = re.compile("[\x00\ud800-\udfff]")


def report(
    scored: ScoredSet, options: ReportOptions, prompts: int | None = None,
    others: Sequence[ScoredSet] = (), max_size: float = MAX_SIZE,
) -> str:  # fmt: skip
    """One HTML page with everything in it; the same input gives the same text.

    Args:
        scored: what was scored.
        options: what teachers are ranked by, and how.
        prompts: so many prompts' traces at most; by default as many as fit.
        others: the same teacher set scored by other students, set beside this one.
        max_size: megabytes that the page may have.

    Raises:
        ConfigError: the metric has no direction, or a number is too low.
        DataError: no prompt has a defined value for every teacher, or a text was changed.
    """
    if prompts is not None and prompts < 1:
        raise ConfigError("prompts is below 1", found=prompts, remedy="give 1 or more")
    if not max_size >= LEAST_SIZE:
        raise ConfigError(
            f"max_size is below {LEAST_SIZE:g} (megabytes)", found=max_size,
            remedy="give more: the plots alone take one",
        )  # fmt: skip
    for row in scored.rows:
        end = row.record.spans[-1][1] if row.record.spans else 0
        if end > len(row.text) if row.record.whole else end != len(row.text):
            raise DataError(
                "the scored steps do not cover the response",
                where=f"prompt {row.prompt_id!r}, teacher {row.teacher!r}",
                found=f"steps up to character {end} of {len(row.text)}",
                remedy="score the responses again; the text was changed afterwards",
            )
    rows = RowsWithTables(scored.rows, keep_values=True)
    figures = gather(scored, options, rows)
    looks = Looks(figures.teachers)
    found = prompts_of(scored, figures.teachers, options, figures.local_window, rows)
    del rows  # their tables take a fifth of the memory
    views = views_of([row.record for row in scored.rows], scored.windows, figures.local_window)
    columns, every = points(
        scored, found, figures.teachers, scores=figures.scores, local=figures.local_scores,
        whole=figures.global_scores,
    )  # fmt: skip
    bound = int(max_size * 1e6)
    prompt_list, width = listed(found, int(_LIST_SHARE * bound))
    plots = plots_of(figures, looks, every)
    specifications = {name: each.chart for name, each in plots.items() if each.chart is not None}
    near = enlarged(figures.ranking, looks)
    if near is not None and near.chart is not None:
        specifications["enlarged"] = near.chart
    studies = _studies(options, figures, looks, specifications)
    beside = _beside(scored, options, figures, others, looks, specifications)
    context = {
        "title": f"Which teacher suits the student “{last_part(scored.student)}”?",
        "version": __version__,
        "scored": scored, "figures": figures, "ranking": figures.ranking, "plots": plots,
        "looks": looks, "tables": tables, "charts": charts, "views": views,
        "studies": studies, "beside": beside,
        "window_name": charts.window_name, "DIFFERENCE": DIFFERENCE, "MANY": _MANY_METRICS,
        "most_steps": MOST_STEPS,
        "next_command": options.next_command,
        "prompts": found, "width": width, "listed": len(prompt_list["id"]),
        "first": _first(scored, found, figures, views, options.window),
        "static": Markup(_static(specifications["difference"])),
        "enlarged": near,
        "static_enlarged": Markup(_static(near.chart)) if near is not None and near.chart else "",
        "style": Markup(style()), "script": Markup(_read("script.js")), "bundle": Markup(bundle()),
        "hashes": {name: _hash(text) for name, text in (
            ("style", style()), ("script", _read("script.js")), ("bundle", bundle())
        )},
        "data": _data(scored, figures, looks, views, options, prompts, max_size),
        "specifications": specifications,
        "list_block": compressed(prompt_list), "points_block": compressed(columns),
    }  # fmt: skip
    template = _environment().get_template("page.html")
    empty = len(template.render(context, kept=Kept({}, len(found.ids))).encode("utf-8"))
    room = max(0, bound - empty - _SPARE)
    traces = kept(scored, found, figures.teachers, figures.values, most=prompts, room=room)
    return template.render(context, kept=traces)


def _data(
    scored: ScoredSet, figures: Figures, looks: Looks, views: Sequence[View],
    options: ReportOptions, prompts: int | None, max_size: float,
) -> dict[str, Any]:  # fmt: skip
    """What the script reads at once."""
    return {
        "teachers": list(looks.teachers),
        "colours": [looks.colour(name) for name in looks.teachers],
        "glyphs": [looks.glyph(name) for name in looks.teachers],
        "windows": list(scored.windows),
        "local": figures.local_window,
        "view": options.window,
        "difference": DIFFERENCE,
        "views": [{"name": each.name, "edges": list(each.edges), "legend": each.legend()}
                  for each in views],
        "more": f"--prompts {2 * prompts}" if prompts else f"--max_size {2 * max_size:g}",
    }  # fmt: skip


def _first(
    scored: ScoredSet, prompts: Prompts, figures: Figures, views: Sequence[View], window: str
) -> dict[str, Any]:
    """The most informative prompt of a size that can stand in the page as it is, in words."""
    order = list(prompts.informative())
    sizes = {i: sum(len(row.text) for row in prompts.rows[i]) for i in order}
    index = next(
        (i for i in order if sizes[i] <= _LONGEST_PLAIN), min(order, key=sizes.__getitem__)
    )
    view = next(each for each in views if each.name == window)
    place = places_of(scored.rows)
    label = next(iter(figures.values))
    responses = []
    for row in prompts.rows[index]:
        record = row.record
        means = {name: record.step_means(name) for name in scored.windows}
        scores = means[window] or [math.nan] * record.n_steps
        shown = steps_shown(record, _LONGEST_PLAIN // len(prompts.rows[index]))
        tags = tags_in(row)
        steps = [
            {
                "pieces": pieces(row, step, tags),
                "class": view.shade(scores[step]),
                "title": details(step, record, means, figures.local_window),
            }
            for step in range(shown)
        ]
        value = figures.values[label].values[place(row)]
        responses.append({
            "row": row, "steps": steps, "left_out": record.whole_steps - shown,
            "value": f"{label} {number(value)}",
        })  # fmt: skip
    return {"index": index, "responses": responses, "view": view}


def _studies(
    options: ReportOptions, figures: Figures, looks: Looks, specifications: dict[str, Any]
) -> list[dict[str, Any]]:
    """What a study found, a plot a metric; the plots are added to the specifications."""
    found = []
    for b, part in enumerate(options.study):
        drawn = []
        accuracy = {name: (one.value, one.low, one.high) for name, one in part.accuracy.items()}
        known = Looks(dict.fromkeys((*looks.teachers, *part.accuracy)))
        for m, metric in enumerate(part.metrics):
            name = f"study-{b}-{m}"
            specifications[name] = charts.trained(metric.scores, accuracy, metric.metric, known)
            tau = metric.resampled["tau"]
            interval = ""
            if not math.isnan(tau.low):
                interval = f" [{number(tau.low, 2)}, {number(tau.high, 2)}]"
            drawn.append((name, metric.metric, f"tau-b {number(metric.tau, 2)}{interval}"))
        found.append({
            "part": part, "plots": drawn, "looks": known, "table": tables.trained(part),
        })  # fmt: skip
    return found


def _beside(
    scored: ScoredSet, options: ReportOptions, figures: Figures, others: Sequence[ScoredSet],
    looks: Looks, specifications: dict[str, Any],
) -> dict[str, Any] | None:  # fmt: skip
    """Several students, a plot each; the plots are added to the specifications."""
    if not others:
        return None
    rankings = [figures.ranking, *(ranking_of(one, options) for one in others)]
    found: StudentComparison = compare_students(
        scored.task,
        [last_part(one.student) for one in (scored, *others)],
        rankings,
        [one.steps for one in (scored, *others)],
    )
    known = Looks(dict.fromkeys(
        (*looks.teachers, *(line.teacher for one in rankings for line in one.teachers))
    ))  # fmt: skip
    drawn = []
    for i, (student, ranking) in enumerate(zip(found.students, rankings, strict=True)):
        name = f"student-{i}"
        specifications[name] = charts.means(ranking, known, f"Teachers' means for {student}")
        drawn.append((name, student, ranking))
    headers, rows = found.table()
    return {"text": found.text, "plots": drawn, "looks": known,
            "table": Table("Teachers by students", headers, rows)}  # fmt: skip


def _static(chart: Mapping[str, Any]) -> str:
    """The plot as SVG text; its colours stay variables of the style."""
    drawn: str = vl_convert.vegalite_to_svg({**drawable(chart), "width": _STATIC_WIDTH})
    return drawn


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from vl-convert; some 900 kB, offline."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script


@cache
def _environment() -> jinja2.Environment:
    def written(value: object) -> object:
        """What stands in HTML: line ends survive as they are written."""
        if isinstance(value, Markup):
            return value
        return Markup(str(escape(_UNWRITABLE.sub("\ufffd", str(value)))).replace("\r", "&#13;"))

    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read), autoescape=True, finalize=written,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    found.filters["whole"] = _whole
    found.globals |= {"number": number, "counted": counted, "code": _code}
    found.policies["json.dumps_kwargs"] = {
        "sort_keys": True, "allow_nan": False, "separators": (",", ":")
    }  # fmt: skip
    return found


def _code(sentence: str) -> Markup:
    """The sentence, with what stands in backticks as code."""
    parts = [_whole(part) for part in sentence.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


_BREAKS: Final = re.compile(r"(\S*[-/]\S*)")


def _whole(text: object) -> Markup:
    """The text, whose names, flags and paths are broken over lines only if longer than one."""
    if isinstance(text, Markup):
        return text
    parts = _BREAKS.split(_UNWRITABLE.sub("\ufffd", str(text)))
    return Markup("").join(
        Markup('<span class="w">{}</span>').format(part) if i % 2 else part
        for i, part in enumerate(parts)
    )


def _read(name: str) -> str:
    return (files("lnat_plugins.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
