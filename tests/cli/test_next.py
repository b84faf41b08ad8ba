"""The last lines of the commands: what they print to be run next does run."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval._cli import HarnessCLI

from lnat_plugins.cli import main
from tests.conftest import REPO
from tests.helpers_samples import teacher_table, write_run

from .select_runs import RENDERING, SCORES

FAST = ["--bootstrap_iters", "20"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_rendered(folder: Path, student: str = "org/student") -> None:
    """Scores that say how the prompts were rendered, which a choice needs."""
    table = {
        prompt: [replace(one, settings={**one.settings, **RENDERING}) for one in records]
        for prompt, records in teacher_table(SCORES).items()
    }
    write_run(folder, table, student=student)


def run(command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Runs a line as a shell would; "next" and "then" -> the commands that it printed."""
    program, *arguments = shlex.split(command)
    assert program == "lnat"
    assert main(arguments) == 0
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    return {
        word: line.partition(f"{word}: ")[2]
        for line in lines
        for word in ("next", "then")
        if line.removeprefix("lnat: ").startswith(f"{word}: ")
    }


@pytest.mark.parametrize("folder", ["out", "my out"])
@pytest.mark.parametrize(
    ("options", "then"),
    [
        ({}, {}),
        ({"metric": "all"}, {}),
        (
            {"metric": "global_naturalness,local_naturalness", "window": "global"},
            {"metric": "global_naturalness", "window": "global"},
        ),
        ({"teachers": "QwQ,R1", "reference": "QwQ > R1"}, {"teachers": "QwQ,R1"}),
    ],
)
def test_from_scores_to_a_report_and_a_training_set(
    folder: str,
    options: Mapping[str, str],
    then: Mapping[str, str],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rendered(here / folder / "org__student")
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    ranked = run(shlex.join(["lnat", "rank", folder, *given, *FAST]), capsys)
    of_select = [word for name, value in then.items() for word in (f"--{name}", value)]
    select = shlex.join(["lnat", "select", folder, *of_select, "--output_path", "chosen"])
    assert ranked["then"] == select
    assert ranked["next"].startswith(shlex.join(["lnat", "report", folder]))
    assert ("--reference" in ranked["next"]) == ("reference" in options)
    reported = run(ranked["next"], capsys)
    assert (here / folder / "report.html").is_file()
    assert reported == {"next": select}
    selected = run(reported["next"], capsys)
    trained = shlex.split(selected["next"])
    assert trained[:4] == ["trl", "sft", "--config", "chosen/sft.yaml"]
    assert trained[4:] in ([], ["--use_cpu"])
    assert (here / "chosen" / "sft.yaml").is_file()


def test_a_choice_that_was_not_written_is_repeated(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rendered(here / "out" / "org__student")
    found = run("lnat select out --strategy top_k --k 2 --teachers 'QwQ,R1'", capsys)
    assert found == {
        "next": "lnat select out --strategy top_k --k 2 --teachers QwQ,R1 --output_path chosen"
    }
    assert run(found["next"], capsys)["next"].startswith("trl sft ")


def test_of_several_tasks_the_first_is_reported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("one", "other"):
        write_run(here / "out" / task, teacher_table(SCORES), task=task)
    found = run(shlex.join(["lnat", "rank", "out", *FAST]), capsys)
    assert list(found) == ["next"]
    assert "samples_one_" in found["next"] and "samples_other_" not in found["next"]
    assert "next" in run(found["next"], capsys)


def test_of_several_students_there_is_one_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for student in ("org/small", "org/large"):
        write_rendered(here / "out" / student, student)
    found = run(shlex.join(["lnat", "rank", "out", *FAST]), capsys)
    assert found == {"next": "lnat report out"}
    reported = run(found["next"], capsys)
    assert reported["next"].startswith("lnat select out/org/large/")
    assert "org/small" not in reported["next"]
    assert "next" in run(reported["next"], capsys)


@pytest.mark.parametrize("named", [["small", "large"], ["large", "small"]])
def test_the_page_is_that_of_the_student_named_first(
    named: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for student in named:
        write_rendered(here / student, f"org/{student}")
    found = run(shlex.join(["lnat", "report", *named, *FAST]), capsys)
    first = named[0]
    assert found["next"] == f"lnat select {first} --output_path chosen"
    title = f"<title>Which teacher suits the student “{first}”?</title>"
    assert title in (here / first / "report.html").read_text(encoding="utf-8")
    assert "next" in run(found["next"], capsys)


@pytest.mark.parametrize("file", ["traces.jsonl", "my traces.jsonl"])
def test_from_data_to_scores(file: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(REPO / "examples/new_teacher_set.jsonl", here / file)
    made = run(shlex.join(["lnat", "init", file]), capsys)
    assert made == {"next": "lnat check my_teachers.yaml --student bundled --apply_chat_template"}
    scored = run(f"{made['next']} --no_trial", capsys)["next"]
    assert scored == (
        "lm_eval --model hf --model_args pretrained=$(lnat student) --tasks my_teachers.yaml "
        "--apply_chat_template --log_samples --output_path scores"
    )


@pytest.mark.parametrize("student", [None, "bundled", "my models/small"])
def test_after_a_check_lm_eval_takes_what_is_printed(
    student: str | None, here: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = "my set.yaml"
    for suffix in ("jsonl", "yaml"):
        shutil.copy(REPO / f"examples/new_teacher_set.{suffix}", here)
    shutil.copy("new_teacher_set.yaml", name)
    if student and student != "bundled":
        shutil.copytree(REPO / "lnat_plugins/student", here / student)
    given = [] if student is None else ["--student", student, "--no_trial"]
    found = run(shlex.join(["lnat", "check", name, *given]), capsys)["next"]
    words = shlex.split(found.replace("$(lnat student)", "STUDENT"))
    monkeypatch.setattr("sys.argv", words)
    parsed = HarnessCLI().parse_args()
    expected = student if student and student != "bundled" else "STUDENT"
    assert parsed.model_args == {"pretrained": expected}
    assert parsed.tasks == [name] and parsed.output_path == "scores" and parsed.log_samples


def test_after_a_study_its_scores_are_ranked_against_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.study.lab import finished

    finished(here, out=here / "small")
    done = run(shlex.join(["lnat", "study", "study.yaml", *FAST]), capsys)
    assert done["next"] == (
        "lnat rank small/student/scores --metric all --reference small/study.json"
    )
    assert "next" in run(f"{done['next']} {shlex.join(FAST)}", capsys)
