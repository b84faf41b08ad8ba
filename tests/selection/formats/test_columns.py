"""The columns of the parquet file: texts, ours, and whatever else the rows carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset
from trl import SFTConfig, SFTTrainer

from lnat_plugins.selection import Selection
from lnat_plugins.selection.formats import FORMATS, Chosen
from lnat_plugins.selection.formats.columns import RESERVED, extra_names, write_columns
from lnat_plugins.teacher_set import Candidates
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE
from tests.helpers_students import student, tokenizer
from tests.selection.builders import TEXTS, four_rows, selection_of


def written(
    folder: Path,
    pool: Candidates,
    selection: Selection | None = None,
    format: str = "trl",
) -> Dataset:
    """What `datasets` reads of the file."""
    path = folder / "train.parquet"
    chosen = Chosen(pool, selection or selection_of(pool))
    write_columns(path, FORMATS[format].tables["data/train.parquet"](chosen))
    return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(folder))


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_conversations_as_prompt_and_completion(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows())
    assert data["prompt"][0] == [turn("system", "What is 0? \n\n"), turn("user", "What is 0? \n\n")]
    assert list(data["completion"]) == [[turn("assistant", text)] for text in TEXTS[1:3]]
    assert "messages" not in data.column_names


def test_conversations_as_messages(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows(roles=["user"]), format="trl_messages")
    assert data["messages"][1] == [turn("user", "What is 1? \n\n"), turn("assistant", TEXTS[2])]
    assert not {"prompt", "completion"} & set(data.column_names)


def test_plain_text_stays_as_it_is(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows(plain=True))
    assert list(data["prompt"]) == ["What is 0? \n\n", "What is 1? \n\n"]
    assert list(data["completion"]) == list(TEXTS[1:3])


def test_our_columns(tmp_path: Path) -> None:
    pool = four_rows(correct=(True, None, False, True))
    data = written(tmp_path, pool, selection_of(pool, weights=(0.5, 2.0)))
    ours = {name: list(data[name]) for name in data.column_names if name.startswith("lnat_")}
    assert ours == {
        "lnat_teacher": ["R1", "QwQ"],
        "lnat_sample": [0, 0],
        "lnat_prompt_id": ["p0", "p1"],
        "lnat_score": [-1.0, None],
        "lnat_weight": [0.5, 2.0],
        "lnat_correct": [None, False],
        "lnat_index": [1, 2],
    }


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ((5, 6, 7, 8), [6, 7]),
        ((5, "a", 7, 8), ["a", "7"]),
        ((5, 2**63 - 1, 7, 8), [2**63 - 1, 7]),
        ((5, 2**63, 7, 8), [str(2**63), "7"]),
        ((5, 2**70, 7, 8), [str(2**70), "7"]),
    ],
)
def test_samples_of_two_kinds_are_text(
    tmp_path: Path, samples: Sequence[int | str], expected: list[int | str]
) -> None:
    assert list(written(tmp_path, four_rows(samples=samples))["lnat_sample"]) == expected


def test_only_what_the_chosen_rows_carry_is_a_column(tmp_path: Path) -> None:
    extras = [{"year": 1, "gone": 1}, {"year": 2}, {"place": {"a": [1]}}, {"gone": 1}]
    data = written(tmp_path, four_rows(extras))
    assert data.column_names[-2:] == ["year", "place"]
    assert list(data["year"]) == [2, None]
    assert list(data["place"]) == [None, {"a": [1]}]


@pytest.mark.parametrize(
    "values",
    [
        (1, "one"),
        (True, 1),
        ([1], ["a"]),
        ([1], 1),
        ({"a": 1}, {"a": "x"}),
        ({"a": 1}, [1]),
        ({}, {}),
        ([{"a": {}}], None),
        ({"a": {}}, None),
        ({"a": {"b": {}}, "c": 1}, {"a": None, "c": 2}),
        ([[{}]], [[]]),
        (2**70, 1),
        ("七", 7),
    ],
)
def test_values_without_a_common_type_are_json_text(tmp_path: Path, values: Any) -> None:
    data = written(tmp_path, four_rows([{}, {"x": values[0]}, {"x": values[1]}, {}]))
    found = [value if value is None else json.loads(value) for value in data["x"]]
    assert found == list(values)
    assert "\\u" not in str(data["x"][0])


@pytest.mark.parametrize(
    "values",
    [
        (1, 2.5),
        (None, None),
        ([], [1]),
        ("", None),
        (False, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
    ],
)
def test_values_with_a_common_type_keep_it(tmp_path: Path, values: Any) -> None:
    data = written(tmp_path, four_rows([{}, {"x": values[0]}, {"x": values[1]}, {}]))
    assert list(data["x"]) == list(values)


def test_a_name_that_means_something_to_trl_is_changed() -> None:
    extras = [{"text": 1, "row_text": 2, "lnat_score": 3}, {"year": 4, "row_row_text": 5}]
    assert extra_names(extras, plain=False) == {
        "text": "row_row_row_text",
        "row_text": "row_text",
        "lnat_score": "row_lnat_score",
        "year": "year",
        "row_row_text": "row_row_text",
    }


def test_a_column_that_the_rows_were_scored_with_keeps_its_name() -> None:
    """In conversations, of which the template reads it."""
    extras = [{"tools": "[]", "row_tools": 1, "text": "x"}]
    for plain, tools in ((False, "tools"), (True, "row_row_tools")):
        names = [*extra_names(extras, plain=plain).values()]
        assert names == [tools, "row_tools", "row_text"]


def test_a_name_that_is_taken_is_changed() -> None:
    extras = [{"teacher": 1, "row_teacher": 2}]
    names = extra_names(extras, plain=True, taken=["teacher", "row_row_teacher"])
    assert [*names.values()] == ["row_row_row_teacher", "row_teacher"]


def trained_ids(folder: Path, pool: Candidates, format: str) -> list[Mapping[str, Any]]:
    """What the trainer makes of the file."""
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    args = SFTConfig(
        str(folder), use_cpu=True, bf16=False, gradient_checkpointing=None, report_to="none"
    )
    data = written(folder, pool, format=format)
    trainer = SFTTrainer(student("llama"), args, train_dataset=data, processing_class=reader)
    return [{"ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]


@pytest.mark.parametrize(
    ("plain", "format"),
    [(True, "trl"), (False, "trl"), (False, "trl_messages")],
)
def test_the_other_columns_do_not_change_what_is_trained_on(
    tmp_path: Path, plain: bool, format: str
) -> None:
    names = RESERVED if plain else RESERVED.difference(READ_BY_TEMPLATE)
    hostile: dict[str, Any] = dict.fromkeys(names, "x") | {"labels": [1], "input_ids": [1]}
    trained = []
    for name, extra in (("hostile", hostile), ("bare", {})):
        (tmp_path / name).mkdir()
        trained.append(trained_ids(tmp_path / name, four_rows([extra] * 4, plain=plain), format))
    assert trained[0] == trained[1]
    assert len(trained[0]) == 2


def test_many_rows_are_written_in_parts_that_fit_together(tmp_path: Path) -> None:
    pool = four_rows([{"x": i} for i in range(2100)])
    everything = range(2100)
    data = written(tmp_path, pool, selection_of(pool, everything))
    assert list(data["x"]) == list(data["lnat_index"]) == list(everything)
    assert pq.ParquetFile(tmp_path / "train.parquet").num_row_groups == 3


def test_tools_come_back_as_they_were(tmp_path: Path) -> None:
    """As structs, each would have the other's keys, as nulls."""
    tools = [[{"name": name, "properties": {name: {"type": "number"}}}] for name in ("add", "sum")]
    rows = four_rows([{"tools": one} for one in (*tools, *tools)], roles=["user"])
    found = [json.loads(one) for one in written(tmp_path, rows)["tools"]]
    assert found == [tools[i % 2] for i in selection_of(rows).indices]


def test_rows_stand_in_their_sequence_as_often_as_they_were_drawn(tmp_path: Path) -> None:
    pool = four_rows()
    selection = selection_of(pool, (0, 3), weights=(2.0, 0.5), sequence=(3, 0, 0))
    data = written(tmp_path, pool, selection)
    assert list(data["lnat_index"]) == [3, 0, 0]
    assert list(data["lnat_weight"]) == [0.5, 2.0, 2.0]
    assert list(data["lnat_score"]) == [-3.0, 0.0, 0.0]
    assert list(data["completion"]) == [data["completion"][0], *[data["completion"][1]] * 2]
    assert data["completion"][0] != data["completion"][1]
