"""`lnat rank` from samples files to the printed table and the written files.

`lnat report` from samples files to one HTML file.
"""

from __future__ import annotations

import html
import json
import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import __version__
from lnat_plugins.cli import main, shared
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import UnusableRows
from tests.cli import select_runs
from tests.helpers_samples import DATE, teacher_table, write_lines, write_run

SCORES = {"QwQ": [-2.0, -2.5, -2.0], "R1": [-1.0, -1.5, -3.0], "DSQ": [-3.0, -3.5, -3.25]}
FAST = ["--bootstrap_iters", "200"]
FIRST = "By local_naturalness teacher-1 "


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_run(tmp_path / "out" / "org__student", teacher_table(SCORES))
    return tmp_path / "out"


@pytest.mark.parametrize("command", ["rank", "report", "select"])
def test_many_responses_are_left_out_of_the_search_for_cycles(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search through 500,000 responses, which stay to the end, takes two seconds."""
    select_runs.write_run(tmp_path / "out")
    asked: list[int] = []
    monkeypatch.setattr(shared.gc, "freeze", lambda: asked.append(1))
    arguments = [command, str(tmp_path / "out")]
    assert main(arguments) == 0
    assert asked == []
    monkeypatch.setattr(shared, "_MANY_ROWS", 9)
    assert main(arguments + ["--overwrite"] * (command == "report")) == 0
    assert asked == [1]


def test_the_table(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(out), *FAST]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == (
        "No verdict: 3 prompts of 3 teachers, and 10 are the least that carry one. R1 has the best "
        "mean."
    )
    start = lines.index("") + 1
    assert lines[start : start + 4] == [
        "task: local_naturalness, student: org/student, prompts: 3 of 3, responses: 9",
        "steps: sentence (sentence@1), markers: skip, windows: 4,global, engine: packed, settings: "
        "0123456789ab",
        "metric: local_naturalness, window 4 (nats per token, higher is better), bootstrap_iters: "
        "200, seed: 1234",
        "",
    ]
    tables = [block for block in captured.out.split("\n\n") if block.startswith("|")]
    headers = ["Teacher", "Mean at window", "Controls", "Spearman of the score with"]
    assert [block.split("|")[1].strip() for block in tables] == headers
    for block in tables[:3]:
        rows = block.splitlines()[2:]
        assert [row.split("|")[1].strip() for row in rows] == ["R1", "QwQ", "DSQ"]
    assert captured.err.splitlines() == [
        f"lnat: read {out}/org__student/samples_local_naturalness_{DATE}.jsonl",
        f"lnat: next: lnat report {out}",
        f"lnat: then: lnat select {out} --output_path chosen",
    ]


def test_the_written_files(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "folder"
    for _ in range(2):
        assert main(["rank", str(out), *FAST, "--output_path", str(target)]) == 0
    assert sorted(path.name for path in target.iterdir()) == ["ranking.json", "ranking.md"]
    printed = capsys.readouterr().out
    assert _without_mark(target / "ranking.md") * 2 == printed
    document = json.loads((target / "ranking.json").read_text(encoding="utf-8"))
    (entry,) = document["rankings"]
    assert entry["student"] == "org/student"
    assert entry["settings"]["windows"] == ["4", "global"]
    assert [line["teacher"] for line in entry["ranking"]["teachers"]] == ["R1", "QwQ", "DSQ"]
    assert entry["ranking"]["teachers"][0]["mean"] == pytest.approx(-5.5 / 3)
    assert entry["ranking"]["window"] == "4"


def _without_mark(file: Path) -> str:
    mark, _, text = file.read_text(encoding="utf-8").partition("\n")
    assert mark == f"<!-- lnat-plugins {__version__} -->"
    return text


def test_the_same_seed_writes_the_same_bytes(out: Path, tmp_path: Path) -> None:
    for name in "ab":
        main(["rank", str(out), *FAST, "--output_path", str(tmp_path / name)])
    for file in ("ranking.json", "ranking.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_undefined_figures_are_written_as_null(tmp_path: Path) -> None:
    write_run(tmp_path, teacher_table({"A": [-1.0], "B": [-2.0]}))
    assert main(["rank", str(tmp_path), "--output_path", str(tmp_path / "r")]) == 0
    text = (tmp_path / "r" / "ranking.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["rankings"][0]["ranking"]["teachers"][0]["low"] is None


def test_another_metric_and_window(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(out), *FAST, "--metric", "global_naturalness"]) == 0
    assert "\nmetric: global_naturalness, window global (nats" in capsys.readouterr().out
    assert main(["rank", str(out), *FAST, "--window", "global"]) == 0
    assert "\nmetric: local_naturalness, window global (nats" in capsys.readouterr().out


def test_several_tasks_make_several_tables(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(out / "org__student", teacher_table(SCORES), task="another")
    assert main(["rank", str(out), *FAST, "--output_path", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("task: another") < printed.index("\n\ntask: local_naturalness")
    document = json.loads((tmp_path / "r" / "ranking.json").read_text(encoding="utf-8"))
    assert [entry["task"] for entry in document["rankings"]] == ["another", "local_naturalness"]


def test_a_teacher_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, teacher_table({"A": [-1.0], "B": [-2.0], "C": [math.nan]}))
    assert main(["rank", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "teacher 'C': no prompt has local_naturalness for every teacher" in error
    assert "Leave that teacher out (--teachers)" in error
    assert main(["rank", str(tmp_path), "--teachers", "A, B"]) == 0
    assert "|C " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--metric", "local_naturalnes"],
            "unknown metric 'local_naturalnes'. Did you mean 'local",
        ),
        (["--metric", "n_tokens"], "nothing can be ranked by 'n_tokens'"),
        (["--window", "globl"], "window 'globl' was not scored. Did you mean 'global'?"),
        (["--teachers", "QWQ"], "unknown teacher 'QWQ'. "),
        (["--teachers", "QwQ,R1,QwQ"], "--teachers: duplicate name 'QwQ'"),
        (["--metric", "rsr,rsr"], "--metric: duplicate name 'rsr'"),
        (["--metric", "local_naturalness,rsr"], "metric 'rsr' cannot be compared: not gathered"),
        (["--metric", "rsr,local_naturalness"], "metric 'rsr' cannot be compared: not gathered"),
        (["--bootstrap_iters", "-1"], "bootstrap_iters is below 0"),
        (["--seed", "-1"], "seed is below 0"),
        (["--metric", "global_naturalness,n_tokens"], "nothing can be ranked by 'n_tokens'"),
        (["--metric", "all,local_naturalness"], "--metric: 'all' already stands for every metric"),
        (["--reference", "R1>QwQ>QWQ"], "has no 'DSQ' and names the unknown 'QWQ'"),
        (["--teachers", "R1", "--reference", "R1=QwQ"], "one teacher only"),
        (["--teachers", "R1", "--metric", "all"], "teacher 'R1': one teacher only"),
    ],
)
def test_a_wrong_setting_is_reported(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["rank", str(out), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_skipped_and_merged_files_are_logged(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_lines(
        out / "org__student" / f"samples_gsm8k_{DATE}.jsonl", [{"doc": {}, "resps": [["4"]]}]
    )
    write_run(out / "again", teacher_table(SCORES))
    assert main(["rank", str(out), *FAST]) == 0
    err = capsys.readouterr().err
    assert f"lnat: skipped {other}: not the scores of a teacher set\n" in err
    assert "lnat: 9 responses stand in several files; each counts once\n" in err


def test_a_folder_that_cannot_be_written_is_reported(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["rank", str(out), *FAST, "--output_path", str(tmp_path / "file")]) == 2
    assert "ranking.json: cannot be written" in capsys.readouterr().err


def test_several_metrics_are_compared_and_the_first_shown_in_full(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--metric", "global_naturalness, local_naturalness", "--output_path"]
    assert main(["rank", str(out), *FAST, *options, str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    ranked, compared = printed.split("task: local_naturalness, student: org/student, metrics com")
    assert compared.startswith("pared:\n")
    assert compared.index("|global_naturalness|global|↑") < compared.index("|local_naturalness |4")
    assert "metric: global_naturalness, window global (" in ranked
    assert "metric: local_naturalness" not in ranked
    (entry,) = json.loads((tmp_path / "r" / "ranking.json").read_text("utf-8"))["rankings"]
    assert [one["metric"] for one in entry["comparison"]["metrics"]] == [
        *("global_naturalness", "local_naturalness")
    ]
    assert entry["comparison"]["tau"] == [[1.0, 1.0], [1.0, 1.0]]
    assert entry["ranking"]["metric"] == "global_naturalness"


def test_all_compares_what_the_records_hold_and_names_the_rest(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(out), *FAST, "--metric", "all"]) == 0
    printed = capsys.readouterr().out
    for name in ("local_naturalness", "global_naturalness", "global_step_naturalness"):
        assert f"|{name}" in printed
    assert "|n_tokens|" in printed  # as a control, never as a metric
    assert "n_tokens [" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("- Not compared: ")]
    assert "rsr, lark, lark_top50, scas, ifd, car [not gathered: score again with it" in line
    assert line.count("not gathered") == 1


def test_one_metric_writes_no_comparison(out: Path, tmp_path: Path) -> None:
    assert main(["rank", str(out), *FAST, "--output_path", str(tmp_path / "r")]) == 0
    (entry,) = json.loads((tmp_path / "r" / "ranking.json").read_text("utf-8"))["rankings"]
    assert "comparison" not in entry
    assert entry["ranking"]["reference"] is None
    assert entry["ranking"]["confounds"]["same_family"] == []
    first = entry["ranking"]["teachers"][0]
    assert (first["may_be_best"], first["rank_low"], first["rank_high"]) == (None, 1, 3)
    assert entry["ranking"]["stability"]["sizes"] == [3, 10, 20, 30]


@pytest.mark.parametrize("several", [False, True])
def test_a_known_order(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], several: bool
) -> None:
    (tmp_path / "known.json").write_text('{"R1": 0.5, "QwQ": 0.75, "DSQ": 0.25}')
    options = ["--reference", str(tmp_path / "known.json")]
    options += ["--metric", "local_naturalness,global_naturalness"] if several else []
    assert main(["rank", str(out), *FAST, *options]) == 0
    printed = capsys.readouterr().out
    assert ("|Against known.json|" in printed) is several
    assert "Against known.json: Kendall's tau-b 0.333 [" in printed
    assert "2 of 3 pairs the known way round, regret 0.2500 (known best: QwQ" in printed
    assert main(["rank", str(out), *FAST, "--teachers", "R1,QwQ", *options]) == 0
    assert main(["rank", str(out), *FAST, "--reference", "R1 > QwQ = DSQ"]) == 0
    assert "(known ties left out: 1) (known best: R1, chosen: R1)." in capsys.readouterr().out


def test_the_students_family_and_its_loops_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", teacher_table(SCORES), student="Qwen/Qwen2.5-7B")
    assert main(["rank", str(tmp_path), *FAST]) == 0
    printed = capsys.readouterr().out
    assert "- By name, QwQ is of the student's own family (qwen)" in printed
    assert "|words repeated (stretches of 20)|responses|" in printed


def test_runs_with_other_settings_are_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", teacher_table(SCORES))
    other = {
        prompt: [replace(one, settings_hash="ba9876543210", sample=1) for one in records]
        for prompt, records in teacher_table(SCORES).items()
    }
    write_run(tmp_path / "b", other)
    assert main(["rank", str(tmp_path), *FAST]) == 2
    assert "scored with other settings than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"chat_template": None}, "rendering: plain text"),
        (
            {"chat_template": "1a2b3c", "system_instruction": None},
            "rendering: chat template (digest 1a2b3c)",
        ),
        (
            {"chat_template": "1a2b3c", "system_instruction": "Think."},
            "rendering: chat template (digest 1a2b3c), with a system instruction",
        ),
    ],
)
def test_how_the_prompts_were_rendered_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], line: str
) -> None:
    write_run(tmp_path, with_settings(settings))
    assert main(["rank", str(tmp_path), *FAST]) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_a_metric_that_a_plugin_brought_is_distinguished_from_a_slip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, with_settings({"metrics": ["local_naturalness", "mine"]}))
    assert main(["rank", str(tmp_path), *FAST, "--metric", "mine"]) == 2
    error = capsys.readouterr().err
    assert "--metric: unknown metric 'mine', though task local_naturalness was scored" in error
    assert "Give its plugin with --plugins." in error
    assert main(["report", str(tmp_path), "--metric", "mine"]) == 2
    assert capsys.readouterr().err.endswith(error)


@pytest.mark.parametrize("command", [["rank", "--metric", "all"], ["report"]])
def test_a_metric_whose_plugin_is_not_loaded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    write_run(tmp_path, with_settings({"metrics": ["local_naturalness", "mine"]}))
    assert main([*command, str(tmp_path), *FAST]) == 0
    assert (
        "warning: task local_naturalness was scored for metric 'mine' too, which is not compared: "
        "give its plugin with --plugins"
    ) in capsys.readouterr().err
    assert main(["rank", str(tmp_path), *FAST]) == 0
    assert "warning" not in capsys.readouterr().err


def with_settings(more: dict[str, object]) -> dict[str, list[StepSums]]:
    return {
        prompt: [replace(one, settings={**one.settings, **more}) for one in records]
        for prompt, records in teacher_table(SCORES).items()
    }


def test_it_is_written_into_the_folder(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out), *FAST]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<h1>Which teacher suits the student “student”?</h1>" in text
    assert '<h2 class="said">No verdict: 3 prompts of 3 teachers, and 10 are the least' in text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-2:] == [
        f"lnat: wrote {out}/report.html: open file://{out}/report.html",
        f"lnat: next: lnat select {out} --output_path chosen",
    ]
    plain = re.sub(r"</?span[^>]*>", "", text)  # names and flags are not broken
    assert "<code>lnat select" not in plain  # there is no verdict to choose by


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--format", "png"], "report.png"),
        (["--format", "svg"], "report.svg"),
        (["--output_path", "{out}/mine.svg"], "mine.svg"),
        (["--format", "png", "--output_path", "{out}/mine"], "mine"),
    ],
)
def test_the_first_plot_is_a_picture(
    out: Path, capsys: pytest.CaptureFixture[str], options: list[str], name: str
) -> None:
    assert main(["report", str(out), *FAST, *(each.format(out=out) for each in options)]) == 0
    found = (out / name).read_bytes()
    assert found.startswith(b"<svg" if name.endswith("svg") else b"\x89PNG")
    assert f"lnat: wrote {out}/{name}: open file://" in capsys.readouterr().err
    assert not (out / "report.html").exists()


def test_a_ranking_needs_no_plots(out: Path) -> None:
    program = (
        "import sys; from lnat_plugins.cli import main; "
        f"code = main(['rank', {str(out)!r}, '--bootstrap_iters', '10']); "
        "sys.exit(code or any(name in sys.modules for name in ('altair', 'vl_convert', 'jinja2')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=out)


def test_a_samples_file_has_it_beside_it(out: Path) -> None:
    file = out / "org__student" / f"samples_local_naturalness_{DATE}.jsonl"
    assert main(["report", str(file), *FAST]) == 0
    assert (file.parent / "report.html").is_file()


def _without_mark(file: Path) -> str:
    mark, _, text = file.read_text(encoding="utf-8").partition("\n")
    assert mark == f"<!-- lnat-plugins {__version__} -->"
    return text


def test_the_same_seed_writes_the_same_bytes_of_a_report(out: Path, tmp_path: Path) -> None:
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
    assert '"view":"global"' in page("--window", "global")
    assert "DSQ" not in page("--teachers", "QwQ, R1")
    assert "Fit to the known order" in page("--reference", "R1>QwQ=DSQ")
    assert "Against R1&gt;QwQ" in page("--teachers", "QwQ,R1", "--reference", "R1>QwQ>DSQ")
    assert "The traces of 1 of 3 prompts are here" in page("--prompts", "1")
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
        (["--max_size", "1"], "max_size is below 2 (megabytes)"),
        (["--max_size", "nan"], "max_size is below 2 (megabytes)"),
        (
            ["--format", "png", "--output_path", "page.html"],
            "the file's name says html, and --format says png",
        ),
        (["--reference", "R1>QwQ"], "the reference has no 'DSQ'"),
    ],
)
def test_a_wrong_setting_is_reported_for_a_report(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["report", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "report.html").exists()


def test_no_scores_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_several_tasks_are_reported(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(out / "org__student", teacher_table(SCORES), task="another")
    assert main(["report", str(out)]) == 2
    assert "several tasks are scored here" in capsys.readouterr().err


def test_one_teacher_is_enough(out: Path) -> None:
    assert main(["report", str(out), *FAST, "--teachers", "R1"]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "No verdict: one teacher (R1), nothing to compare." in text
    assert "one teacher only" in text


def test_it_needs_no_torch_and_no_host(out: Path) -> None:
    program = (
        "import sys; from lnat_plugins.cli import main; "
        f"code = main(['report', {str(out)!r}, '--bootstrap_iters', '10']); "
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'lm_eval', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=out)


def test_a_folder_in_place_of_the_file_is_reported(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    assert main(["report", str(out), *FAST, "--output_path", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"{folder}: this is a folder, where a file is to be written. Give the report" in error
    assert list(folder.iterdir()) == []


def many(
    n_teachers: int, n_prompts: int, seed: int = 0, gap: float = 0.1
) -> dict[str, list[float]]:
    """Teachers `gap` apart, named by their places, with independent noise."""
    draw = random.Random(seed)
    return {
        f"teacher-{t + 1}": [draw.gauss(-1 - gap * t, 0.2) for _ in range(n_prompts)]
        for t in range(n_teachers)
    }


@pytest.mark.parametrize("n_teachers", [1, 2, 8])
def test_brief_is_the_verdict_and_the_teachers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_teachers: int
) -> None:
    scores = many(n_teachers, 40)
    table = {
        prompt: [
            replace(one, variants={"steps line": of["4"] / 5, "window 10%": of["4"] / 20})
            for one in records
            for of in [one.totals]
        ]
        for prompt, records in teacher_table(scores).items()
    }
    write_run(tmp_path, table)
    options = ["--reference", ">".join(scores)] if n_teachers > 1 else []
    assert main(["rank", str(tmp_path), *FAST, *options, "--brief"]) == 0
    brief = capsys.readouterr().out
    assert main(["rank", str(tmp_path), *FAST, *options]) == 0
    whole = capsys.readouterr().out
    lines = brief.splitlines()
    assert len(lines) <= 25
    assert lines[0] == whole.splitlines()[0]
    assert lines[0].startswith(FIRST if n_teachers > 1 else "No verdict: one teacher")
    (table,) = [block for block in brief.split("\n\n") if block.startswith("|")]
    assert table in whole
    assert len(table.splitlines()) == n_teachers + 2
    sensitivity = [line for line in lines if line.startswith("Sensitivity: ")]
    said = "Sensitivity: no change of leader in 2 of 2 other ways of scoring."
    assert sensitivity == ([said] if n_teachers > 1 else [])
    assert whole.count(": no effect on these responses, not counted\n") == (n_teachers > 1)
    assert [line for line in lines if line.startswith("Against ")] == [
        line for line in whole.splitlines() if line.startswith("Against ")
    ]
    assert brief.count("Against ") == (n_teachers > 1)


def test_several_students_stand_side_by_side_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = many(3, 40, gap=1.0)
    turned = dict(zip(scores, [*scores.values()][::-1], strict=True))
    write_run(tmp_path / "a", teacher_table(scores), student="org/small")
    write_run(tmp_path / "b", teacher_table(turned), student="org/large")
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    options = ["--output_path", str(tmp_path / "r")]
    assert main(["rank", *paths, *FAST, *options]) == 0
    printed = capsys.readouterr().out
    first, *rest = printed.splitlines()
    assert first == (
        "The best teacher differs beyond noise: no teacher may be best for both students (90% for "
        "all together)."
    )
    by_student = {"org/small": "teacher-1", "org/large": "teacher-3"}
    order = sorted(by_student)
    for (line, *warnings), student in zip((rest[:3], rest[3:6]), order, strict=True):
        best = f"By local_naturalness {by_student[student]} is best for this student (95%"
        assert line.startswith(f"- {student}: {best}")
        assert warnings[0].startswith("  - Steps were cut by sentence@1")
        assert warnings[1].startswith("  - Degenerate responses: teacher-1 40 of 40 ")
        assert ". Some scores favour such rows: look at them" in warnings[1]
    assert [cell.strip() for cell in rest[7].split("|")[1:-1]] == ["Mean (rank)", *order]
    assert printed.index("|Mean (rank)|") < printed.index(
        "\ntask: local_naturalness, student: org/"
    )
    assert printed.count("task: local_naturalness, student: org/") == 2
    assert _without_mark(tmp_path / "r" / "ranking.md") == printed
    document = read_strictly(tmp_path / "r" / "ranking.json")
    assert document["students"] == [
        {"task": "local_naturalness", "students": order, "common": [], "text": first}
    ]
    assert [entry["student"] for entry in document["rankings"]] == order
    # Briefly, that is all.
    assert main(["rank", *paths, *FAST, "--brief"]) == 0
    brief = capsys.readouterr().out
    assert printed.startswith(brief)
    assert len(brief.splitlines()) == 13


def test_briefly_each_task_is_named_and_none_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for student in ("org/small", "org/large"):
        write_run(tmp_path / student, teacher_table(SCORES), student=student)
    write_run(tmp_path / "alone", teacher_table(many(2, 40)), task="another", student="org/small")
    assert main(["rank", str(tmp_path), *FAST, "--brief"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [place for place, line in enumerate(lines) if line.startswith("task: ")]
    assert [lines[place] for place in named] == ["task: local_naturalness", "task: another"]
    assert lines[named[0] + 1].startswith("Whether the best teacher differs is not known")
    assert lines[named[1] + 1].startswith(FIRST)
    assert main(["rank", str(tmp_path / "alone"), *FAST, "--brief"]) == 0
    assert "task: " not in capsys.readouterr().out


def test_the_students_of_each_task_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("one_task", "other_task"):
        for student in ("org/small", "org/large"):
            folder = tmp_path / task / student
            write_run(folder, teacher_table(many(2, 40)), task=task, student=student)
    options = ["--output_path", str(tmp_path / "r")]
    assert main(["rank", str(tmp_path), *FAST, *options]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("task: one_task\nNo difference beyond noise: teacher-1 may be best")
    assert "\n\ntask: other_task\nNo difference beyond noise: teacher-1" in printed
    found = read_strictly(tmp_path / "r" / "ranking.json")["students"]
    assert [one["task"] for one in found] == ["one_task", "other_task"]
    assert all(one["common"] == ["teacher-1"] for one in found)


def read_strictly(path: Path) -> dict[str, Any]:
    """JSON as the standard has it: NaN and Infinity are no numbers."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path}")

    found: dict[str, Any] = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_the_json_holds_what_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {
        prompt: [
            replace(
                one,
                sums={**one.sums, "global": tuple(2 * value for value in one.sums["4"] or ())},
                totals={**one.totals, "global": 2 * one.totals["4"]},
                variants={"steps line": one.totals["4"] / 5, "window 10%": math.nan},
                undefined={"window 10%": "too long"},
                calibration=CALIBRATION,
            )
            for one in records
        ]
        for prompt, records in teacher_table(many(3, 12)).items()
    }
    write_run(tmp_path, table)
    assert main(["rank", str(tmp_path), *FAST, "--output_path", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    document = read_strictly(tmp_path / "r" / "ranking.json")
    assert "students" not in document
    ranking = document["rankings"][0]["ranking"]
    names = [t["teacher"] for t in ranking["teachers"] if t["may_be_best"]]
    assert ranking["verdict"] == {
        "kind": "leads",
        "text": printed.splitlines()[0],
        "may_be_best": names,
        "more_prompts": ranking["verdict"]["more_prompts"],
        "next_step": f"{', '.join(names[:-1])} and {names[-1]} may be equally good.",
    }
    variants = {one["name"]: one for one in ranking["sensitivity"]["variants"]}
    assert variants["with steps line"]["order"] == [t["teacher"] for t in ranking["teachers"]]
    assert variants["with steps line"] == {
        "name": "with steps line",
        "order": variants["with steps line"]["usual"],
        "usual": variants["with steps line"]["order"],
        "same_first": True,
        "tau": 1.0,
        "prompts": 12,
        "partial": False,
        "usual_first": True,
    }
    assert list(variants) == ["under the whole context", "with steps line"]
    assert ranking["sensitivity"]["without_effect"] == [
        "without steps under 4 tokens",
        "without each trace's lowest 5% of steps",
        "with every token weighing the same",
    ]
    assert list(ranking["sensitivity"]["not_done"]) == [
        *("without first and last step", "with window 10%")
    ]
    opinions = {one["name"]: one for one in ranking["opinions"]}
    assert opinions["global_naturalness"] == {
        "name": "global_naturalness",
        "first": ranking["teachers"][0]["teacher"],
        "prompts": 12,
    }
    calibration = ranking["calibration"]
    assert (calibration["prompts"], calibration["tokens"]) == (12, 360)
    assert calibration["order"] == calibration["order_fitted"]
    assert "Calibration of the student on 12 prompts: " in printed
    assert ranking["warnings"][0].startswith("Steps were cut by sentence@1")
    assert ranking["windows"].keys() == {"4", "global"}
    assert set(ranking["degenerate"]) == {"teacher-1", "teacher-2", "teacher-3"}
    assert (ranking["prompts"], ranking["prompts_in_set"]) == (12, 12)


def test_a_set_that_grew_since_its_last_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of the verdict remembers it, as often as it is looked at again."""
    said = "of these prompts were scored before: the bounds hold at every look"
    kept = ["--output_path", str(tmp_path / "verdict")]
    for n, before in ((20, 0), (20, 0), (30, 20), (30, 20), (25, 20)):
        folder = tmp_path / str(n)
        write_run(folder, teacher_table(many(2, n)), in_set=40)
        assert main(["rank", str(folder), *FAST, *kept]) == 0
        printed = capsys.readouterr().out
        assert (f"{before} {said}" in printed) is bool(before), printed
        ranking = read_strictly(tmp_path / "verdict" / "ranking.json")["rankings"][0]["ranking"]
        assert ranking["grown_from"] == before
    (tmp_path / "verdict" / "ranking.json").write_text("cut off", encoding="utf-8")
    assert main(["rank", str(folder), *FAST, *kept]) == 2
    assert main(["rank", str(folder), *FAST, *kept, "--overwrite"]) == 0
    assert said not in capsys.readouterr().out


CALIBRATION = {
    "count": [10.0] + [0.0] * 14, "confidence": [0.5] + [0.0] * 14, "right": [1.0] + [0.0] * 14,
    "brier": [5.0], "nll": [10.0 + i for i in range(10)], "step_mean": [-1.0] * 10,
}  # fmt: skip


def test_a_part_of_the_prompts_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """lm-eval's results say how many there are; `--limit` scores the first of them."""
    write_run(tmp_path / "cut", teacher_table(many(2, 30)), in_set=135)
    assert main(["rank", str(tmp_path / "cut"), *FAST, "--output_path", str(tmp_path / "r")]) == 0
    line = "task: local_naturalness, student: org/student, prompts: 30 of 135 (--limit), responses"
    assert f"\n{line}: 60\n" in capsys.readouterr().out
    ranking = read_strictly(tmp_path / "r" / "ranking.json")["rankings"][0]["ranking"]
    assert (ranking["prompts"], ranking["prompts_used"], ranking["prompts_in_set"]) == (30, 30, 135)
    assert ranking["teachers"][0]["coverage"] == 1.0  # of those that were scored
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "cut"), *FAST, "--output_path", str(page)]) == 0
    assert "prompts scored for all of them: 30 of 135 (--limit) ·" in page.read_text("utf-8")
    write_run(tmp_path / "whole", teacher_table(many(2, 30)), in_set=30)
    write_run(tmp_path / "older", teacher_table(many(2, 30)))
    for name in ("whole", "older"):
        assert main(["rank", str(tmp_path / name), *FAST]) == 0
        printed = capsys.readouterr().out
        assert "prompts: 30 of 30, responses" in printed and "--limit" not in printed


OLD_WORDS = ("P(best)", "P(rank)", "settled", "p_best", "p_rank")


def test_no_output_claims_a_probability_of_being_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not of the ranking, of metrics and students side by side, of the page, or of a choice."""
    for name, gap in (("clear", 1.0), ("close", 0.02), ("few", 0.1)):
        n_prompts = 4 if name == "few" else 40
        for student in ("small", "large"):
            run = tmp_path / name / student
            write_run(run, teacher_table(many(4, n_prompts, gap=gap)), student=student)
        paths = [str(tmp_path / name / student) for student in ("small", "large")]
        out = tmp_path / "written" / name
        given = ["--reference", ">".join(many(4, 1)), *FAST]
        for options in ([], ["--brief"], ["--metric", "all"]):
            assert main(["rank", *paths, *given, *options, "--output_path", str(out)]) == 0
        assert main(["rank", paths[0], *given, "--output_path", str(out / "one")]) == 0
        assert main(["report", *paths, *given, "--output_path", str(out / "report.html")]) == 0
        select_runs.write_run(tmp_path / name / "choice")
        choice = [str(tmp_path / name / "choice"), "--output_path", str(out / "chosen")]
        assert main(["select", *choice]) == 0
    suffixes = {".md", ".json", ".html", ".jsonl", ".yaml"}
    written = [path for path in (tmp_path / "written").rglob("*.*") if path.suffix in suffixes]
    assert {path.suffix for path in written} >= {".md", ".json", ".html", ".yaml"}
    captured = capsys.readouterr()
    texts = {str(path): path.read_text("utf-8") for path in written}
    for where, text in {**texts, "stdout": captured.out, "stderr": captured.err}.items():
        assert [word for word in OLD_WORDS if word in text] == [], where
    assert "May be best" in captured.out and "First in" in captured.out


def test_rows_left_out_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "column 'response': the text is empty"
    unusable = {"T0": UnusableRows(40, {reason: 10}, {reason: "rows.jsonl row 3"})}
    table = teacher_table({"T0": [-1.0] * 30, "T1": [-2.0] * 30})
    write_run(tmp_path / "out", table, unusable=unusable)
    line = f"Rows that could not be used were left out: T0 10 of 40 (mostly: {reason})."
    page = tmp_path / "page.html"
    assert main(["rank", str(tmp_path / "out"), *FAST, "--output_path", str(tmp_path / "r")]) == 0
    assert f"\n- {line}" in capsys.readouterr().out
    assert main(["rank", str(tmp_path / "out"), *FAST, "--metric", "all", "--brief"]) == 0
    assert f"\n- {line}" in capsys.readouterr().out
    assert main(["rank", str(tmp_path / "out"), *FAST, "--teachers", "T1"]) == 0
    assert "could not be used" not in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out"), *FAST, "--output_path", str(page)]) == 0
    assert line in html.unescape(page.read_text("utf-8"))
    ranking = read_strictly(tmp_path / "r" / "ranking.json")["rankings"][0]["ranking"]
    assert ranking["unusable"]["T0"]["rows"] == 40
