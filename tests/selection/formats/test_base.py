"""What every format does with turns, tools, weights and plain text, by one table of formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection.formats import FORMATS, Chosen
from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import TEXTS, four_rows, selection_of

SFT = [name for name in FORMATS if name not in ("preference", "kto")]
OTHERS = [name for name in SFT if not name.startswith("trl")]
USER = ["user"]
SPOKEN = ["user", "assistant", "user"]


def rows_of(folder: Path, name: str = "") -> list[dict[str, Any]]:
    """The data file, by pyarrow or json."""
    files = [folder / name] if name else sorted((folder / "data").glob("train.*"))
    (path,) = files
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("name", OTHERS)
def test_the_files_hold_the_texts_and_where_they_come_from(tmp_path: Path, name: str) -> None:
    pool = four_rows(roles=USER, correct=[True, False, None, True])
    files = write_training_set(tmp_path / "c", pool, selection_of(pool), format=name, longest=77)
    form = FORMATS[name]
    written = {path.relative_to(tmp_path / "c").as_posix() for path in files}
    assert written == {*form.files, "selection.json", "README.md"}
    first, second = rows_of(tmp_path / "c", form.data)
    assert [turn["content"] for turn in first["messages"]] == ["What is 0? \n\n", TEXTS[1]]
    assert [turn["role"] for turn in second["messages"]] == ["user", "assistant"]
    kept = ("teacher", "sample", "prompt_id", "score", "weight", "correct", "index")
    assert [first[f"lnat_{key}"] for key in kept] == ["R1", 0, "p0", -1.0, 1.0, False, 1]
    assert [second[f"lnat_{key}"] for key in kept] == ["QwQ", 0, "p1", None, 1.0, None, 2]
    found = load_dataset(str(tmp_path / "c"), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in found.items()} == {"train": 2}
    stored = json.loads((tmp_path / "c" / "selection.json").read_text(encoding="utf-8"))
    assert stored["format"] == name


@pytest.mark.parametrize("name", OTHERS)
def test_the_card_says_how_to_train_and_how_long_the_longest_row_is(
    tmp_path: Path, name: str
) -> None:
    pool = four_rows(roles=USER)
    card = {}
    for longest in (77, None):
        folder = tmp_path / str(longest)
        chosen = selection_of(pool)
        write_training_set(folder, pool, chosen, format=name, longest=longest)
        card[longest] = (folder / "README.md").read_text(encoding="utf-8")
    assert "The longest row has 77 tokens" in card[77]
    assert "could not be counted" in card[None]
    assert FORMATS[name].trainer.split(" ")[0].lower() in card[77].lower()


@pytest.mark.parametrize("name", [name for name in SFT if name not in ("trl", "llama_factory")])
def test_plain_text_is_refused_where_a_template_would_go_around_it(
    tmp_path: Path, name: str
) -> None:
    pool = four_rows(plain=True)
    with pytest.raises(ConfigError, match=r"plain text cannot be written as `messages`\. Write th"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), format=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("extra", [{"tools": [{"name": "add"}]}, {}])
def test_what_the_trainer_would_not_read_is_refused(
    tmp_path: Path, name: str, extra: dict[str, Any]
) -> None:
    pool = four_rows([extra] * 4, roles=USER)
    if not extra:
        turn = {"content": "b", "reasoning_content": "So."}
        rows = [replace(row, response=replace(row.response, turn=turn)) for row in pool.rows]
        pool = replace(pool, rows=tuple(rows))
    with pytest.raises(
        DataError, match=r"line 1, .*: .* would not read all .*(tools|reasoning_cont)"
    ):
        write_training_set(tmp_path / "c", pool, selection_of(pool), format=name)


@pytest.mark.parametrize("name", ["llama_factory", "ms_swift"])
@pytest.mark.parametrize(
    "roles", [["user", "user"], ["user", "system", "user"], ["user", "assistant"], ["system"]]
)
def test_a_conversation_that_would_be_skipped_is_refused(
    tmp_path: Path, name: str, roles: list[str]
) -> None:
    pool = four_rows(roles=roles)
    with pytest.raises(DataError, match=r"x\.jsonl line 1, teacher '\w+': .* would skip this"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), format=name)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_are_read_by_the_trainer_or_said_to_be_lost(name: str) -> None:
    pool = four_rows(roles=USER, correct=[True, True, True, True])
    selection = selection_of(pool, weights=(0.25, 0.75))
    rejected = selection_of(pool, (0, 3))
    said = " ".join(FORMATS[name].said(Chosen(pool, selection, rejected)))
    assert "The rows differ in weight" in said
    alike = " ".join(FORMATS[name].said(Chosen(pool, selection_of(pool), rejected)))
    assert "weight" not in alike


@pytest.mark.parametrize("name", SFT)
def test_turns_of_the_assistant_in_a_prompt(tmp_path: Path, name: str) -> None:
    """Only the response was scored: the others are masked in the file, or said to be trained on."""
    pool = four_rows(roles=SPOKEN)
    chosen = Chosen(pool, selection_of(pool))
    said = " ".join(FORMATS[name].said(chosen))
    masked = ("trl", "trl_messages", "ms_swift", "axolotl")  # or as TRL: all turns or none
    assert ("hold assistant turns" in said) is (name not in masked)
    write_training_set(tmp_path / "c", pool, selection_of(pool), format=name)
    turns = rows_of(tmp_path / "c", FORMATS[name].data)[0].get("messages", [])
    if name == "ms_swift":
        assert [turn.get("loss") for turn in turns] == [None, False, None, None]
    if name == "axolotl":
        assert [turn["train"] for turn in turns] == [False, False, False, True]
    if name == "llama_factory":
        v1 = rows_of(tmp_path / "c", "data/v1.jsonl")[0]["messages"]
        assert [turn["loss_weight"] for turn in v1] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("given", "shown"), [("org/student", "org/student"), ("/gone/student", "student")]
)
def test_a_student_has_its_name_and_of_a_path_the_last_part(
    given: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = four_rows()
    monkeypatch.chdir(tmp_path)
    assert Chosen(pool, selection_of(pool, student=given)).student == shown
    if shown != "student":
        Path(given).mkdir(parents=True)
        assert Chosen(pool, selection_of(pool, student=given)).student == "student"
