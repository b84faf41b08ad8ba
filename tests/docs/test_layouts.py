"""Each layout of docs/layouts.md is read from the rows that stand below it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lnat_plugins import load_teacher_set
from tests.conftest import REPO

from .lab import fences_of

_TEXT = (REPO / "docs" / "layouts.md").read_text(encoding="utf-8")
_SECTIONS = {
    part.partition("\n")[0]: part
    for part in _TEXT.split("\n## ")[1:]
    if "```yaml\nnaturalness" in part
}


@pytest.mark.parametrize("name", _SECTIONS)
def test_a_layout_is_read(name: str, tmp_path: Path) -> None:
    fences = fences_of(_SECTIONS[name])
    (block,) = (yaml.safe_load(one.code)["naturalness"] for one in fences if one.language == "yaml")
    rows, *requests = (one.code for one in fences if one.language == "json")
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    path: object = "rows.jsonl"
    if requests:
        (tmp_path / "requests.jsonl").write_text(requests[0], encoding="utf-8")
        path = {"R1": "rows.jsonl"}
    keys = {"task": "t", "dataset_path": path, "naturalness": {**block, "min_teachers": 1}}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    found = load_teacher_set(tmp_path / "t.yaml", strict=True)
    assert found.n_responses == {"wide": 3, "batch": 1}.get(name, 2)
    assert len(found.prompts) == 1


def test_every_layout_has_an_example() -> None:
    from lnat_plugins.teacher_set.columns import LAYOUT_COLUMNS

    assert set(LAYOUT_COLUMNS) <= set(_SECTIONS)
