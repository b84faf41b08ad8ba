"""A teacher set, a training config and a metric, each one file: the same choice by every way in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins import cli, load_teacher_set
from lnat_plugins.hooks import trl_sft as sft
from lnat_plugins.scoring.samples import read_scored_set
from lnat_plugins.selection import Selection
from lnat_plugins.selection.training_set import read_selection
from tests.harness.lab import evaluate, hf, save

from .scripts import EXAMPLES

STUDENT = EXAMPLES.parent / "lnat_plugins" / "student"
TEACHER_SET = EXAMPLES / "new_teacher_set.yaml"
CONFIG = EXAMPLES / "sft.yaml"
METRIC = EXAMPLES / "custom_metric.py"


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The config names its student from here."""
    monkeypatch.chdir(EXAMPLES.parent)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set in lm-eval, with the chat template: what `--output_path` holds then."""
    model = AutoModelForCausalLM.from_pretrained(STUDENT, dtype="float32")
    lm = hf(model, AutoTokenizer.from_pretrained(STUDENT))
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["pytest"])
        found = evaluate(EXAMPLES, lm, "new_teacher_set", apply_chat_template=True)
    save(found, out, "new_teacher_set")
    return out


@pytest.fixture(scope="module")
def chosen(scored: Path, tmp_path_factory: pytest.TempPathFactory) -> Selection:
    """What `lnat select` takes of those scores, by the rules of the config."""
    folder = tmp_path_factory.mktemp("sets") / "chosen"
    assert cli.main(["select", str(scored), "--require_correct", "--output_path", str(folder)]) == 0
    return read_selection(folder)


def test_the_rows_are_what_the_file_says() -> None:
    found = load_teacher_set(TEACHER_SET)
    assert found.teachers == ("tutor", "ponderer", "brief")
    assert [len(prompt.responses) for prompt in found.prompts] == [3] * 6
    assert found.settings.windows == ("4", "global")
    wrong = [(p.prompt_id, r.teacher) for p in found.prompts for r in p.responses if not r.correct]
    assert wrong == [("bus", "tutor"), ("pages", "ponderer")]


def test_it_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(TEACHER_SET)]) == 0
    assert "teacher brief: 6 responses" in capsys.readouterr().out


def test_no_teacher_is_best_throughout(chosen: Selection) -> None:
    assert chosen.chosen_by_teacher == {"tutor": 1, "ponderer": 0, "brief": 5}
    prompts = {chosen.prompts[i]: chosen.teachers[i] for i in chosen.indices}
    assert prompts["ribbon"] == "tutor"
    assert prompts["beads"] == "brief"


def test_the_training_run_makes_the_choice_of_lm_eval(chosen: Selection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--config", str(CONFIG), "--output_dir", str(out), "--max_steps", "1"]
    assert sft.main(arguments) == 0
    kept = read_selection(out / "lnat_selection.json")
    assert kept.indices == chosen.indices
    assert kept.reasons == chosen.reasons
    assert kept.scores == pytest.approx(chosen.scores, abs=1e-5, nan_ok=True)
    assert (out / "model.safetensors").is_file()


def test_select_by_the_config_writes_that_choice(chosen: Selection, tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    assert cli.main(["select", "--config", str(CONFIG), "--output_path", str(folder)]) == 0
    rows = pq.read_table(folder / "data" / "train.parquet").to_pylist()
    assert [row["lnat_index"] for row in rows] == list(chosen.indices)
    assert rows[0]["completion"][0]["content"] == "3 * 4 + 9 = 21"
    settled = yaml.safe_load((folder / "sft.yaml").read_text(encoding="utf-8"))
    assert settled["max_steps"] == 3 and "selection" not in settled


def medians(out: Path) -> dict[tuple[str, str], float]:
    """(prompt, teacher) -> the median of the step means, by numpy."""
    return {
        (row.prompt_id, row.teacher): float(
            np.median(np.array(row.record.sums["4"]) / np.array(row.record.tokens))
        )
        for row in read_scored_set([out]).rows
    }


def test_the_metric_ranks(scored: Path, tmp_path: Path) -> None:
    arguments = ["--metric", "median_step", "--plugins", str(METRIC), "--output_path"]
    assert cli.main(["rank", str(scored), *arguments, str(tmp_path)]) == 0
    (told,) = json.loads((tmp_path / "ranking.json").read_text())["rankings"]
    means = {line["teacher"]: line["mean"] for line in told["ranking"]["teachers"]}
    found = medians(scored)
    for teacher, mean in means.items():
        own = [value for (_, name), value in found.items() if name == teacher]
        assert mean == pytest.approx(np.mean(own))
    assert next(iter(means)) == "brief"


def test_the_metric_chooses_in_a_selection_block(scored: Path, tmp_path: Path) -> None:
    for file in (TEACHER_SET, EXAMPLES / "new_teacher_set.jsonl", METRIC):
        shutil.copy(file, tmp_path)
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["selection"] |= {"metric": "median_step", "plugins": [METRIC.name]}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(config))
    arguments = ["--config", str(tmp_path / "sft.yaml"), "--output_path", str(tmp_path / "chosen")]
    assert cli.main(["select", *arguments]) == 0
    found = read_selection(tmp_path / "chosen")
    values = medians(scored)
    for i in found.indices:
        rivals = [j for j, score in enumerate(found.scores) if not np.isnan(score)]
        own = {
            found.teachers[j]: found.scores[j]
            for j in rivals
            if found.prompts[j] == found.prompts[i]
        }
        assert found.scores[i] == max(own.values())
        assert own == pytest.approx(
            {name: values[found.prompts[i], name] for name in own}, abs=1e-5
        )
