"""The result of a study: what the units reached, and which metric predicted it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import (
    is_or_are,
    join_blocks,
    markdown_table,
    number,
    plain,
    plural,
)
from lnat_plugins.outputs import write_atomic
from lnat_plugins.ranking.bootstrap import RESAMPLES
from lnat_plugins.steps.prefix import in_words as prefix_in_words
from lnat_plugins.study.ablation import Ablation, ablation
from lnat_plugins.study.agreement import Agreement, agreement
from lnat_plugins.study.arms import ArmTable, arm_table
from lnat_plugins.study.gains import Gains, gains
from lnat_plugins.study.jobs import run_units
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.pool import Pooled, pool
from lnat_plugins.study.read import metric_scores, read_outcomes, with_utility, with_warm
from lnat_plugins.study.reliability import Reliability, reliability
from lnat_plugins.study.run import RESULT, StudyRun
from lnat_plugins.study.spec import Budget
from lnat_plugins.study.students import compare_students
from lnat_plugins.study.utility_result import UtilityResult, read_utility
from lnat_plugins.study.verdict import pooled_verdict, students_verdict, verdict
from lnat_plugins.study.versions import VersionGroup, in_words

_NAMED: Final = 3


@dataclass(frozen=True, eq=False)
class StudentResult:
    """One student under one budget.

    Attributes:
        student, budget: by their names in the study.
        model: the student's folder or hub id.
        arms, reliability, agreement, ablation, gains: see the modules of these names; the last
            three are None where there is nothing to compare.
        outcomes: what the arms reached, seed by seed and item by item.
        verdict: sentences.
        utility: how its update was calibrated; None without it, or while it is not done.
    """

    student: str
    model: str
    budget: str
    arms: ArmTable
    reliability: Reliability | None
    agreement: Agreement | None
    ablation: Ablation | None
    gains: Gains | None
    outcomes: Outcomes
    verdict: tuple[str, ...]
    utility: UtilityResult | None = None


@dataclass(frozen=True, eq=False)
class Together:
    """Several results.

    Attributes:
        results: those that have an order of teachers.
        pooled: the averages over them.
        verdict: sentences.
    """

    results: tuple[StudentResult, ...]
    pooled: Pooled
    verdict: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null; `results` has the means of all arms."""
        results = [plain(_in_short(one)) for one in self.results]
        return {"verdict": list(self.verdict), "results": results, **self.pooled.as_dict()}

    def blocks(self) -> list[str | Sequence[str]]:
        """As markdown: sentences and tables."""
        return [[*self.verdict], _overview(self.results), self.pooled.to_markdown()]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """All students and budgets.

    Attributes:
        study: its name.
        measured: the metric of the tasks that means are of; higher is better.
        students: one for each student and budget that has results.
        together: over all of them; None for one.
        missing: units that are not done.
        versions: the units that are done, by the versions that did them.
        prefix: the part of each response that the metrics' scores are of; "" = all.
    """

    study: str
    measured: str
    students: tuple[StudentResult, ...]
    together: Together | None
    missing: tuple[str, ...]
    versions: tuple[VersionGroup, ...] = ()
    prefix: str = ""

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
            **({"prefix": self.prefix} if self.prefix else {}),
            "missing": list(self.missing),
            "versions": [one.as_dict() for one in self.versions],
            "together": None if self.together is None else self.together.as_dict(),
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
                    **({} if one.utility is None else {"utility": one.utility.as_dict()}),
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
            verb = is_or_are(len(self.missing))
            blocks.append(f"{plural(len(self.missing), 'unit')} {verb} not done ({shown})")
        blocks.append(in_words(self.versions))
        for one in self.students:
            blocks.append(
                f"student: {one.student}, budget: {one.budget}, measured: {self.measured}"
                + (f", scores of {prefix_in_words(self.prefix)}" if self.prefix else "")
            )
            blocks.append([*one.verdict])
            blocks.append(one.arms.to_markdown())
            if one.agreement is not None:
                blocks.append(one.agreement.to_markdown())
            if one.utility is not None:
                blocks.append(one.utility.to_markdown())
            if one.gains is not None:
                blocks.append(one.gains.to_markdown())
        if self.together is not None:
            blocks.append("All students and budgets:")
            blocks += self.together.blocks()
        return join_blocks(*blocks)


def run_study(
    study: str | Path,
    output_path: str | Path | None = None,
    *,
    jobs: int = 1,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
    overwrite: bool = False,
) -> StudyResult:
    """Does what is left of a study, and says what came out, as `lnat study` does.

    A script that calls it with several jobs needs `if __name__ == "__main__":`.

    Args:
        study: the YAML.
        output_path: folder of the units and of `study.json`; by default the study's name, beside
            the YAML.
        jobs: units at once.
        bootstrap_iters, seed: of the resampling.
        overwrite: whether files that no study wrote are replaced.

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    run = StudyRun.of(study, output_path)
    run.check_files(overwrite)
    for _ in run_units(run, run.units, jobs):
        pass
    return write_results(run, iters=bootstrap_iters, seed=seed)


def write_results(run: StudyRun, *, iters: int = RESAMPLES, seed: int = 1234) -> StudyResult:
    """Reads the results and writes `study.json`; Args, Raises: as `read_results`."""
    result = read_results(run, iters=iters, seed=seed)
    write_atomic(run.folder / RESULT, result.to_json(), "--output_path")
    return result


def read_results(run: StudyRun, *, iters: int = RESAMPLES, seed: int = 1234) -> StudyResult:
    """What the units that are done say together.

    Args:
        iters, seed: of the resampling.

    Raises:
        DataError: no student has results; units that were evaluated on other documents.
    """
    missing = tuple(unit.name for unit in run.units if run.done(unit) is None)
    found = []
    for student in run.spec.students:
        for budget in run.spec.budgets:
            reached = read_outcomes(run, student, budget)
            if reached is not None:
                found.append(_result(run, student, budget, reached, iters, seed))
    if not found:
        raise DataError(
            "no trained student was evaluated yet", where=str(run.folder),
            remedy="run the study first: lnat study",
        )  # fmt: skip
    measured = run.spec.evaluation.metric
    return StudyResult(
        run.spec.name, measured, tuple(found), together(found), missing, run.versions,
        run.scores(found[0].student).scored.prefix,
    )  # fmt: skip


def together(results: Sequence[StudentResult]) -> Together | None:
    """Brings results together, of one study or of several; None for fewer than two.

    Raises:
        DataError: two studies of one name.
    """
    ordered = [one for one in results if one.agreement is not None]
    agreements = [one.agreement for one in ordered if one.agreement is not None]
    if len(agreements) < 2:
        return None
    outcomes = [one.outcomes for one in ordered]
    pooled = pool(outcomes, agreements)
    noise = [
        one.outcomes.label
        for one in ordered
        if one.reliability is not None and one.reliability.is_noise
    ]
    said = pooled_verdict(pooled, noise)
    same = {(one.outcomes.item_set, one.budget, one.outcomes.teachers) for one in ordered}
    if len(same) == 1:
        said += students_verdict(compare_students(outcomes, agreements))
    return Together(tuple(ordered), pooled, said)


def _result(
    run: StudyRun, student: str, budget: Budget, outcomes: Outcomes, iters: int, seed: int
) -> StudentResult:
    arms = arm_table(outcomes, iters=iters, seed=seed)
    updated = read_utility(run, student)
    found: Agreement | None = None
    left_out: Ablation | None = None
    reliable: Reliability | None = None
    if len(outcomes.teachers) > 1:
        scores = metric_scores(run.scores(student), outcomes.teachers)
        scores = with_utility(with_warm(scores, run, student), updated, run, student)
        found = agreement(outcomes, scores, iters=iters, seed=seed)
        reliable = reliability(outcomes, seed=seed)
        if len(outcomes.teachers) > 2:
            left_out = ablation(outcomes, scores, draws=found.draws)
    gained = None
    if outcomes.of_kind("selection") and (
        outcomes.teachers or len(outcomes.of_kind("selection")) > 1
    ):
        gained = gains(outcomes, iters=iters, seed=seed)
    said = () if found is None or reliable is None else verdict(
        found, reliable, arms=arms, gains=gained, ablation=left_out,
        utility=None if updated is None else updated.calibration,
    )  # fmt: skip
    model = run.spec.students[student]
    return StudentResult(
        student, model, budget.name, arms, reliable, found, left_out, gained, outcomes, said,
        updated,
    )  # fmt: skip


def _in_short(one: StudentResult) -> dict[str, Any]:
    """What was trained, what it reached, and how well its order is known; JSON values."""
    arms = {arm.name: arm for arm in one.arms.arms if arm.kind == "teacher"}
    best = max(arms.values(), key=lambda arm: arm.mean.value)
    untrained = [arm.mean.value for arm in one.arms.arms if arm.kind == "none"]
    reliable = one.reliability
    return {
        "label": one.outcomes.label,
        "teachers": len(arms),
        "seeds": best.seeds,
        "none": untrained[0] if untrained else None,
        "best_teacher": best.name,
        "best": best.mean.value,
        "sd_of_teachers": float(np.std([arm.mean.value for arm in arms.values()], ddof=1)),
        "at_the_floor": sum(arm.floor for arm in arms.values()),
        "reliability": None if reliable is None else reliable.share.value,
        "largest_tau": None if reliable is None else reliable.largest_tau,
        "arms": {arm.name: arm.mean.value for arm in one.arms.arms},
    }


def _overview(results: Sequence[StudentResult]) -> str:
    """A line a result."""
    rows = [
        [
            one["label"], str(one["teachers"]), str(one["seeds"]), _known(one["none"], 3),
            one["best_teacher"], number(one["best"], 3), number(one["sd_of_teachers"], 3),
            str(one["at_the_floor"]), _known(one["reliability"], 3), _known(one["largest_tau"], 2),
        ]
        for one in map(_in_short, results)
    ]  # fmt: skip
    headers = ["Study: student, budget", "teachers", "seeds", "none", "best teacher", "its mean"]
    headers += ["SD of teachers", "at the floor", "reliability", "largest tau-b"]
    return markdown_table(headers, rows, left=1)


def _known(value: float | None, digits: int) -> str:
    return "" if value is None else number(value, digits)
