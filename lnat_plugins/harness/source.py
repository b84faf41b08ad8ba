"""Which YAML a task came from: data paths are relative to it.

lm-eval tells the path in `metadata.config_source` for tasks that it found by name or was
given through its Python interface. For `--tasks some/file.yaml` it says "inline", so the
file is looked for among the command's own arguments.
"""

from __future__ import annotations

import glob
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.errors import LnatError
from lnat_plugins.yaml_file import read_yaml

_INLINE = "inline"
_CONFIG = ("--config", "-C")
_TELLING = ("task", "dataset_path", "dataset_name", "dataset_kwargs", "naturalness")


def source_of(config: Mapping[str, Any]) -> Path | str:
    """The YAML's path, or "<dict>" for a task defined in a program."""
    told = (config.get("metadata") or {}).get("config_source", _INLINE)
    if told != _INLINE:
        return Path(told)
    for path in _yaml_arguments():
        found = _read(path)
        if all(found.get(key) == config.get(key) for key in _TELLING):
            return path
    return "<dict>"


def _yaml_arguments() -> Iterator[Path]:
    """YAML files that the command line, or its `--config`, names: by path, glob, list or folder.

    Not those under `--include_path`: a task found there by its name is not "inline".
    """
    for before, argument in itertools.pairwise(sys.argv):
        if before == "--include_path":
            continue
        given = argument.removeprefix("--tasks=").removeprefix("--config=")
        words = given.split(",")
        if before in _CONFIG or argument.startswith("--config="):
            tasks = _read(Path(given)).get("tasks") or []
            words = tasks.split(",") if isinstance(tasks, str) else [*map(str, tasks)]
        for word in words:
            if Path(word).is_dir():
                yield from sorted(Path(word).glob("*.yaml"))
            elif word.endswith(".yaml"):
                yield from (Path(match) for match in sorted(glob.glob(word)))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return read_yaml(path)
    except LnatError:
        return {}
