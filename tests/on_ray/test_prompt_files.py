"""A teacher set as parquet: what comes back, and which folders are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.on_ray.prompt_files import (
    holds_prompts,
    prompt_files,
    prompt_of,
    read_set,
    write_prompts,
)
from lnat_plugins.plugins.configured import plan_of
from lnat_plugins.plugins.load import load_plugins
from lnat_plugins.teacher_set import Prompt, Response
from tests.harness.lab import rows, write_set

ODD = Prompt(
    "ünï/код",
    ({"role": "system", "content": "Be short."}, {"role": "user", "content": "3 + 4?\r\n"}),
    (
        Response(
            "R1", "<think>\nSo\n</think>\n\n七", "a", False, ("<think>\nSo\n</think>", "\n\n七"),
            {"tools": [{"name": "f"}], "reward": 0.5, "note": "\ud800"}, "row 1", ("So", "七"),
            {"content": "七", "reasoning_content": "So"},
        ),
        Response("QwQ", "Seven"),
    ),
)  # fmt: skip


def test_prompts_come_back_as_they_were(tmp_path: Path) -> None:
    loaded = load_teacher_set(write_set(tmp_path, rows(prompts=25), block={"windows": [2]}))
    teacher_set = replace(loaded, prompts=(ODD, *loaded.prompts))
    folder = write_prompts(teacher_set, tmp_path / "prompts")
    assert holds_prompts(folder) and not holds_prompts(tmp_path) and not holds_prompts("no\0path")
    (file,) = prompt_files(folder)
    found = pq.read_table(file).to_pylist()
    assert [prompt_of(row["prompt"]) for row in found] == list(teacher_set.prompts)
    assert [row["number"] for row in found] == list(range(26))
    assert [row["id"] for row in found] == [one.prompt_id for one in teacher_set.prompts]
    assert sum(row["narrower"] for row in found) == 20
    assert not any(row["variants"] for row in found)
    settings, registry = teacher_set.settings, load_plugins().registry
    plan = plan_of(settings, registry, tokens=True, sensitivity="basic")
    own = read_set(folder).plan()
    assert own.settings.as_dict() == settings.as_dict()
    assert own._replace(settings=settings) == plan


def test_many_prompts_are_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnat_plugins.on_ray.prompt_files._PER_FILE", 2)
    source = write_set(tmp_path, rows(prompts=5))
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "prompts-00007.parquet").write_bytes(b"of a process that was killed")
    write_prompts(str(source), folder)
    files = [Path(one).name for one in prompt_files(folder)]
    assert files == [f"prompts-0000{i}.parquet" for i in range(3)]


def test_a_set_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    source, folder = write_set(tmp_path, rows()), tmp_path / "prompts"
    write_prompts(source, folder)
    before = Path(prompt_files(folder)[0]).stat()
    write_prompts(source, folder)
    assert Path(prompt_files(folder)[0]).stat() == before
    with pytest.raises(ConfigError, match=r"prompts of another set, or of this one with other"):
        write_prompts(write_set(tmp_path, rows(), block={"windows": [2]}), folder)


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    source = write_set(tmp_path, rows(), block={"budget": {}})
    with pytest.raises(ConfigError, match=r"my_teachers: budget: a budget decides prompt by"):
        write_prompts(source, tmp_path / "prompts")
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    with pytest.raises(DataError, match=r"^my_teachers: the teacher set has no prompts\.$"):
        write_prompts(replace(teacher_set, prompts=()), tmp_path / "prompts")
    with pytest.raises(ConfigError, match=r"^plugins: an object cannot be sent to other mach"):
        write_prompts(teacher_set, tmp_path / "prompts", plugins=[object()])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"holds no prompts that write_prompts wrote"):
        read_set(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"the prompts cannot be written \(found"):
        write_prompts(teacher_set, tmp_path / "file")
