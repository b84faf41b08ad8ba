"""A teacher set written to a folder and loaded through its YAML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.files import read_yaml
from lnat_plugins.teacher_set import LOADERS, Loader, TeacherSet
from lnat_plugins.teacher_set import load as load_defined
from lnat_plugins.teacher_set.config import parse_task

Load = Callable[..., TeacherSet]


def row(prompt: Any = "p1", teacher: Any = "A", response: Any = "r", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "teacher": teacher, "response": response, **more}


def two(prompt: str = "p1", **more: Any) -> list[dict[str, Any]]:
    return [row(prompt, "A", "a.", **more), row(prompt, "B", "b.", **more)]


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(r) + "\n" for r in rows)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(rows or {file: text}, dataset_path=..., **naturalness) -> TeacherSet"""

    def run(
        files: list[Any] | dict[str, str | bytes],
        dataset_path: Any = "rows.jsonl",
        keys: dict[str, Any] | None = None,
        loaders: dict[str, Loader] | None = None,
        strict: bool = False,
        **naturalness: Any,
    ) -> TeacherSet:
        if isinstance(files, list):
            files = {"rows.jsonl": jsonl(*files)}
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        config = {"task": "t", "dataset_path": dataset_path, "naturalness": naturalness}
        (tmp_path / "t.yaml").write_text(yaml.safe_dump({**config, **(keys or {})}))
        path = tmp_path / "t.yaml"
        spec = parse_task(read_yaml(path), path)
        return load_defined(spec, loaders={**LOADERS, **(loaders or {})}, strict=strict)

    return run
