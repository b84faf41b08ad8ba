"""What the units wrote, as the statistics take it: outcomes of the arms, scores of the metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking.table import ScoreTable, score_table
from lnat_plugins.scores import Scores
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.scores import MetricScores
from lnat_plugins.study.spec import Budget
from lnat_plugins.study.units import Unit
from lnat_plugins.study.utility import UTILITY
from lnat_plugins.study.utility_result import UtilityResult

WARM: Final = "warm_naturalness"
_NONE: Final = "none"


def metric_scores(scores: Scores, teachers: Sequence[str]) -> MetricScores:
    """Of every metric that was gathered, on the prompts scored.

    One without a direction, such as the control `n_tokens`, is read as if more were better, and
    is called `n_tokens (more)`: its tau is negative where less is better.
    A metric that reads windows has one for each window scored, such as `local_naturalness[4]`;
    `global_naturalness` is the first window's rival and the baseline.
    """
    gathered = {
        name
        for row in scores.rows
        for name in (*row.record.statistics, *row.record.step_statistics, *row.record.undefined)
    }
    tables: dict[str, ScoreTable] = {}
    rows = [row for row in scores.rows if row.teacher in teachers]
    for name, metric in scores.plugins.registry.metrics.items():
        if not metric.needs <= gathered:
            continue
        windows: Sequence[str] = [metric.window_read("") or ""]
        if metric.reads == "window":
            # Under the global window it is `global_naturalness`, by another mean.
            windows = [one for one in scores.windows if one != GLOBAL] or scores.windows
        for window in windows:
            if window and window not in scores.windows:
                continue
            table = score_table(rows, scores.scored.prompts, teachers, metric, window)
            shown = name if metric.higher_is_better is not None else f"{name} (more)"
            tables[f"{shown}[{window}]" if metric.reads == "window" else shown] = table
    return MetricScores.from_tables(tables, prompt_set=scores.scored.task)


def with_warm(scores: MetricScores, run: StudyRun, student: str) -> MetricScores:
    """With `warm_naturalness`, where it was scored for all teachers.

    Its prompts are those that no warm-up was trained on; the others are undefined.
    """
    if run.spec.warm is None:
        return scores
    found = [run.done(Unit("warm", student, teacher)) for teacher in scores.teachers]
    return _with(scores, WARM, [one and one["scores"] for one in found], run, student)


def with_utility(
    scores: MetricScores, found: UtilityResult | None, run: StudyRun, student: str
) -> MetricScores:
    """With `utility`, where it was found for all teachers."""
    if found is None:
        return scores
    of_teacher = [found.changes.get(teacher) for teacher in scores.teachers]
    return _with(scores, UTILITY, of_teacher, run, student)


def _with(
    scores: MetricScores, name: str, of_teacher: Sequence[Mapping[str, float | None] | None],
    run: StudyRun, student: str,
) -> MetricScores:  # fmt: skip
    """With a metric, unless a teacher lacks it; prompts without a value are undefined."""
    if any(own is None for own in of_teacher):
        return scores
    prompts = run.scores(student).scored.prompts
    values_1TP = np.array(
        [[[(own or {}).get(prompt, math.nan) for prompt in prompts] for own in of_teacher]],
        np.float64,
    )
    below = scores.denominators
    return replace(
        scores,
        metrics=(*scores.metrics, name),
        values=np.concatenate([scores.values, values_1TP]),
        denominators=None if below is None else np.concatenate([below, np.ones_like(values_1TP)]),
    )


def read_outcomes(run: StudyRun, student: str, budget: Budget) -> Outcomes | None:
    """What the arms of a student reached; None where no trained one is there."""
    arms: dict[tuple[str, Any], list[dict[str, dict[str, float]] | None]] = {
        (_NONE, "none"): [_values(run, Unit("none", student))]
    }
    for kind, names in (("teacher", run.teachers), ("selection", tuple(run.spec.selections))):
        for name in names:
            arms[name, kind] = [
                _values(run, Unit(kind, student, name, budget, seed))  # type: ignore[arg-type]
                for seed in run.spec.seeds
            ]
    arms = {arm: seeds for arm, seeds in arms.items() if any(one is not None for one in seeds)}
    if not any(kind != "none" for _, kind in arms):
        return None
    documents = sorted(
        {
            (task, document)
            for seeds in arms.values() for one in seeds if one is not None
            for task, values in one.items() for document in values
        },
        key=lambda key: (key[0], len(key[1]), key[1]),
    )  # fmt: skip
    values_ASI = np.full((len(arms), len(run.spec.seeds), len(documents)), math.nan)
    for a, seeds in enumerate(arms.values()):
        for s, one in enumerate(seeds):
            if one is not None:
                values_ASI[a, s] = [
                    one.get(task, {}).get(document, math.nan) for task, document in documents
                ]
    names, kinds = zip(*arms, strict=True)
    bounds = (0.0, 1.0) if np.nanmin(values_ASI) >= 0 and np.nanmax(values_ASI) <= 1 else None
    return Outcomes(
        names, kinds, values_ASI, bounds=bounds, label=f"{run.spec.name}: {student}, {budget.name}",
        item_set=f"{json.dumps(run.tasks)} {run.spec.evaluation.limit}",
        tasks=tuple(task for task, _ in documents),
    )  # fmt: skip


def _values(run: StudyRun, unit: Unit) -> dict[str, dict[str, float]] | None:
    found = run.done(unit)
    return None if found is None else found["values"]
