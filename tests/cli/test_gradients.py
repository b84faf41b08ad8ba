"""`lnat gradients`: the table, the JSON, the next command; what is refused before loading."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lnat_plugins import gradient_scores, load_teacher_set
from lnat_plugins.cli import main
from lnat_plugins.gradients import run
from lnat_plugins.ranking.reference import read_reference
from lnat_plugins.scoring.check_student import load_student
from tests.harness.lab import rows, write_set
from tests.helpers_students import student, tokenizer

OPTIONS = ("--folds", "2", "--dimension", "4", "--bootstrap_iters", "50", "--seed", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cli")
    write_set(found, [{**row, "response": f"So. Done. {row['response']}"} for row in rows()])
    student().save_pretrained(found / "student")
    tokenizer().save_pretrained(found / "student")
    return found


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def lnat(*options: str) -> int:
    return main(["gradients", "my_teachers.yaml", "--student", "student", *OPTIONS, *options])


def test_it_is_the_call_of_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lnat("--apply_chat_template", "--output_path", "out.json") == 0
    printed, lines = capsys.readouterr()
    model, words = load_student("student", dtype="float32")
    expected = gradient_scores(
        model, words, load_teacher_set("my_teachers.yaml"), folds=2, dimension=4, seed=1,
        bootstrap_iters=50,
    )  # fmt: skip
    written = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    values = json.loads(json.dumps(expected.as_dict()))
    assert {**written, "seconds": 0} == {**values, "seconds": 0}
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert table == [line for line in expected.to_markdown().splitlines() if line[:1] == "|"]
    best = expected.order.partition(">")[0]
    assert table[2].startswith(f"|{best}")
    next_line = next(line for line in lines.splitlines() if line.startswith("lnat: next: "))
    *_, order = shlex.split(next_line)
    assert read_reference(order, ["QwQ", "R1"]).values[best] == 0
    assert "lnat: wrote out.json" in lines


def test_plain_text_without_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert lnat() == 0
    first = capsys.readouterr().out
    assert lnat("--apply_chat_template") == 0
    assert capsys.readouterr().out != first


def test_its_file_is_replaced_and_another_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lnat("--output_path", "again.json") == 0
    assert lnat("--output_path", "again.json") == 0
    (folder / "mine.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(run, "draw", None)  # nothing is read before it
    capsys.readouterr()
    assert lnat("--output_path", "mine.json") == 2
    assert "a file that lnat did not write is in the way" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folds", "1"), "gradients: folds: this must be 2 or more (found 1)."),
        (("--prompts", "1"), "gradients: prompts: this must be 2 or more (found 1)."),
        (("--student", "nowhere"), "nowhere"),
        (("--device", "abc"), "the student cannot be loaded"),
        (("--folds", "4"), "fewer prompts with a response of every teacher than folds"),
    ],
)
def test_bad_input_is_one_line(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lnat(*options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lnat: error: ") and message in error


def test_the_choices_are_those_of_the_call() -> None:
    """They and the defaults are written out: help loads no torch."""
    import argparse
    import inspect

    from lnat_plugins.cli.gradients import declare_gradients
    from lnat_plugins.gradients.parameters import PARAMETERS
    from lnat_plugins.gradients.projection import KINDS

    parser = argparse.ArgumentParser()
    declare_gradients(parser)
    declared = {action.dest: action for action in parser._actions}
    assert set(declared["parameters"].choices or ()) == set(PARAMETERS)
    assert set(declared["projection"].choices or ()) == set(KINDS)
    for name, parameter in inspect.signature(gradient_scores).parameters.items():
        if name in declared and name != "apply_chat_template":
            assert declared[name].default == parameter.default, name
