"""The YAML's keys and values: defaults, presets, and every refusal with its remedy."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.teacher_set.config import IDLE_KEYS, LM_EVAL_KEYS, Settings, parse_task


def parse(naturalness: dict[str, Any] | None = None, **keys: Any) -> Any:
    config = {"task": "t", "dataset_path": "rows.jsonl", **keys}
    if naturalness is not None:
        config["naturalness"] = naturalness
    return parse_task(config)


def test_the_least_definition_has_the_defaults_of_the_paper() -> None:
    spec = parse()
    assert spec.settings == Settings("sentence", ("4", "global"), "\n\n")
    assert (spec.data.layout, spec.data.split, spec.data.min_teachers) == ("long", "train", 2)
    assert (spec.data.teachers, spec.data.require_correct) == (None, False)
    assert spec.data.base_dir == Path.cwd()


def test_paths_start_from_the_yaml(tmp_path: Path) -> None:
    spec = parse_task({"task": "t", "dataset_path": "a.jsonl"}, tmp_path / "t.yaml")
    assert spec.data.base_dir == tmp_path
    assert spec.data.source == str(tmp_path / "t.yaml")


def test_a_preset_gives_values_and_explicit_keys_win() -> None:
    assert parse({"preset": "lalp-v2"}).settings.steps == "supplied_or_sentence"
    assert parse({"preset": "lalp-v2"}).settings.windows == ("10%", "global")
    mixed = parse({"preset": "lalp-v2", "windows": [2, "5%"]}).settings
    assert (mixed.steps, mixed.windows) == ("supplied_or_sentence", ("2", "5%"))


def test_windows_become_text_and_one_may_stand_alone() -> None:
    assert parse({"windows": [0, "10%", "global"]}).settings.windows == ("0", "10%", "global")
    assert parse({"windows": 4}).settings.windows == ("4",)


def test_the_fingerprint_follows_every_setting() -> None:
    settings = {
        Settings(),
        Settings(steps="line"),
        Settings(windows=("global", "4")),
        Settings(target_delimiter=""),
    }
    prints = {s.fingerprint for s in settings}
    assert len(prints) == 4 and all(len(p) == 12 for p in prints)
    assert Settings().as_dict()["windows"] == ["4", "global"]


def test_plugins_and_loader_decide_no_score_by_themselves() -> None:
    spec = parse({"plugins": ["mine.py", "package.module"], "loader": "tsv"})
    assert (spec.plugins, spec.data.loader) == (("mine.py", "package.module"), "tsv")
    assert spec.settings.fingerprint == parse().settings.fingerprint
    assert (parse().plugins, parse().data.loader) == ((), None)
    with pytest.raises(ConfigError, match=r"plugins: .*Write \[my_plugin.py, installed_module\]"):
        parse({"plugins": "mine.py"})
    with pytest.raises(ConfigError, match="naturalness: loader: this must be text"):
        parse({"loader": ["tsv"]})


def test_dataset_path_keeps_its_form() -> None:
    assert parse(dataset_path="a/b").data.dataset_path == "a/b"
    assert parse(dataset_path=["a", "b"]).data.dataset_path == ("a", "b")
    mapped = parse(dataset_path={"QwQ": "q.jsonl", "R1": ["a.json", "b.json"]}).data.dataset_path
    assert mapped == {"QwQ": ("q.jsonl",), "R1": ("a.json", "b.json")}


def test_lm_evals_json_idiom_names_local_files() -> None:
    spec = parse(dataset_path="json", dataset_kwargs={"data_files": {"train": "a.jsonl"}})
    assert (spec.data.dataset_path, spec.data.dataset_kwargs) == ("a.jsonl", {})
    with pytest.raises(ConfigError, match=r"no files for the split .*'test'"):
        parse(
            dataset_path="json", test_split="test", dataset_kwargs={"data_files": {"tst": "a.json"}}
        )


def test_keys_of_lm_eval_are_let_through() -> None:
    assert parse(task_alias="x", tag=["y"], metadata={"version": 1}, num_fewshot=0).name == "t"


def test_the_list_of_lm_evals_keys_is_lm_evals() -> None:
    task = pytest.importorskip("lm_eval.config.task")
    theirs = {field.name for field in fields(task.TaskConfig)}
    assert set(LM_EVAL_KEYS) == theirs | {"class", "include", "group", "task_list"}


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"dataset_pth": "x"}, r"unknown key \(found 'dataset_pth'\). Did you mean 'dataset_path'"),
    ({"include": "x"}, "`include` is only followed in a file"),
    ({"task": None}, r"task: this must be text .*`task: my_teachers`"),
    ({"task": ["a"]}, "task: this must be text"),
    ({"num_fewshot": 5}, "takes no few-shot examples"),
    ({"dataset_path": None}, "dataset_path: no data is named"),
    ({"dataset_path": {"a": 3}}, "dataset_path: a: this must be text"),
    ({"dataset_path": {1: "a"}}, "Put the teacher's name in quotes"),
    ({"dataset_kwargs": "x"}, "dataset_kwargs: this must be a mapping"),
    ({"target_delimiter": None}, "`target_delimiter` must be text"),
    ({"naturalness": ["x"]}, "naturalness: this must be a mapping"),
    ({"naturalness": {"window": 4}}, "unknown key in `naturalness`.*'windows'"),
    ({"naturalness": {"columns": {"promt": "q"}}}, "unknown key in `naturalness: columns`.*prompt"),
    ({"naturalness": {"columns": {"responses": "q"}}}, "for the long layout.*'response'"),
    ({"naturalness": {"columns": {"prompt": None}}}, "columns: prompt: this must be text"),
    ({"naturalness": {"columns": {"prompt": 3}}}, "columns: prompt: this must be text"),
    ({"naturalness": {"layout": "width"}}, "layout: no such choice.*'wide'"),
    ({"naturalness": {"layout": "wide"}}, "the wide layout needs `responses`"),
    ({"naturalness": {"layout": "wide", "columns": {"responses": "q"}}}, "must map teachers"),
    (
        {
            "naturalness": {
                "layout": "wide",
                "columns": {"responses": {"QwQ": "q"}, "correct": {"QQ": "c"}},
            }
        },
        "unknown teacher in `columns: correct`.*'QwQ'",
    ),
    ({"naturalness": {"preset": "ln-v2"}}, "preset: no such choice"),
    ({"naturalness": {"steps": 3}}, "steps: this must be text"),
    ({"naturalness": {"windows": []}}, "no window is given"),
    ({"naturalness": {"windows": [0.1]}}, r"not a window \(found 0.1\).*in quotes"),
    ({"naturalness": {"windows": [True]}}, "not a window"),
    ({"naturalness": {"windows": [4, "4"]}}, "a window is listed twice"),
    ({"naturalness": {"metrics": ["rsr", "lark", "rsr"]}}, "a name is listed twice"),
    ({"naturalness": {"teachers": ["QwQ", "QwQ"]}}, "a name is listed twice"),
    ({"naturalness": {"teachers": "QwQ"}}, r"must be a list of names .*\[QwQ, R1\]"),
    ({"naturalness": {"teachers": []}}, "must be a list of names"),
    ({"naturalness": {"require_correct": "yes"}}, "must be true or false"),
    ({"naturalness": {"min_teachers": 0}}, "must be a whole number, 1 or more"),
    ({"naturalness": {"min_teachers": True}}, "must be a whole number, 1 or more"),
    ({"naturalness": {"think_template": "{think}"}}, "must each appear once"),
    ({"naturalness": {"teacher_from": "stem"}}, "teacher_from: no such choice.*'file_stem'"),
    (
        {"dataset_path": {"a": "b"}, "naturalness": {"teacher_from": "file_stem"}},
        "named in two ways .*dataset_path.*teacher_from: file_stem",
    ),
    (
        {"dataset_path": {"a": "b"}, "naturalness": {"columns": {"teacher": "m"}}},
        "named in two ways",
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSALS, ids=lambda v: str(v)[:50])
def test_a_bad_value_is_one_clear_error(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(**keys)


# read_yaml


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")


def test_a_function_stays_a_name(tmp_path: Path) -> None:
    write(tmp_path, a__yaml="class: !function lnat_plugins.harness.NaturalnessTask\ntask: x\n")
    assert read_yaml(tmp_path / "a.yaml")["class"] == "lnat_plugins.harness.NaturalnessTask"


def test_includes_merge_as_in_lm_eval(tmp_path: Path) -> None:
    loader = pytest.importorskip("lm_eval.tasks._yaml_loader")
    write(
        tmp_path,
        _base="tag: base\nnaturalness: {steps: line, min_teachers: 3}\ntask_list: [z]\n",
        _more="test_split: test\n",
        a__yaml="include: [_base, _more]\ntask: x\nnaturalness: {steps: turn}\n",
    )
    ours = read_yaml(tmp_path / "a.yaml")
    assert ours == loader.load_yaml(tmp_path / "a.yaml")
    assert ours["naturalness"] == {"steps": "turn"}
    assert "task_list" not in ours and ours["test_split"] == "test"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"a\.yaml: no such file"),
        ({"a__yaml": "include: gone\n"}, r"gone: no such file. Correct `include:` in .*a\.yaml"),
        ({"a__yaml": "task: x\n  b: [\n"}, r"a\.yaml line 2 column 4: not valid YAML"),
        ({"a__yaml": "task: %x\n"}, "line 1 column 7: not valid YAML"),
        ({"a__yaml": "- a\n"}, r"a\.yaml: the file must be a mapping .*\. Start with a key"),
        ({"a__yaml": ""}, "must be a mapping"),
        ({"a__yaml": "1: x\n"}, "must be a mapping"),
        ({"a__yaml": "include: b\n", "b": "include: a.yaml\n"}, "a.yaml -> b -> a.yaml"),
        ({"a__yaml": "include: [3]\n"}, "`include` must be a file name"),
        ({"a__yaml": "class: !function [a]\n"}, "!function takes a dotted name"),
        ({"a__yaml": "a: !!python/object:os.system {}\n"}, "not valid YAML"),
    ],
)
def test_an_unreadable_yaml_is_one_clear_error(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    write(tmp_path, **files)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_yaml_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("task: \u00e9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"cannot be read.*UTF-8"):
        read_yaml(tmp_path / "a.yaml")


def test_a_definition_survives_being_written_and_read(tmp_path: Path) -> None:
    config = {"task": "t", "dataset_path": ["a.jsonl"], "naturalness": {"windows": [4, "10%"]}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    spec = parse_task(read_yaml(tmp_path / "a.yaml"), tmp_path / "a.yaml")
    assert spec.settings.windows == ("4", "10%")


@pytest.mark.parametrize("key", IDLE_KEYS)
def test_a_key_that_could_do_nothing_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"`{key}` has no effect on a naturalness task"):
        parse(**{key: "x"})
    parse(**{key: None})
