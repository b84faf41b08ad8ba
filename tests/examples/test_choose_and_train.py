"""The programs that rank, choose and train: what they print is what the bundled student finds.

It finds `plain`, its own register, most natural, and `slips`, which is the same but for a slip.
Where `slips` did not slip, the two rows are equal, and the first of them wins.
"""

from __future__ import annotations

import ast
import json
import math
import re
from pathlib import Path

import pytest

from lnat_plugins.selection.training_set import read_selection

from .scripts import EXAMPLES, bundled, run

TEACHERS = ("plain", "slips", "twice", "answer_first", "tics", "backtracks", "bare", "skips")


def told(printed: str, label: str) -> str:
    """What stands behind the label, on its line."""
    (found,) = re.findall(rf"^{re.escape(label)}: (.*)$", printed, re.MULTILINE)
    return str(found)


def counts(**chosen: int) -> str:
    """Rows by teacher as a program prints them."""
    return str(dict.fromkeys(TEACHERS, 0) | chosen)


def test_the_ranking_the_table_and_the_choice(capsys: pytest.CaptureFixture[str]) -> None:
    run("rank_teachers.py", "--prompts", 3)
    printed = capsys.readouterr().out
    assert told(printed, "ranks first") in ("plain", "slips")
    chosen = ast.literal_eval(told(printed, "rows chosen"))
    assert tuple(chosen) == TEACHERS
    assert chosen["plain"] + chosen["slips"] == 3
    lines = printed.splitlines()
    cells = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    ranked = [cell for cell in cells if cell in TEACHERS][: len(TEACHERS)]
    assert set(ranked[:2]) == {"plain", "slips"}
    assert set(ranked[-2:]) == {"bare", "tics"}
    table = {line.split()[0]: line.split()[1:] for line in lines if line and line[0] != "|"}
    tokens = {teacher: float(table[teacher][-1]) for teacher in TEACHERS}
    assert max(tokens, key=lambda name: tokens[name]) == "twice"


def test_the_ranking_of_another_teacher_set(capsys: pytest.CaptureFixture[str]) -> None:
    run("rank_teachers.py", "--teacher_set", EXAMPLES / "new_teacher_set.yaml", "--prompts", 6)
    printed = capsys.readouterr().out
    assert told(printed, "ranks first") == "brief"
    assert told(printed, "rows chosen") == "{'tutor': 1, 'ponderer': 0, 'brief': 5}"
    assert told(printed, "the first of them, by brief") == "'3 * 4 + 9 = 21'"


def test_training_on_chosen_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    run("train_on_chosen_rows.py", "--prompts", 3, "--max_steps", 2, "--output_dir", out)
    printed = capsys.readouterr().out
    assert told(printed, "chosen") == counts(plain=3)
    assert told(printed, "why not the second row") == "`correct` is false"
    losses = json.loads(told(printed, "trained on 3 rows, loss by step"))
    assert len(losses) == 2
    # The rows of `tics` and `bare`, which the student finds least natural, begin above 10.
    assert all(1 < loss < 5 for loss in losses)
    kept = read_selection(out / "lnat_selection.json")
    wrong = [index for index, row in enumerate(bundled(prompts=3)) if not row["correct"]]
    assert kept.indices == (0, 8, 16)
    assert [i for i, why in kept.reasons.items() if why == "`correct` is false"] == wrong != []


def test_other_trainers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("other_trainers.py", "--prompts", 3, "--output_dir", tmp_path)
    printed = capsys.readouterr().out
    assert told(printed, "select_dataset") == "3 of 24 rows, by plain, slips"
    assert told(printed, "callback") == counts(plain=1, slips=1)
    lines = (tmp_path / "chosen.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["teacher"] for row in rows} == {"plain", "slips"}
    scores = [row["lnat_score"] for row in rows]
    kept = read_selection(tmp_path / "lnat_selection.json")
    # Both may be of one prompt, by two teachers.
    scored = sorted(score for score in kept.scores if not math.isnan(score))
    assert sorted(kept.scores[i] for i in kept.indices) == scored[-2:]
    assert max(scores) == pytest.approx(scored[-1], abs=1e-5)
