"""Calls for programs and notebooks that do what the commands do. Computes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.plugins import load_with_plugins
from lnat_plugins.teacher_set import TeacherSet


def load_teacher_set(source: str | Path | Mapping[str, Any]) -> TeacherSet:
    """Read a teacher set from its YAML, or from a dictionary of the same keys.

    Data paths, and files under `naturalness: plugins`, are relative to the YAML's folder; in a
    dictionary, to the working directory.

    Raises:
        ConfigError: the definition, or a plugin that it names.
        DataError: the data.
    """
    return load_with_plugins(source)
