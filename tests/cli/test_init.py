"""`lnat init`: what it prints, and how a question ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_samples import write_lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"How many are {i} and 5?", "output": f"{t} adds\n{i} and 5.", "model": t,
         "topic": "sums"}
        for i in range(4) for t in ("A", "B")
    ]  # fmt: skip
    write_lines(tmp_path / "rows.jsonl", rows)
    return tmp_path


EXPECTED = """\
layout: long (a row a response)
prompt: question
system: none
response: output
thinking: none
teacher: model
correctness: none
sample: none
prompt id: none
teacher A: 4 responses to 4 prompts
teacher B: 4 responses to 4 prompts
example: rows.jsonl row 1, teacher A
  prompt    | How many are 0 and 5?
  response  | A adds⏎
  response  | 0 and 5.
example: rows.jsonl row 4, teacher B
  prompt    | How many are 1 and 5?
  response  | B adds⏎
  response  | 1 and 5.
columns not used: topic
wrote my_teachers.yaml, which loads
next: lnat check my_teachers.yaml --student bundled --apply_chat_template
(in place of `bundled`: the folder or name of your student; one without a chat template takes no \
--apply_chat_template)
"""


def test_what_was_taken_for_what_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "rows.jsonl"]) == 0
    captured = capsys.readouterr()
    assert captured.out == EXPECTED
    assert captured.err == ""
    assert main(["check", "my_teachers.yaml"]) == 0
    assert "my_teachers.yaml: ok" in capsys.readouterr().out


def test_a_dash_prints_the_yaml_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "rows.jsonl", "--output_path", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("class: !function")
    assert captured.err.startswith("layout: long")
    assert not Path("my_teachers.yaml").exists()


def test_a_question_is_one_line_and_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(folder / "one.jsonl", [{"prompt": f"p {i}", "response": "r"} for i in range(3)])
    assert main(["init", "one.jsonl"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lnat: error: one.jsonl: no column names the teachers")
    assert captured.err.count("\n") == 1
    assert "--teacher NAME=FILE" in captured.err
    assert not Path("my_teachers.yaml").exists()


def test_a_file_that_is_not_there_is_said_in_words_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["gone.jsonl"], ["--teacher", "R1=rows.jsonl", "QwQ=gone.jsonl"]):
        assert main(["init", *options]) == 2
        said = "lnat: error: gone.jsonl: no such file. Name a file or folder that is there.\n"
        assert capsys.readouterr().err == said


def test_options_settle_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"p {i}", "response": f"r {i}", "other": f"o {i}"} for i in range(3)]
    for name in ("a", "b"):
        write_lines(folder / f"{name}1.jsonl", rows)
    options = ["--teacher", "R1=a1.jsonl", "QwQ=b1.jsonl", "--response", "other", "--task", "mine"]
    assert main(["init", *options]) == 0
    text = Path("my_teachers.yaml").read_text("utf-8")
    assert "task: mine\ndataset_path: {R1: a1.jsonl, QwQ: b1.jsonl}\n" in text
    assert "columns: {response: other}" in text


def test_a_proposal_that_does_not_load_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("math", "code"):
        write_lines(folder / f"{name}.jsonl", [{"prompt": name, "response": "r"}])
    assert main(["init", "math.jsonl", "code.jsonl"]) == 2
    err = capsys.readouterr().err
    assert "dataset_path: {math: math.jsonl, code: code.jsonl}" in err
    assert "nothing was written: " in err.splitlines()[-1]


def test_a_check_of_data_names_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("rows.jsonl", "."):
        assert main(["check", path]) == 2
        assert f"Write the YAML first: lnat init {path}." in capsys.readouterr().err
