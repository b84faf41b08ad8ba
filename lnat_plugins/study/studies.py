"""Several studies brought together, such as one of each family of tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import user_path
from lnat_plugins.formatting import join_blocks
from lnat_plugins.outputs import check_file, with_keys, write_atomic
from lnat_plugins.ranking.bootstrap import RESAMPLES, check_resampling
from lnat_plugins.study.jobs import run_units
from lnat_plugins.study.results import StudyResult, Together, together, write_results
from lnat_plugins.study.run import StudyRun

RESULTS: Final = "studies.json"
_MOST_RESAMPLES: Final = 100_000


@dataclass(frozen=True, eq=False)
class Studies:
    """Several studies.

    Attributes:
        studies: one each.
        together: over all students and budgets of all of them; None for one result.
    """

    studies: tuple[StudyResult, ...]
    together: Together | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values; what each study says alone is in its own `study.json`."""
        return {
            "studies": [one.study for one in self.studies],
            "missing": {one.study: list(one.missing) for one in self.studies},
            "together": None if self.together is None else self.together.as_dict(),
        }

    def to_json(self) -> str:
        """`as_dict` as text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Every study, then all together."""
        blocks: list[str | Sequence[str]] = []
        for one in self.studies:
            blocks += [f"## {one.study}", one.to_markdown().rstrip("\n")]
        if self.together is not None:
            blocks += ["## All studies", *self.together.blocks()]
        return join_blocks(*blocks)


def open_studies(
    studies: Sequence[str | Path], folder: str | Path | None, overwrite: bool = False
) -> list[StudyRun]:
    """Reads studies: one with its results in `folder`, of several each in a folder there.

    Args:
        folder: by default a folder of the study's name beside its file; needed for several.
        overwrite: whether files that no study wrote are replaced.

    Raises:
        ConfigError, DataError, StudentError: as `StudyRun.of`; several studies without a folder,
            two of one name, or such that are measured by different metrics; files in the way.
    """
    if len(studies) == 1:
        run = StudyRun.of(studies[0], folder)
        run.check_files(overwrite)
        return [run]
    if folder is None:
        raise ConfigError(
            "several studies need a folder for their results", where="--output_path",
            remedy="give --output_path DIR; each study gets a folder in it",
        )  # fmt: skip
    runs = [StudyRun.of(one) for one in studies]
    (name, count), *_ = Counter(run.spec.name for run in runs).most_common(1)
    if count > 1:
        raise ConfigError(
            "two studies have the same name", where=f"{studies[0]}: study", found=name,
            remedy="give each a name of its own",
        )  # fmt: skip
    measured = {run.spec.evaluation.metric for run in runs}
    if len(measured) > 1:
        raise ConfigError(
            "studies of different metrics cannot be brought together",
            where="evaluation: metric", found=", ".join(sorted(measured)),
            remedy="run those of one metric in a command of their own",
        )  # fmt: skip
    root = user_path(folder, ConfigError).resolve()
    runs = [StudyRun(run.spec, run.teacher_set, root / run.spec.name) for run in runs]
    is_ours = with_keys("studies", "together")
    check_file(root / RESULTS, is_ours, overwrite=overwrite, option="--output_path")
    for run in runs:
        run.check_files(overwrite)
    return runs


def check_study_resampling(iters: int, seed: int) -> None:
    """Refuse numbers below 0, and more resamples than memory allows (ConfigError).

    Each holds a number for every prompt and every item.
    """
    check_resampling(iters, seed, _MOST_RESAMPLES)


def write_studies(runs: Sequence[StudyRun], *, iters: int = RESAMPLES, seed: int = 1234) -> Studies:
    """Reads the results; writes `study.json` of each, and `studies.json` of several.

    Args:
        iters, seed: of the resampling.

    Raises:
        ConfigError: as `check_study_resampling`.
        DataError: a study has no results yet.
    """
    check_study_resampling(iters, seed)
    found = tuple(write_results(run, iters=iters, seed=seed) for run in runs)
    if len(found) == 1:
        return Studies(found, found[0].together)
    result = Studies(found, together([one for study in found for one in study.students]))
    write_atomic(runs[0].folder.parent / RESULTS, result.to_json(), "--output_path")
    return result


def run_studies(
    studies: Sequence[str | Path],
    output_path: str | Path,
    *,
    jobs: int = 1,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
    overwrite: bool = False,
) -> Studies:
    """Does what is left of several studies, one after the other, and brings them together.

    Args, Raises: as `run_study`; each study has a folder of its name in `output_path`.
    """
    check_study_resampling(bootstrap_iters, seed)
    runs = open_studies(studies, output_path, overwrite)
    for run in runs:
        for _ in run_units(run, run.units, jobs):
            pass
    return write_studies(runs, iters=bootstrap_iters, seed=seed)
