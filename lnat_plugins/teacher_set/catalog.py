"""The teacher sets among YAML files, and the check of one as a run would load it.

A YAML that fails to load vanishes from lm-eval without a message; `list_tasks` lists it with its
error, `check_task` raises the error.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.files import FunctionName, is_folder, read_yaml, user_path
from lnat_plugins.steps import SPLITTERS, Splitter, parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import LOADERS, TeacherSet, load
from lnat_plugins.teacher_set.config import TaskSpec, parse_task
from lnat_plugins.teacher_set.loaders import by_suffix, suffix_of

_CLASS: Final = "NaturalnessTask"
OWN_CLASSES: Final = (f"lnat_plugins.harness.{_CLASS}", f"lnat_plugins.harness.task.{_CLASS}")
"""The package's class, by the name that a YAML should give it and by that of its module."""


@dataclass(frozen=True)
class TaskInfo:
    """One teacher set's YAML.

    description: the YAML's own, or the error if it cannot be used.
    ok: whether the definition can be read (the data is not opened).
    """

    name: str
    path: Path
    description: str
    data: str
    ok: bool


def shipped_folder() -> Path:
    """The folder of the shipped YAML files: the installed package's, or the repository's."""
    found = importlib.util.find_spec("lnat_plugins.tasks")
    for folder in (found.submodule_search_locations if found else None) or ():
        return Path(folder)
    return Path(__file__).resolve().parents[2] / "tasks"


def list_tasks(
    paths: Iterable[str | Path] = (), splitters: Mapping[str, Splitter] = SPLITTERS
) -> list[TaskInfo]:
    """Every teacher set among the YAML files of the paths; without paths, the shipped ones.

    A path is a YAML file, or a folder, searched with its sub-folders, where YAML files without a
    `naturalness` class or block are skipped. No plugin that a YAML names is run, so the splitter of
    such a YAML is not checked. Raises ConfigError for a path that does not exist.
    """
    found = []
    for path in [user_path(path, ConfigError) for path in paths] or [shipped_folder()]:
        if not path.exists():
            raise ConfigError("no such file or folder", where=str(path))
        files = [path] if path.is_file() else sorted(path.rglob("*.yaml"))
        infos = [_describe(file, path.is_file(), splitters) for file in files]
        found += [info for info in infos if info]
    return found


def check_task(path: str | Path, load: Callable[[TaskSpec], TeacherSet] = load) -> TeacherSet:
    """Load the YAML and all its data as a run would; the first error is raised."""
    if is_folder(path) or suffix_of(Path(path), tuple(by_suffix(LOADERS))):
        raise ConfigError(
            "this is data, and not the YAML of a teacher set", where=str(path),
            remedy=f"write the YAML first: lnat init {path}",
        )  # fmt: skip
    if Path(path).suffix == ".yml":
        raise ConfigError(
            "lm-eval reads files that end in .yaml only", where=str(path), remedy="rename the file"
        )
    return load(_definition(read_yaml(path), Path(path)))


def is_ours(config: Mapping[str, Any]) -> bool:
    """Whether the keys are meant to be a naturalness task's."""
    named = str(config.get("class", ""))
    return "naturalness" in config or "lnat_plugins" in named or named.endswith(_CLASS)


def check_class(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a file that lm-eval would not run as a naturalness task (ConfigError).

    Nothing is imported: of a class that is not the package's the end of its name is checked alone.
    """
    named = config.get("class")
    right = isinstance(named, FunctionName) and (
        named in OWN_CLASSES
        if named.startswith("lnat_plugins.")
        else "." in named.strip(".") and named.endswith(_CLASS)
    )
    if not right:
        raise ConfigError(
            "lm-eval would not run this as a naturalness task",
            where=f"{path}: class", found=named,
            remedy=f"write `class: !function {OWN_CLASSES[0]}`",
        )  # fmt: skip


def _definition(config: Mapping[str, Any], path: Path) -> TaskSpec:
    check_class(config, path)
    spec = parse_task(config, path)
    parse_windows(spec.settings.windows, f"{spec.data.source}: naturalness: windows")
    return spec


def _describe(path: Path, named: bool, splitters: Mapping[str, Splitter]) -> TaskInfo | None:
    """One YAML for the listing; None for another tool's YAML found in a folder."""
    try:
        config = read_yaml(path)
        if not named and not is_ours(config):
            return None
        spec = _definition(config, path)
        if not spec.plugins:
            where = f"{spec.data.source}: naturalness: steps"
            parse_steps(spec.settings.steps, where, splitters)
    except LnatError as error:
        return TaskInfo(path.stem, path, str(error), "", ok=False)
    data = spec.data.dataset_path
    data = data if isinstance(data, str) else ", ".join(data)
    metadata = config.get("metadata")
    described = metadata.get("description") if isinstance(metadata, Mapping) else ""
    return TaskInfo(spec.name, path, " ".join(str(described or "").split()), data, ok=True)
