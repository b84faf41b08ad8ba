"""The result of a study: what the units reached, and which metric predicted it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from lnat_plugins.api import Scores
from lnat_plugins.errors import DataError
from lnat_plugins.files import write_atomic
from lnat_plugins.formatting import join_blocks, markdown_table, number, plural
from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking.table import ScoreTable, score_table
from lnat_plugins.study.ablation import Ablation, ablation
from lnat_plugins.study.agreement import Agreement, agreement
from lnat_plugins.study.arms import ArmTable, arm_table
from lnat_plugins.study.gains import Gains, gains
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.reliability import Reliability, reliability
from lnat_plugins.study.run import StudyRun, run_units
from lnat_plugins.study.scores import MetricScores
from lnat_plugins.study.spec import Budget
from lnat_plugins.study.students import Students, compare_students, pool_tau
from lnat_plugins.study.units import Unit
from lnat_plugins.study.verdict import pooled_verdict, students_verdict, verdict

RESULT: Final = "study.json"
WARM: Final = "warm_naturalness"
_NONE: Final = "none"
_NAMED: Final = 3


@dataclass(frozen=True, eq=False)
class StudentResult:
    """One student under one budget.

    Attributes:
        student, budget: by their names in the study.
        model: the student's folder or hub id.
        arms, reliability, agreement, ablation, gains: see the modules of these names; the last
            three are None where there is nothing to compare.
        verdict: sentences.
    """

    student: str
    model: str
    budget: str
    arms: ArmTable
    reliability: Reliability | None
    agreement: Agreement | None
    ablation: Ablation | None
    gains: Gains | None
    verdict: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """All students and budgets.

    Attributes:
        study: its name.
        measured: the metric of the tasks that means are of; higher is better.
        students: one for each student and budget that has results.
        pooled: sentences over all of them; empty for one.
        missing: units that are not done.
    """

    study: str
    measured: str
    students: tuple[StudentResult, ...]
    pooled: tuple[str, ...]
    missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON values; `reference` is what `lnat rank --reference` reads."""
        found = [
            {"student": one.student, "model": one.model, "budget": one.budget,
             "accuracy": dict(one.agreement.accuracy)}
            for one in self.students if one.agreement is not None
        ]  # fmt: skip
        return {
            "study": self.study,
            "measured": self.measured,
            "missing": list(self.missing),
            "pooled": list(self.pooled),
            "reference": found,
            "students": [
                {
                    "student": one.student,
                    "budget": one.budget,
                    "verdict": list(one.verdict),
                    **{
                        name: None if part is None else part.as_dict()
                        for name, part in (
                            ("arms", one.arms), ("reliability", one.reliability),
                            ("agreement", one.agreement), ("ablation", one.ablation),
                            ("gains", one.gains),
                        )
                    },
                }
                for one in self.students
            ],
        }  # fmt: skip

    def to_json(self) -> str:
        """`as_dict` as text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """As `lnat study` prints it."""
        blocks: list[str | Sequence[str]] = []
        if self.missing:
            more = ", …" if len(self.missing) > _NAMED else ""
            shown = ", ".join(self.missing[:_NAMED]) + more
            verb = "is" if len(self.missing) == 1 else "are"
            blocks.append(f"{plural(len(self.missing), 'unit')} {verb} not done ({shown})")
        for one in self.students:
            blocks.append(
                f"student: {one.student}, budget: {one.budget}, measured: {self.measured}"
            )
            blocks.append([*one.verdict])
            blocks.append(_arms(one.arms))
            if one.arms.tasks:
                blocks.append(_tasks(one.arms))
            if one.agreement is not None:
                blocks.append(one.agreement.to_markdown())
            if one.gains is not None:
                blocks.append(one.gains.to_markdown())
        if self.pooled:
            blocks.append("All students and budgets:")
            blocks.append([*self.pooled])
        return join_blocks(*blocks)


def run_study(
    study: str | Path,
    output_path: str | Path | None = None,
    *,
    jobs: int = 1,
    bootstrap_iters: int = 10_000,
    seed: int = 1234,
) -> StudyResult:
    """Does what is left of a study, and says what came out, as `lnat study` does.

    A script that calls it with several jobs needs `if __name__ == "__main__":`.

    Args:
        study: the YAML.
        output_path: folder of the units and of `study.json`; by default the study's name, beside
            the YAML.
        jobs: units at once.
        bootstrap_iters, seed: of the resampling.

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    run = StudyRun.of(study, output_path)
    for _ in run_units(run, run.units, jobs):
        pass
    return write_results(run, iters=bootstrap_iters, seed=seed)


def write_results(run: StudyRun, *, iters: int = 10_000, seed: int = 1234) -> StudyResult:
    """Reads the results and writes `study.json`; Args, Raises: as `read_results`."""
    result = read_results(run, iters=iters, seed=seed)
    write_atomic(run.folder / RESULT, result.to_json(), "--output_path")
    return result


def read_results(run: StudyRun, *, iters: int = 10_000, seed: int = 1234) -> StudyResult:
    """What the units that are done say together.

    Args:
        iters, seed: of the resampling.

    Raises:
        DataError: no student has results; units that were evaluated on other documents.
    """
    missing = tuple(unit.name for unit in run.units if run.done(unit) is None)
    found, outcomes = [], []
    for student in run.spec.students:
        for budget in run.spec.budgets:
            reached = _outcomes(run, student, budget)
            if reached is not None:
                found.append(_result(run, student, budget, reached, iters, seed))
                outcomes.append(reached)
    if not found:
        raise DataError(
            "no trained student was evaluated yet", where=str(run.folder),
            remedy="run the study first: lnat study",
        )  # fmt: skip
    compared = [one.agreement for one in found if one.agreement is not None]
    pooled: tuple[str, ...] = ()
    if len(compared) > 1:
        pairs = [o for o, one in zip(outcomes, found, strict=True) if one.agreement is not None]
        together: Students = compare_students(pairs, compared)
        pooled = (
            *pooled_verdict(compared[0].baseline or "", pool_tau(compared)),
            *students_verdict(together),
        )
    measured = run.spec.evaluation.metric
    return StudyResult(run.spec.name, measured, tuple(found), pooled, missing)


def _result(
    run: StudyRun, student: str, budget: Budget, outcomes: Outcomes, iters: int, seed: int
) -> StudentResult:
    arms = arm_table(outcomes, iters=iters, seed=seed)
    found: Agreement | None = None
    left_out: Ablation | None = None
    reliable: Reliability | None = None
    if len(outcomes.teachers) > 1:
        scores = with_warm(metric_scores(run.scores(student), outcomes.teachers), run, student)
        found = agreement(outcomes, scores, iters=iters, seed=seed)
        reliable = reliability(outcomes, seed=seed)
        left_out = ablation(outcomes, scores) if len(outcomes.teachers) > 2 else None
    gained = None
    if outcomes.of_kind("selection") and (
        outcomes.teachers or len(outcomes.of_kind("selection")) > 1
    ):
        gained = gains(outcomes, iters=iters, seed=seed)
    said = () if found is None or reliable is None else verdict(
        found, reliable, arms=arms, gains=gained, ablation=left_out
    )  # fmt: skip
    model = run.spec.students[student]
    return StudentResult(student, model, budget.name, arms, reliable, found, left_out, gained, said)


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
    of_teacher = [one["scores"] for one in found if one is not None]
    if len(of_teacher) < len(found):
        return scores
    prompts = run.scores(student).scored.prompts
    values_1TP = np.array(
        [[[own.get(prompt, math.nan) for prompt in prompts] for own in of_teacher]], np.float64
    )
    below = scores.denominators
    return replace(
        scores,
        metrics=(*scores.metrics, WARM),
        values=np.concatenate([scores.values, values_1TP]),
        denominators=None if below is None else np.concatenate([below, np.ones_like(values_1TP)]),
    )


def _outcomes(run: StudyRun, student: str, budget: Budget) -> Outcomes | None:
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
    label = f"{student}, {budget.name}"
    return Outcomes(
        names, kinds, values_ASI, bounds=bounds, label=label, item_set=run.spec.name,
        tasks=tuple(task for task, _ in documents),
    )  # fmt: skip


def _values(run: StudyRun, unit: Unit) -> dict[str, dict[str, float]] | None:
    found = run.done(unit)
    return None if found is None else found["values"]


def _arms(table: ArmTable) -> str:
    return markdown_table(
        ["arm", "kind", "mean", "interval", "gain over none", "interval", "seeds"],
        [
            [
                one.name, one.kind, number(one.mean.value, 3), one.mean.interval(3),
                number(one.gain.value, 3), one.gain.interval(3), str(one.seeds),
            ]
            for one in table.arms
        ],
        left=2,
    )  # fmt: skip


def _tasks(table: ArmTable) -> str:
    """The means of the arms, a column for each task."""
    return markdown_table(
        ["mean", *table.tasks],
        [
            [one.name, *(number(means[one.name], 3) for means in table.tasks.values())]
            for one in table.arms
        ],
        left=1,
    )
