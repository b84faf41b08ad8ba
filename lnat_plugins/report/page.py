"""Puts the page together: head, sections, the trace view, and the style and script beside them.

The page loads nothing: its own policy forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePosixPath
from string import Template

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.ranking.students import compare_students
from lnat_plugins.report import sections
from lnat_plugins.report.data import Figures, ReportOptions, gather, ranking_of
from lnat_plugins.report.markup import Markup, counted, esc, folded, items, join, table, tag
from lnat_plugins.report.plots import Markers
from lnat_plugins.report.traces import Rated, shades_of, trace_view
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection.student import provenance_of_scores


def report(
    scored: ScoredSet, options: ReportOptions, prompts: int = 20, others: Sequence[ScoredSet] = ()
) -> str:
    """One HTML page with everything in it; the same input gives the same text.

    Args:
        scored: what was scored.
        options: what teachers are ranked by, and how.
        prompts: so many prompts at most in the trace view, from the first.
        others: the same teacher set scored by other students, set beside this one.

    Raises:
        ConfigError: the metric has no direction, or a number is too low.
        DataError: no prompt has a defined value for every teacher, or a text was changed.
    """
    if prompts < 1:
        raise ConfigError("prompts is below 1", found=prompts, remedy="give 1 or more")
    for row in scored.rows:
        end = row.record.spans[-1][1] if row.record.spans else 0
        if end != len(row.text):
            raise DataError(
                "the scored steps do not cover the response",
                where=f"prompt {row.prompt_id!r}, teacher {row.teacher!r}",
                found=f"steps up to character {end} of {len(row.text)}",
                remedy="score the responses again; the text was changed afterwards",
            )
    figures = gather(scored, options)
    markers = Markers(figures.teachers)
    shades = shades_of((row.record for row in scored.rows), options.window)
    rated = [
        Rated(row, {name: (of.values[i], of.reasons[i]) for name, of in figures.values.items()})
        for i, row in enumerate(scored.rows)
    ]
    rated.sort(key=lambda each: figures.teachers.index(each.row.teacher))
    agreement = join([sections.agreement(figures), sections.reference(figures)])
    parts = [
        ("teachers", "Teachers", sections.teachers(figures, markers)),
                ("local", "Local against global", sections.local_global(scored, figures, markers)),
        ("length", "Score against length", sections.length(scored, figures, markers)),
        ("position", "Score by position in the trace", sections.position(figures, markers)),
        ("stability", "How the order settles", sections.stability(figures)),
        ("composition", "Winners by teacher", sections.composition(figures, markers)),
        ("agreement", "Metric against metric", agreement),
        ("confounds", "Possible confounds", sections.confounds(figures.ranking)),
        ("traces", "Traces, step by step", trace_view(scored, rated, shades, markers, prompts)),
        ("settings", "Settings and versions", _settings(scored, figures)),
    ]  # fmt: skip
    if others:
        rankings = [figures.ranking, *(ranking_of(one, options) for one in others)]
        beside = compare_students(
            scored.task,
            [_short(one.student) for one in (scored, *others)],
            rankings,
            [one.steps for one in (scored, *others)],
        )
        parts.insert(0, ("students", "Students side by side", sections.students(beside)))
    links = [tag("li", tag("a", name, href=f"#{id_}")) for id_, name, _ in parts]
    style, script = _read("style.css"), _read("script.js")
    return Template(_read("page.html")).substitute(
        title=esc(f"{scored.task}: teachers for {_short(scored.student)}"),
        version=esc(__version__),
        summary=_summary(scored, figures),
        contents=tag("ul", *links),
        sections=join(
            (tag("section", tag("h2", name), body, id=id_) for id_, name, body in parts), "\n"
        ),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def _summary(scored: ScoredSet, figures: Figures) -> Markup:
    ranking = figures.ranking
    notes = len(ranking.notes)
    doubts = (*ranking.warnings, *ranking.confounds.notes)
    order = "the order" if len(ranking.teachers) > 1 else "it"
    read_first = join(
        [f" Before trusting {order}, read the ",
         tag("a", counted(notes, "note"), href="#confounds"), "."]
    ) if notes else ""  # fmt: skip
    lines = [*ranking.second_opinions]
    if ranking.calibration is not None:
        lines.append(ranking.calibration.in_words())
    return join([
        tag("p", tag("strong", ranking.verdict.text), read_first, class_="lead"),
        items(doubts) if doubts else "",
        *(tag("p", line) for line in lines),
        *(folded(line, items(ranking.sensitivity_lines))
          for line in ranking.sensitivity.in_words()),
        tag("p", f"By {sections.unit_of(ranking)}."),
        tag("p", f"Task {scored.task}, student {_short(scored.student)}; "
            f"{counted(len(ranking.teachers), 'teacher')}, prompts scored for all of them: "
            f"{ranking.prompts_in_words}; "
            f"{counted(ranking.responses, 'response')}; windows {', '.join(scored.windows)}."),
    ])  # fmt: skip


def _settings(scored: ScoredSet, figures: Figures) -> Markup:
    ranking = figures.ranking
    settings = {
        "splitter": scored.splitter,
        "engine": ", ".join(scored.paths),
        "settings hash": scored.settings_hash,
        **scored.settings,
    }
    versions = provenance_of_scores(scored).versions
    rows = [
        ("task", scored.task),
        ("student", scored.student),
        *((name, _plain(value)) for name, value in settings.items()),
        ("metric", ranking.metric + (f" ({ranking.unit})" if ranking.unit != "none" else "")),
        ("bootstrap_iters", str(ranking.bootstrap_iters)),
        ("seed", str(ranking.seed)),
        ("report written by", f"lnat-plugins {__version__}"),
        *(("scored with", f"{package} {version}") for package, version in versions.items()),
        *(("file", file) for file in scored.files),
    ]
    return table("How this was scored", ["Setting", "Value"], rows)


def _plain(value: object) -> str:
    """In words; text with white space that a page would not show stands in quotes, as in JSON."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, str) and (not value or value != " ".join(value.split())):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)


def _short(student: str) -> str:
    """The last part of a name or path."""
    return PurePosixPath(student.replace("\\", "/")).name or student


def _read(name: str) -> str:
    return files("lnat_plugins.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
