"""Two commands that write to one place at the same time: the results of one of them, entire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_programs import Program
from tests.study.lab import finished

from .select_runs import write_run

# Commands begin to write when the file "go" is there; each writes several times.
PROGRAM = """
import os, pathlib, sys, time
import lnat_plugins.api, lnat_plugins.report, lnat_plugins.selection.training_set
from lnat_plugins.cli import main
pathlib.Path(f"ready-{{os.getpid()}}").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.001)
codes = {{main(sys.argv[1:]) for _ in range({times})}}
sys.exit(max(codes))
"""


def at_once(commands: list[list[str]], times: int) -> list[tuple[int, str]]:
    """Exit code and stderr of commands that run at the same time, several times each."""
    program = PROGRAM.format(times=times)
    with ExitStack() as stack:
        running = [stack.enter_context(Program(program, command)) for command in commands]
        while len([*Path().glob("ready-*")]) < len(running):
            assert all(process.returncode is None for process in running)
        Path("go").touch()
        return [(process.wait(), process.said()[1]) for process in running]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with scores."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "out")
    return tmp_path


def below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


FAST = ["--bootstrap_iters", "50"]
# Two commands that differ in all files that they write, but for the folder.
PAIRS = {
    "select": (["select", "out", "--teachers", "QwQ"], ["select", "out", "--teachers", "R1"]),
    "rank": (["rank", "out", *FAST], ["rank", "out", *FAST, "--seed", "7", "--teachers", "QwQ,R1"]),
    "report": (["report", "out", *FAST], ["report", "out", *FAST, "--teachers", "QwQ,R1"]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_results_are_those_of_one(name: str, place: Path) -> None:
    output = "r.html" if name == "report" else "r"
    alone = []
    for command in PAIRS[name]:
        Path("one").mkdir()
        assert main([*command, "--output_path", f"one/{output}"]) == 0
        alone.append(_written(Path("one")))
        _remove(Path("one"))
    Path("one").mkdir()
    commands = [[*command, "--output_path", f"one/{output}"] for command in PAIRS[name]]
    for code, said in at_once(commands, times=3 if name == "report" else 8):
        assert code == 0, said
    assert _written(Path("one")) in alone


def _written(folder: Path) -> dict[str, bytes]:
    """The files, without the next command that a report names."""
    return {name: text.replace(b" one/", b" ") for name, text in below(folder).items()}


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@contextmanager
def busy(output: Path) -> Iterator[None]:
    """Another process has the output's lock."""
    program = (
        "import pathlib, sys; from lnat_plugins.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()


def test_two_studies_do_a_unit_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = finished(tmp_path, missing="student/none", out=tmp_path / "results")
    command = ["study", str(run.spec.source), "--output_path", str(run.folder)]
    command += ["--unit", "student/none"]
    ended = sorted(at_once([command, command], times=1))
    assert ended[0][0] == 0, ended[0][1]
    if ended[1][0]:  # else the second one came when the unit was done
        assert ended[1][0] == 2 and "another process is doing this unit" in ended[1][1]
        assert "Traceback" not in ended[1][1]
    done = run.done(run.units[1])
    assert done is not None and done["values"]["sums"].keys() == {str(i) for i in range(6)}
    assert [*tmp_path.rglob(".*.lnat-*")] == []


def test_a_unit_that_another_process_does_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(tmp_path, missing="student/none", out=tmp_path / "results")
    folder = run.folder_of(run.units[1])
    command = ["study", str(run.spec.source), "--output_path", str(run.folder), *FAST]
    with busy(folder):
        assert main(command) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error == (
            f"lnat: error: {folder}: another process is doing this unit. Wait until it has ended, "
            "or give another path."
        )
        assert not folder.exists() and main([*command, "--dry_run"]) == 0
    assert [*tmp_path.rglob(".*.lnat-*")] == []


def test_a_folder_that_stays_busy_is_one_clear_error(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnat_plugins.locks.PATIENCE", 0.2)
    command = ["select", "out", "--output_path", "chosen"]
    with busy(place / "chosen"):
        assert main(command) == 2
        assert "chosen: another process is writing this. Wait until" in capsys.readouterr().err
        assert not Path("chosen").exists()
    assert main(command) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["chosen", "out"]
