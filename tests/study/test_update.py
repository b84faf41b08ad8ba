"""The units of `utility`: one update, by TRL and by a plain loop, and how they are resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins.cli import main
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks import trl_train
from lnat_plugins.selection.training_set import read_selection
from lnat_plugins.study.jobs import run_units
from lnat_plugins.study.rows import prompt_order, update_prompts
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import UNIT, Unit, sampled_teachers
from tests.helpers_students import truth

from .lab import write_study

UTILITY = {"rows": 3, "learning_rates": [0.01, 1e-3], "longer": 2, "sample": 2, "held_out": 3}
SFT = {"per_device_train_batch_size": 2, "use_cpu": True, "bf16": False, "learning_rate": 0.01}
TEXTS = {
    "long": "First step. So {}. Done.",
    "short": "{}.",
    "wrong": "It is 7 and 7 again. So {}1.",
}
OF_UTILITY = ("scores", "before", "calibration", "utility")


def write(folder: Path, **utility: Any) -> Path:
    """Three teachers, one of them wrong where the sum is odd; prompt 0 has two samples of one."""
    path = write_study(folder, utility=UTILITY | utility, sft=SFT, budget={"rows": 4})
    rows = [
        {
            "prompt": f"What is {i} + 4?", "teacher": teacher, "response": text.format(i + 4),
            "correct": teacher != "wrong" or i % 2 == 0, "sample": sample,
        }
        for i in range(8)
        for teacher, text in TEXTS.items()
        for sample in range(2 if teacher == "long" and i < 4 else 1)
    ]  # fmt: skip
    for row in rows:
        row["response"] = f"{row['response']} Yes." if row["sample"] else row["response"]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def units_of(run: StudyRun) -> list[Unit]:
    return [unit for unit in run.units if unit.kind in OF_UTILITY]


def results(run: StudyRun, units: Iterable[Unit]) -> dict[str, Any]:
    found = {unit.name: dict(run.done(unit) or {}) for unit in units}
    for one in found.values():
        one.pop("seconds", None)
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    path = write(tmp_path_factory.mktemp("study"))
    run = StudyRun.of(path, path.parent / "out")
    assert [unit for unit, _ in run_units(run, units_of(run)[::-1], 1)]
    return run


def test_calibrations_come_before_utilities(done: StudyRun) -> None:
    names = [unit.name for unit in units_of(done)]
    sampled = sampled_teachers(done.spec, done.teachers)
    assert len(sampled) == 2
    (other,) = set(TEXTS) - {*sampled}
    assert names == [
        "student/scores", "student/before",
        *(f"student/calibration/{teacher}" for teacher in sampled), f"student/utility/{other}",
    ]  # fmt: skip
    assert sampled_teachers(done.spec, ["a"]) == ["a"]
    assert all(done.done(unit) for unit in units_of(done))


def test_an_update_by_a_plain_loop_changes_the_same(done: StudyRun) -> None:
    """AdamW as TRL's config has it by default, one step on all rows, every token alike."""
    folder = done.spec.source.parent
    reader = AutoTokenizer.from_pretrained(folder / "student")
    first, measured = update_prompts(done.spec, done.scores("student"))
    held_out = [one for one in done.teacher_set.prompts if one.prompt_id in measured]
    assert (len(first), len(held_out)) == (3, 3)

    def ids(turns: list[dict[str, str]], **more: Any) -> list[int]:
        return list(reader.apply_chat_template(turns, tokenize=True, return_dict=False, **more))

    def question(text: str) -> list[int]:
        return ids([{"role": "user", "content": text}], add_generation_prompt=True)

    def log_probs(model: Any) -> dict[str, float]:
        found = {}
        for prompt in held_out:
            of: dict[str, list[float]] = {}
            for one in prompt.responses:
                if one.correct:
                    prompt_ids = question(prompt.messages[-1]["content"])
                    own = truth(model, reader, prompt_ids, one.text, ("global",)).global_()
                    of.setdefault(one.teacher, []).append(own)
            found[prompt.prompt_id] = float(np.mean([np.mean(values) for values in of.values()]))
        return found

    def fresh() -> Any:
        return AutoModelForCausalLM.from_pretrained(folder / "student", dtype=torch.float32)

    before = done.done(Unit("before", "student"))
    assert before is not None
    start = log_probs(fresh().eval())
    assert before["log_probs"]["before"] == pytest.approx(start, abs=1e-5)
    for unit in units_of(done)[2:]:
        result = done.done(unit)
        assert result is not None
        rates = [name for name in result["log_probs"] if name != "longer"]
        for name in rates:
            chosen = read_selection(done.folder_of(unit) / name / "rows")
            assert {chosen.prompts[i] for i in chosen.indices} == first
            assert chosen.chosen_by_teacher == {unit.arm: 3}
            model = fresh().train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=float(name), weight_decay=0.0)
            of_teacher = done.scores("student").only([unit.arm]).candidates
            rows = [of_teacher.rows[i] for i in chosen.indices]
            losses, count = torch.zeros(()), 0
            for row in rows:
                asked = [dict(turn) for turn in row.messages]
                turns = [*asked, {"role": "assistant", "content": row.text}]
                all_ids = torch.tensor([ids(turns)])
                begin = len(ids(asked, add_generation_prompt=True))
                logits = model(all_ids).logits[0, begin - 1 : -1].log_softmax(-1)
                losses = losses - logits.gather(1, all_ids[0, begin:, None]).sum()
                count += all_ids.shape[1] - begin
            (losses / count).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            expected = {
                prompt: value - start[prompt] for prompt, value in log_probs(model.eval()).items()
            }
            found = {
                prompt: value - before["log_probs"]["before"][prompt]
                for prompt, value in result["log_probs"][name].items()
            }
            assert found == pytest.approx(expected, abs=2e-5)
            assert max(map(abs, expected.values())) > 1e-3
        assert len(rates) == (2 if unit.kind == "calibration" else 1)


def test_the_longer_training_reads_all_but_the_held_out_prompts(done: StudyRun) -> None:
    places = prompt_order(done.scores("student").scored.prompts, done.spec.shuffle)
    for unit in units_of(done)[2:4]:
        chosen = read_selection(done.folder_of(unit) / "longer" / "rows")
        trained = {places[chosen.prompts[i]] for i in chosen.indices}
        assert trained == {0, 1, 2, 6, 7}
        result = done.done(unit)
        assert result is not None
        assert result["updates"] == 1 + 1 + 2
        assert result["rows"] == {"0.001": 3, "0.01": 3, "longer": 5}


def test_a_utility_needs_its_calibration(
    done: StudyRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.folder, out)
    run = StudyRun.of(done.spec.source, out)
    calibration, utility = units_of(run)[3:]
    (run.folder_of(calibration) / UNIT).unlink()
    assert run.calibration("student") is None
    assert run.done(utility) is None
    command = ["study", str(run.spec.source), "--output_path", str(out)]
    assert main([*command, "--unit", utility.name]) == 2
    assert "is not calibrated yet. Do the units student/before and student/calibration/…" in (
        " ".join(capfd.readouterr().err.split())
    )


def test_a_calibration_that_was_killed_is_begun_again(
    done: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.folder, out)
    run = StudyRun.of(done.spec.source, out)
    unit = units_of(run)[2]
    shutil.rmtree(run.folder_of(unit))
    train, trained = trl_train.train, []

    def stop(config: Path, weights: Any = None) -> None:
        trained.append(config)
        if len(trained) == 2:
            raise KeyboardInterrupt
        train(config)

    with monkeypatch.context() as patch:
        patch.setattr(trl_train, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            run.run(unit)
    assert run.done(unit) is None
    left = [one for one, _ in run_units(run, units_of(run), 1) if one.kind == "calibration"]
    assert left == units_of(run)[2:4]
    assert results(run, units_of(run)) == results(done, units_of(done))


def test_what_is_done_again(done: StudyRun, tmp_path: Path) -> None:
    source = done.spec.source.parent

    def left(**utility: Any) -> set[str]:
        run = StudyRun.of(write(source, **utility), done.folder)
        found = {unit.kind for unit in units_of(run) if run.done(unit) is None}
        write(source)
        return found

    assert left() == left(agreement=0.5) == set()
    assert left(longer=3) == left(learning_rates=[0.01]) == {"calibration", "utility"}
    assert left(held_out=2) == left(rows=2) == {"before", "calibration", "utility"}


def test_no_prompt_is_left(done: StudyRun, tmp_path: Path) -> None:
    run = StudyRun.of(write(tmp_path, rows=8), tmp_path / "out")
    shutil.copytree(done.folder_of(done.units[0]), run.folder_of(run.units[0]))
    with pytest.raises(DataError, match="no prompt is left to measure an update on .*rows: 8"):
        run.run(Unit("before", "student"))
    with pytest.raises(ConfigError, match="has not scored"):
        StudyRun.of(write(tmp_path), tmp_path / "other").run(Unit("before", "student"))
