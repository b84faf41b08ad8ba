"""The card and the tables."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset

from lnat_plugins import __version__
from lnat_plugins.selection.cards import counts, totals
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import PROVENANCE, four_rows, selection_of


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_each_teacher_s_part_and_the_whole() -> None:
    selection = selection_of(four_rows(), (1,), scores=(-1.0, -2.0, math.nan, -4.0))
    first, second = counts(selection).split("\n\n")
    head, _, *rows = cells(first)
    assert head == [
        "Teacher", "Candidates", "Chosen", "Share", "Mean of chosen", "Mean of eligible",
    ]  # fmt: skip
    assert rows == [
        ["QwQ", "2", "0", "0.000", "N/A", "-1.0000"],
        ["R1", "2", "1", "1.000", "-2.0000", "-3.0000"],
        ["all", "4", "1", "1.000", "-2.0000", "-2.3333"],
    ]
    head, _, *rows = cells(second)
    assert head == ["Left out", "QwQ", "R1", "all"]
    assert rows == [["another response scored higher", "2", "1", "3"], ["all", "2", "1", "3"]]


def test_shares_are_rounded_to_three_digits() -> None:
    pool = four_rows([{}] * 6)
    selection = selection_of(pool, (0, 2, 3), metric=None)
    first, _ = counts(selection).split("\n\n")
    assert [row[3] for row in cells(first)[2:]] == ["0.667", "0.333", "1.000"]
    none_chosen = selection_of(pool, (), metric=None)
    assert [row[3] for row in cells(counts(none_chosen))[2:5]] == ["0.000"] * 3


def test_reasons_are_counted_by_their_category_most_frequent_first() -> None:
    reasons = {0: "too long: 9 tokens", 2: "a tie", 3: "too long: 7 tokens"}
    _, second = counts(selection_of(four_rows(), (1,), reasons=reasons)).split("\n\n")
    assert cells(second)[2:] == [
        ["too long", "1", "1", "2"],
        ["a tie", "1", "0", "1"],
        ["all", "2", "1", "3"],
    ]


def test_all_chosen_without_a_score() -> None:
    selection = selection_of(four_rows(), (0, 1, 2, 3), metric=None)
    assert cells(counts(selection))[0] == ["Teacher", "Candidates", "Chosen", "Share"]
    assert "Left out" not in counts(selection)


def test_degenerate_rows_among_the_chosen_are_counted_below() -> None:
    counted = {"R1": {"answer only": 1, "loop": 2}, "QwQ": {"cut off": 1}}
    *tables, line = counts(selection_of(four_rows(), degenerate=counted)).split("\n\n")
    assert line == (
        "Degenerate among the chosen: R1 (answer only 1, loop 2), QwQ (cut off 1). Look at them "
        "before training.\n"
    )
    without = counts(selection_of(four_rows()))
    assert without == "\n\n".join(tables) + "\n"
    assert "egenerate" not in without


@pytest.mark.parametrize("counted", [{}, {"R1": {"loop": 1}}])
def test_the_card_and_the_stored_selection_count_them(
    tmp_path: Path, counted: dict[str, dict[str, int]]
) -> None:
    pool = four_rows()
    chosen = selection_of(pool, degenerate=counted)
    write_training_set(tmp_path, pool, chosen, provenance=PROVENANCE)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert ("Degenerate among the chosen: R1 (loop 1). Look" in card) is bool(counted)
    stored = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert stored["degenerate"] == counted


def test_a_teacher_may_be_called_as_the_last_line_is() -> None:
    names = ("all", "R1", "all", "R1")
    first, _ = counts(selection_of(four_rows(), teachers=names)).split("\n\n")
    assert [row[:3] for row in cells(first)[2:]] == [
        ["all", "2", "1"],
        ["R1", "2", "1"],
        ["all", "4", "2"],
    ]


def test_the_totals() -> None:
    selection = selection_of(four_rows(), (1,), ties=2)
    assert totals(selection) == "prompts: 1 of 2, responses: 1 of 4, ties: 2"


def card_of(folder: Path, pool: Candidates, **changes: object) -> str:
    write_training_set(folder / "c", pool, selection_of(pool, **changes), provenance=PROVENANCE)
    return (folder / "c" / "README.md").read_text(encoding="utf-8")


def test_the_folder_is_a_data_set_of_one_split(tmp_path: Path) -> None:
    pool = four_rows(roles=["user"])
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="llama_factory")
    found = load_dataset(str(tmp_path / "c"), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in found.items()} == {"train": 2}
    assert "messages" in found["train"].column_names


def test_the_front_matter(tmp_path: Path) -> None:
    _, front, _ = card_of(tmp_path, four_rows()).split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]
    assert "lnat-plugins" in values["tags"]
    assert "language" not in values


def test_the_card_states_what_was_chosen_how_and_with_what(tmp_path: Path) -> None:
    text = card_of(tmp_path, four_rows())
    assert "# Reasoning traces chosen for org/student" in text
    assert "prompts: 2 of 2, responses: 2 of 4, ties: 0" in text
    assert "|another response scored higher|" in text
    for fact in (
        "- strategy: best",
        "- metric: local_naturalness, higher is better",
        "- window: 4",
        '- scoring: `{"settings": {"steps": "sentence"}',
        "- scores from: samples_sums_2025.jsonl",
        "- scored with: lnat_plugins 0.0.9, torch 2.13\n",
        f"- chosen with: lnat_plugins {__version__}\n",
        "trl sft --config sft.yaml",
    ):
        assert fact in text
    assert "out/org__student" not in text


def test_the_folder_of_the_student_is_not_written(tmp_path: Path) -> None:
    text = card_of(tmp_path, four_rows(), student="/secret/models/tiny")
    assert "chosen for tiny" in text and "for training\ntiny (" in text
    assert "secret" not in text


def test_what_was_not_needed_is_not_written(tmp_path: Path) -> None:
    pool = four_rows(plain=True)
    selection = selection_of(
        pool, metric=None, window=None, higher_is_better=None, scores=(float("nan"),) * 4
    )
    write_training_set(tmp_path / "c", pool, selection)
    text = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "metric" not in text and "window" not in text and "Mean of" not in text
    assert "scored with" not in text
    assert "The texts are plain strings." in text


def test_rows_that_were_drawn_are_counted_as_often() -> None:
    pool = four_rows()
    drawn = selection_of(pool, (0, 1), sequence=(0, 0, 0, 1), scores=(-1.0, -5.0, -2.0, -3.0))
    tables = counts(drawn)
    assert "Drawn by weight: 4 rows, 2 of them distinct; the most repeated one stands 3 times." in (
        tables.splitlines()
    )
    assert cells(tables)[2:5] == [
        ["QwQ", "2", "3", "0.750", "-1.0000", "-1.5000"],
        ["R1", "2", "1", "0.250", "-5.0000", "-4.0000"],
        ["all", "4", "4", "1.000", "-2.0000", "-2.7500"],
    ]
    assert "Drawn by weight" not in counts(selection_of(pool, (0, 1), sequence=(1, 0)))
