"""Which YAML a task came from: data paths are relative to it.

lm-eval tells the path in `metadata.config_source` for tasks that it found by name or was
given through its Python interface. For `--tasks some/file.yaml` it says "inline", so the
file is looked for among the command's own arguments.
"""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.errors import LnatError
from lnat_plugins.yaml_file import read_yaml

_INLINE = "inline"


def source_of(config: Mapping[str, Any]) -> Path | str:
    """The YAML's path, or "<dict>" for a task defined in a program."""
    told = (config.get("metadata") or {}).get("config_source", _INLINE)
    if told != _INLINE:
        return Path(told)
    named = [path for path in _yaml_arguments() if _task_of(path) == config.get("task")]
    return named[0] if named else "<dict>"


def _yaml_arguments() -> Iterator[Path]:
    """YAML files that the command line names: by path, glob, list or folder."""
    for argument in sys.argv[1:]:
        for word in argument.removeprefix("--tasks=").split(","):
            if Path(word).is_dir():
                yield from sorted(Path(word).glob("*.yaml"))
            elif word.endswith(".yaml"):
                yield from (Path(match) for match in sorted(glob.glob(word)))


def _task_of(path: Path) -> object:
    try:
        return read_yaml(path).get("task")
    except LnatError:
        return None
