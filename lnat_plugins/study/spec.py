"""`STUDY.yaml`: which students are trained on what, how they are evaluated, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from lnat_plugins.errors import ConfigError, file_name_problem, validate
from lnat_plugins.files import read_yaml, user_path

_OURS: Final = (
    "model_name_or_path", "output_dir", "seed", "data_seed", "dataset_name", "datasets",
    "dataset_train_split", "selection", "resume_from_checkpoint", "push_to_hub", "eval_strategy",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """How much is trained on: what comes first in the study's order of prompts, up to a number.

    Attributes:
        rows, tokens: at most so many, as training reads them; None = all.
        epochs: how often each is read; None = as `sft:` says.
    """

    rows: int | None = None
    tokens: int | None = None
    epochs: int | None = None

    @property
    def parts(self) -> dict[str, int]:
        """What it limits -> the number."""
        return {name: number for name, number in vars(self).items() if number is not None}

    @property
    def name(self) -> str:
        """As it stands in units' names and tables, such as "400-rows-5-epochs"."""
        return "-".join(f"{number}-{name}" for name, number in self.parts.items()) or "all"


@dataclass(frozen=True)
class Evaluation:
    """How a trained student is evaluated by lm-eval.

    Attributes:
        tasks: names or YAML files.
        metric: of the tasks, one number a document.
        filter: of the tasks' filters; None = the first.
        limit: documents a task; None = all.
        gen_kwargs, batch_size, device, include_path, model_args: as lm-eval takes them.
    """

    tasks: tuple[str, ...]
    metric: str
    filter: str | None = None
    limit: int | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | str = 1
    device: str | None = None
    include_path: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Warm:
    """The warm-up before `warm_naturalness`: a student is scored after learning a teacher's style.

    Attributes:
        rows: prompts whose row of the teacher it is trained on, the same for all teachers; it is
            scored on the rows of all other prompts.
        updates: of the training.
    """

    rows: int = 48
    updates: int = 36


@dataclass(frozen=True)
class Utility:
    """The small update behind the metric `utility` (see `study.utility`).

    Attributes:
        rows: prompts whose row of the teacher makes the batch of an update, the same for all
            teachers.
        updates: of a teacher's training; each reads all of those rows.
        learning_rates: that are tried; one is chosen for all teachers.
        longer: updates of the training that they are held against.
        sample: teachers that are trained so long; all if there are no more.
        agreement: the least share of pairs of them in the order after the longer training with
            which the chosen rate counts as calibrated.
        held_out: prompts that are scored, those behind the first `rows`.
    """

    rows: int = 32
    updates: int = 1
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    longer: int = 60
    sample: int = 6
    agreement: float = 0.9
    held_out: int = 50


@dataclass(frozen=True)
class StudySpec:
    """A study, checked. Paths are absolute, or names on the hub.

    Attributes:
        name: of the study.
        teacher_set: the YAML whose responses are trained on; its metrics are held against what
            training brings.
        students: name -> folder or hub id.
        seeds: of training, one run each.
        budgets: of training, each with all arms.
        teachers: an arm each; None = all of the set.
        selections: name -> `selection:` block, an arm each.
        sft: TRL's settings.
        evaluation: of every trained student.
        warm: whether each teacher is scored by a student that has been warmed up on it; None = no.
        utility: whether each teacher is rated by what a small update on it changes; None = no.
        apply_chat_template: None = where the student has one.
        shuffle: seed of the order of prompts that budgets cut.
        keep_models: whether trained students are kept.
        source: the YAML file.
    """

    name: str
    teacher_set: str
    students: Mapping[str, str]
    seeds: tuple[int, ...]
    budgets: tuple[Budget, ...]
    teachers: tuple[str, ...] | None
    selections: Mapping[str, Mapping[str, Any]]
    sft: Mapping[str, Any]
    evaluation: Evaluation
    warm: Warm | None
    utility: Utility | None
    apply_chat_template: bool | None
    shuffle: int
    keep_models: bool
    source: Path


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _folder_name(value: str) -> str:
    if problem := file_name_problem(value) or ("" if value else "this is empty"):
        raise ValueError(f"a study's name is that of its folder, and {problem}")
    return value


def _listed_or_named(value: Any) -> Any:
    return value if isinstance(value, Mapping) else _listed(value)


_Count = Annotated[int, Field(ge=1)]


class _Budget(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    rows: _Count | None = None
    tokens: _Count | None = None
    epochs: _Count | None = None


class EvaluationKeys(BaseModel):
    """The keys of `evaluation:`, as lm-eval has them; one number a document."""

    # Before pydantic 2.10 a field may not begin with `model_`.
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    tasks: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    """names or YAML files, one or a list"""
    metric: str
    """of the tasks, one number a document"""
    filter: str | None = None
    """of the tasks' filters; the first if not set"""
    limit: _Count | None = None
    """documents a task; all if not set"""
    gen_kwargs: dict[str, Any] = {}
    """as lm-eval takes them"""
    batch_size: int | str = 1
    """a number, or `auto`"""
    device: str | None = None
    """cuda where there is one, if not set"""
    include_path: str | None = None
    """folder of further tasks"""
    model_args: dict[str, Any] = {}
    """of `--model hf`, beside `pretrained`"""


class _Warm(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    rows: _Count = Warm.rows
    updates: _Count = Warm.updates


class _Utility(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    rows: _Count = Utility.rows
    updates: _Count = Utility.updates
    learning_rates: Annotated[
        list[Annotated[float, Field(gt=0)]], BeforeValidator(_listed), Field(min_length=1)
    ] = [*Utility.learning_rates]
    longer: _Count = Utility.longer
    sample: Annotated[int, Field(ge=2)] = Utility.sample
    agreement: Annotated[float, Field(ge=0, le=1)] = Utility.agreement
    held_out: _Count = Utility.held_out


class StudyKeys(BaseModel):
    """The top level of the YAML; the text below a key is its line in docs/study.md."""

    model_config = ConfigDict(strict=True, extra="forbid")

    study: Annotated[str, AfterValidator(_folder_name)]
    """its name, and that of its folder"""
    teacher_set: str
    """the YAML of the rows; its metrics are compared with what training brings"""
    students: Annotated[
        list[str] | dict[str, str], BeforeValidator(_listed_or_named), Field(min_length=1)
    ]
    """a folder or hub id, a list of them, or `{name: folder or id}`"""
    seeds: int | list[int] = 3
    """of training: how many, or a list of them"""
    budget: Annotated[list[dict[str, Any]], BeforeValidator(_listed)] = [{}]
    """`{rows: N}` or `{tokens: N}`, or a list of them: what comes first in one order of the prompts
    that all arms share; `{}` is all rows. `epochs: N`, alone or with one of them, overrides `sft:
    num_train_epochs` for that budget
    """
    teachers: list[str] | None = None
    """an arm each, with a row of each prompt; all of the set if not given"""
    selections: dict[str, dict[str, Any]] = {}
    """an arm each: `{name: block}`, see [selection](selection.md); name one `random` and one
    `global`, with which the others are compared. Its weights are multiplied into the loss, or with
    `resample: true` drawn by
    """
    sft: dict[str, Any] = {}
    """any key of `trl sft` but model, data, seed and folder, which the study sets"""
    evaluation: dict[str, Any]
    """how trained students are evaluated: the next table"""
    warm: bool | dict[str, Any] = False
    """`true` or `{rows: 48, updates: 36}`: adds the metric `warm_naturalness`, the first window's
    local naturalness of a teacher's rows, after `updates` of training on `rows` others of its
    rows, which are not scored. One training a teacher
    """
    utility: bool | dict[str, Any] = False
    """`true` or a mapping: adds the metric `utility`, see [below](#utility)"""
    apply_chat_template: bool | None = None
    """where the student has one, if not set"""
    shuffle: int = 1234
    """seed of the order of prompts"""
    keep_models: bool = False
    """false: trained students are removed when they are evaluated"""


def read_study(path: str | Path) -> StudySpec:
    """The study that a YAML file describes; no data and no student is loaded.

    Raises:
        ConfigError: an unknown key, a value that is not allowed, a key of `sft:` that the study
            sets itself.
    """
    path = user_path(path, ConfigError).resolve()
    where, folder = str(path), path.parent
    found = validate(StudyKeys, read_yaml(path), where=where)
    evaluation = validate(EvaluationKeys, found.evaluation, where=f"{where}: evaluation")
    budgets = tuple(
        Budget(**dict(validate(_Budget, one, where=f"{where}: budget"))) for one in found.budget
    )
    for budget in budgets:
        if budget.rows is not None and budget.tokens is not None:
            raise ConfigError(
                "a budget is of rows or of tokens", where=f"{where}: budget",
                remedy="write a list of two budgets to have both",
            )  # fmt: skip
        if budget.epochs is not None and found.sft.get("max_steps", -1) != -1:
            raise ConfigError(
                "a budget of epochs, and `sft: max_steps`, which would end training elsewhere",
                where=f"{where}: budget", found=found.sft["max_steps"],
                remedy="leave one of them out",
            )  # fmt: skip
    for key in _OURS:
        if key in found.sft:
            raise ConfigError(
                f"the study sets `{key}` itself", where=f"{where}: sft", found=found.sft[key],
                remedy="leave it out",
            )  # fmt: skip
    for task in evaluation.tasks:
        if task.endswith((".yaml", ".yml")) and not (folder / task).is_file():
            raise ConfigError(
                "no such file", where=f"{where}: evaluation: tasks", found=task,
                remedy="check the path; it starts from the study's folder",
            )  # fmt: skip
    students = found.students
    if not isinstance(students, Mapping):
        students = {Path(one).name: one for one in students}
        if len(students) < len(found.students):
            raise ConfigError(
                "two students have the same name", where=f"{where}: students",
                found=found.students, remedy="write `students: {NAME: PATH}`",
            )  # fmt: skip
    warm = None
    if found.warm is not False:
        given = {} if found.warm is True else found.warm
        warm = Warm(**dict(validate(_Warm, given, where=f"{where}: warm")))
    utility = None
    if found.utility is not False:
        given = {} if found.utility is True else found.utility
        parts = dict(validate(_Utility, given, where=f"{where}: utility"))
        utility = Utility(**{**parts, "learning_rates": tuple(sorted({*parts["learning_rates"]}))})
    seeds = range(1, found.seeds + 1) if isinstance(found.seeds, int) else found.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            "seeds must be a number of seeds, or a list of different ones",
            where=f"{where}: seeds", found=found.seeds,
        )  # fmt: skip
    return StudySpec(
        name=found.study,
        teacher_set=_path(found.teacher_set, folder),
        students={name: _path(student, folder) for name, student in students.items()},
        seeds=tuple(seeds),
        budgets=budgets,
        teachers=None if found.teachers is None else tuple(found.teachers),
        selections={
            name: {**block, "weights": _path(block["weights"], folder)}
            if isinstance(block.get("weights"), str)
            else block
            for name, block in found.selections.items()
        },
        sft=found.sft,
        evaluation=Evaluation(
            tasks=tuple(_path(task, folder) for task in evaluation.tasks),
            metric=evaluation.metric,
            filter=evaluation.filter,
            limit=evaluation.limit,
            gen_kwargs=evaluation.gen_kwargs,
            batch_size=evaluation.batch_size,
            device=evaluation.device,
            include_path=evaluation.include_path and _path(evaluation.include_path, folder),
            model_args=evaluation.model_args,
        ),
        warm=warm,
        utility=utility,
        apply_chat_template=found.apply_chat_template,
        shuffle=found.shuffle,
        keep_models=found.keep_models,
        source=path,
    )


def _path(name: str, folder: Path) -> str:
    """From the YAML's folder, where something is there; else as written."""
    path = user_path(name, ConfigError, base=folder)
    return str(path.resolve()) if path.exists() else name
