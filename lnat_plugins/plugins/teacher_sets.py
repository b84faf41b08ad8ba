"""A teacher set with the plugins that its YAML names. Knows nothing of models and hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.config import TaskSpec, parse_task, read_yaml
from lnat_plugins.metrics import Metric
from lnat_plugins.metrics.asked import Asked, ask_metrics
from lnat_plugins.plugins.load import load_plugins
from lnat_plugins.plugins.loaded import Plugins
from lnat_plugins.teacher_set import TeacherSet, load
from lnat_plugins.teacher_set.reward import reward_of
from lnat_plugins.windows import parse_windows


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


def metrics_of(spec: TaskSpec, teacher_set: TeacherSet, metrics: Mapping[str, Metric]) -> Asked:
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
    asked = ask_metrics(spec.settings.metrics_asked, windows, metrics, f"{where}: metrics")
    for prompt in teacher_set.prompts if "reward" in asked.statistics else ():
        for one in prompt.responses:
            asked.check_reward(reward_of(one.extra, one.where), one.where)
    return asked
