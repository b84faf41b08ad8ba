"""Runs a study's units, one at a time.

A unit's folder holds its training set as `lnat select` writes it, with the `sft.yaml` that it is
trained by, what was printed, and the file that says that it is done.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lnat_plugins.api import load_teacher_set, read_scores
from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.files import check_model_folder, user_path
from lnat_plugins.folders import emptied
from lnat_plugins.harness.command import run_lm_eval
from lnat_plugins.harness.evaluation import evaluate_documents
from lnat_plugins.locks import locked
from lnat_plugins.outputs import OVERWRITE, check_file, with_keys
from lnat_plugins.plugins import load_plugins
from lnat_plugins.plugins.configured import resolve
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.selection.answers import as_trained
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.study.known_by import digest, named_files, text_of
from lnat_plugins.study.rate import HeldOut, mean_log_probs, rate
from lnat_plugins.study.rows import held_out, rows_of, update_prompts
from lnat_plugins.study.spec import StudySpec, Utility, Warm, read_study
from lnat_plugins.study.units import (
    UNIT,
    Unit,
    read_done,
    sampled_teachers,
    units_of,
    write_done,
)
from lnat_plugins.study.utility import BEFORE, LONGER, Calibration, read_calibration, settings_of
from lnat_plugins.study.versions import VERSIONS, VersionGroup, by_versions, installed
from lnat_plugins.teacher_set import TeacherSet

LOG: Final = "log.txt"
RESULT: Final = "study.json"
_TASK: Final = "scores"


@dataclass(frozen=True)
class StudyRun:
    """A study and the folder of its results.

    Attributes:
        spec: as read.
        teacher_set: loaded.
        folder: of all units.
        weighing: the selections whose rows weigh differently in the loss.
    """

    spec: StudySpec
    teacher_set: TeacherSet
    folder: Path
    weighing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, study: str | Path, folder: str | Path | None = None) -> StudyRun:
        """Reads the study and its teacher set, and looks whether there are students.

        Args:
            folder: by default the study's name, beside its file.

        Raises:
            ConfigError, DataError, StudentError: what is wrong with them.
        """
        spec = read_study(study)
        for student in spec.students.values():
            check_model_folder(student, f"{spec.source}: students")
        folder = (
            spec.source.parent / spec.name if folder is None else user_path(folder, ConfigError)
        )
        teacher_set = load_teacher_set(spec.teacher_set)
        for teacher in spec.teachers or ():
            if teacher not in teacher_set.teachers:
                raise ConfigError(
                    "the teacher set has no such teacher", where=f"{spec.source}: teachers",
                    found=teacher, remedy=did_you_mean(teacher, teacher_set.teachers),
                )  # fmt: skip
        plugins = load_plugins()
        windows = list(teacher_set.settings.windows)
        # Refused now, and not when a student was trained on all teachers.
        where = f"{spec.source}: selections"
        blocks = {
            name: resolve({"windows": windows, **block}, plugins, f"{where}: {name}")
            for name, block in spec.selections.items()
        }
        weighing = frozenset(n for n, one in blocks.items() if one.weighs and not one.resample)
        return cls(spec, teacher_set, folder.resolve(), weighing)

    def check_files(self, overwrite: bool = False) -> None:
        """Refuse to replace files that no study wrote, and a folder that cannot be written to.

        Args:
            overwrite: whether they may be replaced.

        Raises:
            ConfigError: it is refused.
        """
        is_ours = with_keys("study", "students")
        check_file(self.folder / RESULT, is_ours, overwrite=overwrite, option="--output_path")
        for unit in () if overwrite else self.units:
            folder = self.folder_of(unit)
            found = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
            if (found and not {UNIT, LOG} & {*found}) or (not folder.is_dir() and folder.exists()):
                raise ConfigError(
                    "files that no study wrote are in the way of a unit", where=str(folder),
                    found=", ".join(found) or "a file",
                    remedy=f"name another path, or replace them with {OVERWRITE}",
                )  # fmt: skip

    @functools.cached_property
    def teachers(self) -> tuple[str, ...]:
        """Those that are arms."""
        return self.teacher_set.teachers if self.spec.teachers is None else self.spec.teachers

    @functools.cached_property
    def units(self) -> list[Unit]:
        """All of them, in order."""
        return units_of(self.spec, self.teachers)

    def folder_of(self, unit: Unit) -> Path:
        """Where the unit's files are."""
        return self.folder / unit.name

    def done(self, unit: Unit) -> dict[str, Any] | None:
        """What the unit wrote; None if it is to be done."""
        return read_done(self.folder_of(unit), self._key(unit))

    @property
    def versions(self) -> tuple[VersionGroup, ...]:
        """The units that are done, by the versions that did them."""
        found = ((unit.name, self.done(unit)) for unit in self.units)
        return by_versions((name, one) for name, one in found if one is not None)

    @functools.cached_property
    def installed(self) -> dict[str, str]:
        """The versions of the packages that decide a result."""
        return installed(self.teacher_set.settings.steps)

    def run(self, unit: Unit) -> dict[str, Any]:
        """Does a unit, unless it is done; what it wrote.

        Raises:
            ConfigError: a unit that needs another one, such as the student's scores, or that
                another process is doing.
        """
        if (found := self.done(unit)) is not None:
            return found
        folder = self.folder_of(unit)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder, patience=0, what="another process is doing this unit"):
            if (found := self.done(unit)) is not None:
                return found
            emptied(folder)
            return self._do(unit, folder)

    def _do(self, unit: Unit, folder: Path) -> dict[str, Any]:
        start = time.perf_counter()
        with _printing_to(folder / LOG):
            work = {
                "scores": self._score, "warm": self._warm, "before": self._update,
                "calibration": self._update, "utility": self._update,
            }.get(unit.kind, self._train)  # fmt: skip
            result = work(unit)
        result["seconds"] = round(time.perf_counter() - start, 3)
        result[VERSIONS] = self.installed
        write_done(folder, self._key(unit), result)
        return result

    def scores(self, student: str) -> Scores:
        """Of the teacher set by a student; ConfigError if it has not scored it."""
        unit = Unit("scores", student)
        if self.done(unit) is None:
            raise ConfigError(
                "this student has not scored the teacher set yet", where=student,
                remedy=f"do the unit {unit.name} first",
            )  # fmt: skip
        if student not in self._read:
            folder = self.folder_of(unit) / _TASK
            self._read[student] = read_scores(folder, tokenizer=self.spec.students[student])
        return self._read[student]

    def calibration(self, student: str) -> Calibration | None:
        """Which update `utility` takes for a student; None while a unit of it is not done."""
        before = self.done(Unit("before", student))
        found = {
            teacher: self.done(Unit("calibration", student, teacher))
            for teacher in sampled_teachers(self.spec, self.teachers)
        }
        return read_calibration(before, found, self.spec.utility or Utility())

    @functools.cached_property
    def _read(self) -> dict[str, Scores]:
        """The scores read so far."""
        return {}

    @functools.cached_property
    def _students(self) -> dict[str, str]:
        """Student -> what its files are known by, or its name on the hub."""
        return {
            name: digest(sorted(Path(student).iterdir())) if Path(student).is_dir() else student
            for name, student in self.spec.students.items()
        }

    @functools.cached_property
    def tasks(self) -> list[list[str]]:
        """Of each task what its file says and what the files that it names are known by."""
        return [[text_of(task), digest(named_files(task))] for task in self.spec.evaluation.tasks]

    @functools.cached_property
    def _with_template(self) -> dict[str, bool]:
        """Student -> whether prompts are rendered in a chat template."""
        if self.spec.apply_chat_template is not None:
            return dict.fromkeys(self.spec.students, self.spec.apply_chat_template)
        remedy = "check the student's folder"
        return {
            name: bool(load_tokenizer(student, remedy).chat_template)
            for name, student in self.spec.students.items()
        }

    def _score(self, unit: Unit) -> dict[str, Any]:
        evaluation, student = self.spec.evaluation, self.spec.students[unit.student]
        options = ["--apply_chat_template"] if self._with_template[unit.student] else []
        options += ["--device", evaluation.device] if evaluation.device else []
        arguments = {**evaluation.model_args, "pretrained": student}
        code = run_lm_eval(
            [
                "--model", "hf", "--tasks", self.spec.teacher_set, "--log_samples",
                "--model_args", ",".join(f"{key}={value}" for key, value in arguments.items()),
                "--output_path", str(self.folder_of(unit) / _TASK), *options,
            ]
        )  # fmt: skip
        if code:
            raise ConfigError(
                "lm_eval did not score the teacher set", where=unit.name, found=f"exit code {code}",
                remedy=f"see {self.folder_of(unit) / LOG}",
            )  # fmt: skip
        return {}

    def _train(self, unit: Unit) -> dict[str, Any]:
        folder, student = self.folder_of(unit), self.spec.students[unit.student]
        result: dict[str, Any] = {}
        model = student
        if unit.kind != "none":
            epochs = unit.budget.epochs if unit.budget is not None else None
            settings = {} if epochs is None else {"num_train_epochs": epochs}
            result |= self._fit(unit, {"seed": unit.seed, **settings})
            model = str(folder / "model")
        evaluation = self.spec.evaluation
        result["values"] = evaluate_documents(
            model,
            evaluation.tasks,
            evaluation.metric,
            filter_name=evaluation.filter,
            include_path=evaluation.include_path,
            model_args=evaluation.model_args,
            limit=evaluation.limit,
            gen_kwargs=dict(evaluation.gen_kwargs) or None,
            batch_size=evaluation.batch_size,
            device=evaluation.device,
            apply_chat_template=self._with_template[unit.student],
        )
        if not self.spec.keep_models:
            shutil.rmtree(folder / "model", ignore_errors=True)
        return result

    def _fit(
        self, unit: Unit, settings: Mapping[str, Any], name: str = "", *, longer: bool = False
    ) -> dict[str, Any]:
        """Trains on the unit's rows, in the folder of that name in its own; how many these are."""
        from lnat_plugins.hooks.trl_train import train

        folder = self.folder_of(unit) / name
        scores, selection = rows_of(unit, self.spec, self.scores(unit.student), longer=longer)
        settings = {
            "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
            **self.spec.sft, **settings, "output_dir": str(folder / "model"),
        }  # fmt: skip
        write_training_set(
            folder / "rows", scores.candidates, selection,
            provenance=scores.provenance, sft_settings=settings,
        )  # fmt: skip
        rows = as_trained(selection, scores.candidates, selection.indices)
        weighed = self._weighs(unit) or selection.weighted  # a plugin's choice may be
        train(folder / "rows" / "sft.yaml", selection.row_weights if weighed else None)
        tokens = sum(scores.scored_student.training_tokens(rows))
        return {"rows": len(rows), "tokens": tokens}

    def _warm(self, unit: Unit) -> dict[str, Any]:
        """Scores the prompts that the warm-up did not use, by the first window of the set."""
        warm = self.spec.warm or Warm()
        settings = {"seed": self.spec.seeds[0], "max_steps": warm.updates}
        result = self._fit(unit, settings)
        kept = held_out(self.spec, self.scores(unit.student))
        folder, window = self.folder_of(unit) / "model", self.teacher_set.settings.windows[0]
        found = rate(
            folder, self.teacher_set, "local_naturalness", window, prompts=kept,
            wanted=lambda one: one.teacher == unit.arm, device=self.spec.evaluation.device,
            apply_chat_template=self._with_template[unit.student],
        )  # fmt: skip
        means = found.groupby("prompt_id", sort=False)[f"local_naturalness[{window}]"].mean()
        if not self.spec.keep_models:
            shutil.rmtree(folder, ignore_errors=True)
        values = {prompt: None if math.isnan(v) else v for prompt, v in means.items()}
        return result | {"scores": values}

    def _update(self, unit: Unit) -> dict[str, Any]:
        """Log-probabilities at held-out prompts after each update of the unit, or before any."""
        utility, start = self.spec.utility or Utility(), {"seed": self.spec.seeds[0]}
        if unit.kind == "before":
            found = self._log_probs(unit, self.spec.students[unit.student])
            # The same after every update: neither the text nor the context changes.
            return {"updates": 0, "log_probs": {BEFORE: found.means}, "left_out": found.left_out}
        rates: Sequence[float] = utility.learning_rates
        if unit.kind == "utility":
            calibration = self.calibration(unit.student)
            if calibration is None:
                raise ConfigError(
                    "the update of this student is not calibrated yet", where=unit.name,
                    remedy=f"do the units {unit.student}/before and {unit.student}/calibration/… "
                    "first",
                )  # fmt: skip
            rates = [calibration.chosen.learning_rate]
        settings = settings_of(utility, rates, self.spec.sft)
        if unit.kind == "calibration":
            settings[LONGER] = {"max_steps": utility.longer}
        result: dict[str, Any] = {"rows": {}, "updates": 0, "log_probs": {}}
        for name, of in settings.items():
            result["rows"][name] = self._fit(unit, of | start, name, longer=name == LONGER)["rows"]
            result["updates"] += of["max_steps"]
            folder = self.folder_of(unit) / name / "model"
            result["log_probs"][name] = self._log_probs(unit, folder).means
            if not self.spec.keep_models:
                shutil.rmtree(folder, ignore_errors=True)
        return result

    def _log_probs(self, unit: Unit, model: str | Path) -> HeldOut:
        """At the held-out prompts, of the study's teachers."""
        _, measured = update_prompts(self.spec, self.scores(unit.student))
        return mean_log_probs(
            model, self.teacher_set, self.teachers, prompts=measured, where=unit.name,
            apply_chat_template=self._with_template[unit.student],
            device=self.spec.evaluation.device,
        )  # fmt: skip

    def _key(self, unit: Unit) -> dict[str, Any]:
        """All that decides the unit's result."""
        spec = self.spec
        key: dict[str, Any] = {
            "student": self._students[unit.student],
            "apply_chat_template": self._with_template[unit.student],
        }
        if unit.kind != "none":
            key["teacher_set"] = [self.teacher_set.fingerprint, self.teacher_set.settings.as_dict()]
        if unit.kind == "warm":
            key |= {"rows": unit.arm, "warm": asdict(spec.warm or Warm()), "sft": dict(spec.sft)}
            key |= {"shuffle": spec.shuffle, "seed": spec.seeds[0]}
        elif unit.kind in ("before", "calibration", "utility"):
            key |= self._update_key(unit, spec.utility or Utility())
        elif unit.kind != "scores":
            key["evaluation"] = asdict(spec.evaluation)
            key["tasks"] = self.tasks
        if unit.budget is not None:
            block = spec.selections.get(unit.arm) if unit.kind == "selection" else unit.arm
            # `epochs` only where it is given: studies were begun before it could be.
            budget = {"rows": None, "tokens": None, **unit.budget.parts}
            key |= {"rows": block, "budget": budget, "shuffle": spec.shuffle}
            key |= {"sft": dict(spec.sft), "seed": unit.seed}
            if self._weighs(unit):
                key["weighed"] = True  # studies were made before weights reached the loss
        return key

    def _weighs(self, unit: Unit) -> bool:
        return unit.kind == "selection" and unit.arm in self.weighing

    def _update_key(self, unit: Unit, utility: Utility) -> dict[str, Any]:
        """What decides the scores before and after an update."""
        key: dict[str, Any] = {
            "teachers": list(self.teachers), "shuffle": self.spec.shuffle,
            "first": utility.rows, "held_out": utility.held_out,
        }  # fmt: skip
        if unit.kind == "before":
            return key
        key |= {"rows": unit.arm, "updates": utility.updates}
        key |= {"sft": dict(self.spec.sft), "seed": self.spec.seeds[0]}
        if unit.kind == "calibration":
            return key | {"rates": list(utility.learning_rates), "longer": utility.longer}
        calibration = self.calibration(unit.student)
        return key | {"rate": None if calibration is None else calibration.chosen.learning_rate}


@contextlib.contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """What TRL, lm-eval and the commands that they start print goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(1), os.dup(2)]
    with path.open("w", encoding="utf-8") as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            for number, old in zip((1, 2), before, strict=True):
                os.dup2(old, number)
                os.close(old)
