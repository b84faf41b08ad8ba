"""`lnat nce`: the table, the file, adapters, the next command; what is refused before loading."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from peft import LoraConfig, get_peft_model

from lnat_plugins import load_teacher_set, nce_weights
from lnat_plugins.cli import main
from lnat_plugins.scoring import check_student
from lnat_plugins.scoring.check_student import load_student
from lnat_plugins.selection.weights import read_weights
from tests.harness.lab import evaluate, hf, rows, save, write_set
from tests.helpers_students import student, tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, two adapters of it (the second one without a tokenizer), another tokenizer."""
    found = tmp_path_factory.mktemp("cli")
    write_set(found, rows())
    base = student()
    base.save_pretrained(found / "base")
    tokenizer().save_pretrained(found / "base")
    for seed, name in enumerate(("right", "wrong")):
        torch.manual_seed(seed)
        loaded, _ = load_student(str(found / "base"), device="cpu")
        adapted = get_peft_model(loaded, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
        for key, weight in adapted.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(weight, std=2.0)
        adapted.save_pretrained(found / name)
    tokenizer().save_pretrained(found / "right")
    other = tokenizer()
    other.add_tokens(["<new>"])
    base.save_pretrained(found / "other")
    other.save_pretrained(found / "other")
    return found


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def lnat(*options: str, positive: str = "right", negative: str = "wrong") -> int:
    students = ("--positive", positive, "--negative", negative)
    return main(["nce", "my_teachers.yaml", *students, "--output_path", "nce.jsonl", *options])


def test_two_adapters_of_one_base(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lnat("--apply_chat_template") == 0
    printed, lines = capsys.readouterr()
    given = load_teacher_set("my_teachers.yaml")
    students = [load_student(name)[0] for name in ("right", "wrong")]
    expected = nce_weights(*students, tokenizer(), given)
    assert list(read_weights("nce.jsonl").values()) == list(expected.rows)
    assert all(row.kl > 1e-3 for row in expected.rows)
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert table == [line for line in expected.to_markdown().splitlines() if line[:1] == "|"]
    assert "positive: right, negative: wrong\n" in printed
    assert "lnat: wrote nce.jsonl" in lines
    assert "lnat: next: lnat select OUT --strategy all --weights nce.jsonl\n" in lines


def test_one_student_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert lnat(positive="base", negative="base") == 0
    assert {row.lnat_weight for row in read_weights("nce.jsonl").values()} == {0.5}
    first = capsys.readouterr().out
    assert lnat("--apply_chat_template", positive="base") == 0
    assert capsys.readouterr().out != first


def test_another_file_is_not_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.jsonl").write_text('{"prompt": "x"}\n', encoding="utf-8")
    monkeypatch.setattr(check_student, "load_tokenizer", None)  # nothing is loaded before it
    assert lnat("--output_path", "mine.jsonl") == 2
    assert "a file that lnat did not write is in the way" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("students", "message"),
    [
        (("right", "other"), "two students with different tokenizers cannot be compared"),
        (("nowhere/at/all", "wrong"), "--positive: the student's folder does not exist"),
        (("right", "empty"), "--negative: the student's folder holds no model"),
        (("right", "nameless"), "nameless: the adapter does not say of which model it is"),
        (("right", "lost"), "the tokenizer cannot be loaded"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, students: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    for name, text in (("nameless", "{}"), ("lost", '{"base_model_name_or_path": "./none"}')):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "adapter_config.json").write_text(text, encoding="utf-8")
    assert lnat(positive=students[0], negative=students[1]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lnat: error: ") and message in error


def test_the_next_command_reads_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores of the base; the weights of its adapters."""
    assert lnat("--apply_chat_template") == 0
    error = capsys.readouterr().err
    next_line = next(line for line in error.splitlines() if line.startswith("lnat: next: "))
    words = shlex.split(next_line)[3:]
    lm = hf(student(), tokenizer())
    results = evaluate(folder, lm, apply_chat_template=True, log_samples=True)
    words[words.index("OUT")] = str(save(results, folder / "out"))
    assert main([*words, "--tokenizer", "base", "--output_path", "chosen"]) == 0
    table = pq.read_table(folder / "chosen" / "data" / "train.parquet").to_pylist()
    known = read_weights("nce.jsonl")
    assert len(table) == len(known) == 6
    for row in table:
        key = (row["lnat_prompt_id"], row["lnat_teacher"], row["lnat_sample"])
        assert row["lnat_weight"] == known[key].lnat_weight != 1
