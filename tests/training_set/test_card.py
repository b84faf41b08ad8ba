"""The card: what the Hub's viewer and `datasets` read of it, and what people do."""

from __future__ import annotations

from pathlib import Path

import yaml
from datasets import load_dataset

from lnat_plugins import __version__
from lnat_plugins.selection import Candidates
from lnat_plugins.selection.training_set import write_training_set

from .builders import ORIGIN, pool_of, selection_of


def card_of(folder: Path, pool: Candidates, **changes: object) -> str:
    write_training_set(folder / "c", pool, selection_of(pool, **changes), origin=ORIGIN)
    return (folder / "c" / "README.md").read_text(encoding="utf-8")


def test_the_folder_is_a_data_set_of_one_split(tmp_path: Path) -> None:
    pool = pool_of(roles=["user"])
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), form="messages", llama_factory=True
    )
    found = load_dataset(str(tmp_path / "c"), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in found.items()} == {"train": 2}
    assert "messages" in found["train"].column_names


def test_the_front_matter(tmp_path: Path) -> None:
    _, front, _ = card_of(tmp_path, pool_of()).split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]
    assert "lnat-plugins" in values["tags"]
    assert "language" not in values


def test_it_says_what_was_chosen_how_and_with_what(tmp_path: Path) -> None:
    text = card_of(tmp_path, pool_of())
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


def test_where_the_student_lay_is_not_told(tmp_path: Path) -> None:
    text = card_of(tmp_path, pool_of(), student="/secret/models/tiny")
    assert "chosen for tiny" in text and "for training\ntiny (" in text
    assert "secret" not in text


def test_what_was_not_needed_is_not_told(tmp_path: Path) -> None:
    pool = pool_of(plain=True)
    selection = selection_of(
        pool, metric=None, window=None, higher_is_better=None, scores=(float("nan"),) * 4
    )
    write_training_set(tmp_path / "c", pool, selection)
    text = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "metric" not in text and "window" not in text and "Mean of" not in text
    assert "scored with" not in text
    assert "The texts are plain strings." in text
