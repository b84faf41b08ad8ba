"""A teacher set with the plugins that its YAML names. Knows nothing of models and hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.config import TaskSpec, parse_task, read_yaml
from lnat_plugins.plugins.load import load_plugins
from lnat_plugins.plugins.loaded import Plugins
from lnat_plugins.teacher_set import TeacherSet, load


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
        DataError: the data.
    """
    if isinstance(source, TaskSpec):
        spec = source
    elif isinstance(source, Mapping):
        spec = parse_task(source)
    else:
        spec = parse_task(read_yaml(source), source)
    registry = plugins_of(spec).registry
    return load(spec, registry.splitters, registry.loaders)
