"""The configurations in examples/large, and how units are handed to a scheduler.

Full-size models and their data are not here: small ones stand in, and no unit is run.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from lm_eval.tasks import TaskManager
from trl import TrlParser

from lnat_plugins.cli import main
from lnat_plugins.files import read_yaml
from lnat_plugins.hooks import trl_train
from lnat_plugins.study.run import StudyRun
from tests.helpers_students import student, tokenizer

from .scripts import EXAMPLES, run

LARGE = EXAMPLES / "large"
STUDIES = ("limo_qwen.yaml", "rsr_study.yaml")
TEACHER_SETS = {"limo_qwen.yaml": "limo_teachers.yaml", "rsr_study.yaml": "rsr_math.yaml"}
PROMPTS = 3


def turns(prompt: str, response: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": "Reason."},
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": response},
        ]
    }


def stand_in(name: str, folder: Path) -> Path:
    """The configuration with a tiny student and a few rows; the study's path."""
    tasks = EXAMPLES.parent / "tasks" / "local_naturalness"
    if name == "limo_qwen.yaml":
        teachers = LARGE / "limo_teachers.yaml"
        for teacher, file in read_yaml(teachers)["dataset_path"].items():
            rows = [{"prompt": f"{i}?", "response": f"{teacher}: {i}."} for i in range(PROMPTS)]
            (folder / file).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        text = teachers.read_text(encoding="utf-8")
    else:
        teachers = tasks / "rsr_math.yaml"
        for teacher in ("deepseek-r1-0528", "qwen3-8b"):
            rows = [turns(f"{i}?", f"{teacher}: {i}.") for i in range(PROMPTS)]
            (folder / "rsr" / teacher).mkdir(parents=True)
            file = folder / "rsr" / teacher / "short-sys_5k_gen1.json"
            file.write_text(json.dumps(rows), encoding="utf-8")
        text = teachers.read_text(encoding="utf-8").replace("hf://datasets/Umean/RSR_data", "rsr")
        text = text.replace("_naturalness_template_yaml", str(tasks / "_naturalness_template_yaml"))
    (folder / TEACHER_SETS[name]).write_text(text, encoding="utf-8")
    reader = tokenizer()
    reader.save_pretrained(folder / "student")
    student().save_pretrained(folder / "student")
    found = read_yaml(LARGE / name)
    found |= {"teacher_set": TEACHER_SETS[name], "students": {"qwen2.5-7b": "student"}}
    path = folder / name
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", STUDIES)
def test_the_units_are_listed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stand_in(name, tmp_path)
    study = StudyRun.of(path)
    assert len(study.teacher_set.prompts) == PROMPTS
    arms = len(study.teacher_set.teachers) + len(study.spec.selections)
    assert main(["study", str(path), "--dry_run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3 * arms
    if name == "limo_qwen.yaml":
        assert 3 * arms == 42  # what examples/large/README.md counts


@pytest.mark.parametrize("name", STUDIES)
def test_trl_takes_the_settings(name: str, tmp_path: Path) -> None:
    sft = read_yaml(LARGE / name)["sft"] | {"use_cpu": True, "bf16": False}
    config = tmp_path / "sft.yaml"
    config.write_text(yaml.safe_dump(sft), encoding="utf-8")
    _, training, model, _ = TrlParser(trl_train._GROUPS).parse_args_and_config(
        ["--config", str(config)]
    )
    assert model.use_peft and model.lora_r == sft["lora_r"]
    assert model.lora_target_modules == sft["lora_target_modules"]
    assert training.learning_rate == sft["learning_rate"]


def test_lm_eval_knows_the_tasks() -> None:
    manager = TaskManager()
    for name in STUDIES:
        evaluation = read_yaml(LARGE / name)["evaluation"]
        for task in evaluation["tasks"]:
            assert task in manager.all_tasks
            source = manager.task_index[task]
            path = source["yaml_path"] if isinstance(source, dict) else source.yaml_path
            text = Path(path).read_text(encoding="utf-8")
            while "metric_list" not in text:
                included = yaml.safe_load(text.replace("!function", ""))["include"]
                text = (Path(path).parent / included).read_text(encoding="utf-8")
            assert f"metric: {evaluation['metric']}" in text


def test_the_readme_names_every_file() -> None:
    text = (LARGE / "README.md").read_text(encoding="utf-8")
    for name in ("limo_teachers.yaml", *STUDIES):
        assert name in text


# Schedulers


def slurm(units: Path, number: str | None) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if key != "SLURM_ARRAY_TASK_ID"}
    return subprocess.run(
        [EXAMPLES / "study" / "slurm.sh", units], capture_output=True, text=True, check=False,
        env=own | ({} if number is None else {"SLURM_ARRAY_TASK_ID": number}),
    )  # fmt: skip


def test_a_task_of_the_slurm_array_runs_its_line(tmp_path: Path) -> None:
    units = tmp_path / "units.txt"
    units.write_text("echo one\necho 'two words'\nexit 3\n", encoding="utf-8")
    assert [slurm(units, number).stdout for number in "12"] == ["one\n", "two words\n"]
    assert slurm(units, "3").returncode == 3
    beyond = slurm(units, "4")
    assert (beyond.returncode, "has no line 4" in beyond.stderr) == (1, True)
    assert "sbatch --array" in slurm(units, None).stderr


def fake_ray(fails: set[str]) -> tuple[ModuleType, list[dict[str, Any]]]:
    """As much of Ray as the script uses; commands in `fails` raise what Ray raises."""

    class RayError(Exception):
        pass

    asked: list[dict[str, Any]] = []

    def remote(**options: Any) -> Any:
        asked.append(options)
        return lambda _: SimpleNamespace(remote=lambda command, **_: (command, object()))

    def get(task: tuple[str, object]) -> int:
        if task[0] in fails:
            raise RayError("exit code 1")
        return 0

    module = ModuleType("ray")
    module.__dict__.update(
        init=lambda: None, remote=remote, get=get,
        wait=lambda tasks, num_returns: (tasks[:num_returns], tasks[num_returns:]),
        exceptions=SimpleNamespace(RayError=RayError),
    )  # fmt: skip
    return module, asked


def test_ray_tries_again_and_fails_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    units = tmp_path / "units.txt"
    units.write_text("one\ntwo\nthree\n", encoding="utf-8")
    module, asked = fake_ray({"two"})
    monkeypatch.setitem(sys.modules, "ray", module)
    with pytest.raises(SystemExit, match="1 units failed:\ntwo"):
        run("study/ray_units.py", units, "--gpus", 1)
    assert asked == [{"num_cpus": 1, "num_gpus": 1.0, "max_retries": 2, "retry_exceptions": True}]
    assert "2 of 3 units done" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "ray", fake_ray(set())[0])
    run("study/ray_units.py", units)
    assert "3 of 3 units done" in capsys.readouterr().out


def test_the_ray_script_imports_ray_where_it_is_used_alone() -> None:
    tree = ast.parse((EXAMPLES / "study" / "ray_units.py").read_text(encoding="utf-8"))
    assert "ray" not in {
        alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
    }
