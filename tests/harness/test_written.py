"""The last lines of a run: where the scores are, and what to run next."""

from __future__ import annotations

import atexit
import logging
import sys
from pathlib import Path

import pytest
from lm_eval.loggers import EvaluationTracker

from lnat_plugins.harness import written
from lnat_plugins.harness.written import expect_files, forget_files, output_path, print_files

from .lab import TASK, evaluate, hf, rows, write_set

TRACKER = ".loggers.evaluation_tracker"


@pytest.fixture(autouse=True)
def nothing_waits() -> None:
    forget_files()
    atexit.unregister(written._end)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("--tasks a --output_path out --log_samples", "out"),
        ("--tasks a -o out", "out"),
        ("--output_path=out/a.json --tasks b", "out/a.json"),
        ("--tasks a --output out", "out"),
        ("--tasks a --log_samples", None),
        ("--config {config}", "from/file"),
        ("--config={config} -o out", "out"),
        ("-o out -C {config}", "out"),
    ],
)
def test_where_lm_eval_writes(words: str, path: str | None, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("output_path: from/file\n", encoding="utf-8")
    found = output_path(["lm_eval", *words.format(config=config).split()])
    assert found == (None if path is None else Path(path))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_files()
    found = capsys.readouterr()
    assert found.out == ""
    return found.err.splitlines()


@pytest.mark.parametrize("output", ["out", "my out", "out/results.json"])
def test_the_files_and_the_command_that_ranks_them(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--output_path", output])
    folder = Path(output).parent if output.endswith(".json") else Path(output)
    inner = folder if output.endswith(".json") else folder / "student"
    inner.mkdir(parents=True)
    old = inner / f"samples_{TASK}_2025.jsonl"
    old.write_text("", encoding="utf-8")
    expect_files([TASK, TASK])
    new = inner / f"samples_{TASK}_2026.jsonl"
    new.write_text("", encoding="utf-8")
    (inner / "samples_another_2026.jsonl").write_text("", encoding="utf-8")
    quoted = f"'{folder}'" if " " in output else str(folder)
    assert printed(capsys) == [f"lnat: wrote {new}", f"lnat: next: lnat rank {quoted}"]
    assert printed(capsys) == []


def test_scores_of_a_later_date_are_not_read_in_place_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after the clock was set back: the newest by name is another run's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--output_path", "out"])
    inner = Path("out", "student")
    inner.mkdir(parents=True)
    (inner / f"samples_{TASK}_2027.jsonl").touch()
    expect_files([TASK])
    new = inner / f"samples_{TASK}_2026.jsonl"
    new.touch()
    assert printed(capsys) == [
        f"lnat: wrote {new}",
        "lnat: out has scores of a later date, which would be read in place of these",
        f"lnat: next: lnat rank {new}",
    ]


@pytest.mark.parametrize("other", ["another/samples_{}_2027.jsonl", "student/samples_b_2027.jsonl"])
def test_later_scores_of_another_student_or_task_are_no_matter(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--output_path", "out"])
    for path in ("out/student", "out/another"):
        Path(path).mkdir(parents=True)
    Path("out", other.format(TASK)).touch()
    expect_files([TASK])
    new = Path("out", "student", f"samples_{TASK}_2026.jsonl")
    new.touch()
    assert printed(capsys) == [f"lnat: wrote {new}", "lnat: next: lnat rank out"]


def test_what_to_add_where_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--tasks", TASK])
    expect_files([TASK])
    assert printed(capsys) == [
        "lnat: no scores were written: add --log_samples --output_path out, and then run: "
        "lnat rank out"
    ]
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--output_path", "there"])
    expect_files([TASK])
    assert printed(capsys) == [
        "lnat: no scores were written to there: add --log_samples, and then run: lnat rank there"
    ]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("--log_samples", True),
        ("-s", True),
        ("--log_s", True),
        ("--config run.yaml", True),
        ("-C off.yaml", False),
        ("--limit 3", False),
        ("--tasks -s", True),
    ],
)
def test_samples_that_were_asked_for_and_are_not_there_are_an_error(
    words: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, value in (("run", "true"), ("off", "false")):
        (tmp_path / f"{name}.yaml").write_text(f"log_samples: {value}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--output_path", "out", *words.split()])
    expect_files([TASK, "b"])
    (tmp_path / "out" / "student").mkdir(parents=True)
    (tmp_path / "out" / "student" / "samples_b_2026.jsonl").touch()
    assert print_files() is not asked
    lines = capsys.readouterr().err.splitlines()
    error = [line for line in lines if line.startswith("lnat: error: ")]
    assert error == asked * [
        f"lnat: error: out: the harness could not save its files (found 'no samples of {TASK}'). "
        "Give --output_path a folder that can be written to, and run again; what --use_cache has "
        "is not scored again."
    ]


def test_a_file_that_the_harness_could_not_save_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its samples are there and cut; or the results are not."""
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--log_samples", "-o", str(tmp_path)])
    expect_files([TASK])
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / f"samples_{TASK}_2026.jsonl").touch()
    log = logging.getLogger(f"lm_eval{TRACKER}")
    logging.getLogger("lm_eval").setLevel(logging.INFO)
    log.warning("Could not save sample results")
    log.info(repr(OSError(28, "No space left on device")))
    assert not print_files()
    assert "No space left on device" in capsys.readouterr().err
    log.warning("Could not save sample results")
    assert print_files()


@pytest.mark.parametrize(
    ("own", "above", "shown"),
    [
        (0, logging.CRITICAL, ""),
        (0, logging.ERROR, ""),
        (logging.ERROR, logging.DEBUG, ""),
        (0, logging.WARNING, "W"),
        (logging.WARNING, logging.ERROR, "W"),
        (0, logging.INFO, "IIWI"),
        (0, logging.DEBUG, "IDIWI"),
    ],
)
def test_it_is_found_at_every_log_level_and_only_what_that_shows_is_printed(
    own: int, above: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The second sample cannot be written: the file is there, and cut at a line's end."""
    harness, log = (logging.getLogger(f"lm_eval{rest}") for rest in ("", TRACKER))
    monkeypatch.setattr(harness, "level", above)
    monkeypatch.setattr(log, "level", own)
    log.manager._clear_cache()  # type: ignore[attr-defined]
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    monkeypatch.setattr(harness, "handlers", [handler])
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--log_samples", "-o", str(tmp_path)])
    expect_files([TASK])
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "student"
    whole = {"arguments": [], "resps": [], "filtered_resps": [], "target": ""}
    tracker.save_results_aggregated(results={})
    tracker.save_results_samples(task_name=TASK, samples=[whole, {}])  # type: ignore[arg-type]
    (file,) = tmp_path.glob("student/samples_*")
    assert file.read_text(encoding="utf-8").count("\n") == 1
    assert "".join(record.levelname[0] for record in records) == shown
    assert not print_files()
    assert "could not save its files (found \"KeyError('arguments')\")" in capsys.readouterr().err
    assert (log.level, log.filters) == (own, [])


def test_after_an_error_there_are_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_files([TASK])
    monkeypatch.setattr(sys, "last_value", ValueError(), raising=False)
    assert printed(capsys) == []


@pytest.mark.parametrize("program", ["lm_eval", "my_script.py"])
def test_only_the_command_has_them(
    program: str, tmp_path: Path, model: object, tokenizer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, rows(prompts=1))
    monkeypatch.setattr(sys, "argv", [program])
    evaluate(tmp_path, hf(model, tokenizer))
    assert [run.tasks for run in written._scored] == [(TASK,)] * (program == "lm_eval")
