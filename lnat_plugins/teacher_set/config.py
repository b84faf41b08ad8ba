"""The keys of lm-eval's task YAML, and those of them that can do nothing for a teacher set.

Type and name checks on the values of a teacher set's YAML, each with its error.

Knows nothing of what a value is used for. Every check returns the value in the form
that `config` keeps, or raises a ConfigError with the YAML, the key, the finding and
the remedy.

What a teacher set's YAML says: where the rows are, which are kept, how they are scored.

Knows nothing of tokens, torch or hosts, and opens no data. One YAML serves lm-eval
and training alike; the keys are lm-eval's own where it has one (`task`, `dataset_path`,
`dataset_name`, `dataset_kwargs`, `test_split`, `target_delimiter`), and ours stand in
the block `naturalness:`. The names of splitters and loaders and the grammar of windows are
checked by the modules that own them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError, did_you_mean

IDLE_KEYS: Final = (
    # what they would do elsewhere cannot be done to responses that are already there
    "custom_dataset",
    "training_split",
    "validation_split",
    "fewshot_split",
    "process_docs",
    "doc_to_text",
    "doc_to_target",
    "doc_to_image",
    "doc_to_audio",
    "unsafe_code",
    "doc_to_choice",
    "process_results",
    "use_prompt",
    "description",
    "fewshot_delimiter",
    "fewshot_config",
    "metric_list",
    "generation_kwargs",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
)

LM_EVAL_KEYS: Final = (
    # keys that lm-eval takes out before it builds a TaskConfig
    "class",
    "group",
    "include",
    "task_list",
    # with the idle ones the fields of lm_eval.config.task.TaskConfig, 0.4.13
    "task",
    "task_alias",
    "tag",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "test_split",
    "target_delimiter",
    "num_fewshot",
    "output_type",
    "repeats",
    "metadata",
    *IDLE_KEYS,
)


@dataclass(frozen=True)
class Checks:
    """Checks on one YAML; `source` names it in every error."""

    source: str

    def _refuse(self, key: str, what: str, found: object, remedy: str = "") -> ConfigError:
        return ConfigError(what, where=f"{self.source}: {key}", found=found, remedy=remedy)

    def known(self, given: Mapping[str, Any], names: Iterable[str], kind: str) -> None:
        legal = tuple(names)
        for key in given:
            if key not in legal:
                raise ConfigError(
                    f"unknown {kind}",
                    where=self.source,
                    found=key,
                    remedy=did_you_mean(str(key), legal),
                )

    def idle(self, given: Mapping[str, Any], idle: Iterable[str]) -> None:
        """Refuse keys of lm-eval's that would change nothing here: a score must not pretend."""
        for key in idle:
            if given.get(key):
                raise ConfigError(
                    f"`{key}` has no effect on a naturalness task",
                    where=self.source,
                    found=given[key],
                    remedy="remove it; prompts and responses are taken as the data has them",
                )

    def mapping(self, value: Any, key: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self._refuse(key, "this must be a mapping of names to values", value)
        return value

    def text(self, value: Any, key: str, remedy: str = "") -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._refuse(key, "this must be text", value, remedy or "put it in quotes")
        return value

    def choice(self, value: Any, key: str, names: tuple[str, ...]) -> str:
        if value not in names:
            raise self._refuse(key, "no such choice", value, did_you_mean(str(value), names))
        return str(value)

    def flag(self, value: Any, key: str) -> bool:
        if not isinstance(value, bool):
            raise self._refuse(key, "this must be true or false", value)
        return value

    def count(self, value: Any, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._refuse(key, "this must be a whole number, 1 or more", value)
        return value

    def names(
        self, value: Any, key: str, remedy: str = "write [QwQ, R1]"
    ) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not value:
            raise self._refuse(key, "this must be a list of names", value, remedy)
        found = tuple(self.text(name, key) for name in value)
        if len(set(found)) < len(found):
            raise self._refuse(key, "a name is listed twice", list(found))
        return found

    def windows(self, value: Any) -> tuple[str, ...]:
        """Windows as strings ("4", "10%", "global"); their grammar is `windows`' affair."""
        key = "naturalness: windows"
        listed = value if isinstance(value, list | tuple) else [value]
        if not listed:
            raise self._refuse(key, "no window is given", value, 'write [4, "10%", global]')
        for window in listed:
            if isinstance(window, bool) or not isinstance(window, int | str):
                raise self._refuse(
                    key, "not a window", window, 'a window is 4, "10%" (in quotes) or global'
                )
        found = tuple(str(window).strip() for window in listed)
        if len(set(found)) < len(found):
            raise self._refuse(key, "a window is listed twice", list(found))
        return found

    def dataset_path(self, value: Any) -> Any:
        """str | tuple[str, ...] | {teacher: tuple[str, ...]}; never empty."""
        key = "dataset_path"
        remedy = "give a file, a folder, a pattern, a list, a mapping teacher: file, or a hub id"
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list | tuple) and value:
            return tuple(self.text(item, key, remedy) for item in value)
        if isinstance(value, Mapping) and value:
            found = {}
            for teacher, paths in value.items():
                name = self.text(teacher, key, "put the teacher's name in quotes")
                listed = paths if isinstance(paths, list | tuple) and paths else [paths]
                found[name] = tuple(self.text(path, f"{key}: {name}", remedy) for path in listed)
            return found
        raise self._refuse(key, "no data is named", value, remedy)

    def data_files(self, value: Any, split: str) -> Any:
        """lm-eval's other idiom: `dataset_path: json` with the files in `dataset_kwargs`."""
        if isinstance(value, Mapping):
            if split not in value:
                raise self._refuse(
                    "dataset_kwargs: data_files",
                    "no files for the split",
                    split,
                    did_you_mean(split, [str(name) for name in value]),
                )
            value = value[split]
        return self.dataset_path(value)

    def columns(self, value: Any, layout: str, names: tuple[str, ...]) -> Mapping[str, Any]:
        """Column names by field, None for a field that no column is to give.

        In the wide layout some fields name one column a teacher.
        """
        key = "naturalness: columns"
        given = self.mapping(value, key)
        self.known(given, names, f"key in `naturalness: columns` for the {layout} layout")
        found: dict[str, Any] = {}
        for name, column in given.items():
            if column is None and name in ("prompt_id", "sample", "correct", "steps"):
                found[name] = None
            elif layout == "wide" and name in ("responses", "correct", "steps"):
                found[name] = self._by_teacher(column, f"{key}: {name}")
            else:
                found[name] = self.text(column, f"{key}: {name}", "give the name of one column")
        if layout == "wide" and "responses" not in found:
            raise self._refuse(
                key,
                "the wide layout needs `responses`",
                sorted(found),
                "write `responses: {QwQ: qwq_output, R1: r1_output}`, or a list of columns",
            )

        for field in set(found) & {"correct", "steps"} if layout == "wide" else ():
            self.known(found[field] or {}, found["responses"], f"teacher in `columns: {field}`")
        return found

    def one_naming_of_teachers(self, ways: Mapping[str, bool]) -> None:
        used = [way for way, chosen in ways.items() if chosen]
        if len(used) > 1:
            raise ConfigError(
                "the teachers are named in two ways",
                where=self.source,
                found=", ".join(used),
                remedy="keep one of them",
            )

    def _by_teacher(self, value: Any, key: str) -> dict[str, str]:
        """{teacher: column}; a list of columns names teachers after their columns."""
        if isinstance(value, list | tuple) and value:
            return {self.text(column, key): column for column in value}
        if isinstance(value, Mapping) and value:
            return {self.text(t, key): self.text(column, key) for t, column in value.items()}
        raise self._refuse(
            key, "this must map teachers to columns", value, "write {QwQ: qwq_output, R1: r1}"
        )

    def think_template(self, value: Any) -> str:
        key = "naturalness: think_template"
        text = self.text(value, key)
        if text.count("{think}") != 1 or text.count("{answer}") != 1:
            raise self._refuse(key, "{think} and {answer} must each appear once", text)
        return text


DatasetPath = str | tuple[str, ...] | Mapping[str, tuple[str, ...]]

TEACHER_FROM: Final = ("column", "file_stem", "parent_dir")
THINK_TEMPLATE: Final = "<think>\n{think}\n</think>\n\n{answer}"

_ROW: Final = ("prompt", "response", "teacher", "prompt_id", "sample", "correct", "steps")

LAYOUT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "long": _ROW,
    "wide": ("prompt", "responses", "prompt_id", "correct", "steps"),
    "messages": ("messages", "teacher", "prompt_id", "sample", "correct", "steps"),
    "prompt_completion": _ROW,
    "nested": (*_ROW, "responses", "think", "answer"),
}
"""The fields that a layout takes from columns; each is its own column's default name."""

LAYOUTS: Final = tuple(LAYOUT_COLUMNS)

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ln-v1": {"steps": "sentence", "windows": ("4", "global")},
    "lalp-v2": {"steps": "supplied_or_sentence", "windows": ("10%", "global")},
}
"""Paper 1's step and window; paper 2's, where the headline share is not published: 10 % is ours."""

_BLOCK: Final = (
    "columns",
    "layout",
    "teachers",
    "teacher_from",
    "think_template",
    "require_correct",
    "min_teachers",
    "preset",
    "steps",
    "windows",
    "metrics",
    "loader",
    "plugins",
)


def fingerprint(values: Mapping[str, Any]) -> str:
    """12 hex digits of the sha256 of a mapping of JSON values in canonical form."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Settings:
    """How responses are scored; the same settings give the same scores.

    steps: name of a splitter, `tokens:N`, `supplied` or `supplied_or_sentence`.
    windows: preceding steps each step may see: "4", "10%", "global".
    target_delimiter: between prompt and response where no chat template is applied.
    metrics: names of the metrics to be served; ("all",) = every one, () = the two scores of the
        paper, as far as the windows allow.
    """

    steps: str = "sentence"
    windows: tuple[str, ...] = ("4", "global")
    target_delimiter: str = "\n\n"
    metrics: tuple[str, ...] = ()

    @property
    def metrics_asked(self) -> tuple[str, ...]:
        """The metrics' names."""
        both = ("local_naturalness", "global_naturalness")
        return self.metrics or both[: 1 + ("global" in self.windows)]

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "steps": self.steps,
            "windows": list(self.windows),
            "target_delimiter": self.target_delimiter,
            "metrics": list(self.metrics_asked),
        }

    @property
    def fingerprint(self) -> str:
        """12 hex digits that tell these settings from others."""
        return fingerprint(self.as_dict())


@dataclass(frozen=True)
class DataSpec:
    """Where a teacher set's rows are, how to read them, and which are kept.

    Paths in `dataset_path` are as written: relative to `base_dir`. `source` is the
    YAML's path, or "<dict>", and is the `where` of errors about the definition.
    """

    name: str
    source: str
    base_dir: Path
    dataset_path: DatasetPath
    dataset_name: str | None = None
    dataset_kwargs: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    layout: str = "long"
    columns: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] | None = None
    teacher_from: str = "column"
    think_template: str = THINK_TEMPLATE
    require_correct: bool = False
    min_teachers: int = 2
    loader: str | None = None


@dataclass(frozen=True)
class TaskSpec:
    """A teacher set as defined: its name, its data and its settings.

    plugins: modules by name and files by path (from `data.base_dir`) that bring splitters and
        loaders. Not part of the settings: what decides the scores is the splitter's name and
        version, wherever it comes from.
    """

    name: str
    data: DataSpec
    settings: Settings
    plugins: tuple[str, ...] = ()


def parse_task(config: Mapping[str, Any], source: str | Path = "<dict>") -> TaskSpec:
    """Check a YAML's keys and values; no data is opened.

    Args:
        config: the file's keys, includes already merged (see `read_yaml`).
        source: the YAML's path, whose folder relative data paths start from; "<dict>"
            starts them from the working directory.

    Raises ConfigError for an unknown key anywhere, a wrong type, and for what a
    naturalness task cannot do (few-shot examples).
    """
    check = Checks(str(source))
    if "include" in config:
        raise ConfigError(
            "`include` is only followed in a file",
            where=str(source),
            found=config["include"],
            remedy="give the YAML's path, or the included keys themselves",
        )
    check.known(config, (*LM_EVAL_KEYS, "naturalness"), "key")
    check.idle(config, IDLE_KEYS)
    block = check.mapping(config.get("naturalness"), "naturalness")
    check.known(block, _BLOCK, "key in `naturalness`")
    name = check.text(config.get("task"), "task", remedy="give the set a name: `task: my_teachers`")
    if config.get("num_fewshot"):
        raise ConfigError(
            "a naturalness task takes no few-shot examples",
            where=f"{source}: num_fewshot",
            found=config["num_fewshot"],
            remedy="remove it, or set it to 0: responses are scored as the student would be "
            "trained on them",
        )
    plugins = check.names(
        block.get("plugins"), "naturalness: plugins", "write [my_plugin.py, installed_module]"
    )
    return TaskSpec(
        name=name,
        data=_data(config, block, name, source, check),
        settings=_settings(config, block, check),
        plugins=plugins or (),
    )


def _data(
    config: Mapping[str, Any],
    block: Mapping[str, Any],
    name: str,
    source: str | Path,
    check: Checks,
) -> DataSpec:
    layout = check.choice(block.get("layout", "long"), "naturalness: layout", LAYOUTS)
    teacher_from = check.choice(
        block.get("teacher_from", "column"), "naturalness: teacher_from", TEACHER_FROM
    )
    kwargs = check.mapping(config.get("dataset_kwargs"), "dataset_kwargs")
    split = check.text(config.get("test_split") or "train", "test_split")
    dataset_path = check.dataset_path(config.get("dataset_path"))
    if dataset_path in ("json", "csv", "parquet") and "data_files" in kwargs:
        dataset_path = check.data_files(kwargs["data_files"], split)
        kwargs = {key: value for key, value in kwargs.items() if key != "data_files"}
    columns = check.columns(block.get("columns"), layout, LAYOUT_COLUMNS[layout])
    check.one_naming_of_teachers(
        {
            "dataset_path: {teacher: files}": isinstance(dataset_path, Mapping),
            f"teacher_from: {teacher_from}": teacher_from != "column",
            "columns: {teacher: ...}": "teacher" in columns,
            "layout: wide": layout == "wide",
        }
    )
    dataset_name, loader = config.get("dataset_name"), block.get("loader")
    return DataSpec(
        name=name,
        source=str(source),
        base_dir=Path.cwd() if str(source) == "<dict>" else Path(source).expanduser().parent,
        dataset_path=dataset_path,
        dataset_name=None if dataset_name is None else check.text(dataset_name, "dataset_name"),
        dataset_kwargs=dict(kwargs),
        split=split,
        layout=layout,
        columns=columns,
        teachers=check.names(block.get("teachers"), "naturalness: teachers"),
        teacher_from=teacher_from,
        think_template=check.think_template(block.get("think_template", THINK_TEMPLATE)),
        require_correct=check.flag(
            block.get("require_correct", False), "naturalness: require_correct"
        ),
        min_teachers=check.count(block.get("min_teachers", 2), "naturalness: min_teachers"),
        loader=None if loader is None else check.text(loader, "naturalness: loader"),
    )


def _settings(config: Mapping[str, Any], block: Mapping[str, Any], check: Checks) -> Settings:
    preset = block.get("preset", "ln-v1")
    values = dict(PRESETS[check.choice(preset, "naturalness: preset", tuple(PRESETS))])
    if "steps" in block:
        values["steps"] = check.text(block["steps"], "naturalness: steps")
    if "windows" in block:
        values["windows"] = check.windows(block["windows"])
    if "metrics" in block:
        asked = block["metrics"]
        named = check.names(
            [asked] if isinstance(asked, str) else asked,
            "naturalness: metrics",
            "write [local_naturalness, rsr], or all",
        )
        values["metrics"] = named or ()
    delimiter = config.get("target_delimiter", Settings.target_delimiter)
    if not isinstance(delimiter, str):
        raise ConfigError(
            "`target_delimiter` must be text",
            where=check.source,
            found=delimiter,
            remedy='write it in double quotes: "\\n\\n"',
        )
    return Settings(**values, target_delimiter=delimiter)
