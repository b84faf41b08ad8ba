"""Every bad definition, file and row is one exact line; the inputs stand in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import LnatError
from lnat_plugins.files import read_yaml
from lnat_plugins.teacher_set import load
from lnat_plugins.teacher_set.catalog import check_task
from lnat_plugins.teacher_set.config import IDLE_KEYS, parse_task

TABLE = Path(__file__).parents[1] / "data" / "bad_teacher_sets.yaml"
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CASES: list[dict[str, Any]] = yaml.load(TABLE.read_text(encoding="utf-8"), FAST)


def definition(case: dict[str, Any]) -> dict[str, Any]:
    config = {"task": "t", "dataset_path": "rows.jsonl", **case.get("keys", {})}
    if "naturalness" in case:
        config["naturalness"] = case["naturalness"]
    return {key: value for key, value in config.items() if key not in case.get("without", ())}


def write(case: dict[str, Any], folder: Path) -> None:
    files = dict(case.get("files", {}))
    if "rows" in case:
        files["rows.jsonl"] = "".join(json.dumps(row) + "\n" for row in case["rows"])
    text = case.get("yaml", yaml.safe_dump(definition(case)))
    if text is not None:
        files["t.yaml"] = text
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_the_names_of_the_table_are_distinct() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bad_input_is_one_exact_line(case: dict[str, Any], tmp_path: Path) -> None:
    write(case, tmp_path)
    path = tmp_path / "t.yaml"
    read: dict[str | None, Callable[[], object]] = {
        None: lambda: load(parse_task(read_yaml(path), path), strict=True),
        "dictionary": lambda: load(parse_task(definition(case))),
        "check": lambda: check_task(path),
    }
    with pytest.raises(LnatError) as caught:
        read[case.get("read")]()
    folder = str(tmp_path.resolve())
    line = f"{type(caught.value).__name__}: {caught.value}".replace(f"{folder}/", "")
    line = line.replace(folder, "FOLDER")
    expected = re.escape(case["error"]).replace(re.escape("{library}"), "[^\n]+")
    assert re.fullmatch(expected, line), line


@pytest.mark.parametrize("key", IDLE_KEYS)
def test_a_key_without_effect_is_refused_unless_it_is_empty(key: str) -> None:
    with pytest.raises(LnatError, match=f"^<dict>: `{key}` has no effect on a naturalness task"):
        parse_task({"task": "t", "dataset_path": "rows.jsonl", key: "x"})
    assert parse_task({"task": "t", "dataset_path": "rows.jsonl", key: None}).name == "t"
