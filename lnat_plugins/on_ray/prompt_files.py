"""A teacher set as parquet files, a row a prompt with all its responses.

In the folder: `prompts-00000.parquet` and so on, with the columns `number` (from 0, in the set's
order), `id`, `prompt` (JSON), `narrower` and `variants` (what else is scored, see `ways.Extra`);
and `set.json`, written last, which says what set it is.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins.errors import ConfigError, DataError, visible
from lnat_plugins.files import read_yaml
from lnat_plugins.harness.documents import about_set
from lnat_plugins.outputs import write_atomic
from lnat_plugins.plugins import load_plugins, load_with_plugins
from lnat_plugins.plugins.configured import Plan, plan_of
from lnat_plugins.scoring.ways import extra_of
from lnat_plugins.teacher_set import Prompt, Response, TeacherSet
from lnat_plugins.teacher_set.config import Sensitivity, Settings, TaskSpec, parse_task

SET: Final = "set.json"
FORMAT: Final = 1
"""The version of the files."""

_PER_FILE: Final = 1_000
_FIELDS: Final = (
    "teacher",
    "text",
    "sample",
    "correct",
    "steps",
    "extra",
    "where",
    "parts",
    "turn",
    "turns",
)
_COLUMNS: Final = pa.schema(
    [
        ("number", pa.int64()), ("id", pa.string()), ("prompt", pa.large_string()),
        ("narrower", pa.bool_()), ("variants", pa.bool_()),
    ]
)  # fmt: skip


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenSet:
    """What `set.json` holds: all of a teacher set but its prompts.

    Attributes:
        name: the task's.
        about: as in a results file, see `documents.about_set`.
        tokens, sensitivity: see `TaskSpec`.
        plugins: modules, and files by their absolute paths.
    """

    name: str
    about: Mapping[str, Any]
    tokens: bool
    sensitivity: Sensitivity
    plugins: tuple[str, ...]

    @property
    def prompts(self) -> int:
        """How many the set has."""
        return int(self.about["prompts"])

    def plan(self) -> Plan:
        """How its rows are scored, with the plugins loaded in this process."""
        about = self.about
        settings = Settings(
            about["steps"], tuple(about["windows"]), about["target_delimiter"],
            tuple(about["metrics"]), about["markers"], prefix=about.get("prefix", ""),
            observations=about.get("observations", "window"),
        )  # fmt: skip
        registry = load_plugins(self.plugins).registry
        return plan_of(settings, registry, tokens=self.tokens, sensitivity=self.sensitivity)


def write_prompts(
    teacher_set: TeacherSet | str | Path | Mapping[str, Any],
    folder: str | Path,
    plugins: Sequence[str] = (),
) -> Path:
    """Write a teacher set's prompts for `score_on_ray`, unless they are there already.

    Args:
        teacher_set: its YAML, the same keys, or what `load_teacher_set` read.
        folder: made if it is not there; on a cluster, in a file system that all nodes share.
        plugins: modules and files of a set that was loaded; those that a YAML names are known.

    Returns:
        The folder.

    Raises:
        ConfigError: a set with a budget, or a folder that holds another set.
        DataError: as `load_teacher_set`, or a set without a prompt.
    """
    folder = Path(folder).absolute()
    teacher_set, named = _loaded(teacher_set, plugins)
    for note in teacher_set.all_notes:
        _log.warning("%s: %s", visible(teacher_set.name), visible(note))
    if not teacher_set.prompts:
        raise DataError("the teacher set has no prompts", where=teacher_set.name)
    if teacher_set.settings.budget is not None:
        raise ConfigError(
            "a budget decides prompt by prompt what is read next, and a cluster reads all at once",
            where=f"{teacher_set.name}: budget",
            remedy="leave the budget out, or score with lm_eval",
        )
    written = WrittenSet(
        teacher_set.name, about_set(teacher_set), teacher_set.tokens, teacher_set.sensitivity,
        tuple(named),
    )  # fmt: skip
    values = {"format": FORMAT, "name": written.name, "about": written.about}
    values |= {"tokens": written.tokens, "sensitivity": written.sensitivity, "plugins": named}
    if (folder / SET).exists():
        if read_json(folder / SET) == json.loads(json.dumps(values)):
            return folder
        raise ConfigError(
            "the folder holds the prompts of another set, or of this one with other settings",
            where=str(folder), remedy="give another folder",
        )  # fmt: skip
    plan = written.plan()
    texts = [one.text for prompt in teacher_set.prompts for one in prompt.responses]
    depth = teacher_set.sensitivity
    extra = extra_of(depth, len(teacher_set.prompts), texts, plan.steps, plan.windows)
    rows = (
        {
            "number": i, "id": prompt.prompt_id, "prompt": json.dumps(_values(prompt)),
            "narrower": extra.narrower_in(i), "variants": extra.variants_in(i),
        }
        for i, prompt in enumerate(teacher_set.prompts)
    )  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in prompt_files(folder):  # by a process that was killed
            Path(left).unlink()
        for number in itertools.count():
            if not (own := list(itertools.islice(rows, _PER_FILE))):
                break
            table = pa.Table.from_pylist(own, schema=_COLUMNS)
            # By rows, not files, Ray makes its blocks: no row group is larger than one.
            path = folder / f"prompts-{number:05d}.parquet"
            pq.write_table(table, path, row_group_size=100, compression="zstd")
    except OSError as cause:
        raise ConfigError(
            "the prompts cannot be written", where=str(folder), found=cause.strerror,
            remedy="give a folder that can be written to",
        ) from None  # fmt: skip
    write_atomic(folder / SET, json.dumps(values, indent=1), "the folder")
    return folder


def _loaded(
    source: TeacherSet | str | Path | Mapping[str, Any], plugins: Sequence[str]
) -> tuple[TeacherSet, list[str]]:
    """The set, and its plugins by names that hold in every process."""
    if isinstance(source, TeacherSet):
        return source, _everywhere(plugins, Path.cwd())
    spec: TaskSpec = (
        parse_task(source) if isinstance(source, Mapping) else parse_task(read_yaml(source), source)
    )
    named = _everywhere(spec.plugins, spec.data.base_dir) + _everywhere(plugins, Path.cwd())
    return load_with_plugins(spec), named


def _everywhere(plugins: Sequence[str], base: Path) -> list[str]:
    for one in plugins:
        if not isinstance(one, str):
            raise ConfigError(
                "an object cannot be sent to other machines", where="plugins", found=one,
                remedy="name its module or file",
            )  # fmt: skip
    return [str((base / one).absolute()) if one.endswith(".py") else one for one in plugins]


def holds_prompts(folder: str | Path) -> bool:
    """Whether `write_prompts` wrote this folder."""
    with suppress(OSError, ValueError):
        return (Path(folder) / SET).is_file()
    return False


def read_set(folder: Path) -> WrittenSet:
    """What the folder holds; ConfigError where `write_prompts` has not written it whole."""
    try:
        found = read_json(folder / SET)
        if found["format"] != FORMAT:
            raise ValueError("another version")
        return WrittenSet(
            str(found["name"]), dict(found["about"]), bool(found["tokens"]), found["sensitivity"],
            tuple(found["plugins"]),
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ConfigError(
            "this folder holds no prompts that write_prompts wrote", where=str(folder),
            remedy="give the teacher set's YAML, or write its prompts again into a new folder",
        ) from None  # fmt: skip


def read_json(path: Path) -> Any:
    """A file's value; None where there is no such file, or it holds no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def prompt_files(folder: Path) -> list[str]:
    """The parquet files, in order."""
    return [str(path) for path in sorted(folder.glob("prompts-*.parquet"))]


def prompt_of(text: str) -> Prompt:
    """A prompt, from the column of that name."""
    found = json.loads(text)
    responses = (
        row | {name: tuple(row[name]) for name in ("steps", "parts") if row[name] is not None}
        for row in found["responses"]
    )
    return Prompt(
        found["prompt_id"], tuple(found["messages"]), tuple(Response(**row) for row in responses)
    )


def _values(prompt: Prompt) -> dict[str, Any]:
    return {
        "prompt_id": prompt.prompt_id,
        "messages": [dict(turn) for turn in prompt.messages],
        "responses": [
            {name: getattr(one, name) for name in _FIELDS} | {"extra": dict(one.extra)}
            for one in prompt.responses
        ],
    }  # fmt: skip
