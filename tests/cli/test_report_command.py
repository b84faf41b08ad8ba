"""`lnat report` from samples files to one HTML file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_samples import DATE, teacher_table, write_run

SCORES = {"QwQ": [-2.0, -2.5, -2.0], "R1": [-1.0, -1.5, -3.0], "DSQ": [-3.0, -3.5, -3.25]}
FAST = ["--bootstrap_iters", "100"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_run(tmp_path / "out" / "org__student", teacher_table(SCORES))
    return tmp_path / "out"


def test_it_is_written_into_the_folder(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out), *FAST]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<h1>local_naturalness: teachers for student</h1>" in text
    assert "<strong>R1</strong>" in text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(f"lnat: wrote {out}/report.html\n")


def test_a_samples_file_has_it_beside_it(out: Path) -> None:
    file = out / "org__student" / f"samples_local_naturalness_{DATE}.jsonl"
    assert main(["report", str(file), *FAST]) == 0
    assert (file.parent / "report.html").is_file()


def test_the_same_seed_writes_the_same_bytes(out: Path, tmp_path: Path) -> None:
    for name in ("a.html", "new/b.html"):
        main(["report", str(out), *FAST, "--output_path", str(tmp_path / name)])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "new" / "b.html").read_bytes()


def test_every_option_changes_the_page(out: Path, tmp_path: Path) -> None:
    def page(*options: str) -> str:
        path = tmp_path / "page.html"
        assert main(["report", str(out), *FAST, *options, "--output_path", str(path)]) == 0
        return path.read_text(encoding="utf-8")

    plain = page()
    assert "Teachers by global_naturalness" in page("--metric", "global_naturalness")
    assert "mean log-probability under global" in page("--window", "global")
    assert "DSQ" not in page("--teachers", "QwQ, R1")
    assert "Fit to the known order" in page("--reference", "R1>QwQ=DSQ")
    assert "Against R1&gt;QwQ" in page("--teachers", "QwQ,R1", "--reference", "R1>QwQ>DSQ")
    assert "The first 1 of 3 prompts" in page("--prompts", "1")
    assert page("--seed", "5") != plain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "local_naturalnes"], "unknown metric 'local_naturalnes'. Did you mean"),
        (["--metric", "n_tokens"], "nothing can be ranked by 'n_tokens'"),
        (["--metric", "all"], "metric: a report always compares all metrics"),
        (["--window", "globl"], "window 'globl' was not scored. Did you mean 'global'?"),
        (["--teachers", "QWQ"], "unknown teacher 'QWQ'. "),
        (["--prompts", "0"], "prompts is below 1"),
        (["--reference", "R1>QwQ"], "the reference has no 'DSQ'"),
    ],
)
def test_a_wrong_setting_is_told(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["report", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "report.html").exists()


def test_no_scores_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_several_tasks_are_told(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(out / "org__student", teacher_table(SCORES), task="another")
    assert main(["report", str(out)]) == 2
    assert "several tasks or students are scored here" in capsys.readouterr().err


def test_one_teacher_is_enough(out: Path) -> None:
    assert main(["report", str(out), *FAST, "--teachers", "R1"]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "one teacher only, who has no rank among others" in text


def test_it_needs_no_torch_and_no_host(out: Path) -> None:
    program = (
        "import sys; from lnat_plugins.cli import main; "
        f"code = main(['report', {str(out)!r}, '--bootstrap_iters', '10']); "
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'lm_eval', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=out)


def test_a_folder_in_place_of_the_file_is_told(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    assert main(["report", str(out), *FAST, "--output_path", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"{folder}: this is a folder, where a file is to be written. Give --output_path" in error
    assert list(folder.iterdir()) == []
