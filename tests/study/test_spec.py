"""STUDY.yaml: what it means, and one line for each thing wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.study.spec import Budget, Utility, read_study
from lnat_plugins.study.units import Unit, find_unit, units_of

from .lab import write_study


def test_defaults_and_paths(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, seeds=3))
    assert study.name == "small"
    assert study.teacher_set == str(tmp_path / "set.yaml")
    assert study.students == {"student": str(tmp_path / "student")}
    assert study.seeds == (1, 2, 3)
    assert study.budgets == (Budget(rows=6),)
    assert study.teachers is None
    assert study.evaluation.tasks == (str(tmp_path / "sums.yaml"),)
    assert (study.apply_chat_template, study.keep_models) == (None, False)


def test_names_that_lead_nowhere_are_left_as_they_are(tmp_path: Path) -> None:
    evaluation = {"tasks": ["gsm8k", "sums.yaml"], "metric": "exact_match"}
    study = read_study(write_study(tmp_path, students={"q": "Qwen/Q"}, evaluation=evaluation))
    assert study.students == {"q": "Qwen/Q"}
    assert study.evaluation.tasks == ("gsm8k", str(tmp_path / "sums.yaml"))


def test_a_file_of_weights_is_looked_for_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "nce.jsonl").write_text("", encoding="utf-8")
    blocks = {"own": {"weights": "nce.jsonl"}, "elsewhere": {"weights": "far/nce.jsonl"}}
    found = read_study(write_study(tmp_path, selections=blocks)).selections
    assert found["own"] == {"weights": str(tmp_path / "nce.jsonl")}
    assert found["elsewhere"] == {"weights": "far/nce.jsonl"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"students": []}, "students"),
        ({"students": ["a/x", "b/x"]}, "two students have the same name"),
        ({"seeds": 0}, "seeds must be a number of seeds"),
        ({"seeds": [1, 1]}, "seeds must be a number of seeds"),
        ({"seeds": "x"}, "seeds"),
        ({"budget": {"rows": 0}}, "budget: rows"),
        ({"budget": {"row": 1}}, "unknown key .*'row'.*did you mean 'rows'"),
        ({"budget": {"rows": 1, "tokens": 1}}, "a budget is of rows or of tokens"),
        ({"budget": {"epochs": 0}}, "budget: epochs"),
        ({"budget": {"epochs": 1.5}}, "budget: epochs"),
        ({"budget": [{}, {"epochs": 3}]}, "a budget of epochs, and `sft: max_steps`.* 2"),
        ({"utility": {"rows": 0}}, "utility: rows"),
        ({"utility": {"learning_rates": []}}, "utility: learning_rates"),
        ({"utility": {"learning_rates": [0.1, -1.0]}}, "utility: learning_rates"),
        ({"utility": {"sample": 1}}, "utility: sample"),
        ({"utility": {"agreement": 1.2}}, "utility: agreement"),
        ({"utility": {"update": 3}}, "did you mean 'updates'"),
        ({"warm": {"updates": 0}}, "warm: updates"),
        ({"warm": {"update": 3}}, "did you mean 'updates'"),
        ({"sft": {"output_dir": "x"}}, "the study sets `output_dir` itself"),
        ({"evaluation": {"tasks": [], "metric": "acc"}}, "evaluation: tasks"),
        ({"evaluation": {"tasks": "sums.yaml"}}, "the key `metric` is missing"),
        ({"study": "../x"}, "study: a study's name is that of its folder, and no file's name may"),
        ({"study": ""}, "study: .*this is empty"),
        ({"teacher": ["long"]}, "unknown key .*'teacher'.*did you mean 'teacher"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i){message}") as caught:
        read_study(write_study(tmp_path, **keys))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        ({}, "all"),
        ({"epochs": 3}, "3-epochs"),
        ({"rows": 400, "epochs": 5}, "400-rows-5-epochs"),
        ({"tokens": 9000, "epochs": 1}, "9000-tokens-1-epochs"),
    ],
)
def test_budgets_have_names(tmp_path: Path, budget: dict[str, int], name: str) -> None:
    sft = {"num_train_epochs": 2, "max_steps": -1}
    (found,) = read_study(write_study(tmp_path, budget=budget, sft=sft)).budgets
    assert (found, found.name) == (Budget(**budget), name)


def test_a_utility_has_defaults(tmp_path: Path) -> None:
    assert read_study(write_study(tmp_path)).utility is None
    assert read_study(write_study(tmp_path, utility=False)).utility is None
    assert read_study(write_study(tmp_path, utility=True)).utility == Utility()
    given = {"learning_rates": [0.01, 1e-3, 0.01], "updates": 2}
    found = read_study(write_study(tmp_path, utility=given)).utility
    assert found == Utility(updates=2, learning_rates=(1e-3, 0.01))
    found = read_study(write_study(tmp_path, utility={"learning_rates": 1})).utility
    assert found is not None and found.learning_rates == (1.0,)


def test_units_are_scored_first_and_named_by_folders(tmp_path: Path) -> None:
    budget = [{"rows": 4}, {"tokens": 90}]
    study = read_study(write_study(tmp_path, seeds=2, budget=budget))
    units = units_of(study, ["org/long", "short"])
    names = [unit.name for unit in units]
    assert names[:5] == [
        "student/scores", "student/none", "student/teacher/org_long/4-rows/seed-1",
        "student/teacher/short/4-rows/seed-1", "student/selection/best/4-rows/seed-1",
    ]  # fmt: skip
    assert names[-1] == "student/selection/best/90-tokens/seed-2"
    assert len(set(names)) == len(names) == 2 + 2 * 2 * 3
    assert find_unit(names[4], units) == Unit("selection", "student", "best", Budget(rows=4), 1)
    with pytest.raises(ConfigError, match="(?i)did you mean 'student/scores'"):
        find_unit("student/score", units)
    with pytest.raises(ConfigError, match="differ only in signs"):
        units_of(study, ["org/long", "org:long"])
