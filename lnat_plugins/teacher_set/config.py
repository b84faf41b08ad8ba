"""What a teacher set's YAML says: where the rows are, which are kept, how they are scored.

One YAML serves lm-eval and training alike. The keys are lm-eval's own where it has one (`task`,
`dataset_path`, `dataset_name`, `dataset_kwargs`, `test_split`, `target_delimiter`); ours stand in
the block `naturalness:`. The pydantic models of `keys` check them before any data is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from lnat_plugins.errors import ConfigError, did_you_mean, validate
from lnat_plugins.steps.prefix import parse_prefix
from lnat_plugins.steps.windows import GLOBAL
from lnat_plugins.teacher_set.columns import parse_columns
from lnat_plugins.teacher_set.keys import (
    DELIMITER,
    THINK_TEMPLATE,
    BudgetKeys,
    DatasetPath,
    NaturalnessKeys,
    Observations,
    Scalar,
    Sensitivity,
    TaskKeys,
)

__all__ = [
    "Budget", "DataSpec", "DatasetPath", "Observations", "Scalar", "Sensitivity", "Settings",
    "TaskSpec", "fingerprint", "parse_budget", "parse_task",
]  # fmt: skip

IDLE_KEYS: Final = (
    "custom_dataset", "training_split", "validation_split", "fewshot_split", "process_docs",
    "doc_to_text", "doc_to_target", "doc_to_image", "doc_to_audio", "unsafe_code", "doc_to_choice",
    "process_results", "use_prompt", "description", "fewshot_delimiter", "fewshot_config",
    "metric_list", "generation_kwargs", "filter_list", "should_decontaminate",
    "doc_to_decontamination_query", "gen_prefix",
)  # fmt: skip
"""lm-eval's keys that cannot do anything to responses that exist already; refused if set."""

CHOICE: Final = "choice"
"""The goal of a budget that seeks a response of each prompt."""

STRIDE: Final = 8
"""Steps that are scored in one run, for a choice."""

PRESETS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ln-v1": ("sentence", ("4", "global")),
    "lalp-v2": ("supplied_or_sentence", ("10%", "global")),
}
"""Steps and windows of paper 1 and of paper 2, whose main share is not published: 10% is ours."""


_IDLE_UNDER_A_BUDGET: Final[tuple[str, ...]] = ("metrics", "tokens", "sensitivity")


def fingerprint(values: Mapping[str, Any]) -> str:
    """12 hex digits of the sha256 of a mapping of JSON values in canonical form."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Budget:
    """How little may be read, and what it is to settle; the keys of `BudgetKeys`.

    goal: "best", "order", "choice", or the number of best teachers that are sought.
    steps: not for a choice.
    stride: only for a choice.
    """

    goal: str | int = "best"
    error: float = 0.05
    steps: str | int = "auto"
    max_tokens: int | None = None
    seed: int = 1234
    stride: int | None = None

    @property
    def of_choice(self) -> bool:
        """Whether a response of each prompt is sought, not a teacher."""
        return self.goal == CHOICE

    def as_dict(self) -> dict[str, Any]:
        """The settings that apply, as JSON values."""
        idle = "steps" if self.of_choice else "stride"
        return {name: value for name, value in vars(self).items() if name != idle}


@dataclass(frozen=True)
class Settings:
    """How responses are scored; the same settings give the same scores.

    steps: name of a splitter, `tokens:N`, `supplied` or `supplied_or_sentence`.
    windows: preceding steps each step may see: "4", "10%", "global".
    target_delimiter: between prompt and response where no chat template is applied.
    metrics: names; ("all",) = every one, () = the paper's two scores, as far as the windows allow.
    markers: "skip" = tags and lines of markup are no steps, and tags are not scored; "keep" = steps
        as the splitter cuts them, every token scored.
    budget: how little is read; None = everything.
    prefix: the part of each response that is scored, as "512 tokens"; "" = all of it.
    observations: of conversations, what a window shows of the turns between the teacher's; see
        `ResponseTokens.shown`.
    """

    steps: str = "sentence"
    windows: tuple[str, ...] = ("4", "global")
    target_delimiter: str = DELIMITER
    metrics: tuple[str, ...] = ()
    markers: Literal["skip", "keep"] = "skip"
    budget: Budget | None = None
    prefix: str = ""
    observations: Observations = "window"

    @property
    def requested_metrics(self) -> tuple[str, ...]:
        """The metrics' names, defaults filled in."""
        both = ("local_naturalness", "global_naturalness")
        return self.metrics or both[: 1 + ("global" in self.windows)]

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "steps": self.steps,
            "windows": list(self.windows),
            "target_delimiter": self.target_delimiter,
            "metrics": list(self.requested_metrics),
            "markers": self.markers,
            **({"budget": self.budget.as_dict()} if self.budget else {}),
            **({"prefix": self.prefix} if self.prefix else {}),
            **({"observations": self.observations} if self.observations != "window" else {}),
        }

    def with_budget(self, keys: Mapping[str, Any], where: str) -> Settings:
        """The settings of a run that reads only as much as settles what `budget:` asks for.

        Its one window is the first of these, and it gathers nothing for other metrics.

        Raises ConfigError as `parse_budget`, where the first window is the whole context, for a
        choice where it is not a number of steps, and beside a prefix.
        """
        budget = parse_budget(keys, where)
        first = self.windows[0]
        if first == GLOBAL:
            raise ConfigError(
                "a budget saves nothing under the whole context", where=f"{where}: budget",
                found="windows: global", remedy="name a local window first, such as `windows: [4]`",
            )  # fmt: skip
        if budget.of_choice and not (first.isdecimal() and int(first)):
            raise ConfigError(
                "a choice with a budget is by a window of a number of steps, 1 or more",
                where=f"{where}: budget", found=f"windows: {first}",
                remedy="name such a window, such as `windows: [4]`",
            )  # fmt: skip
        self._check_read(self.prefix, f"{where}: budget")
        if self.observations == "all":
            raise ConfigError(
                "a budget does not know what `observations: all` reads before each step",
                where=f"{where}: budget", found="observations: all", remedy="leave one of them out",
            )  # fmt: skip
        return replace(self, windows=(first,), metrics=(), budget=budget)

    def with_prefix(self, prefix: object, where: str) -> Settings:
        """The settings of a run that scores this part of each response alone; None = as they are.

        Raises ConfigError as `parse_prefix`, and beside a budget.
        """
        if prefix is None:
            return self
        found = str(parse_prefix(prefix, f"{where}: prefix"))
        if self.budget is not None:
            self._check_read(found, f"{where}: prefix")
        return replace(self, prefix=found)

    def _check_read(self, prefix: str, where: str) -> None:
        if prefix:
            raise ConfigError(
                "a budget and a prefix exclude each other: each says what is read of a response",
                where=where, found=f"prefix: {prefix}", remedy="keep one of them",
            )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """12 hex digits, equal for equal settings."""
        return fingerprint(self.as_dict())


@dataclass(frozen=True)
class DataSpec:
    """Where a teacher set's rows are, how to read them, and which are kept.

    source: the YAML's path, or "<dict>"; the `where` of errors about the definition.
    dataset_path: paths as written, relative to `base_dir`.
    columns: field -> column, several of them, or None for a field without one; see
        `columns.parse_columns`.
    prompts: paths of the batch layout's requests.
    where: column, or path into objects, -> the values of the rows that are kept.
    """

    name: str
    source: str
    base_dir: Path
    dataset_path: DatasetPath
    dataset_name: str | None = None
    dataset_kwargs: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    layout: str = "long"
    turns: Literal["last", "all"] = "last"
    system: Literal["own", "common"] = "own"
    tools: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()
    teachers: tuple[str, ...] | None = None
    teacher_from: str = "column"
    think_template: str = THINK_TEMPLATE
    require_correct: bool = False
    min_teachers: int = 2
    loader: str | None = None
    where: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSpec:
    """A teacher set as defined: its name, its data and its settings.

    plugins: modules by name and files by path (from `data.base_dir`). No part of the settings:
        scores depend on the splitter's name and version, whichever plugin brings it.
    tokens: whether records keep the numbers of every token.
    sensitivity: "basic" = the windows below the widest are recorded too, on a sample of 20 prompts
        if that is not cheap; "full" = the sample is scored in further ways; "none" = neither. See
        `scoring.ways`.
    """

    name: str
    data: DataSpec
    settings: Settings
    plugins: tuple[str, ...] = ()
    tokens: bool = True
    sensitivity: Sensitivity = "basic"

    def with_budget(self, keys: Mapping[str, Any], where: str) -> TaskSpec:
        """See `Settings.with_budget`."""
        settings = self.settings.with_budget(keys, where)
        return replace(self, settings=settings, tokens=False, sensitivity="none")

    def with_prefix(self, prefix: object, where: str) -> TaskSpec:
        """See `Settings.with_prefix`."""
        return replace(self, settings=self.settings.with_prefix(prefix, where))


def parse_task(config: Mapping[str, Any], source: str | Path = "<dict>") -> TaskSpec:
    """Check a YAML's keys and values; no data is opened.

    Args:
        config: the file's keys, includes already merged (see `read_yaml`).
        source: the YAML's path, from whose folder relative data paths start; "<dict>" starts them
            from the working directory.

    Raises ConfigError for an unknown key anywhere, a wrong type, and for what a naturalness task
    cannot do (few-shot examples).
    """
    source = str(source)
    for key in IDLE_KEYS:
        if config.get(key):
            raise ConfigError(
                f"`{key}` has no effect on a naturalness task", where=source, found=config[key],
                remedy="remove it; prompts and responses are taken as the data has them",
            )  # fmt: skip
    keys = {key: value for key, value in config.items() if key not in IDLE_KEYS}
    task = validate(TaskKeys, keys, where=source)
    split = task.test_split or "train"
    kwargs = dict(task.dataset_kwargs or {})
    if task.dataset_path in ("json", "csv", "parquet") and "data_files" in kwargs:
        # lm-eval's other idiom for local files
        files = kwargs.pop("data_files")
        if isinstance(files, Mapping):
            if split not in files:
                where = f"{source}: dataset_kwargs: data_files"
                remedy = did_you_mean(split, map(str, files))
                raise ConfigError("no files for the split", where=where, found=split, remedy=remedy)
            files = files[split]
        return parse_task({**config, "dataset_path": files, "dataset_kwargs": kwargs}, source)
    block = validate(
        NaturalnessKeys, dict(task.naturalness or {}),
        where=source, key="key in `naturalness`", prefix="naturalness: ",
    )  # fmt: skip
    columns = parse_columns(block.layout, block.columns or {}, source)
    _check_prompts(block, source)
    _check_turns(block, columns, source)
    ways = {
        "dataset_path: {teacher: files}": isinstance(task.dataset_path, Mapping),
        f"teacher_from: {block.teacher_from}": block.teacher_from != "column",
        "columns: {teacher: ...}": "teacher" in columns,
        "layout: wide": block.layout == "wide",
    }
    if sum(ways.values()) > 1:
        raise ConfigError(
            "the teachers are named in two ways", where=source,
            found=", ".join(way for way, used in ways.items() if used), remedy="keep one of them",
        )  # fmt: skip
    steps, windows = PRESETS[block.preset]
    spec = TaskSpec(
        name=task.task,
        data=DataSpec(
            name=task.task,
            source=source,
            base_dir=Path.cwd() if source == "<dict>" else Path(source).expanduser().parent,
            dataset_path=task.dataset_path,
            dataset_name=task.dataset_name,
            dataset_kwargs=kwargs,
            split=split,
            layout=block.layout,
            turns=block.turns,
            system=block.system,
            tools=block.tools,
            columns=columns,
            prompts=block.prompts,
            teachers=block.teachers or None,
            teacher_from=block.teacher_from,
            think_template=block.think_template,
            require_correct=block.require_correct,
            min_teachers=block.min_teachers,
            loader=block.loader,
            where=block.where,
        ),
        settings=Settings(
            steps=block.steps or steps,
            windows=block.windows or windows,
            target_delimiter=task.target_delimiter,
            metrics=block.metrics,
            markers=block.markers,
            observations=block.observations,
        ).with_prefix(block.prefix, f"{source}: naturalness"),
        plugins=block.plugins,
        tokens=block.tokens,
        sensitivity=block.sensitivity,
    )
    if block.budget is None:
        return spec
    idle = [name for name in _IDLE_UNDER_A_BUDGET if name in block.model_fields_set]
    idle += ["several windows"] if len(block.windows) > 1 else []
    if idle:
        raise ConfigError(
            "a run with a budget reads one window, and nothing for other metrics",
            where=f"{source}: naturalness", found=", ".join(idle),
            remedy="leave that out, or the budget",
        )  # fmt: skip
    return spec.with_budget(block.budget, f"{source}: naturalness")


def parse_budget(keys: Mapping[str, Any], where: str) -> Budget:
    """Reads the keys of `budget:`; `{}` is the defaults.

    Raises ConfigError as `parse_task`, for a goal beside a number of best teachers, and for a key
    that is of another goal.
    """
    found = validate(BudgetKeys, keys, where=where, key="key in `budget`", prefix="budget: ")
    if found.top is not None and "goal" in keys:
        raise ConfigError(
            "a goal and a number of best teachers exclude each other",
            where=f"{where}: budget", found=f"goal: {found.goal}, top: {found.top}",
            remedy="keep one of them",
        )  # fmt: skip
    choice = found.goal == CHOICE
    for key, of, applies in (("steps", "of a race over teachers", not choice),
                             ("stride", "of `goal: choice`", choice)):  # fmt: skip
        if key in keys and not applies:
            raise ConfigError(
                f"`{key}` is {of} only", where=f"{where}: budget",
                found=f"goal: {found.goal}, {key}: {keys[key]}", remedy="leave it out",
            )  # fmt: skip
    return Budget(
        found.top or found.goal, found.error, found.steps, found.max_tokens, found.seed,
        (found.stride or STRIDE) if choice else None,
    )  # fmt: skip


def _check_turns(block: NaturalnessKeys, columns: Mapping[str, Any], source: str) -> None:
    if block.turns == "last":
        given = {
            "system": block.system != "own", "tools": block.tools is not None,
            "observations": block.observations != "window",
        }  # fmt: skip
        if idle := [name for name in given if given[name]]:
            raise ConfigError(
                "only responses of several turns have this", where=f"{source}: naturalness",
                found=", ".join(idle), remedy="add `turns: all`, or leave it out",
            )  # fmt: skip
        return
    if block.layout != "messages" or columns.get("response") or columns.get("steps"):
        raise ConfigError(
            "`turns: all` reads whole conversations", where=f"{source}: naturalness",
            found=f"layout: {block.layout}, columns: {sorted(columns)}",
            remedy="set `layout: messages`, without columns of responses or of steps",
        )  # fmt: skip
    if block.steps in ("supplied", "supplied_or_sentence") or block.preset == "lalp-v2":
        raise ConfigError(
            "the steps of a conversation are cut, not supplied", where=f"{source}: naturalness",
            found=block.steps or f"preset: {block.preset}",
            remedy="set `steps: turn` or `steps: sentence`",
        )  # fmt: skip


def _check_prompts(block: NaturalnessKeys, source: str) -> None:
    if (block.layout == "batch") != bool(block.prompts):
        where = f"{source}: naturalness: prompts"
        if block.prompts:
            raise ConfigError(
                "only `layout: batch` reads its prompts from files of their own", where=where,
                found=block.layout, remedy="remove `prompts`, or set `layout: batch`",
            )  # fmt: skip
        raise ConfigError(
            "the batch layout needs the file of the requests", where=where,
            remedy="add `prompts: prompts.jsonl`",
        )  # fmt: skip
