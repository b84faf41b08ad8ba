"""Pairs: the chosen row if it is correct, against the best wrong row; why prompts have none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import DataError
from lnat_plugins.selection import Selection, choose_rejected
from lnat_plugins.selection.formats import FORMATS, Chosen
from lnat_plugins.selection.formats.pairs import pairs
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import FakeStudent, pool_of, row, select, spec_of
from tests.selection.formats.test_base import rows_of

PREFERENCE = FORMATS["preference"]
POOL = pool_of(
    row("p0", "A", -1.0, correct=True, sample=1),
    row("p0", "B", -2.0, correct=False),
    row("p0", "C", -3.0, correct=False),
    row("p1", "A", -2.0, correct=True),
    row("p1", "B", -1.0, correct=False),
    row("p2", "A", -1.0, correct=True),
    row("p2", "B", -2.0),
    row("p3", "A", -1.0, correct=True, text="7"),
    row("p3", "B", -2.0, correct=False, text="7"),
    row("p4", "B", -2.0, correct=False),
)


def rejected_of(pool: Candidates = POOL, **block: Any) -> Selection:
    return choose_rejected(pool, FakeStudent(), spec_of(**block))


def test_a_pair_is_the_chosen_row_against_the_best_wrong_one(tmp_path: Path) -> None:
    selection = select(POOL, require_correct=True)
    rejected = rejected_of()
    write_training_set(tmp_path, POOL, selection, format="preference", rejected=rejected)
    first, second = rows_of(tmp_path)
    assert first["prompt"] == [{"role": "user", "content": "p0"}]
    assert first["chosen"] == [{"role": "assistant", "content": "A 1 on p0"}]
    assert first["rejected"] == [{"role": "assistant", "content": "B 0 on p0"}]
    ours = {name: value for name, value in first.items() if name.startswith("lnat_")}
    assert ours == {
        "lnat_teacher": "A", "lnat_sample": 1, "lnat_prompt_id": "p0", "lnat_score": -1.0,
        "lnat_weight": 1.0, "lnat_correct": True, "lnat_index": 0,
        "lnat_rejected_teacher": "B", "lnat_rejected_sample": 0, "lnat_rejected_prompt_id": "p0",
        "lnat_rejected_score": -2.0, "lnat_rejected_correct": False, "lnat_rejected_index": 1,
    }  # fmt: skip
    assert second["lnat_prompt_id"] == "p1"
    assert second["lnat_rejected_score"] == -1.0


def test_pairs_stand_in_the_order_of_the_rows_and_as_often(tmp_path: Path) -> None:
    found = select(POOL, require_correct=True)
    assert found.indices == (0, 3, 5, 7)
    drawn = replace(found, sequence=(3, 0, 7, 5, 0), settings={"order": "easy_to_hard"})
    rejected = rejected_of()
    write_training_set(tmp_path, POOL, drawn, format="preference", rejected=rejected)
    assert [one["lnat_prompt_id"] for one in rows_of(tmp_path)] == ["p1", "p0", "p0"]
    assert [one["lnat_rejected_index"] for one in rows_of(tmp_path)] == [4, 1, 1]
    said = PREFERENCE.said(Chosen(POOL, drawn, rejected))
    assert said[0].startswith("Pairs: 3, of 2 of 5 prompts.")
    config = yaml.safe_load((tmp_path / "dpo.yaml").read_text(encoding="utf-8"))
    assert config["train_sampling_strategy"] == "sequential"


def test_prompts_without_a_pair_are_counted_by_reason() -> None:
    chosen = Chosen(POOL, select(POOL, require_correct=True), rejected_of())
    assert PREFERENCE.said(chosen) == [
        "Pairs: 2, of 2 of 5 prompts. Without one: 1 prompt: no row that could be rejected is "
        "known to be wrong; 1 prompt: the same text is given as correct and as wrong; 1 prompt: no "
        "row of theirs was chosen."
    ]


def test_the_best_row_may_be_the_wrong_one() -> None:
    chosen = Chosen(POOL, select(POOL), rejected_of())
    (line,) = PREFERENCE.said(chosen)
    assert line.startswith("Pairs: 1, of 1 of 5 prompts.")
    assert "2 prompts: the row chosen is not known to be correct" in line
    assert line.endswith("With `require_correct` the best correct row is chosen.")


def test_a_row_without_a_verdict_is_on_neither_side() -> None:
    pool = pool_of(
        row("p0", "A", -1.0), row("p0", "B", -2.0, correct=False), row("p1", "A", correct=True),
        row("p1", "B", -2.0), row("p1", "C", -3.0, correct=False),
    )  # fmt: skip
    chosen = Chosen(pool, select(pool), rejected_of(pool))
    assert [(at, row.index) for at, row in pairs(chosen)] == [(1, 4)]
    (line,) = PREFERENCE.said(chosen)
    assert "Without one: 1 prompt: the row chosen is not known to be correct." in line


def test_several_chosen_rows_of_a_prompt_are_several_pairs(tmp_path: Path) -> None:
    pool = pool_of(*POOL.rows[:3], row("p0", "D", -1.5, correct=True))
    selection = select(pool, strategy="weighted", budget=2, require_correct=True)
    rejected = rejected_of(pool)
    write_training_set(tmp_path, pool, selection, format="preference", rejected=rejected)
    found = [(r["lnat_index"], r["lnat_rejected_index"]) for r in rows_of(tmp_path)]
    assert found == [(0, 1), (3, 1)]


def test_the_rejected_rows_pass_the_filters_too() -> None:
    pool = pool_of(
        row("p0", "A", correct=True),
        row("p0", "B", -1.0, correct=False, tokens=99),
        row("p0", "C", -3.0, correct=False, text="x"),
        row("p0", "D", -2.0, correct=False, text="x"),
        row("p0", "E", -0.5),
    )
    found = rejected_of(pool, max_length=50)
    assert found.indices == (2,)
    assert found.reasons == {
        0: "`correct` is true",
        1: "longer than max_length: 104 tokens",
        3: "duplicate: C gave the same response before",
        4: "`correct` is not given",
    }
    assert rejected_of(pool, drop_duplicates=False).indices == (1,)


def test_no_pair_at_all_is_refused(tmp_path: Path) -> None:
    pool = pool_of(row("p0", "A", correct=True), row("p1", "A", correct=False))
    with pytest.raises(DataError, match=r"gives no pair \(1 prompt: no row that could be rej.*; 1"):
        write_training_set(
            tmp_path / "c", pool, select(pool, require_correct=True), format="preference",
            rejected=rejected_of(pool),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
