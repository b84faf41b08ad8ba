"""YAML as lm-eval reads it, and files that are never half written. Bad YAML: teacher_set/."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml, write_atomic


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")


def test_a_function_stays_a_name(tmp_path: Path) -> None:
    write(tmp_path, a__yaml="class: !function lnat_plugins.harness.NaturalnessTask\ntask: x\n")
    assert read_yaml(tmp_path / "a.yaml")["class"] == "lnat_plugins.harness.NaturalnessTask"


def test_includes_merge_as_in_lm_eval(tmp_path: Path) -> None:
    write(
        tmp_path,
        _base="tag: base\nnaturalness: {steps: line, min_teachers: 3}\ntask_list: [z]\n",
        _more="test_split: test\n",
        a__yaml="include: [_base, _more]\ntask: x\nnaturalness: {steps: turn}\n",
    )
    ours = read_yaml(tmp_path / "a.yaml")
    assert ours == load_yaml(tmp_path / "a.yaml")
    assert ours["naturalness"] == {"steps": "turn"}
    assert "task_list" not in ours and ours["test_split"] == "test"


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbftask: x\n")
    assert read_yaml(tmp_path / "a.yaml") == {"task": "x"}


# write_atomic


def test_a_file_is_written_with_its_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.md"
    write_atomic(path, "one\n", "--output_path")
    write_atomic(path, "zwei \u00e9\r\n", "--output_path")
    assert path.read_bytes() == "zwei \u00e9\r\n".encode()
    assert [file.name for file in path.parent.iterdir()] == ["out.md"]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "x", "--output_path")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "old", "--output_path")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "a", "new \ud83d", "--output_path")
    assert (tmp_path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as caught:
        write_atomic(tmp_path / "file" / "a", "x", "--output_path")
    assert "cannot be written" in str(caught.value)
    assert str(caught.value).endswith("Give --output_path a folder that can be written to.")
    with pytest.raises(ConfigError) as caught:
        write_atomic(tmp_path, "x", "the report")
    assert str(caught.value) == (
        f"{tmp_path}: this is a folder, where a file is to be written. "
        "Give the report the name of a file."
    )
