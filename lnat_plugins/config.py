"""What a teacher set's YAML says: where the rows are, which are kept, how they are scored.

Knows nothing of tokens, torch or hosts, and opens no data. One YAML serves lm-eval
and training alike; the keys are lm-eval's own where it has one (`task`, `dataset_path`,
`dataset_name`, `dataset_kwargs`, `test_split`, `target_delimiter`), and ours stand in
the block `naturalness:`. The names of splitters and loaders and the grammar of windows are
checked by the modules that own them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lnat_plugins._checks import Checks
from lnat_plugins._lm_eval_keys import IDLE_KEYS, LM_EVAL_KEYS
from lnat_plugins.errors import ConfigError
from lnat_plugins.yaml_file import read_yaml

__all__ = [
    "LAYOUTS",
    "LAYOUT_COLUMNS",
    "LM_EVAL_KEYS",
    "PRESETS",
    "DataSpec",
    "DatasetPath",
    "Settings",
    "TaskSpec",
    "fingerprint",
    "parse_task",
    "read_yaml",
]

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
