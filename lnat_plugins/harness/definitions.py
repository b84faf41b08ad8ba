"""Teacher sets as tasks: read once, and where it can be done before the harness loads the model.

lm-eval loads the model first, so that a YAML with a mistake would be found after minutes. It does
resolve `class: !function lnat_plugins.harness.NaturalnessTask` of a `--tasks some/file.yaml` before
that; `lnat eval` comes first too, and for it the sets are also looked for by name under
`--include_path`.
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.files import is_folder, read_yaml
from lnat_plugins.plugins import metrics_of, plugins_of
from lnat_plugins.plugins.registry import Registry
from lnat_plugins.plugins.task_class import check_own_class
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.steps import StepSpec, parse_steps
from lnat_plugins.steps.windows import Window, parse_windows
from lnat_plugins.teacher_set import TeacherSet, load
from lnat_plugins.teacher_set.catalog import check_class, is_ours
from lnat_plugins.teacher_set.config import TaskSpec, parse_task

IDENTIFYING: Final = ("task", "dataset_path", "dataset_name", "dataset_kwargs", "naturalness")

_TASKS: Final = ("--tasks", "-t")
CONFIG: Final = ("--config", "-C")
"""lm-eval's options that name a file of options."""


class Definition(NamedTuple):
    """A task's YAML with all that it names, its data included."""

    spec: TaskSpec
    registry: Registry
    steps: StepSpec
    windows: tuple[Window, ...]
    teacher_set: TeacherSet
    requested: RequestedMetrics


_waiting: dict[Path, tuple[Mapping[str, Any], Definition]] = {}


def definition_of(config: Mapping[str, Any], source: Path | str) -> Definition:
    """Read a task, or take what was read for `check_command`.

    Raises:
        ConfigError: the definition, or a plugin that it names.
        DataError: the data.
    """
    known, found = _waiting.pop(Path(source).resolve(), (None, None))
    budget, prefix = (_of_run(config, name) for name in ("budget", "prefix"))
    as_written = budget is None and prefix is None
    if known is not None and found is not None and _same(known, config) and as_written:
        return found
    spec = parse_task(config, source)
    spec = spec.with_prefix(prefix, "--metadata")
    if budget is not None:
        spec = spec.with_budget(budget, "--metadata")
    registry = plugins_of(spec).registry
    where = f"{spec.data.source}: naturalness"
    steps = parse_steps(
        spec.settings.steps, f"{where}: steps", registry.splitters, spec.settings.markers,
        spec.settings.prefix,
    )  # fmt: skip
    windows = parse_windows(spec.settings.windows, f"{where}: windows")
    teacher_set = load(spec, registry.splitters, registry.loaders)
    requested = metrics_of(spec, teacher_set, registry.metrics)
    return Definition(spec, registry, steps, windows, teacher_set, requested)


def _of_run(config: Mapping[str, Any], name: str) -> Any:
    """A setting of this run: `lm_eval --metadata '{"budget": {}}'`; in place of the YAML's."""
    return (config.get("metadata") or {}).get(name)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in IDENTIFYING)


@functools.cache
def check_command(arguments: tuple[str, ...]) -> None:
    """Read the teacher sets that a command line of lm_eval names; the first error is raised.

    Doing it again changes nothing. What is read waits for its task.
    """
    words, folders = _tasks_and_folders(arguments)
    for word in words:
        # The harness would take it for the name of a task, and end in a traceback.
        if word.endswith((".yaml", ".yml")) and not any(yaml_files([word])):
            raise ConfigError(
                "no such file, or not one that ends in .yaml", where="--tasks", found=word,
                remedy="check the path",
            )  # fmt: skip
    for path in _named(words, folders):
        config = read_yaml(path)
        if is_ours(config):
            check_class(config, path)
            _waiting[path.resolve()] = (config, definition_of(config, path))


def check_classes(arguments: Sequence[str]) -> None:
    """Import the classes of the user's own that the teacher sets name, as the harness will.

    This follows `check_command`, which runs once more where such a class imports the package's.
    """
    for path in _named(*_tasks_and_folders(arguments)):
        config = read_yaml(path)
        if is_ours(config):
            check_own_class(config, path)


def _named(words: Sequence[str], folders: Iterable[str]) -> list[Path]:
    return [*dict.fromkeys([*yaml_files(words), *_by_name(words, folders)])]


def names_ours_alone(arguments: Sequence[str], folders: Iterable[Path]) -> bool:
    """Whether all `--tasks` are teacher sets: by path, or by name in one of the folders or under
    `--include_path`. A pattern, a tag or a group may name more than is found so."""
    words, included = _tasks_and_folders(arguments)
    files: dict[str, list[Path]] = {word: [*yaml_files([word])] for word in words}
    by_name = [word for word, found in files.items() if not found]
    if by_name:
        ours = {str(config.get("task")) for config in _configs([*folders, *map(Path, included)])}
        if not ours.issuperset(by_name):
            return False
    return bool(words) and all(
        is_ours(readable(path)) for found in files.values() for path in found
    )


def _configs(folders: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    for folder in folders:
        yield from filter(is_ours, map(readable, sorted(folder.rglob("*.yaml"))))


def _tasks_and_folders(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What follows `--tasks` and `--include_path`, in a `--config` too."""
    words: list[str] = []
    folders: list[str] = []
    option = ""
    for argument in arguments:
        value = argument
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            if not value:
                continue
        if option in _TASKS:
            words += filter(None, value.split(","))
        elif option == "--include_path":
            folders.append(value)
        elif option in CONFIG:
            config = readable(Path(value))
            tasks = config.get("tasks") or []
            words += tasks.split(",") if isinstance(tasks, str) else map(str, tasks)
            folders += filter(None, [config.get("include_path")])
    return words, folders


def yaml_files(words: Iterable[str]) -> Iterator[Path]:
    """The YAML files that such words name: by path or pattern, or in a folder."""
    for word in words:
        if is_folder(word):
            yield from sorted(Path(word).glob("*.yaml"))
        elif word.endswith(".yaml"):
            yield from (Path(match) for match in sorted(glob.glob(word)))


def _by_name(words: Sequence[str], folders: Iterable[str]) -> Iterator[Path]:
    """Those under `--include_path` of that name or tag; of a broken file, by its text."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.yaml")):
            config = readable(path)
            names = [config.get("task"), *_listed(config.get("tag"))]
            if not config:
                names = [path.stem]
                with suppress(OSError):
                    text = path.read_text(encoding="utf-8", errors="replace")
                    names += re.findall(r"^task:[ \t]*(\S+)", text, re.MULTILINE)
            if any(fnmatch.fnmatch(str(name), word) for name in names for word in words):
                yield path


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def readable(path: Path) -> Mapping[str, Any]:
    """The keys of a YAML file, none of one that cannot be read."""
    try:
        return read_yaml(path)
    except LnatError:
        return {}
