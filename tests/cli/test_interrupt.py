"""Ctrl-C: one line that says how to go on, code 130, no traceback, and what is done is kept."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from lnat_plugins.harness.cache import SUFFIX
from tests.harness.lab import TASK, rows, write_set
from tests.helpers_programs import LM_EVAL, LNAT, Program
from tests.helpers_samples import write_lines
from tests.helpers_students import student, tokenizer
from tests.study.lab import finished, write_study

from .select_runs import write_run

# Replaces functions by such that wait for Ctrl-C, from their n-th call on, and runs a command.
PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
sys.path.append({repo!r})
terminal = os.dup(2)  # a study's units print to a file
def waiting(module, owner, name, n):
    where = __import__(module, fromlist=["x"])
    where = getattr(where, owner) if owner else where
    before, calls = getattr(where, name), []
    def wait(*given, **options):
        calls.append(1)
        if len(calls) < n:
            return before(*given, **options)
        os.write(terminal, b"waiting\\n")
        time.sleep(120)
    setattr(where, name, wait)
waiting(*{at!r})
if {at!r}[0] == "lnat_plugins.engine.engine":
    from lnat_plugins.scoring.engine_backend import EngineBackend
    EngineBackend.at_once = 0  # one prompt a pass
"""
WAITING = "waiting\n"


def interrupted(
    repo: Path, at: tuple[str, str, str, int], arguments: list[str], run: str = LNAT
) -> tuple[int, str]:
    """The exit code and stderr of a command that gets SIGINT where it waits."""
    program = PROGRAM.format(repo=str(repo), at=at) + run
    with Program(program, arguments, new_session=True) as process:
        process.wait_for(WAITING)
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(120)
        before, after = process.said()[1].split(WAITING, 1)
    assert "Traceback" not in before + after, after
    return code, after


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the checkout, whose modules would come before the installed ones."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The working folder, with scores, data, a teacher set and a student."""
    write_run(tmp_path / "out")
    write_set(tmp_path, [{**row, "response": f"So. {row['response']}"} for row in rows()])
    student("llama").save_pretrained(tmp_path / "student")
    tokenizer().save_pretrained(tmp_path / "student")
    data = [
        {"question": f"What is {i}?", "output": f"{t} says {i}.", "model": t}
        for i in range(4) for t in ("A", "B")
    ]  # fmt: skip
    write_lines(tmp_path / "rows.jsonl", data)
    return tmp_path


CUT = ("lnat_plugins.outputs", "Path", "replace", 1)
COMMANDS: dict[str, tuple[tuple[str, str, str, int], list[str]]] = {
    "rank": (CUT, ["rank", "out", "--bootstrap_iters", "9", "--output_path", "o/r"]),
    "report": (CUT, ["report", "out", "--bootstrap_iters", "9", "--output_path", "o/r.html"]),
    "select": (
        ("lnat_plugins.selection.training_set", "", "card", 1),
        ["select", "out", "--output_path", "o/chosen"],
    ),
    "gradients": (
        CUT,
        f"gradients {TASK}.yaml --student student --folds 2 --dimension 4 --bootstrap_iters 9 "
        "--device cpu --output_path o/figures.json".split(),
    ),
    "nce": (
        CUT,
        f"nce {TASK}.yaml --positive student --negative student --device cpu "
        "--output_path o/weights.jsonl".split(),
    ),
    "init": (CUT, ["init", "rows.jsonl", "--output_path", "o/t.yaml"]),
    "check": (("lnat_plugins.api", "", "check_teacher_set", 1), ["check", "set.yaml"]),
    "tasks": (("lnat_plugins.teacher_set.catalog", "", "list_tasks", 1), ["tasks"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_nothing_half_written(name: str, place: Path, repo: Path) -> None:
    at, arguments = COMMANDS[name]
    code, said = interrupted(repo, at, arguments)
    assert code == 130
    assert said.splitlines()[-1] == (
        f"lnat: interrupted: no output is half written; this begins again: lnat "
        f"{' '.join(arguments)}"
    )
    assert [path for path in place.rglob("*") if path.parts[-2] == "o" and path.is_file()] == []
    assert [*place.rglob(".*")] == []


def test_training_says_what_is_kept(tmp_path: Path, repo: Path) -> None:
    at = ("lnat_plugins.hooks.trl_sft", "", "read_run_config", 1)
    code, said = interrupted(repo, at, ["sft", "--config", str(tmp_path / "sft.yaml")])
    assert code == 130
    assert said.splitlines()[-1] == (
        "lnat: interrupted: checkpoints and the rows that were chosen are kept; "
        "resume_from_checkpoint goes on"
    )


def kept(cache: str) -> int:
    with closing(sqlite3.connect(cache + SUFFIX)) as file:
        found: int = file.execute("SELECT count(*) FROM records").fetchone()[0]
    return found


@pytest.mark.parametrize("command", ["lnat eval", "lm_eval"])
def test_scoring_keeps_its_cache(command: str, tmp_path: Path, repo: Path) -> None:
    student("llama").save_pretrained("student")
    tokenizer().save_pretrained("student")
    path = write_set(tmp_path, rows(prompts=4), block={"windows": [2], "sensitivity": "none"})
    options = [
        "--model", "hf", "--model_args", "pretrained=student", "--tasks", str(path),
        "--device", "cpu", "--use_cache", "cache", "--log_samples", "--output_path", "scores",
    ]  # fmt: skip
    first = ["eval"] if command == "lnat eval" else ["run"]
    at = ("lnat_plugins.engine.engine", "Engine", "score_all", 3)
    code, said = interrupted(
        repo, at, [*first, *options], LNAT if command == "lnat eval" else LM_EVAL
    )
    assert code == 130
    line = said.splitlines()[-1]
    assert line.startswith("lnat: interrupted: ") and line.count("--use_cache") >= 1, said
    assert said.count("lnat: interrupted") == 1
    found = kept("cache")
    assert 0 < found < 8 and not [*Path("scores").rglob("*.jsonl")]
    assert main(["eval", *options]) == 0
    assert kept("cache") == 8 and len([*Path("scores").rglob(f"samples_{TASK}_*.jsonl")]) == 1


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (("lnat_plugins.engine.engine", "Engine", "score_all", 2), set()),
        (("lnat_plugins.study.run", "", "evaluate_documents", 2), {"scores", "none"}),
    ],
)
def test_a_study_keeps_its_units(
    at: tuple[str, str, str, int], kept: set[str], tmp_path: Path, repo: Path
) -> None:
    path = write_study(tmp_path, selections={})
    arguments = ["study", str(path), "--output_path", str(tmp_path / "results")]
    code, said = interrupted(repo, at, arguments)
    assert code == 130
    assert said.splitlines()[-1] == (
        "lnat: interrupted: the units that are done are kept, and this goes on with the others: "
        f"lnat {' '.join(arguments)}"
    )
    done = {path.parent.name for path in (tmp_path / "results").rglob("unit.json")}
    assert done == kept
    assert not [*tmp_path.rglob(".*.lnat-*")]


@pytest.mark.parametrize("seconds", [3])
def test_the_processes_of_a_study_end_too(tmp_path: Path, repo: Path, seconds: float) -> None:
    """Also those that are just being started: none prints a traceback, none goes on."""
    run = finished(tmp_path, out=tmp_path / "results")
    for unit in run.units[-2:]:
        (run.folder_of(unit) / "unit.json").unlink()
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from lnat_plugins.cli import main; import sys; sys.exit(main())"
    )
    arguments = ["study", str(run.spec.source), "--output_path", str(run.folder), "--jobs", "2"]
    with Program(program, arguments, new_session=True) as process:
        process.wait_for("lnat: plan: ")
        time.sleep(seconds)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)
        code = process.wait(120)
        said = process.said()[1]
        end = time.monotonic() + 20
        while _is_alive(process.pid):
            assert time.monotonic() < end, "a process goes on"
            time.sleep(0.05)
    assert code == 130, said
    assert "Traceback" not in said and said.splitlines()[-1].startswith("lnat: interrupted: ")


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
