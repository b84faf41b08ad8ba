"""What a study found, read from its file and drawn on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.report.study import read_study
from lnat_plugins.study.agreement import agreement
from lnat_plugins.study.arms import arm_table
from tests.report.builders import Page, block, page_of, three_teachers, values_of
from tests.study import builders

TEACHERS = ("QwQ", "R1", "DSQ")


def study_file(folder: Path, students: tuple[str, ...] = ("student",)) -> Path:
    """A made-up study of three teachers and two budgets, as `lnat study` writes it."""
    entries: list[dict[str, Any]] = []
    reference = []
    for i, student in enumerate(students):
        drawn = np.random.default_rng(i)
        outcomes, _ = builders.simulated(
            drawn, np.array([0.6, 0.45, 0.2]), 2, 60, names=list(TEACHERS)
        )
        scores = builders.scores(
            np.array([[[-1.0] * 9, [-2.0] * 9, [-3.0] * 9], [[-2.0] * 9, [-1.0] * 9, [-3.0] * 9]]),
            teachers=list(TEACHERS),
        )
        found = agreement(outcomes, scores, iters=100)
        for budget in ("100-rows", "500-rows"):
            entries.append({
                "student": student, "budget": budget, "verdict": [f"Of {budget} <nothing>."],
                "arms": arm_table(outcomes, iters=100).as_dict(), "agreement": found.as_dict(),
            })  # fmt: skip
            reference.append({"student": student, "model": f"org/{student}", "budget": budget,
                              "accuracy": dict(found.accuracy)})  # fmt: skip
    path = folder / "study.json"
    text = {"study": "small", "missing": [], "reference": reference, "students": entries}
    path.write_text(json.dumps(text, allow_nan=False), encoding="utf-8")
    return path


def test_the_students_own_parts_are_read(tmp_path: Path) -> None:
    path = study_file(tmp_path, ("student", "other"))
    parts = read_study(path, "org/other")
    assert [part.budget for part in parts] == ["100-rows", "500-rows"]
    assert set(parts[0].accuracy) == set(TEACHERS)
    taus = [one.tau for one in parts[0].metrics]
    assert taus == sorted(taus, reverse=True)
    assert next(one.metric for one in parts[0].metrics) == "global_naturalness"
    assert read_study(path, "nobody") == ()
    assert len(read_study(study_file(tmp_path), "a name of its own")) == 2


@pytest.mark.parametrize("source", [None, "A>B", "accuracies.json", "broken.json", "list.json"])
def test_what_is_no_study_has_no_parts(tmp_path: Path, source: str | None) -> None:
    (tmp_path / "accuracies.json").write_text('{"A": 0.5}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    name = source if source is None or ">" in source else str(tmp_path / source)
    assert read_study(name, "student") == ()


def test_a_study_of_another_form_is_reported(tmp_path: Path) -> None:
    path = study_file(tmp_path)
    found = json.loads(path.read_text())
    del found["students"][1]["arms"]
    path.write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=r"study.json, students 2: .*arms.*lnat study"):
        read_study(path, "student")


def test_the_page_shows_a_plot_a_metric(tmp_path: Path) -> None:
    parts = read_study(study_file(tmp_path), "student")
    text = page_of(three_teachers(), study=parts)
    page = Page(text)
    assert page.problems == []
    charts = {name for name in block(text, "charts") if name.startswith("study-")}
    assert charts == {"study-0-0", "study-0-1", "study-1-0", "study-1-1"}
    assert "Of 100-rows &lt;nothing&gt;." in text
    table = page.table("Scores and accuracy after training, 100-rows")
    assert list(table) == ["accuracy", "global_naturalness", "m1"]
    assert table["global_naturalness"][2:] == ["-1.000", "-2.000", "-3.000"]
    rows = values_of(block(text, "charts")["study-0-0"], 1)
    assert [row["teacher"] for row in rows] == list(TEACHERS)
    assert 'id="study"' not in page_of(three_teachers())
