"""A study that is run: every unit once, the same result however it was interrupted."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins import score
from lnat_plugins.cli import main
from lnat_plugins.cli.study import seconds_left
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.harness.evaluation import evaluate_documents
from lnat_plugins.hooks import trl_train
from lnat_plugins.hooks.trl_train import train
from lnat_plugins.selection.training_set import read_selection
from lnat_plugins.study import jobs
from lnat_plugins.study.jobs import run_units
from lnat_plugins.study.rows import held_out, rows_of
from lnat_plugins.study.run import LOG, StudyRun
from lnat_plugins.study.units import UNIT, Kind, Unit
from tests.harness.lab import CLASS
from tests.helpers_programs import prepared

from .lab import write_study


def values(folder: Path) -> dict[str, Any]:
    """Unit -> what it brought, without its time."""
    found = {}
    for path in sorted(folder.rglob(UNIT)):
        result = json.loads(path.read_text(encoding="utf-8"))
        del result["seconds"]
        found[path.parent.relative_to(folder).as_posix()] = result
    return found


def with_scores(run: StudyRun, done: StudyRun) -> None:
    """The student has scored already."""
    shutil.copytree(done.folder_of(done.units[0]), run.folder_of(run.units[0]))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def done(study: Path) -> StudyRun:
    run = StudyRun.of(study, study.parent / "out")
    assert [unit for unit, _ in run_units(run, run.units, 1)] == run.units
    return run


def test_every_unit_is_done_once(done: StudyRun) -> None:
    found = values(done.folder)
    assert sorted(found) == sorted(unit.name for unit in done.units)
    for unit in done.units:
        result = done.done(unit)
        assert result is not None
        if unit.kind != "scores":
            assert list(result["values"]) == ["sums"]
            assert len(result["values"]["sums"]) == 6
            assert {*result["values"]["sums"].values()} <= {0.0, 1.0}
        assert not (done.folder_of(unit) / "model").exists()
        assert (done.folder_of(unit) / LOG).is_file()


def test_an_arm_trains_on_its_rows_and_on_the_same_prompts(done: StudyRun) -> None:
    chosen = {
        unit.arm: read_selection(done.folder_of(unit) / "rows")
        for unit in done.units
        if unit.budget is not None
    }
    prompts = {
        arm: {selection.prompts[i] for i in selection.indices} for arm, selection in chosen.items()
    }
    assert prompts["long"] == prompts["short"] == prompts["best"]
    for teacher in ("long", "short"):
        assert chosen[teacher].chosen_by_teacher == {teacher: 6}
    assert len(chosen["best"].indices) == 6
    assert chosen["best"].dropped["over the study's budget"]
    for unit in done.units:
        if unit.budget is not None:
            assert (done.done(unit) or {})["rows"] == 6


def test_a_second_run_does_nothing(
    done: StudyRun, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StudyRun, "_train", None)
    monkeypatch.setattr(StudyRun, "_score", None)
    assert len(list(run_units(done, done.units, 1))) == len(done.units)
    assert main(["study", str(study), "--output_path", str(done.folder), "--dry_run"]) == 0
    assert capsys.readouterr().out == ""


def test_a_study_that_was_changed_is_done_again_where_it_matters(
    done: StudyRun, study: Path, tmp_path: Path
) -> None:
    def left(**keys: Any) -> set[str]:
        path = write_study(study.parent, **keys)
        run = StudyRun.of(path, done.folder)
        found = {unit.kind for unit in run.units if run.done(unit) is None}
        write_study(study.parent)
        return found

    assert left() == set()
    assert left(sft={"max_steps": 3, "use_cpu": True, "bf16": False}) == {"teacher", "selection"}
    assert left(selections={"best": {"strategy": "random"}}) == {"selection"}
    assert left(shuffle=1) == {"teacher", "selection"}
    evaluation = {"tasks": "sums.yaml", "metric": "acc", "limit": 3}
    assert left(evaluation=evaluation) == {"none", "teacher", "selection"}


@pytest.mark.parametrize("at", ["train", "evaluate"])
def test_a_unit_that_was_interrupted_is_begun_again(
    done: StudyRun, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    run = StudyRun.of(study, tmp_path / "out")
    name = {"train": "lnat_plugins.hooks.trl_train.train"}.get(
        at, "lnat_plugins.study.run.evaluate_documents"
    )
    before = trl_train.train

    def stop(*args: Any, **options: Any) -> None:
        if at == "train":
            before(*args)
        raise KeyboardInterrupt

    units = [unit for unit in run.units if unit.kind in ("scores", "teacher")]
    with_scores(run, done)
    with monkeypatch.context() as patch:
        patch.setattr(name, stop)
        with pytest.raises(KeyboardInterrupt):
            run.run(units[1])
    assert run.done(units[1]) is None
    (run.folder_of(units[1]) / "left_over").write_text("")
    run.run(units[1])
    assert not (run.folder_of(units[1]) / "left_over").exists()
    found, expected = values(run.folder), values(done.folder)
    assert found == {name: expected[name] for name in found}


def test_a_full_disk_ends_a_unit_with_one_error(
    done: StudyRun, study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The student's weights have 179 kB."""
    run = StudyRun.of(study, tmp_path / "out")
    with_scores(run, done)
    unit = next(unit for unit in run.units if unit.kind == "teacher")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        code = main(["study", str(study), "--output_path", str(run.folder), "--unit", unit.name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    errors = [line for line in capfd.readouterr().err.splitlines() if "rror" in line]
    assert code == 2 and len(errors) == 1
    assert "model: the model cannot be saved (found " in errors[0] and "File too large" in errors[0]
    assert run.done(unit) is None
    assert set(run.run(unit)) > {"rows", "values"}


def test_units_are_commands(
    done: StudyRun, study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(study), "--output_path", str(tmp_path), "--dry_run"]) == 0
    commands = capfd.readouterr().out.splitlines()
    assert [line.split()[-1] for line in commands] == [unit.name for unit in done.units]
    assert {" ".join(line.split()[:3]) for line in commands} == {f"lnat study {study}"}
    unit = ["study", str(study), "--output_path", str(tmp_path), "--unit", "student/none"]
    assert main(unit) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "[1/1] student/none: sums " in captured.err
    assert values(tmp_path) == {"student/none": values(done.folder)["student/none"]}
    early = [*unit[:-1], "student/teacher/long/6-rows/seed-1"]
    assert main(early) == 2
    assert "has not scored the teacher set yet. Do the unit student/scores first" in (
        capfd.readouterr().err
    )


def test_several_at_once_bring_the_same(
    done: StudyRun, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "get_context", lambda kind: prepared())
    threads = torch.get_num_threads()
    run = StudyRun.of(study, tmp_path)
    with_scores(run, done)
    assert {unit for unit, _ in run_units(run, run.units, 2)} == {*run.units}
    assert values(tmp_path) == values(done.folder)
    assert torch.get_num_threads() == threads


def test_models_are_kept_where_wanted(done: StudyRun, tmp_path: Path) -> None:
    path = write_study(tmp_path, keep_models=True, teachers=["short"], selections={}, seeds=[7])
    run = StudyRun.of(path, tmp_path / "out")
    with_scores(run, done)
    *_, (unit, _) = run_units(run, run.units, 1)
    settings = (run.folder_of(unit) / "rows" / "sft.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(settings)["seed"] == 7
    model = AutoModelForCausalLM.from_pretrained(run.folder_of(unit) / "model")
    before = AutoModelForCausalLM.from_pretrained(tmp_path / "student")
    assert any((a != b).any() for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_lora_trains_an_adapter_and_the_adapter_is_evaluated(
    done: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation is that of the base model with the adapter merged into it."""
    peft = pytest.importorskip("peft", reason="LoRA needs peft: pip install peft")
    block = {"teachers": ["short"], "min_teachers": 1, "windows": ["global"], "sensitivity": "none"}
    task = {"task": "texts", "dataset_path": str(tmp_path / "rows.jsonl"), "naturalness": block}
    (tmp_path / "texts.yaml").write_text(CLASS + yaml.safe_dump(task), encoding="utf-8")
    metric = "global_naturalness/short"
    options: dict[str, Any] = {"device": "cpu", "model_args": {"dtype": "float32"}}
    lora = {
        "use_peft": True,
        "lora_r": 2,
        "lora_alpha": 64,
        "lora_target_modules": ["q_proj", "v_proj"],
    }
    path = write_study(
        tmp_path, keep_models=True, teachers=["short"], selections={},
        sft={"max_steps": 2, "learning_rate": 0.05, "use_cpu": True, "bf16": False, **lora},
        evaluation={"tasks": "texts.yaml", "metric": metric, **options},
    )  # fmt: skip
    run = StudyRun.of(path, tmp_path / "out")
    with_scores(run, done)
    unit = run.units[-1]
    trained = run.run(unit)["values"]["texts"]
    folder = run.folder_of(unit) / "model"
    assert (folder / "adapter_config.json").is_file() and not (folder / "config.json").exists()
    assert not list(folder.parent.glob(".merged-*"))
    before, merged = tmp_path / "student", tmp_path / "merged"
    base = AutoModelForCausalLM.from_pretrained(before, dtype="float32")
    peft.PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(merged)
    AutoTokenizer.from_pretrained(before).save_pretrained(merged)
    # No one reads it, and it takes a dozen programs.
    monkeypatch.setattr(
        "lm_eval.evaluator.add_env_info", lambda _: pytest.fail("the machine is described")
    )
    for model, same in ((merged, True), (before, False)):
        found = evaluate_documents(
            str(model), run.spec.evaluation.tasks, metric, apply_chat_template=True, **options
        )
        assert (found["texts"] == pytest.approx(trained, abs=1e-4)) == same


def test_a_warm_up_is_scored_on_the_prompts_that_it_did_not_use(
    done: StudyRun, tmp_path: Path
) -> None:
    path = write_study(tmp_path, warm={"rows": 3, "updates": 2}, keep_models=True)
    run = StudyRun.of(path, tmp_path / "out")
    with_scores(run, done)
    units = [unit for unit in run.units if unit.kind == "warm"]
    assert [unit.name for unit in units] == ["student/warm/long", "student/warm/short"]
    trained, held_out = [], []
    for unit in units:
        result = run.run(unit)
        assert (result["rows"], run.done(unit)) == (3, {**result, **(run.done(unit) or {})})
        chosen = read_selection(run.folder_of(unit) / "rows")
        assert chosen.chosen_by_teacher == {unit.arm: 3}
        trained.append({chosen.prompts[i] for i in chosen.indices})
        held_out.append({*result["scores"]})
        model = AutoModelForCausalLM.from_pretrained(run.folder_of(unit) / "model")
        reader = AutoTokenizer.from_pretrained(run.folder_of(unit) / "model")
        direct = score(model, reader, run.teacher_set, windows=[1], sensitivity="none")
        expected = direct.to_pandas().query("teacher == @unit.arm").set_index("prompt_id")
        for prompt, value in result["scores"].items():
            assert value == pytest.approx(expected.loc[prompt, "local_naturalness[1]"], abs=1e-6)
    assert trained[0] == trained[1] and held_out[0] == held_out[1]
    assert len(held_out[0]) == 5 and not trained[0] & held_out[0]


def test_a_budget_of_epochs_is_trained_so_often(done: StudyRun, tmp_path: Path) -> None:
    sft = {"num_train_epochs": 7, "use_cpu": True, "bf16": False, "learning_rate": 0.01}
    budget = [{"rows": 4, "epochs": 2}, {"epochs": 1}]
    run = StudyRun.of(write_study(tmp_path, sft=sft, budget=budget), tmp_path / "out")
    with_scores(run, done)
    units = [unit for unit in run.units if unit.kind == "teacher" and unit.arm == "short"]
    assert [unit.name.split("/")[3] for unit in units] == ["4-rows-2-epochs", "1-epochs"]
    for unit, rows, epochs in zip(units, (4, 8), (2, 1), strict=True):
        assert run.run(unit)["rows"] == rows
        settings = (run.folder_of(unit) / "rows" / "sft.yaml").read_text(encoding="utf-8")
        assert yaml.safe_load(settings)["num_train_epochs"] == epochs
        assert f"'epoch': '{epochs}'" in (run.folder_of(unit) / LOG).read_text(encoding="utf-8")
    assert run._key(units[0])["budget"] == {"rows": 4, "tokens": None, "epochs": 2}


def test_weights_reach_the_loss(
    done: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def recorded(config: Path, weights: Any = None) -> None:
        given.append(weights)
        train(config, weights)

    monkeypatch.setattr("lnat_plugins.hooks.trl_train.train", recorded)
    weighed = {"strategy": "all", "weights": "nce.jsonl"}
    blocks = {
        "alike": {"strategy": "all"}, "drawn": {**weighed, "resample": True}, "weighed": weighed,
    }  # fmt: skip
    study = write_study(tmp_path, selections=blocks, budget={"rows": 6})
    weights = {"long": 0.25, "short": 1.0}
    lines = [
        json.dumps({"lnat_weight": weight, "prompt_id": prompt, "teacher": teacher})
        for prompt in done.scores("student").scored.prompts
        for teacher, weight in weights.items()
    ]
    (tmp_path / "nce.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = StudyRun.of(study, tmp_path / "out")
    assert run.weighing == {"weighed"}
    with_scores(run, done)
    arms = {unit.arm: unit for unit in run.units if unit.kind == "selection"}
    for name, unit in arms.items():
        run.run(unit)
        assert ("weighed" in run._key(unit)) is (name == "weighed")
    assert [*arms] == ["alike", "drawn", "weighed"] and given[:2] == [None, None]
    data = pq.read_table(run.folder_of(arms["weighed"]) / "rows" / "data").to_pylist()
    assert list(given[2]) == [weights[row["lnat_teacher"]] for row in data]
    assert {*given[2]} == {0.25, 1.0}


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"budget": {"rows": 99}}, DataError, "fewer rows than the study's budget .*8 of 99"),
        ({"budget": {"tokens": 1}}, DataError, "the first row is longer than the budget"),
        ({"sft": {"max_steps": "x"}}, ConfigError, "TRL refuses the settings"),
    ],
)
def test_what_a_unit_refuses(
    done: StudyRun, tmp_path: Path, keys: dict[str, Any], error: type[Exception], message: str
) -> None:
    run = StudyRun.of(write_study(tmp_path, **keys), tmp_path / "out")
    with_scores(run, done)
    with pytest.raises(error, match=message):
        run.run(next(unit for unit in run.units if unit.kind == "teacher"))


def test_a_teacher_without_early_rows_is_warmed_up_on_no_prompt_that_is_scored(
    done: StudyRun, tmp_path: Path
) -> None:
    run = StudyRun.of(write_study(tmp_path, warm={"rows": 5, "updates": 1}), tmp_path / "out")
    scores = done.scores("student")
    scored = held_out(run.spec, scores)
    early = [prompt for prompt in scores.scored.prompts if prompt not in scored][:2]
    rows = [r for r in scores.rows if r.teacher != "short" or r.prompt_id not in early]
    lacking = replace(scores, scored=replace(scores.scored, rows=tuple(rows)))
    for teacher, n in (("long", 5), ("short", 3)):
        _, selection = rows_of(Unit("warm", "student", teacher), run.spec, lacking)
        prompts = {selection.prompts[i] for i in selection.indices}
        assert len(prompts) == n and not prompts & scored


def test_another_test_or_student_is_evaluated_again(study: Path, tmp_path: Path) -> None:
    """In the same process too: nothing is remembered of an earlier run."""
    path = write_study(tmp_path)
    first = StudyRun.of(path, tmp_path / "out")
    first.run(Unit("none", "student"))
    assert StudyRun.of(path, tmp_path / "out").done(Unit("none", "student")) is not None
    test = tmp_path / "test.jsonl"
    test.write_text(test.read_text(encoding="utf-8").replace("+ 3", "+ 5"), encoding="utf-8")
    assert StudyRun.of(path, tmp_path / "out").done(Unit("none", "student")) is None
    write_study(tmp_path)
    assert StudyRun.of(path, tmp_path / "out").done(Unit("none", "student")) is not None
    config = tmp_path / "student" / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert StudyRun.of(path, tmp_path / "out").done(Unit("none", "student")) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"teachers": ["lang"]}, "no such teacher .*'lang'.*'long'"),
        ({"selections": {"b": {"strategy": "bets"}}}, "selections: b: unknown strategy .*'best'"),
        ({"selections": {"b": {"strategy": "best", "window": 3}}}, "selections: b: windows"),
        ({"students": {"s": "/no/such"}}, "students: the student's folder does not exist"),
        ({"evaluation": {"tasks": "no.yaml", "metric": "acc"}}, "evaluation: tasks: no such file"),
    ],
)
def test_what_is_refused_before_any_unit(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    path = write_study(tmp_path, **keys)
    with pytest.raises((ConfigError, StudentError), match=message):
        StudyRun.of(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_metric_that_the_task_lacks(tmp_path: Path) -> None:
    evaluation = {"tasks": "sums.yaml", "metric": "exact", "device": "cpu"}
    run = StudyRun.of(write_study(tmp_path, evaluation=evaluation), tmp_path / "out")
    with pytest.raises(ConfigError, match="no such metric"):
        run.run(run.units[1])


@pytest.mark.parametrize(
    ("waiting", "elapsed", "expected"),
    [
        ({"scores": 0, "teacher": 3}, 122.0, 18.0),
        ({"scores": 2, "teacher": 3}, 122.0, 2 * 110.0 + 18.0),
        ({"scores": 2, "teacher": 3}, 61.0, (2 * 110.0 + 18.0) / 2),  # two at once
        ({"scores": 0, "teacher": 1, "warm": 1}, 122.0, 0.0),  # none of that kind is done
        ({"scores": 0, "teacher": 0, "warm": 0}, 122.0, 0.0),
    ],
)
def test_the_time_left_is_estimated_kind_by_kind(
    waiting: dict[Kind, int], elapsed: float, expected: float
) -> None:
    done: dict[Kind, list[float]] = {"scores": [110.0], "teacher": [5.0, 7.0]}
    assert seconds_left(waiting, done, elapsed) == pytest.approx(expected)
