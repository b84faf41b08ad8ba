"""The YAML's keys and values: defaults, presets, idioms. What is refused: test_bad_input.py."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.config.task import TaskConfig

from lnat_plugins.files import read_yaml
from lnat_plugins.teacher_set.columns import LAYOUT_COLUMNS
from lnat_plugins.teacher_set.config import IDLE_KEYS, Budget, Settings, parse_task


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


def test_tags_are_skipped_and_tokens_are_kept_unless_the_block_says_otherwise() -> None:
    spec = parse()
    assert (spec.settings.markers, spec.tokens, spec.sensitivity) == ("skip", True, "basic")
    spec = parse({"markers": "keep", "tokens": False, "sensitivity": "full"})
    assert (spec.settings.markers, spec.tokens, spec.sensitivity) == ("keep", False, "full")
    # What is kept beside the scores decides none of them.
    assert spec.settings.fingerprint == parse({"markers": "keep"}).settings.fingerprint


def test_the_fingerprint_follows_every_setting() -> None:
    settings = {
        Settings(),
        Settings(steps="line"),
        Settings(windows=("global", "4")),
        Settings(target_delimiter=""),
        Settings(markers="keep"),
    }
    prints = {s.fingerprint for s in settings}
    assert len(prints) == 5 and all(len(p) == 12 for p in prints)
    assert Settings().as_dict()["windows"] == ["4", "global"]


def test_a_budget_is_part_of_the_settings_if_there_is_one() -> None:
    assert parse().settings.budget is None and "budget" not in parse().settings.as_dict()
    assert parse({"budget": {}}).settings.budget == Budget("best", 0.05, "auto", None, 1234)
    own = parse({"budget": {"top": 2, "error": 0.1, "steps": 6, "max_tokens": 10**6}}).settings
    assert own.budget == Budget(2, 0.1, 6, 10**6, 1234)
    assert own.as_dict()["budget"]["goal"] == 2
    kinds = [{}, {"goal": "order"}, {"top": 2}, {"error": 0.01}, {"steps": "exact"}, {"seed": 2}]
    assert len({parse({"budget": each}).settings.fingerprint for each in kinds}) == len(kinds)


def test_plugins_and_loader_decide_no_score_by_themselves() -> None:
    spec = parse({"plugins": ["mine.py", "package.module"], "loader": "tsv"})
    assert (spec.plugins, spec.data.loader) == (("mine.py", "package.module"), "tsv")
    assert spec.settings.fingerprint == parse().settings.fingerprint
    assert (parse().plugins, parse().data.loader) == ((), None)


def test_dataset_path_keeps_its_form() -> None:
    assert parse(dataset_path="a/b").data.dataset_path == "a/b"
    assert parse(dataset_path=["a", "b"]).data.dataset_path == ("a", "b")
    mapped = parse(dataset_path={"QwQ": "q.jsonl", "R1": ["a.json", "b.json"]}).data.dataset_path
    assert mapped == {"QwQ": ("q.jsonl",), "R1": ("a.json", "b.json")}


def test_lm_evals_json_idiom_names_local_files() -> None:
    spec = parse(dataset_path="json", dataset_kwargs={"data_files": {"train": "a.jsonl"}})
    assert (spec.data.dataset_path, spec.data.dataset_kwargs) == ("a.jsonl", {})
    kwargs = {"data_files": ["a.csv", "b.csv"], "delimiter": ";"}
    spec = parse(dataset_path="csv", dataset_kwargs=kwargs)
    assert (spec.data.dataset_path, spec.data.dataset_kwargs) == (
        ("a.csv", "b.csv"),
        {"delimiter": ";"},
    )


def test_every_key_of_lm_eval_is_read_or_ignored_or_refused_as_idle() -> None:
    theirs = {field.name for field in fields(TaskConfig)} | {"class", "group", "task_list"}
    for key in theirs - set(IDLE_KEYS) - {"task", "dataset_path"}:
        assert parse(**{key: None} if key != "target_delimiter" else {}).name == "t"
    assert parse(task_alias="x", tag=["y"], metadata={"version": 1}, num_fewshot=0).name == "t"
    assert set(IDLE_KEYS) <= theirs


def test_empty_values_stand_for_the_defaults() -> None:
    empty = {"columns": None, "teachers": None, "metrics": None, "loader": None, "plugins": None}
    keys = {"dataset_name": None, "dataset_kwargs": None, "test_split": "", "num_fewshot": None}
    assert parse(empty, **keys) == parse(naturalness={}) == parse()
    assert parse_task({"task": "t", "dataset_path": "rows.jsonl", "naturalness": None}) == parse()


def test_metrics_are_a_name_or_a_list_and_default_to_the_papers_two() -> None:
    assert parse({"metrics": "all"}).settings.requested_metrics == ("all",)
    assert parse({"metrics": ["rsr", "lark"]}).settings.metrics == ("rsr", "lark")
    both = ("local_naturalness", "global_naturalness")
    assert parse().settings.requested_metrics == both
    assert parse({"windows": [4]}).settings.requested_metrics == both[:1]


def test_columns_are_kept_by_field_as_far_as_they_are_given() -> None:
    columns = {"prompt": "q", "correct": None}
    assert parse({"columns": columns}).data.columns == columns
    columns = {"responses": ["a", "b"], "steps": {"b": "cuts"}, "correct": None}
    found = parse({"layout": "wide", "columns": columns}).data.columns
    assert found == {**columns, "responses": {"a": "a", "b": "b"}}


@pytest.mark.parametrize("layout", LAYOUT_COLUMNS)
def test_every_layout_may_be_chosen(layout: str) -> None:
    columns = {"responses": ["a"]} if layout == "wide" else {}
    prompts = {"prompts": "prompts.jsonl"} if layout == "batch" else {}
    assert parse({"layout": layout, "columns": columns, **prompts}).data.layout == layout


def test_a_definition_survives_being_written_and_read(tmp_path: Path) -> None:
    config = {"task": "t", "dataset_path": ["a.jsonl"], "naturalness": {"windows": [4, "10%"]}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    spec = parse_task(read_yaml(tmp_path / "a.yaml"), tmp_path / "a.yaml")
    assert spec.settings.windows == ("4", "10%")
