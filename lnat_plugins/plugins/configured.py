"""A teacher set, or a `selection:` block, with the plugins that it names.

The command line, the trainer and a program all read them by these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lnat_plugins.errors import ConfigError, StudentError
from lnat_plugins.files import read_yaml
from lnat_plugins.metrics import ALL, Metric, check_prefix, get_metric, request_metrics
from lnat_plugins.metrics.budgeted import metric_under
from lnat_plugins.plugins.load import Plugins, load_plugins
from lnat_plugins.plugins.registry import Registry
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.selection import (
    Selection,
    SelectionSpec,
    Student,
    choose_rejected,
    parse_selection,
)
from lnat_plugins.selection.answers import as_trained
from lnat_plugins.selection.formats import Format
from lnat_plugins.steps import StepSpec, parse_steps
from lnat_plugins.steps.windows import Window, parse_windows
from lnat_plugins.teacher_set import Candidates, TeacherSet, load
from lnat_plugins.teacher_set.config import Sensitivity, Settings, TaskSpec, parse_task
from lnat_plugins.teacher_set.detect.create import NewTeacherSet, create, read_options


def plugins_of(spec: TaskSpec) -> Plugins:
    """Load the plugins that a teacher set names, files relative to its YAML."""
    where = f"{spec.data.source}: naturalness: plugins"
    return load_plugins(spec.plugins, base_dir=spec.data.base_dir, where=where)


def load_with_plugins(
    source: TaskSpec | str | Path | Mapping[str, Any], *, strict: bool = False
) -> TeacherSet:
    """Read a teacher set, from its YAML's path, the same keys, or either one parsed.

    `strict`: a row that cannot be used is an error.

    Raises:
        ConfigError: the definition, or a plugin that it names.
        DataError: the data, a reward that a metric needs included.
    """
    if isinstance(source, TaskSpec):
        spec = source
    elif isinstance(source, Mapping):
        spec = parse_task(source)
    else:
        spec = parse_task(read_yaml(source), source)
    registry = plugins_of(spec).registry
    teacher_set = load(spec, registry.splitters, registry.loaders, strict=strict)
    metrics_of(spec, teacher_set, registry.metrics)
    return teacher_set


def init_with_plugins(
    *data: str | Path, output_path: str | Path | None = None, overwrite: bool = False,
    **options: Any,
) -> NewTeacherSet:  # fmt: skip
    """Recognise the layout of data, load it, and write a teacher set's YAML.

    Args:
        data: files, folders, patterns, or a data set's id on the hub.
        output_path: by default my_teachers.yaml beside the data; an existing file is not replaced.
            "-" writes nothing.
        overwrite: whether an existing file is replaced after all.
        options: as `lnat init` takes them. `prompt`, `response`, `think`, `correct`, `sample` and
            `prompt_id` are columns ("none" for no column; several as a list, or "a,b");
            `teacher` is a column or {name: file}; `task`, `layout`, `teacher_from`, `split` and
            `dataset_name` are as in the YAML.

    Raises:
        ConfigError: where the data leaves open which column is meant; it names the candidates and
            the option that settles it. An unknown option, or a file that exists.
        DataError: data that cannot be read or loaded.
    """
    registry = load_plugins().registry
    return create(
        [str(one) for one in data], read_options(options),
        None if output_path is None else str(output_path), registry.loaders, load_with_plugins,
        overwrite,
    )  # fmt: skip


class Plan(NamedTuple):
    """How rows are scored, names resolved; a `ScoringPlan`."""

    settings: Settings
    steps: StepSpec
    windows: tuple[Window, ...]
    requested: RequestedMetrics
    tokens: bool
    sensitivity: Sensitivity


def plan_of(
    settings: Settings,
    registry: Registry,
    *,
    where: str = "",
    tokens: bool,
    sensitivity: Sensitivity,
    metrics: tuple[str, ...] | None = None,
) -> Plan:
    """Resolve the names in settings.

    Args:
        registry: of the plugins that may bring them.
        where: what stands before a key's name in messages.
        tokens, sensitivity: see `TaskSpec`.
        metrics: in place of the settings' own.

    Raises:
        ConfigError: an unknown name, or a metric that reads a window that is not scored.
    """
    windows = parse_windows(settings.windows, f"{where}windows")
    return Plan(
        settings,
        parse_steps(
            settings.steps, f"{where}steps", registry.splitters, settings.markers, settings.prefix
        ),
        windows,
        _requested(settings, windows, registry.metrics, f"{where}metrics", metrics),
        tokens,
        sensitivity,
    )


def _requested(
    settings: Settings, windows: Sequence[Window], metrics: Mapping[str, Metric], where: str,
    names: Sequence[str] | None = None,
) -> RequestedMetrics:  # fmt: skip
    if settings.budget is not None:
        # The estimate, or the stride score, is all that a budget gives.
        return RequestedMetrics({metric_under(settings.budget.goal).name: frozenset()})
    scored = [window.name for window in windows]
    names = settings.requested_metrics if names is None else names
    if settings.prefix and tuple(names) != (ALL,):
        for name in names:
            check_prefix(get_metric(name, metrics, where), settings.prefix, where)
    return request_metrics(names, scored, metrics, where)


def metrics_of(
    spec: TaskSpec, teacher_set: TeacherSet, metrics: Mapping[str, Metric]
) -> RequestedMetrics:
    """The metrics that a teacher set's definition names, checked against its rows.

    Raises:
        ConfigError: an unknown metric, or one that reads a window that is not scored.
        DataError: a row without the reward that a metric needs.
    """
    where = f"{spec.data.source}: naturalness"
    windows = parse_windows(spec.settings.windows, f"{where}: windows")
    requested = _requested(spec.settings, windows, metrics, f"{where}: metrics")
    for prompt in teacher_set.prompts:
        for response in prompt.responses:
            requested.check_reward(response)
    return requested


@dataclass(frozen=True)
class Chooser:
    """A selection block with the plugins that decide by it."""

    spec: SelectionSpec
    plugins: Plugins

    def choose(self, candidates: Candidates, student: Student) -> Selection:
        """As `Plugins.select`, by this block."""
        return self.plugins.select(candidates, student, self.spec)


def read_block(
    block: Mapping[str, Any] | Chooser | None,
    *,
    source: str = "selection",
    base_dir: Path | None = None,
) -> Chooser:
    """Load the block's plugins and check its keys and values; no row is read.

    Args:
        block: the keys of a `selection:` block; `plugins` may hold modules and files by name, and
            in a program objects too. A block that was read before is returned as it is.
        source: the block's file and key, for messages.
        base_dir: the folder of relative paths in it; by default the working directory.

    Raises:
        ConfigError: a wrong key or value, or a plugin that cannot be loaded.
    """
    if isinstance(block, Chooser):
        return block
    if block is not None and not isinstance(block, Mapping):
        raise ConfigError(
            "a selection is a mapping of keys to values", where=source, found=block,
            remedy="write {'strategy': 'best'}",
        )  # fmt: skip
    keys = dict(block or {})
    listed = keys.get("plugins") or []
    if not isinstance(listed, list | tuple):
        raise ConfigError(
            "`plugins` must be a list of modules and files", where=source, found=listed
        )
    named = [one for one in listed if isinstance(one, str)]
    if base_dir and isinstance(keys.get("weights"), str | Path):
        keys["weights"] = str(base_dir / keys["weights"])
    if keys.get("teacher_set") is not None:
        named = [*_inherit(keys, base_dir or Path.cwd()), *named]
    objects = [one for one in listed if not isinstance(one, str)]
    plugins = load_plugins(named, objects=objects, base_dir=base_dir, where=f"{source}: plugins")
    if named or objects:
        keys["plugins"] = [*named, *(type(one).__name__ for one in objects)]
    return Chooser(resolve(keys, plugins, source), plugins)


def _inherit(keys: dict[str, Any], base_dir: Path) -> list[str]:
    """Fill in how the block's teacher set is scored; returns its plugins."""
    path = base_dir / str(keys["teacher_set"])
    task = parse_task(read_yaml(path), path)
    keys["teacher_set"] = str(keys["teacher_set"])
    keys.setdefault("steps", task.settings.steps)
    keys.setdefault("windows", list(task.settings.windows))
    keys.setdefault("markers", task.settings.markers)
    if task.settings.prefix:
        keys.setdefault("prefix", task.settings.prefix)
    keys.setdefault("turns", task.data.turns)
    keys.setdefault("observations", task.settings.observations)
    folder = task.data.base_dir.resolve()
    return [str(folder / one) if one.endswith(".py") else one for one in task.plugins]


def resolve(block: Mapping[str, Any], plugins: Plugins, source: str = "selection") -> SelectionSpec:
    """Check a block's keys and values against what these plugins bring."""
    known = plugins.registry
    return parse_selection(
        block, metrics=known.metrics, strategies=known.strategies, splitters=known.splitters,
        source=source,
    )  # fmt: skip


def needed_by(
    form: Format, candidates: Candidates, selection: Selection, student: Student,
    plugins: Plugins, where: str = "selection",
) -> dict[str, Any]:  # fmt: skip
    """What a format must know of the student beside the choice: arguments of `write_training_set`.

    The rejected rows are chosen by the selection's own metric, window, `max_length` and
    `drop_duplicates`. `longest` is None if the tokenizer cannot be loaded.

    Raises:
        ConfigError, DataError: as `choose_rejected`, or the selection read no scores.
    """
    if form.needs == "longest":
        try:
            tokens = student.training_tokens(as_trained(selection, candidates, selection.indices))
        except StudentError:
            return {"longest": None}
        return {"longest": max(tokens)}
    if form.needs != "rejected":
        return {}
    if selection.metric is None:
        raise ConfigError(
            f"strategy {selection.strategy!r} reads no scores, and the rejected row of a pair is "
            "the wrong one that scores best",
            where=where, remedy="choose by a strategy that reads scores, such as best",
        )  # fmt: skip
    block: dict[str, Any] = {"metric": selection.metric}
    if selection.window:
        block |= {"window": selection.window, "windows": [selection.window]}
    kept = ("max_length", "drop_duplicates")
    block |= {key: selection.settings[key] for key in kept if key in selection.settings}
    return {"rejected": choose_rejected(candidates, student, resolve(block, plugins, where))}
