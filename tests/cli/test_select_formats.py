"""`lnat select --format`: the choice is printed with what a trainer makes of it, and trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from transformers import AutoTokenizer

import lnat_plugins
from lnat_plugins.cli import main
from lnat_plugins.scores import Scores
from lnat_plugins.selection.formats import FORMATS
from tests.conftest import REPO
from tests.docs.lab import quiet, trl

from .select_runs import write_run

STUDENT = Path(lnat_plugins.__file__).parent / "student"
TEMPLATE: dict[str, Any] = {"chat_template": "0123456789ab"}


def select(folder: Path, *arguments: str, **rendering: Any) -> int:
    write_run(folder / "out", student=str(STUDENT), **rendering)
    return main(["select", str(folder / "out"), "--output_path", str(folder / "c"), *arguments])


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "c/data/train.parquet").to_pylist()
    return found


def test_the_longest_row_is_counted_with_the_student_s_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(tmp_path, "--format", "verl", **TEMPLATE) == 0
    card = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    reader = AutoTokenizer.from_pretrained(STUDENT)
    lengths = [len(reader.apply_chat_template(row["messages"], return_dict=False))
               for row in rows(tmp_path)]  # fmt: skip
    assert f"data.max_length={max(lengths)}\n" in card
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("c/README.md says how verl 0.9 reads it")


def test_a_tokenizer_that_is_not_there(tmp_path: Path) -> None:
    write_run(tmp_path / "out", **TEMPLATE)
    to = str(tmp_path / "c")
    assert main(["select", str(tmp_path / "out"), "--format", "verl", "--output_path", to]) == 0
    card = tmp_path / "c" / "README.md"
    assert "data.max_length=LONGEST" in card.read_text(encoding="utf-8")
    arguments = ["--format", "verl", "--output_path", to, "--tokenizer", str(STUDENT)]
    assert main(["select", str(tmp_path / "out"), *arguments]) == 0
    assert "LONGEST" not in card.read_text(encoding="utf-8")


def test_weights_that_get_lost_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weighted = ("--strategy", "weighted", "--budget", "2")
    assert select(tmp_path, "--format", "open_instruct", *weighted, **TEMPLATE) == 0
    line = (
        "The rows differ in weight (`lnat_weight`); Open Instruct reads no weights of rows, and "
        "trains on all of them alike.\n"
    )
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")


def test_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select(tmp_path, "--format", "preference", "--require_correct") == 0
    captured = capsys.readouterr()
    assert "\nPairs: 3, of 3 of 3 prompts.\n" in captured.out
    assert "next: trl dpo --config " in captured.err
    found = [(row["lnat_teacher"], row["lnat_rejected_teacher"]) for row in rows(tmp_path)]
    assert found == [("R1", "DSQ"), ("R1", "DSQ"), ("QwQ", "DSQ")]
    assert isinstance(rows(tmp_path)[0]["chosen"], str)


def test_the_strategy_of_labelled_rows_is_all_unless_another_is_given(tmp_path: Path) -> None:
    assert select(tmp_path, "--format", "kto") == 0
    assert [row["label"] for row in rows(tmp_path)] == [True, True, False] * 3
    assert {row["lnat_score"] for row in rows(tmp_path)} == {-2, -2.5, -1, -1.5, -3, -3.5, -3.25}
    assert select(tmp_path, "--format", "kto", "--strategy", "top_k", "--k", "8") == 0
    assert len(rows(tmp_path)) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preference", "--strategy", "random"], "strategy 'random' reads no scores, and the rej"),
        (["preference", "--teachers", "QwQ,R1"], "must be known to be wrong, and no row is"),
        (["kto", "--require_correct"], "no chosen row is known to be wrong, and KTO needs both"),
        (["kto", "--strategy", "best"], "no chosen row is known to be wrong"),
        (["nemo_rl"], "plain text cannot be written as `messages`"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert select(tmp_path, "--format", *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not (tmp_path / "c").exists()


def test_a_program_writes_the_same(tmp_path: Path) -> None:
    assert select(tmp_path, "--format", "preference", "--require_correct") == 0
    scores: Scores = lnat_plugins.read_scores(tmp_path / "out")
    chosen = scores.select("best", require_correct=True)
    scores.write(chosen, tmp_path / "d", format="preference")
    ours, theirs = ((tmp_path / one / "data/train.parquet").read_bytes() for one in "cd")
    assert ours == theirs


@pytest.mark.parametrize(
    ("format", "block", "expected"),
    [
        ("preference", {"require_correct": True}, "Pairs: 2, of 2 of 6 prompts."),
        ("kto", {}, "Labels: 16 true, 2 false."),
        ("kto", {"strategy": "top_k", "k": 17}, "Labels: 15 true, 2 false."),
    ],
)
def test_by_a_training_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str, block: dict[str, Any],
    expected: str,
) -> None:  # fmt: skip
    rows = str(REPO / "examples" / "new_teacher_set.yaml")
    keys = {"model_name_or_path": str(STUDENT), "use_cpu": True, "bf16": False}
    keys["selection"] = {"teacher_set": rows, "windows": [4], **block}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    arguments = ["--format", format, "--output_path", str(tmp_path / "c")]
    assert main(["select", "--config", str(tmp_path / "sft.yaml"), *arguments]) == 0
    assert expected in capsys.readouterr().out
    assert "bf16" not in (tmp_path / "c" / FORMATS[format].files[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize(("format", "command"), [("preference", "dpo"), ("kto", "kto")])
def test_trl_trains_on_it_as_it_is(
    tmp_path: Path, format: str, command: str, template: bool,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert select(tmp_path, "--format", format, **(TEMPLATE if template else {})) == 0
    words = (
        f"--config {tmp_path}/c/{command}.yaml --use_cpu --max_steps 2 --report_to none "
        "--save_strategy no --disable_tqdm true --per_device_train_batch_size 2 --logging_steps 1"
    )
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    with quiet():
        trl([command, *words.split()])
    assert capsys.readouterr().out.count("'loss'") == 2
    assert (tmp_path / f"c-{command}" / "model.safetensors").is_file()
