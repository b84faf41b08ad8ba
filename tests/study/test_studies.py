"""Several studies in one command, and what is said of them together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnat_plugins import run_studies
from lnat_plugins.cli import main
from lnat_plugins.study import studies
from lnat_plugins.study.results import RESULT
from lnat_plugins.study.studies import RESULTS, open_studies, write_studies

from .lab import RIGHT, finished, write_study


def two(folder: Path) -> tuple[list[str], Path]:
    """Two studies that are done, of other questions, and the folder of their results."""
    root, paths = folder / "all", []
    for name, short in (("sums", 4), ("more", 10)):
        own = folder / name
        own.mkdir()
        run = finished(own, {**RIGHT, "short": short}, keys={"study": name}, out=root / name)
        paths.append(str(run.spec.source))
    return paths, root


def test_the_command_brings_studies_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, root = two(tmp_path)
    assert main(["study", *paths, "--output_path", str(root), "--bootstrap_iters", "200"]) == 0
    printed = capsys.readouterr()
    assert f"wrote {root / RESULTS}" in printed.err
    assert f"lnat: plan: 14 units, 14 done, in {root / 'sums'}" in printed.err
    text = " ".join(printed.out.split())
    for words in (
        "## sums", "## more", "## All studies",
        "|sums: student, 6-rows | 2| 3|0.100| long",
        "|more: student, 6-rows | 2| 3|0.100| short",
    ):  # fmt: skip
        assert words in text, text
    found = json.loads((root / RESULTS).read_text(encoding="utf-8"))
    assert found["studies"] == ["sums", "more"]
    assert found["missing"] == {"sums": [], "more": []}
    assert found["together"]["labels"] == ["sums: student, 6-rows", "more: student, 6-rows"]
    sums, _ = found["together"]["results"]
    assert sums["label"] == "sums: student, 6-rows" and sums["best_teacher"] == "long"
    assert sums["none"] == pytest.approx(0.1) and sums["best"] == sums["arms"]["long"]
    local = next(
        one for one in found["together"]["metrics"] if one["metric"] == "local_naturalness[4]"
    )
    assert [*local["values"].values()] == [1, -1]
    assert local["worst_regret"] == pytest.approx(29 / 30 - 0.9)  # at most ten of ten are right
    assert local["regret"]["value"] == pytest.approx((29 / 30 - 0.9) / 2)
    gained = {(one["selection"], one["over"]): one for one in found["together"]["gains"]}
    assert gained["best", "random"]["gain"]["value"] == pytest.approx(0.2)
    assert (root / "sums" / RESULT).is_file() and (root / "more" / RESULT).is_file()


def test_in_a_program_too(tmp_path: Path) -> None:
    paths, root = two(tmp_path)
    result = run_studies(paths, root, bootstrap_iters=200)
    assert (root / RESULTS).read_text(encoding="utf-8") == result.to_json()
    assert [one.study for one in result.studies] == ["sums", "more"]
    again = write_studies(open_studies(paths, root), iters=200)
    assert again.to_json() == result.to_json()
    assert write_studies(open_studies(paths, root), iters=200, seed=1).to_json() != result.to_json()


def test_a_result_whose_teachers_are_alike_is_named(tmp_path: Path) -> None:
    runs = []
    for name, short in (("sums", 1), ("alike", 9)):
        (tmp_path / name).mkdir()
        keys = {"study": name}
        run = finished(
            tmp_path / name, {**RIGHT, "short": short}, keys=keys, out=tmp_path / "out" / name
        )
        runs.append(str(run.spec.source))
    found = run_studies(runs, tmp_path / "out", bootstrap_iters=200).together
    assert found is not None
    assert found.verdict[0] == (
        "In 1 of 2 results the teachers cannot be told apart after training (alike: student, "
        "6-rows): this order counts here like the others."
    )


def test_studies_with_other_questions_draw_them_apart(tmp_path: Path) -> None:
    paths, root = two(tmp_path)
    one, other = (study.students[0].outcomes for study in run_studies(paths, root).studies)
    assert one.item_set != other.item_set
    assert one.label != other.label


def test_dry_run_names_the_units_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, root = two(tmp_path)
    (root / "more" / "student" / "none" / "unit.json").unlink()
    assert main(["study", *paths, "--output_path", str(root), "--dry_run"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"lnat study {paths[1]} --output_path {root / 'more'} ")
    assert line.endswith("--unit student/none")


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, root = two(tmp_path)
    out = ["--output_path", str(root)]
    for arguments, words in (
        (paths, "several studies need a folder for their results"),
        ([paths[0], paths[0], *out], "two studies have the same name"),
        ([*paths, *out, "--unit", "student/none"], "which study's unit?"),
    ):
        assert main(["study", *arguments]) == 2
        assert words in capsys.readouterr().err
    other = Path(paths[1])
    written = other.read_text(encoding="utf-8")
    other.write_text(written.replace("metric: acc", "metric: acc_norm"), encoding="utf-8")
    assert main(["study", *paths, *out]) == 2
    assert "studies of different metrics" in capsys.readouterr().err
    other.write_text(written, encoding="utf-8")
    missing = str(write_study(tmp_path, study="third"))
    assert main(["study", paths[0], missing, *out, "--unit", "student/none"]) == 2
    assert not (root / "third").exists()


def test_one_study_is_brought_together_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, root = two(tmp_path)
    calls: list[int] = []
    monkeypatch.setattr(studies, "together", lambda results: calls.append(len(results)))
    write_studies(open_studies(paths[:1], root / "sums"), iters=200)
    assert calls == []
    write_studies(open_studies(paths, root), iters=200)
    assert calls == [2]
