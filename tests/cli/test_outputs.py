"""What every command does with a file, a link or a folder that stands where it is to write."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_programs import LNAT, run_program
from tests.helpers_samples import write_lines
from tests.study.lab import finished

from .select_runs import write_run

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
FAST = ["--bootstrap_iters", "100"]
# Name -> the command with its output, and the file that is written to.
OUTPUTS: dict[str, tuple[list[str], str]] = {
    "html": (["report", "out", *FAST, "--output_path", "o/r.html"], "o/r.html"),
    "default": (["report", "out", *FAST], "out/report.html"),
    "svg": (["report", "out", *FAST, "--output_path", "o/r.svg"], "o/r.svg"),
    "png": (["report", "out", *FAST, "--output_path", "o/r.png"], "o/r.png"),
    "json": (["rank", "out", *FAST, "--output_path", "o"], "o/ranking.json"),
    "md": (["rank", "out", *FAST, "--output_path", "o"], "o/ranking.md"),
    "select": (["select", "out", "--output_path", "o/set"], "o/set/selection.json"),
    "init": (["init", "rows.jsonl", "--output_path", "o/t.yaml"], "o/t.yaml"),
}
STUDY: dict[str, tuple[list[str], str]] = {
    "study": (["study", "study.yaml", *FAST, "--output_path", "results"], "results/study.json"),
}
FILES = [name for name in OUTPUTS if name != "select"]
WORK = (
    "lnat_plugins.api.read_all_scores", "lnat_plugins.api.read_scores",
    "lnat_plugins.teacher_set.detect.create.sample_rows", "lnat_plugins.study.jobs.run_units",
    "lnat_plugins.study.studies.write_results",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with scores and data."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "out")
    rows = [
        {"question": f"What is {i}?", "output": f"{t} says {i}.", "model": t}
        for i in range(4) for t in ("A", "B")
    ]  # fmt: skip
    write_lines(tmp_path / "rows.jsonl", rows)
    return tmp_path


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a study whose units are done."""
    monkeypatch.chdir(tmp_path)
    finished(tmp_path, out=tmp_path / "results")
    return tmp_path


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """The exit code, and the errors."""
    code = main(arguments)
    lines = capsys.readouterr().err.splitlines()
    return code, [line for line in lines if line.startswith("lnat: error:")]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def refused_before_any_work(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The only error of a command that does not begin."""

    def work(*_: object, **__: object) -> None:
        pytest.fail("the work was begun")

    with monkeypatch.context() as patch:
        for name in WORK:
            patch.setattr(name, work)
        code, errors = run(arguments, capsys)
    assert code == 2 and len(errors) == 1
    return errors[0]


def is_refused_and_replaced(
    arguments: list[str],
    file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import os  # mine\n", encoding="utf-8")
    error = refused_before_any_work(arguments, capsys, monkeypatch)
    assert path.name in error and "--overwrite" in error
    assert path.read_text() == "import os  # mine\n"
    assert run([*arguments, "--overwrite"], capsys) == (0, [])
    assert not path.read_bytes().startswith(b"import os")
    assert hidden(Path.cwd()) == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_of_others_is_replaced_only_on_demand(
    name: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_refused_and_replaced(*OUTPUTS[name], capsys, monkeypatch)


def test_a_result_of_others_in_the_place_of_a_studys(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_refused_and_replaced(*STUDY["study"], capsys, monkeypatch)
    assert run(STUDY["study"][0], capsys) == (0, [])


def test_a_folder_of_others_in_the_place_of_a_unit(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = study / "new" / "student" / "scores"
    unit.mkdir(parents=True)
    (unit / "notes.txt").write_text("mine")
    arguments = ["study", "study.yaml", "--output_path", "new"]
    error = refused_before_any_work(arguments, capsys, monkeypatch)
    assert "files that no study wrote are in the way of a unit (found 'notes.txt')" in error
    assert (unit / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "init"])
def test_what_lnat_wrote_is_replaced(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, file = OUTPUTS[name]
    assert run(arguments, capsys) == (0, [])
    before = Path(file).read_bytes()
    os.utime(file, (1, 1))
    assert run(arguments, capsys) == (0, [])
    assert Path(file).read_bytes() == before and Path(file).stat().st_mtime > 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("target", ["there", "not there"])
def test_of_a_link_the_target_is_written(
    name: str, target: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, file = OUTPUTS[name]
    link, real = Path(file), Path("far", f"real{Path(file).suffix}")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(real.absolute())
    if target == "there":
        real.parent.mkdir()
        real.touch()
    more = ["--overwrite"] if name == "init" and target == "there" else []
    assert run([*arguments, *more], capsys) == (0, [])
    assert link.is_symlink() and not real.is_symlink() and real.stat().st_size > 100
    assert hidden(place) == []


def test_a_teacher_set_behind_a_link_finds_its_data(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.yaml").symlink_to(Path("far", "away", "t.yaml"))
    assert run(["init", "rows.jsonl", "--output_path", "t.yaml"], capsys) == (0, [])
    assert run(["check", "t.yaml", "--no_trial"], capsys) == (0, [])
    assert Path("t.yaml").is_symlink() and Path("far", "away", "t.yaml").is_file()


@pytest.mark.parametrize("target", ["there", "not there"])
def test_of_a_linked_folder_the_target_is_written(
    target: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, file = OUTPUTS["select"]
    link, real = Path(file).parent, Path("far", "real")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(real.absolute())
    if target == "there":
        real.mkdir(parents=True)
    for _ in range(2):
        assert run(arguments, capsys) == (0, [])
    assert link.is_symlink() and (real / Path(file).name).is_file() and hidden(place) == []


@pytest.mark.parametrize("name", ["html", "png", "json", "md"])
def test_a_pipe_is_written_to(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, file = OUTPUTS[name]
    Path(file).parent.mkdir()
    os.mkfifo(file)
    with Path("read").open("wb") as read, subprocess.Popen(["cat", file], stdout=read) as reader:
        assert run(arguments, capsys) == (0, [])
        assert reader.wait(20) == 0
    assert stat.S_ISFIFO(Path(file).stat().st_mode) and Path("read").stat().st_size > 100
    assert hidden(place) == []


@FULL
@pytest.mark.parametrize("name", ["html", "png"])
def test_devices(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *arguments, _ = OUTPUTS[name][0]
    format = ["--format", name]
    assert run([*arguments, "/dev/null", *format], capsys) == (0, [])
    code, errors = run([*arguments, "/dev/full", *format], capsys)
    assert code == 2 and len(errors) == 1 and "No space left on device" in errors[0]
    assert all(stat.S_ISCHR(Path(path).stat().st_mode) for path in ("/dev/null", "/dev/full"))


PROGRAM = [sys.executable, "-W", "ignore", "-c", "import sys; from lnat_plugins.cli import main; "
           "sys.exit(main())"]  # fmt: skip


def test_a_report_on_stdout_is_the_page(place: Path) -> None:
    command = [*PROGRAM, "report", "out", *FAST, "--output_path", "/dev/stdout"]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout.startswith(b"<!DOCTYPE") and piped.stdout.rstrip().endswith(b"</html>")
    assert b"lnat: wrote /dev/stdout\n" in piped.stderr
    assert run_program(LNAT, command[len(PROGRAM) :]).stdout.encode() == piped.stdout  # a file


@FULL
@pytest.mark.parametrize("where", ["/dev/full", "closed pipe"])
def test_a_result_that_cannot_be_printed(where: str, place: Path) -> None:
    command = [*PROGRAM, "rank", "out", *FAST]
    if where == "/dev/full":
        with Path(where).open("wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
        errors = [line for line in done.stderr.splitlines() if b"rror" in line]
        assert done.returncode == 2 and len(errors) == 1 and b"No space left" in errors[0]
    else:
        reads, writes = os.pipe()
        os.close(reads)
        done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False)
        os.close(writes)
        assert done.returncode == 1
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process grows further (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, _ = OUTPUTS[name]
    for before in (None, "there"):
        if before:
            assert run(arguments, capsys) == (0, [])
            arguments = [*arguments, "--overwrite"]
        found = contents(place)
        with no_file_above(200):
            code, errors = run(arguments, capsys)
        assert code == 2 and len(errors) == 1, errors
        assert "cannot be written" in errors[0] and "File too large" in errors[0]
        # Of a ranking one of two files may have been small enough.
        left = {path: text for path, text in contents(place).items() if text != found.get(path)}
        assert not left and hidden(place) == []


def test_a_full_disk_at_the_end_of_a_study(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = contents(study)
    with no_file_above(200):
        code, errors = run(STUDY["study"][0], capsys)
    assert code == 2 and len(errors) == 1 and "File too large" in errors[0]
    assert contents(study) == found and hidden(study) == []


AS_NOBODY = """
import contextlib, io, os, sys
from lnat_plugins.cli import main
commands = {commands!r}
os.chdir({own!r})
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    for arguments in commands.values():
        # Modules that are loaded need not be found by the other user.
        if main(arguments):
            sys.exit(f"{{arguments}} failed")
os.chdir({other!r})
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for name, arguments in commands.items():
    sys.stderr.write(f"== {{name}}\\n")
    sys.stderr.write(f"== {{main(arguments)}}\\n")
"""


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    own = tmp_path / "own"
    with tempfile.TemporaryDirectory(prefix="lnat-") as name:
        place = Path(name)
        for folder in (own, place):
            write_run(folder / "out")
            finished(folder, out=folder / "results")
            (folder / "o").mkdir()
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = contents(place)
        commands = {name: arguments for name, (arguments, _) in (OUTPUTS | STUDY).items()}
        program = AS_NOBODY.format(commands=commands, own=str(own), other=str(place))
        done = run_program(program, cwd=own)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)
        _, *said = done.stderr.split("== ")
        assert len(said) == 2 * len(commands), done.stderr[-3000:]
        for text, code in zip(said[::2], said[1::2], strict=True):
            errors = [line for line in text.splitlines() if "error" in line]
            # Behind the last code a library may fail to remove what it made as the other user.
            assert code.split()[0] == "2" and len(errors) == 1, text
            assert "cannot be written" in errors[0] and "Traceback" not in text
        assert contents(place) == before and hidden(place) == []


def test_a_folder_with_the_working_folder_is_never_replaced(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(place)
    for path in (".", "..", str(Path.home())):
        code, errors = run(["select", "out", "--output_path", path, "--overwrite"], capsys)
        assert code == 2 and len(errors) == 1
    assert contents(place) == before


def test_a_link_in_a_circle_stays(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    for arguments in (["select", "out"], ["report", "out", *FAST], ["rank", "out", *FAST]):
        code, errors = run([*arguments, "--output_path", "a"], capsys)
        assert code == 2 and len(errors) == 1, errors
    assert Path("a").is_symlink() and hidden(place) == []
    shutil.rmtree(place / "out")
