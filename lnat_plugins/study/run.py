"""Runs a study's units: one after the other, several at once, or those that are named.

A unit's folder holds its training set as `lnat select` writes it, with the `sft.yaml` that it is
trained by, what was printed, and the file that says that it is done.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from lnat_plugins.api import Scores, load_teacher_set, read_scores, score
from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.files import check_model_folder, read_yaml
from lnat_plugins.harness.command import run_lm_eval
from lnat_plugins.harness.evaluation import evaluate_documents
from lnat_plugins.plugins import load_plugins
from lnat_plugins.plugins.configured import resolve
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.study.rows import held_out, rows_of
from lnat_plugins.study.spec import StudySpec, Warm, read_study
from lnat_plugins.study.units import Unit, find_unit, read_done, units_of, write_done
from lnat_plugins.teacher_set import TeacherSet

LOG: Final = "log.txt"
_ENDS: Final = 1 << 20
_LONGEST_PATH: Final = 1000
_TASK: Final = "scores"


@dataclass(frozen=True)
class StudyRun:
    """A study and the folder of its results.

    Attributes:
        spec: as read.
        teacher_set: loaded.
        folder: of all units.
    """

    spec: StudySpec
    teacher_set: TeacherSet
    folder: Path

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
        folder = spec.source.parent / spec.name if folder is None else Path(folder).expanduser()
        teacher_set = load_teacher_set(spec.teacher_set)
        for teacher in spec.teachers or ():
            if teacher not in teacher_set.teachers:
                raise ConfigError(
                    "the teacher set has no such teacher", where=f"{spec.source}: teachers",
                    found=teacher, remedy=did_you_mean(teacher, teacher_set.teachers),
                )  # fmt: skip
        plugins = load_plugins()
        windows = list(teacher_set.settings.windows)
        for name, block in spec.selections.items():
            # Refused now, and not when a student was trained on all teachers.
            resolve({"windows": windows, **block}, plugins, f"{spec.source}: selections: {name}")
        return cls(spec, teacher_set, folder.resolve())

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

    def run(self, unit: Unit) -> dict[str, Any]:
        """Does a unit, unless it is done; what it wrote.

        Raises:
            ConfigError: a selection or a teacher of a student that was not scored yet.
        """
        if (found := self.done(unit)) is not None:
            return found
        folder = self.folder_of(unit)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.perf_counter()
        with _printing_to(folder / LOG):
            work = {"scores": self._score, "warm": self._warm}.get(unit.kind, self._train)
            result = work(unit)
        result["seconds"] = round(time.perf_counter() - start, 3)
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

    @functools.cached_property
    def _read(self) -> dict[str, Scores]:
        """The scores read so far."""
        return {}

    @functools.cached_property
    def _students(self) -> dict[str, str]:
        """Student -> what its files are known by, or its name on the hub."""
        return {
            name: _digest(sorted(Path(student).iterdir())) if Path(student).is_dir() else student
            for name, student in self.spec.students.items()
        }

    @functools.cached_property
    def tasks(self) -> list[list[str]]:
        """Of each task what its file says and what the files that it names are known by."""
        return [[_text(task), _digest(_named_files(task))] for task in self.spec.evaluation.tasks]

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
            result |= self._fit(unit, {"seed": unit.seed})
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

    def _fit(self, unit: Unit, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Trains on the unit's rows; how many these are."""
        from lnat_plugins.hooks.trl_train import train

        folder = self.folder_of(unit)
        scores, selection = rows_of(unit, self.spec, self.scores(unit.student))
        settings = {
            "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
            **self.spec.sft, **settings, "output_dir": str(folder / "model"),
        }  # fmt: skip
        write_training_set(
            folder / "rows", scores.candidates, selection,
            provenance=scores.provenance, sft_settings=settings,
        )  # fmt: skip
        rows = [scores.candidates.rows[i] for i in selection.indices]
        train(folder / "rows" / "sft.yaml")
        tokens = sum(scores.scored_student.training_tokens(rows))
        return {"rows": len(rows), "tokens": tokens}

    def _warm(self, unit: Unit) -> dict[str, Any]:
        """Scores the prompts that the warm-up did not use, by the first window of the set."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        warm = self.spec.warm or Warm()
        settings = {"seed": self.spec.seeds[0], "max_steps": warm.updates}
        result = self._fit(unit, settings)
        kept = held_out(self.spec, self.scores(unit.student))
        prompts = [
            replace(prompt, responses=own)
            for prompt in self.teacher_set.prompts
            if prompt.prompt_id in kept
            and (own := tuple(one for one in prompt.responses if one.teacher == unit.arm))
        ]
        folder = self.folder_of(unit) / "model"
        found = score(
            AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
            AutoTokenizer.from_pretrained(folder),
            replace(self.teacher_set, prompts=tuple(prompts), teachers=(unit.arm,), notes=()),
            windows=self.teacher_set.settings.windows[:1],
            metrics="local_naturalness",
            apply_chat_template=self._with_template[unit.student],
            tokens=False,
            sensitivity="none",
        ).to_pandas()
        column = f"local_naturalness[{self.teacher_set.settings.windows[0]}]"
        means = found.groupby("prompt_id", sort=False)[column].mean()
        if not self.spec.keep_models:
            shutil.rmtree(folder, ignore_errors=True)
        values = {prompt: None if math.isnan(v) else v for prompt, v in means.items()}
        return result | {"scores": values}

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
        elif unit.kind != "scores":
            key["evaluation"] = asdict(spec.evaluation)
            key["tasks"] = self.tasks
        if unit.budget is not None:
            block = spec.selections.get(unit.arm) if unit.kind == "selection" else unit.arm
            key |= {"rows": block, "budget": asdict(unit.budget), "shuffle": spec.shuffle}
            key |= {"sft": dict(spec.sft), "seed": unit.seed}
        return key


def run_units(
    run: StudyRun, units: Sequence[Unit], jobs: int
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Does units, `jobs` at once; each with what it wrote, as it is done.

    Students are scored before anything is trained. Each process takes its share of the cores.

    Raises:
        LnatError: of a unit, when those that run have ended.
    """
    for stage in (
        [unit for unit in units if unit.kind == "scores"],
        [unit for unit in units if unit.kind != "scores"],
    ):
        if jobs == 1:
            for unit in stage:
                yield unit, run.run(unit)
            continue
        threads = max(1, (os.cpu_count() or 1) // jobs)
        with ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
        ) as pool:
            source = str(run.spec.source), str(run.folder)
            futures = {pool.submit(_run_one, *source, unit.name): unit for unit in stage}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _begin(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@functools.cache
def _opened(study: str, folder: str) -> StudyRun:
    return StudyRun.of(study, folder)


def _run_one(study: str, folder: str, name: str) -> dict[str, Any]:
    run = _opened(study, folder)
    return run.run(find_unit(name, run.units))


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


def _digest(paths: Sequence[Path]) -> str:
    """What files are known by: their names, sizes and ends."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read(_ENDS))
    return digest.hexdigest()[:12]


def _text(task: str) -> str:
    """What a task's file says, so that a changed task is another one; its name for lm-eval's."""
    path = Path(task)
    return path.read_text(encoding="utf-8") if path.is_file() else task


def _named_files(task: str) -> list[Path]:
    """The local files that a task's YAML names, such as its data."""

    def words(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | list):
            for one in value.values() if isinstance(value, Mapping) else value:
                yield from words(one)

    if not Path(task).is_file():
        return []
    named = [Path(word) for word in words(read_yaml(task)) if 0 < len(word) < _LONGEST_PATH]
    return sorted({path for path in named if path.is_file()})
