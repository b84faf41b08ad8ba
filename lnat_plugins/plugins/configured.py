"""A teacher set with the plugins that its YAML names. Knows nothing of models and hosts.

From a `selection:` block to what it means: its plugins loaded, its names resolved.

One way for the command line, the trainer and a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.metrics import Metric, request_metrics
from lnat_plugins.plugins.load import Plugins, load_plugins
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.selection import Selection, SelectionSpec, Student, parse_selection
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Candidates, TeacherSet, load
from lnat_plugins.teacher_set.config import TaskSpec, parse_task


def plugins_of(spec: TaskSpec) -> Plugins:
    """Load the plugins that a teacher set names, files relative to its YAML."""
    where = f"{spec.data.source}: naturalness: plugins"
    return load_plugins(spec.plugins, base_dir=spec.data.base_dir, where=where)


def load_with_plugins(source: TaskSpec | str | Path | Mapping[str, Any]) -> TeacherSet:
    """Read a teacher set with the splitters and loaders of its plugins.

    Args:
        source: a YAML's path, a dictionary of the same keys, or either one parsed.

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
    teacher_set = load(spec, registry.splitters, registry.loaders)
    metrics_of(spec, teacher_set, registry.metrics)
    return teacher_set


def metrics_of(
    spec: TaskSpec, teacher_set: TeacherSet, metrics: Mapping[str, Metric]
) -> RequestedMetrics:
    """The metrics that a teacher set asks for.

    Args:
        spec: its definition.
        teacher_set: its rows.
        metrics: name -> metric, all there are.

    Raises:
        ConfigError: an unknown metric, or one that reads a window that is not scored.
        DataError: a row without the reward that a metric needs.
    """
    where = f"{spec.data.source}: naturalness"
    windows = [one.name for one in parse_windows(spec.settings.windows, f"{where}: windows")]
    requested = request_metrics(
        spec.settings.requested_metrics, windows, metrics, f"{where}: metrics"
    )
    for prompt in teacher_set.prompts if "reward" in requested.statistics else ():
        for one in prompt.responses:
            requested.check_reward(one)
    return requested


@dataclass(frozen=True)
class Chooser:
    """A selection block with the plugins that it is to be carried out with."""

    spec: SelectionSpec
    plugins: Plugins

    def choose(self, pool: Candidates, student: Student) -> Selection:
        """Ask the plugins, the built-in way last; tell those that listen."""
        return self.plugins.select(pool, student, self.spec)


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
        source: where the block stands, for messages.
        base_dir: where files named in it start from; by default the working directory.

    Raises ConfigError for anything that does not hold.
    """
    if isinstance(block, Chooser):
        return block
    if block is not None and not isinstance(block, Mapping):
        raise ConfigError(
            "a selection is a mapping of keys to values",
            where=source,
            found=block,
            remedy="write {'strategy': 'best'}",
        )
    keys = dict(block or {})
    listed = keys.get("plugins") or []
    if isinstance(listed, str) or not isinstance(listed, list | tuple):
        raise ConfigError(
            "`plugins` must be a list of modules and files", where=source, found=listed
        )
    named = [one for one in listed if isinstance(one, str)]
    if keys.get("teacher_set") is not None:
        named = [*_follow(keys, base_dir or Path.cwd()), *named]
    objects = [one for one in listed if not isinstance(one, str)]
    plugins = load_plugins(named, objects=objects, base_dir=base_dir, where=f"{source}: plugins")
    if named or objects:
        keys["plugins"] = [*named, *(type(one).__name__ for one in objects)]
    return Chooser(resolve(keys, plugins, source), plugins)


def _follow(keys: dict[str, Any], base_dir: Path) -> list[str]:
    """Take over the teacher set's steps and windows where the block has none; its plugins."""
    path = base_dir / str(keys["teacher_set"])
    task = parse_task(read_yaml(path), path)
    keys["teacher_set"] = str(keys["teacher_set"])
    keys.setdefault("steps", task.settings.steps)
    keys.setdefault("windows", list(task.settings.windows))
    folder = task.data.base_dir.resolve()
    return [str(folder / one) if one.endswith(".py") else one for one in task.plugins]


def resolve(block: Mapping[str, Any], plugins: Plugins, source: str = "selection") -> SelectionSpec:
    """Check a block's keys and values against what these plugins bring."""
    return parse_selection(
        block,
        metrics=plugins.registry.metrics,
        strategies=plugins.registry.strategies,
        splitters=plugins.registry.splitters,
        source=source,
    )
