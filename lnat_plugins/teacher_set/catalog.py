"""The teacher sets at hand: which YAML files there are, and whether one can be used.

Knows nothing of models, of the harness or of plugins: what these bring is handed in. A YAML
that fails to load vanishes from lm-eval without a word; `check_task` says what is wrong with it.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.files import read_yaml
from lnat_plugins.steps import SPLITTERS, Splitter, parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set.config import TaskSpec, parse_task
from lnat_plugins.teacher_set.load import load
from lnat_plugins.teacher_set.prompts import TeacherSet


@dataclass(frozen=True)
class TaskInfo:
    """One teacher set's YAML.

    data: its `dataset_path` in one line.
    ok: whether the definition can be read (the data is not opened).
    """

    name: str
    path: Path
    description: str
    data: str
    ok: bool


@dataclass(frozen=True)
class CheckReport:
    """What loading one YAML and all its data gave: counts, or the one error.

    responses: teacher -> number of responses kept. dropped: reason -> number left out.
    """

    path: Path
    name: str = ""
    n_prompts: int = 0
    responses: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    error: LnatError | None = None

    @property
    def ok(self) -> bool:
        """Whether the set can be scored."""
        return self.error is None

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers, in order of first appearance."""
        return tuple(self.responses)


def shipped_folder() -> Path:
    """The folder of the shipped YAML files: the installed package's, or the repository's."""
    found = importlib.util.find_spec("lnat_plugins.tasks")
    for folder in (found.submodule_search_locations if found else None) or ():
        return Path(folder)
    return Path(__file__).resolve().parent.parent / "tasks"


def list_tasks(
    paths: Iterable[str | Path] = (), splitters: Mapping[str, Splitter] = SPLITTERS
) -> list[TaskInfo]:
    """Every teacher set among the YAML files of the paths; without paths, the shipped ones.

    A path is a YAML file, or a folder, searched with its sub-folders. Raises ConfigError
    for a path that does not exist. YAML files of folders that define no teacher set
    (no `naturalness` class or block) are passed over. No plugin that a YAML names is run for
    the listing, so a splitter of such a one is taken on trust.
    """
    given = [Path(path) for path in paths]
    found = []
    for path in given or [shipped_folder()]:
        if not path.exists():
            raise ConfigError("no such file or folder", where=str(path))
        files = [path] if path.is_file() else sorted(path.rglob("*.yaml"))
        infos = [_describe(file, path.is_file(), splitters) for file in files]
        found += [info for info in infos if info]
    return found


def check_task(path: str | Path, load: Callable[[TaskSpec], TeacherSet] = load) -> CheckReport:
    """Load the YAML and all its data with `load`, as a run would; the first error ends it."""
    path = Path(path)
    try:
        teacher_set = load(_definition(path))
    except LnatError as error:
        return CheckReport(path, error=error)
    return CheckReport(
        path,
        name=teacher_set.name,
        n_prompts=len(teacher_set.prompts),
        responses=_count(teacher_set),
        dropped=teacher_set.dropped,
        fingerprint=teacher_set.fingerprint,
    )


def _definition(path: Path) -> TaskSpec:
    config = read_yaml(path)
    if not str(config.get("class", "")).endswith("NaturalnessTask"):
        raise ConfigError(
            "lm-eval would not run this as a naturalness task",
            where=f"{path}: class",
            found=config.get("class"),
            remedy="add the line `class: !function lnat_plugins.harness.NaturalnessTask`",
        )
    spec = parse_task(config, path)
    parse_windows(spec.settings.windows, f"{spec.data.source}: naturalness: windows")
    return spec


def _describe(path: Path, named: bool, splitters: Mapping[str, Splitter]) -> TaskInfo | None:
    """What a listing says of one YAML; None for another tool's YAML found in a folder."""
    try:
        config = read_yaml(path)
        if not named and not _is_ours(config):
            return None
        spec = _definition(path)
        if not spec.plugins:
            where = f"{spec.data.source}: naturalness: steps"
            parse_steps(spec.settings.steps, where, splitters)
    except LnatError as error:
        return TaskInfo(path.stem, path, str(error), "", ok=False)
    data = spec.data.dataset_path
    shown = data if isinstance(data, str) else ", ".join(data)
    description = " ".join(str(config.get("description") or "").split())
    if not description and isinstance(metadata := config.get("metadata"), Mapping):
        description = " ".join(str(metadata.get("description") or "").split())
    return TaskInfo(spec.name, path, description, shown, ok=True)


def _is_ours(config: Mapping[str, object]) -> bool:
    return "naturalness" in config or "lnat_plugins" in str(config.get("class", ""))


def _count(teacher_set: TeacherSet) -> dict[str, int]:
    counts = Counter(r.teacher for prompt in teacher_set.prompts for r in prompt.responses)
    return {teacher: counts[teacher] for teacher in teacher_set.teachers}
