"""`lnat rank`, `select` and `report` by the metric that compares two students."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lnat_plugins import read_scores
from lnat_plugins.cli import main

from .select_runs import write_run

RIGHT = {"QwQ": [-2.0, -2.5, -2.0], "R1": [-1.0, -1.5, -3.0], "DSQ": [-3.0, -3.5, -3.25]}
WRONG = {"QwQ": [-1.5, -3.5, -3.0], "R1": [-2.0, -1.75, -4.0], "DSQ": [-1.0, -1.0, -1.0]}
FAST = ("--bootstrap_iters", "50")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "right", RIGHT, student="org/a")
    # Named so that the negative student would come first by name.
    write_run(tmp_path / "wrong", WRONG, student="org/Z")
    monkeypatch.chdir(tmp_path)


def test_the_first_is_measured_against_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", "right", "wrong", "--metric", "contrast", *FAST]) == 0
    captured = capsys.readouterr()
    assert "task: sums, student: org/a, " in captured.out
    assert "metric: contrast, window global (nats per token, higher is better)" in captured.out
    expected = read_scores("right").contrast(read_scores("wrong")).rank("contrast")
    assert [one.teacher for one in expected.teachers] == ["R1", "QwQ", "DSQ"]
    assert "R1 has the best mean." in captured.out
    assert "lnat: contrast: org/a against org/Z, 9 responses scored by both" in captured.err
    assert "next: lnat report right wrong --metric contrast" in captured.err
    assert "then: lnat select right wrong --metric contrast --require_correct" in captured.err
    assert main(["rank", "wrong", "right", "--metric", "contrast", *FAST]) == 0
    assert "DSQ has the best mean." in capsys.readouterr().out


def test_it_is_compared_with_metrics_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", "right", "wrong", "--metric", "contrast,local_naturalness", *FAST]) == 0
    printed = capsys.readouterr().out
    assert "|contrast         |global|" in printed and "|local_naturalness|4     |" in printed


def test_without_it_students_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", "right", "wrong", *FAST]) == 0
    assert "|Mean (rank)|" in capsys.readouterr().out


def test_rows_are_chosen_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["select", "right", "wrong", "--metric", "contrast", "--output_path", "chosen"]
    assert main([*command, "--tokenizer", "none"]) == 0
    rows = pq.read_table(tmp_path / "chosen" / "data" / "train.parquet").to_pylist()
    assert [(row["lnat_teacher"], row["lnat_score"]) for row in rows] == [
        ("R1", 1.0), ("QwQ", 1.0), ("QwQ", 1.0)
    ]  # fmt: skip
    stored = json.loads((tmp_path / "chosen" / "selection.json").read_text(encoding="utf-8"))
    assert [Path(file).parent.name for file in stored["files"]] == ["right", "wrong"]
    assert stored["ties"] == 1
    assert "9 responses scored by both" in capsys.readouterr().err


def test_a_report_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "right", "wrong", "--metric", "contrast", *FAST]) == 0
    page = (tmp_path / "right" / "report.html").read_text(encoding="utf-8")
    assert "contrast" in page
    assert "next: lnat select right wrong --metric contrast" in capsys.readouterr().err


def test_what_has_no_partner_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    fewer = {teacher: values[:2] for teacher, values in WRONG.items()} | {"new": [-1.0, -1.0]}
    write_run(Path("fewer"), fewer, student="org/Z")
    assert main(["rank", "right", "fewer", "--metric", "contrast", *FAST]) == 0
    error = capsys.readouterr().err.splitlines()
    assert "lnat: contrast: org/a against org/Z, 6 responses scored by both" in error
    assert "lnat: contrast: 3 responses undefined: the other student has no score of it" in error
    assert "lnat: contrast: 2 responses left out: scored by the second student alone" in error


@pytest.mark.parametrize("command", ["rank", "select", "report"])
@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            ["right"],
            "lnat: error: --metric: metric 'contrast' compares two students, and so reads two "
            "outputs (found '1 output'). Name first that of the student trained on right "
            "responses, then that of the one trained on wrong ones.",
        ),
        (["right", "wrong", "right"], "reads two outputs (found '3 outputs')"),
        (["right", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(
    command: str, sources: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *sources, "--metric", "contrast"]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert message in captured.err.splitlines()[-1]


def test_two_tasks_are_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("other"), WRONG, task="products")
    assert main(["rank", "right", "other", "--metric", "contrast"]) == 2
    assert "these are scores of two" in capsys.readouterr().err.splitlines()[-1]
