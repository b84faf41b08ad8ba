"""What describes a choice to people: the tables of counts, and a training set's card."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lnat_plugins import __version__
from lnat_plugins.formatting import markdown_table, number, plural
from lnat_plugins.selection.formats.base import Chosen, Format
from lnat_plugins.selection.result import Selection
from lnat_plugins.steps.prefix import in_words


@dataclass(frozen=True)
class Provenance:
    """Where chosen rows and their scores come from.

    Attributes:
        task: name of the teacher set or of the data set.
        files: the files read, as they were given.
        scoring: how the rows were scored: settings, their fingerprint, splitter, engine paths.
        versions: package -> version that scored; several versions joined by ", ".
    """

    task: str = ""
    files: tuple[str, ...] = ()
    scoring: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def counts(selection: Selection) -> str:
    """Two tables in markdown: rows chosen by teacher, and rows dropped by reason and teacher.

    A row that was drawn several times counts as often. Lines below them say what a run with a
    budget read, count the degenerate rows that were chosen, if there are any, and warn.
    Means are over rows that have a score: those that passed the filters before it. The second
    table is missing if all were chosen.
    """
    scored = selection.metric is not None
    headers = ["Teacher", "Candidates", "Chosen", "Share"]
    headers += ["Mean of chosen", "Mean of eligible"] if scored else []
    of_teacher: dict[str, list[int]] = {}
    for index, teacher in enumerate(selection.teachers):
        of_teacher.setdefault(teacher, []).append(index)
    times = Counter(selection.rows)
    rows = []
    for name, indices in (*of_teacher.items(), ("all", range(len(selection.teachers)))):
        chosen = [index for index in indices for _ in range(times[index])]
        share = len(chosen) / max(1, times.total())
        means = [_mean(selection, chosen), _mean(selection, indices)] if scored else []
        rows.append([name, str(len(indices)), str(len(chosen)), number(share, 3), *means])
    tables = [markdown_table(headers, rows, left=1)]
    if selection.reasons:
        dropped = selection.dropped
        sums: Counter[str] = Counter()
        for by_teacher in dropped.values():
            sums.update(by_teacher)
        rows = [
            [reason, *(str(found.get(name, 0)) for name in of_teacher), str(sum(found.values()))]
            for reason, found in (*dropped.items(), ("all", sums))
        ]
        tables.append(markdown_table(["Left out", *of_teacher, "all"], rows, left=1))
    if (prefix := selection.settings.get("prefix")) and scored:
        tables.append(f"Scores are of {in_words(prefix)}.")
    if selection.mixes_answers:
        only = {*selection.answers_only}
        changed = sum(index in only for index in selection.rows)
        whole = sum(index in {*selection.answers_left_whole} for index in selection.rows)
        tables.append(
            f"Without thinking, as prompts are easy: {changed} of {times.total()} rows are "
            f"trained on by their answers alone"
            + (f"; {plural(whole, 'more row')} had no thinking to take apart" if whole else "")
            + (". Their scores are of the whole responses." if scored else ".")
        )
    if choice := selection.settings.get("choice"):
        tables.append(f"{choice['found']}.")
    if times.total() > len(times):
        tables.append(
            f"Drawn by weight: {times.total()} rows, {len(times)} of them distinct; the most "
            f"repeated one stands {plural(max(times.values()), 'time')}."
        )
    if selection.degenerate:
        found = ", ".join(
            f"{teacher} ({', '.join(f'{kind} {n}' for kind, n in kinds.items())})"
            for teacher, kinds in selection.degenerate.items()
        )
        tables.append(f"Degenerate among the chosen: {found}. Look at them before training.")
    tables += [f"Warning: {warning}" for warning in selection.warnings]
    for note, count in selection.training_notes.items():
        tables.append(f"In training, {count} of {len(times)} chosen rows: {note}.")
    return "\n\n".join(tables) + "\n"


def _mean(selection: Selection, indices: Sequence[int]) -> str:
    scores = [s for index in indices if not math.isnan(s := selection.scores[index])]
    return number(math.fsum(scores) / len(scores) if scores else math.nan)


def totals(selection: Selection) -> str:
    """One line: "prompts: 3 of 4, responses: 3 of 9, ties: 0"."""
    prompts = {selection.prompts[index] for index in selection.indices}
    return (
        f"prompts: {len(prompts)} of {len(set(selection.prompts))}, responses: "
        f"{len(selection.indices)} of {len(selection.scores)}, ties: {selection.ties}"
    )


def card(chosen: Chosen, provenance: Provenance, format: Format) -> str:
    """The text of `README.md`: the training set's card, for people and for the Hub's viewer."""
    selection, student = chosen.selection, chosen.student
    split = [{"split": "train", "path": format.data}]
    front = {
        "configs": [{"config_name": "default", "data_files": split}],
        "task_categories": ["text-generation"],
        "tags": ["lnat-plugins", "reasoning", "distillation", *format.tags],
    }
    direction = "higher" if selection.higher_is_better else "lower"
    facts = {
        "student": student,
        "strategy": selection.strategy,
        "metric": selection.metric and f"{selection.metric}, {direction} is better",
        "window": selection.window,
        "settings": _json(selection.settings),
        "scoring": provenance.scoring and _json(provenance.scoring),
        "scores from": ", ".join(Path(file).name for file in provenance.files),
        "scored with": ", ".join(map(" ".join, provenance.versions.items())),
        "chosen with": f"lnat_plugins {__version__}",
        "candidates": f"fingerprint {selection.pool}",
    }
    settings = "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    said = "".join(f"\n{line}\n" for line in format.said(chosen))
    answers = (
        " Where `lnat_answer_only` is true, the response was cut to what follows its thinking; "
        "`lnat_score` is that of the whole response, not of the text here."
        if selection.mixes_answers
        else ""
    )
    others = (
        " The other columns are the rows' own; one whose name TRL would take for its own is called "
        "`row_<name>`, and one whose values have no type in common holds JSON text."
    )
    return f"""\
---
{yaml.safe_dump(front, sort_keys=False)}---

# Reasoning traces chosen for {student}

`lnat-plugins` chose these rows of the teacher set {provenance.task or "(unnamed)"} for training
{student} ({totals(selection)}).

{counts(selection)}
## How they were chosen

{settings}
`selection.json` holds the reason for every row that was left out, and the score of each row.

## Columns

{format.holds}. The texts are {"plain strings" if chosen.candidates.plain else "conversations"}.

`lnat_teacher`, `lnat_sample` and `lnat_prompt_id` say whose response a row is; `lnat_score` is
its score (null if undefined), `lnat_weight` its weight, `lnat_correct` whether it is correct (null
if unknown), `lnat_index` its place among the candidates.{answers}{others if format.others else ""}
{said}
## Training

{format.training(chosen)}"""


def _json(value: Mapping[str, Any]) -> str:
    return f"`{json.dumps(dict(value), ensure_ascii=False, default=str)}`"
