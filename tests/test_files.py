"""YAML as lm-eval reads it. Bad YAML: teacher_set/."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.files import check_model_folder, parse_yaml, read_yaml
from lnat_plugins.plugins import init_with_plugins as init
from lnat_plugins.plugins import load_plugins
from lnat_plugins.ranking.reference import read_reference
from lnat_plugins.scoring.samples import read_scored_sets
from lnat_plugins.selection.training_set import read_selection
from lnat_plugins.study.spec import read_study
from lnat_plugins.teacher_set import load
from lnat_plugins.teacher_set.catalog import check_task, list_tasks
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.whole_conversations import read_tools


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


@pytest.mark.parametrize(
    "path",
    ["x" * 5_000, "a/" * 2_500 + "b.yaml", "a\0b.yaml", "~no_such_user_here/a.yaml"],
    ids=["a long name", "a long path", "NUL", "an unknown user"],
)
def test_a_path_that_none_can_be_is_one_line(path: str, tmp_path: Path) -> None:
    for read in (
        read_yaml,
        check_task,
        lambda path: list_tasks([path]),
        lambda path: read_scored_sets([path]),
        read_selection,
        read_study,
        lambda path: read_reference(path, ["A", "B"]),
        lambda path: load_plugins([f"{path}.py"]),
        lambda path: check_model_folder(path, "--model_args pretrained"),
        lambda path: load(parse_task({"task": "t", "dataset_path": path})),
        lambda path: init(path, output_path=tmp_path / "new.yaml"),
    ):
        with pytest.raises(LnatError) as caught:
            read(path)
        assert "\n" not in str(caught.value) and "\0" not in str(caught.value)
        assert len(str(caught.value)) < 3_200


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def make(name: str) -> Path:
        path = tmp_path / name
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(name)  # a socket's path has 107 bytes at most
        else:
            path.symlink_to("/dev/zero")
        return path

    data = make("rows.jsonl")
    samples = make("samples_t_2025-01-01T00-00-00.jsonl")
    for read in (
        lambda: read_yaml(make("a.yaml")),
        lambda: check_task(make("b.yaml")),
        lambda: read_scored_sets([samples]),
        lambda: read_scored_sets([tmp_path]),
        lambda: read_selection(make("selection.json")),
        lambda: read_study(make("study.yaml")),
        lambda: load_plugins([make("plugin.py")]),
        lambda: load(parse_task({"task": "t", "dataset_path": str(data)})),
        lambda: load(parse_task({"task": "t", "dataset_path": str(tmp_path)})),
        lambda: read_tools(make("tools.json")),
        lambda: init(str(data), output_path=tmp_path / "new.yaml"),
        lambda: init(str(tmp_path), output_path=tmp_path / "new.yaml"),
    ):
        with pytest.raises(LnatError, match=f"this is a {kind}, not a file"):
            read()


def test_aliases_that_multiply_a_file_are_refused_at_once() -> None:
    few = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    text = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 4))
    long = "b0: &b0 " + "x" * 100_000 + "\n" + text
    start = time.perf_counter()
    for bomb in ("a0: &a0 [x]\n" + few, "a0: &a0 {k: v}\n" + few, long):
        with pytest.raises(ConfigError, match="make this YAML too large"):
            parse_yaml(bomb, Path("a.yaml"))
    assert time.perf_counter() - start < 2
    # Sharing that stays small is YAML as any other.
    shared = parse_yaml("a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a, e: *a}\n", Path("a.yaml"))
    assert shared == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": {"b": 1, "e": {"b": 1}}}


def test_a_yaml_that_is_too_long_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(ConfigError, match="a YAML has 2 MB at most .found '1000000.0 MB'"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("read", [read_selection, lambda path: read_reference(path, ["A", "B"])])
def test_a_key_of_json_that_stands_twice_is_refused(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"A": 1, "B": 2, "A": 3}', encoding="utf-8")
    with pytest.raises(LnatError, match="duplicate key 'A'|duplicate name 'A'"):
        read(tmp_path / "a.json")
