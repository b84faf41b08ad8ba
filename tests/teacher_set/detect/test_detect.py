"""`lnat init` on layouts of public sets: the rows and what must be proposed stand in a table."""

from __future__ import annotations

import json
import random
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import LnatError
from lnat_plugins.files import parse_yaml
from lnat_plugins.teacher_set.detect.create import NewTeacherSet, create, read_options

DATA = Path(__file__).parents[2] / "data"
TABLES = ("init_layouts.yaml", "init_hard_layouts.yaml")
CASES: list[dict[str, Any]] = [
    case for name in TABLES for case in yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
]
PROMPTS = 6


def fill(value: Any, i: int, row: int) -> Any:
    """A template's value for prompt `i`; `row` counts all rows."""
    if isinstance(value, dict):
        return {key: fill(own, i, row) for key, own in value.items()}
    if isinstance(value, list):
        return [fill(own, i, row) for own in value]
    if not isinstance(value, str) or "@" not in value:
        return value
    if value == "@num":
        return i
    say = {
        "prompt": lambda _: f"A shelf holds {i} red books and {i + 3} blue ones. How many?",
        "id": lambda _: f"q{i}",
        "row": lambda _: f"r{row}",
        "short": lambda _: str(2 * i + 3),
        "same": lambda _: f"We add {i} and {i + 3}, which gives {2 * i + 3}. That is all.",
        "trace": lambda x: f"Let me see, says {x}. Adding {i} and {i + 3} gives {2 * i + 3}.",
        "think": lambda x: f"Hmm, thinks {x}, there are {i} and {i + 3}: let me add them up.",
        "text": lambda _: f"Some words of row {row}, which no other row has in it.",
    }
    return re.sub(r"@(\w+)(?: ([A-Z])\b)?", lambda m: say[m[1]](m[2]), value, flags=re.ASCII)


def write(folder: Path, case: dict[str, Any]) -> list[str]:
    """The files of a case; returns what `lnat init` is given."""
    row = 0
    for name, templates in case["files"].items():
        rows = []
        for i in range(min(case.get("prompts", PROMPTS), PROMPTS)):
            for template in templates:
                rows.append(fill(template, i, row))
                row += 1
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        as_list = name.endswith(".json")
        text = json.dumps(rows) if as_list else "".join(json.dumps(r) + "\n" for r in rows)
        path.write_text(text, encoding="utf-8")
    return case.get("data", sorted(case["files"]))


def init(folder: Path, case: dict[str, Any]) -> NewTeacherSet:
    return create(write(folder, case), read_options(case.get("options", {})))


def proposal(new: NewTeacherSet) -> dict[str, Any]:
    assert new.path is not None
    return parse_yaml(new.yaml, new.path)


def test_the_names_of_the_table_are_distinct() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_layout_is_recognised_or_asked_about(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "asks" in case:
        with pytest.raises(LnatError, match=re.escape(case["asks"])):
            init(tmp_path, case)
        assert not list(tmp_path.rglob("my_teachers.yaml"))
        return
    new = init(tmp_path, case)
    found = proposal(new)
    where = str(Path(new.path or "").parent)
    path = found["dataset_path"]
    assert path == case["path"] or f"{where}/{path}" == case["path"]
    assert found["naturalness"] == case["block"]
    assert len(new.teacher_set.prompts) == case.get("prompts", PROMPTS)
    if "count" in case:
        assert new.teacher_set.n_responses == case["count"]
    assert not (case.get("sure") and new.detected.doubts)
    if "doubt" in case:
        assert any(case["doubt"] in doubt for doubt in new.detected.doubts)


READ = [case for case in CASES if "asks" not in case and "count" not in case]


@pytest.mark.parametrize("case", READ, ids=lambda case: case["name"])
def test_neither_order_nor_a_broken_row_changes_what_is_read(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = init(tmp_path, case)
    assert plain.path is not None
    plain.path.unlink()
    for name in case["files"]:
        path = tmp_path / name
        text = path.read_text("utf-8")
        as_list = name.endswith(".json")
        rows = json.loads(text) if as_list else [json.loads(line) for line in text.splitlines()]
        rows = [dict(reversed(row.items())) for row in rows]
        rows.insert(1, {next(iter(rows[0])): None})
        lines = [json.dumps(row) + "\n" for row in rows]
        path.write_text(json.dumps(rows) if as_list else "".join(lines), "utf-8")
    data = case.get("data", sorted(case["files"]))
    changed = create(data, read_options(case.get("options", {})))
    assert _texts(changed) == _texts(plain)


def _texts(new: NewTeacherSet) -> list[tuple[str, str, str, bool | None]]:
    return sorted(
        (prompt.text, response.teacher, response.text, response.correct)
        for prompt in new.teacher_set.prompts
        for response in prompt.responses
    )


ODD: tuple[Any, ...] = (
    None, 5, -1.5, float("nan"), True, "", "x", "null", [], {}, [1], [None], [{}], [["user", "x"]],
    {"a": {"b": "c d e f"}}, {"content": None}, {"choices": []}, {"role": "user", "content": 5},
    [{"role": "user"}], [{"role": "assistant", "content": ["x"]}], [{"type": "text"}],
)  # fmt: skip


def with_odd_cells(value: Any, rng: random.Random) -> Any:
    """The value with some of what is in it replaced."""
    if rng.random() < 0.15:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {key: with_odd_cells(own, rng) for key, own in value.items() if rng.random() < 0.97}
    if isinstance(value, list):
        return [with_odd_cells(own, rng) for own in value]
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_odd_cells_end_in_a_set_or_in_one_error(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(case["name"])
    for _ in range(3):
        data = write(tmp_path, case)
        for path in [tmp_path / name for name in case["files"] if name.endswith(".jsonl")]:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            rows = [{key: with_odd_cells(own, rng) for key, own in row.items()} for row in rows]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        with suppress(LnatError):
            create(data, read_options(case.get("options", {})), "-")
