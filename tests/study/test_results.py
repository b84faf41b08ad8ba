"""The result of a study, from units whose figures are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnat_plugins import run_study
from lnat_plugins.cli import main
from lnat_plugins.errors import DataError
from lnat_plugins.ranking import read_reference
from lnat_plugins.study.read import metric_scores
from lnat_plugins.study.results import RESULT, read_results
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import UNIT, Unit, write_done

from .lab import RIGHT, finished, write_study


def test_what_the_units_say_together(tmp_path: Path) -> None:
    result = read_results(finished(tmp_path), iters=200)
    (one,) = result.students
    assert (one.student, one.budget) == ("student", "6-rows")
    means = {arm.name: arm.mean.value for arm in one.arms.arms}
    assert means == pytest.approx({arm: n / 10 for arm, n in RIGHT.items()})
    assert {arm.name: arm.seeds for arm in one.arms.arms} == dict.fromkeys(RIGHT, 3) | {"none": 1}
    assert one.agreement is not None and one.gains is not None and one.reliability is not None
    assert one.agreement.of("local_naturalness[4]").fixed["tau"].value == 1
    assert one.agreement.of("global_naturalness").fixed["first"].value == 1
    assert one.ablation is None  # two teachers: none can be left out
    assert result.missing == ()
    text = result.to_markdown()
    for words in ("student: student, budget: 6-rows", "|long  |teacher  |0.900|", "tau-b", "best"):
        assert words in text
    assert json.loads(result.to_json())["study"] == "small"


def test_log_probabilities_of_several_tasks(tmp_path: Path) -> None:
    """Items are the documents of all tasks; such values have no bounds."""
    evaluation = {"tasks": ["sums.yaml"], "metric": "acc", "device": "cpu"}
    run = finished(tmp_path, keys={"evaluation": evaluation})
    for unit in run.units:
        result = run.done(unit) or {}
        if "values" in result:
            right = result["values"]["sums"]
            result["values"] = {
                "held_out_b": {k: v - 3.0 for k, v in right.items()},
                "held_out_a": {k: v - 2.0 for k, v in [*right.items()][:4]},
            }
            write_done(run.folder_of(unit), run._key(unit), result)
    result = read_results(run, iters=200)
    (one,) = result.students
    assert list(one.arms.tasks) == ["held_out_a", "held_out_b"]
    assert one.arms.tasks["held_out_b"] == pytest.approx({a: n / 10 - 3 for a, n in RIGHT.items()})
    assert one.arms.arms[1].mean.value == pytest.approx((10 * (0.9 - 3) + 4 * (1 - 2)) / 14)
    assert not any(arm.floor or arm.ceiling for arm in one.arms.arms)
    assert not any("floor" in said or "ceiling" in said for said in one.verdict)
    text = result.to_markdown()
    assert "|held_out_a|held_out_b|" in text.replace(" ", "") and "ccuracy" not in text
    assert json.loads(result.to_json())["students"][0]["arms"]["tasks"].keys() == {
        "held_out_a", "held_out_b",
    }  # fmt: skip


def test_warm_scores_stand_beside_the_metrics(tmp_path: Path) -> None:
    """Where all teachers have them; a prompt that was trained on has none."""
    run = finished(tmp_path, keys={"warm": {"rows": 1, "updates": 1}})
    (one,) = read_results(run, iters=200).students
    assert one.agreement is not None
    warm = one.agreement.of("warm_naturalness")
    assert warm.prompts == 2
    assert dict(warm.scores) == pytest.approx({"long": -1.5, "short": -0.25})
    assert warm.fixed["tau"].value == -1
    finished(tmp_path, missing="student/warm/long", keys={"warm": {"rows": 2, "updates": 1}})
    run = StudyRun.of(run.spec.source, run.folder)
    (one,) = read_results(run, iters=200).students
    assert one.agreement is not None
    assert "warm_naturalness" not in {each.metric for each in one.agreement.metrics}


def test_utility_stands_beside_the_metrics(tmp_path: Path) -> None:
    """By the rate that was chosen, and not by the longer training."""
    keys = {"utility": {"rows": 1, "learning_rates": [0.01, 0.001]}}
    run = finished(tmp_path, keys=keys)
    result = read_results(run, iters=200)
    (one,) = result.students
    assert one.agreement is not None and one.utility is not None
    utility = one.agreement.of("utility")
    assert utility.prompts == 2
    assert dict(utility.scores) == pytest.approx({"long": 0.1, "short": -0.2})
    assert utility.fixed["tau"].value == 1
    assert one.utility.calibration.reached
    assert any("The step of utility is calibrated: at 0.01" in line for line in one.verdict)
    found = json.loads(result.to_json())["students"][0]["utility"]
    assert (found["chosen"]["learning_rate"], found["chosen"]["pairs"]) == (0.01, 1.0)
    assert [each["pairs"] for each in found["rates"]] == [0.5, 1.0]
    assert found["costs"] == {"updates": 124, "of_calibration": 122}
    text = result.to_markdown()
    (line,) = [line for line in text.splitlines() if line.startswith("|0.01 ")]
    assert [cell.strip() for cell in line.split("|")[1:5]] == ["0.01", "1.00", "1.00", "chosen"]
    assert "utility took 124 updates (122 of them for the calibration alone)" in text
    assert found["left_out"] is None and "leaves out" not in text  # an older version's unit
    before = Unit("before", "student")
    counted = {**(run.done(before) or {}), "left_out": {"longer than the student's context": 2}}
    write_done(run.folder_of(before), run._key(before), counted)
    result = read_results(run, iters=200)
    words = "utility leaves out 2 held-out responses: 2 longer than the student's context"
    assert words in result.to_markdown()
    found = json.loads(result.to_json())["students"][0]["utility"]
    assert found["left_out"] == {"longer than the student's context": 2}
    (run.folder / "student" / "calibration" / "long" / UNIT).unlink()
    (one,) = read_results(run, iters=200).students
    assert one.agreement is not None and one.utility is None
    assert "utility" not in {each.metric for each in one.agreement.metrics}


def test_the_command_writes_what_rank_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(tmp_path)
    command = ["study", str(run.spec.source), "--output_path", str(run.folder)]
    assert main([*command, "--bootstrap_iters", "200"]) == 0
    assert "student: student, budget: 6-rows" in capsys.readouterr().out
    found = read_reference(run.folder / RESULT, ("long", "short"), student="org/student")
    assert found.values == pytest.approx({"long": 0.9, "short": 0.4})
    scores = str(run.folder_of(run.units[0]) / "scores")
    assert main(["rank", scores, "--reference", str(run.folder / RESULT)]) == 0
    assert "study.json" in capsys.readouterr().out


def test_in_a_program_too(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.folder.rename(tmp_path / "small")  # the study's name
    result = run_study(run.spec.source, bootstrap_iters=200)
    assert (tmp_path / "small" / RESULT).read_text(encoding="utf-8") == result.to_json()


def test_the_same_seed_gives_the_same_result(tmp_path: Path) -> None:
    run = finished(tmp_path)
    first, second = (read_results(run, iters=200).to_json() for _ in range(2))
    assert first == second
    assert read_results(run, iters=200, seed=1).to_json() != first


def test_units_that_are_not_done_are_named(tmp_path: Path) -> None:
    run = finished(tmp_path, missing="student/teacher/short/6-rows/seed-2")
    result = read_results(run, iters=200)
    assert result.missing == ("student/teacher/short/6-rows/seed-2",)
    assert "1 unit is not done (student/teacher/short/6-rows/seed-2)" in result.to_markdown()
    (one,) = result.students
    assert [arm.seeds for arm in one.arms.arms] == [1, 3, 2, 3, 3]


def test_without_a_trained_student_there_is_no_result(tmp_path: Path) -> None:
    run = StudyRun.of(write_study(tmp_path), tmp_path / "out")
    with pytest.raises(DataError, match="no trained student was evaluated yet"):
        read_results(run)


def test_metrics_have_a_name_for_each_window(tmp_path: Path) -> None:
    run = finished(tmp_path)
    found = metric_scores(run.scores("student"), ["short", "long"])
    assert found.teachers == ("short", "long")
    assert found.metrics[:2] == ("local_naturalness[4]", "global_naturalness")
    assert found.metrics[-5:-1] == (
        "n_tokens (more)", "n_steps (more)", "mean_step_tokens (more)", "first_token_ratio (more)",
    )  # fmt: skip
    assert (found.values[-5] == 10).all()
    assert found.values[0].mean(axis=1) == pytest.approx([-5.5 / 3, -1.25])
