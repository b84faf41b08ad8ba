"""SFT data sets as candidates: what is read from them, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lnat_plugins import load_teacher_set, select_dataset
from lnat_plugins.errors import DataError, LnatError
from lnat_plugins.hooks.trl_data import candidates_of, check_dataset, sft_rows
from tests.helpers_students import student, tokenizer

from .builders import BEST, TEACHERS, candidates, padded, text_of, write_teacher_set

ROWS = candidates(2)
PLAIN = candidates(2, "plain")


def with_column(name: str, value: Any, rows: Dataset = ROWS) -> Dataset:
    return rows.add_column(name, [value] * len(rows))


@pytest.mark.parametrize("format", ["messages", "conversations", "plain"])
def test_row_i_has_index_i(format: str) -> None:
    """Rows of one prompt need not stand together."""
    rows = candidates(3, format).select([3, 0, 8, 1, 5, 7])
    found = candidates_of(rows, {})
    assert [row.index for row in found.rows] == list(range(6))
    assert [row.text for row in found.rows] == [
        text_of(i // 3, TEACHERS[i % 3]) for i in (3, 0, 8, 1, 5, 7)
    ]
    assert [row.response.teacher for row in found.rows] == rows["teacher"]
    assert len({row.prompt_id for row in found.rows}) == 3
    assert found.plain is (format == "plain")


def test_columns_of_other_names() -> None:
    rows = ROWS.rename_column("teacher", "who").rename_column("correct", "right")
    found = candidates_of(rows, {"teacher": "who", "correct": "right"})
    assert [row.response.teacher for row in found.rows] == list(TEACHERS) * 2
    assert [row.response.correct for row in found.rows] == ROWS["correct"]
    ignored = candidates_of(ROWS, {"correct": None})
    assert {row.response.correct for row in ignored.rows} == {None}


def test_prepared_rows_read_as_before_they_were_prepared() -> None:
    prepared = PLAIN.map(lambda row: {"completion": row["completion"] + "<|end|>"})
    prepared = with_column("input_ids", [1], prepared)
    found = candidates_of(prepared, {}, tokenized=True, eos="<|end|>")
    assert found.fingerprint == candidates_of(PLAIN, {}).fingerprint


@pytest.mark.parametrize("plain", [True, False])
def test_a_teacher_set_as_rows(tmp_path: Path, plain: bool) -> None:
    rows = sft_rows(load_teacher_set(write_teacher_set(tmp_path, 2)), tokenizer(), plain=plain)
    assert rows.column_names == [
        "prompt", "completion", "teacher", "prompt_id", "sample", "correct", "steps",
    ]  # fmt: skip
    found = candidates_of(rows, {})
    assert found.plain is plain
    assert [row.text for row in found.rows] == [
        text_of(p, teacher) for p in range(2) for teacher in TEACHERS[:2]
    ]
    assert [row.prompt_id for row in found.rows] == ["p0", "p0", "p1", "p1"]
    content: Any = rows["prompt"][0]
    assert (content if plain else content[0]["content"]).startswith("What is 0 + 4?")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (
            ROWS.to_iterable_dataset(), {},
            "rows: a streaming data set cannot be chosen from (found 'IterableDataset')",
        ),
        ([{"messages": []}], {}, "rows: this is not a datasets.Dataset (found 'list')"),
        (ROWS.select([]), {}, "rows: the data set has no row"),
        (
            with_column("input_ids", [1]), {},
            "rows: the rows are tokenised already, so there are no steps to see",
        ),
        (with_column("image", "x.png"), {}, "rows: rows with images cannot be scored"),
        (with_column("conversations", "x"), {}, "rows: from/value conversations are not read"),
        (
            with_column("prompt", "?"), {},
            "rows: the rows must have `messages`, or `prompt` and `completion`, and not both",
        ),
        (
            with_column("completion", "?", with_column("prompt", "?")), {},
            "rows: the rows must have `messages`, or `prompt` and `completion`, and not both",
        ),
        (
            Dataset.from_dict({"text": ["a"], "teacher": ["QwQ"]}), {},
            "One `text` does not say where the response begins: split it.",
        ),
        (
            PLAIN.remove_columns("completion"), {},
            "Rename the columns, or write a teacher set (`lnat init`) and name it: ",
        ),
        (
            ROWS.remove_columns("teacher"), {},
            "rows: the candidates have no column 'teacher' that says who wrote a response",
        ),
        (ROWS, {"teacher": "who"}, "rows: the candidates have no column 'who' that says who wrote"),
        (ROWS, {"sample": "number"}, "rows: the candidates have no column 'number' (found"),
        (ROWS, {"teacher": None}, "rows: columns: teacher: candidates need a column that says who"),
        (ROWS, {"prompt": "who"}, "rows: unknown key in `columns`"),
    ],
)  # fmt: skip
def test_refused_before_a_row_is_read(
    rows: Any, columns: Mapping[str, str | None], message: str
) -> None:
    with pytest.raises(LnatError) as caught:
        check_dataset(rows, columns, "rows")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(type(caught.value)) as again:
        candidates_of(rows, columns, name="rows")
    assert str(again.value) == str(caught.value)


def test_responses_of_one_teacher_are_numbered() -> None:
    twice = Dataset.from_list([*candidates(1), candidates(1)[0]])
    assert [row.response.sample for row in candidates_of(twice, {}).rows] == [0, 0, 0, 1]
    same = twice.add_column("sample", [0, 0, 0, 0])
    with pytest.raises(DataError, match="Number a teacher's responses in a `sample` column"):
        candidates_of(same, {})
    numbered = twice.add_column("sample", [0, 0, 0, 7])
    assert [row.response.sample for row in candidates_of(numbered, {}).rows] == [0, 0, 0, 7]


def conversation(*, user: str = "role", **answer: Any) -> Dataset:
    turns = [{user: "user", "content": "What?"}, {"role": "assistant", "content": "x", **answer}]
    return Dataset.from_list([{"messages": turns, "teacher": "QwQ", "system": "Not read by TRL."}])


def test_only_what_trl_reads_is_read() -> None:
    (row,) = candidates_of(conversation(), {}).rows
    assert [turn["role"] for turn in row.messages] == ["user"]
    assert row.response.extra == {"system": "Not read by TRL."}
    with pytest.raises(DataError, match="whose text is all in the content"):
        candidates_of(conversation(reasoning_content="hm"), {})
    with pytest.raises(DataError, match="turns must be written as `role` and `content`"):
        candidates_of(conversation(user="from"), {})


def test_text_and_conversations_are_not_mixed() -> None:
    rows = Dataset.from_dict(
        {
            "prompt": ["What?"],
            "completion": [[{"role": "assistant", "content": "Seven."}]],
            "teacher": ["QwQ"],
        }
    )
    with pytest.raises(DataError, match=r"train_dataset\[0\], column 'completion': plain text and"):
        candidates_of(rows, {})


def test_weights_are_a_column() -> None:
    chosen = select_dataset(
        ROWS, student("llama"), padded(), strategy="weighted", budget=2, windows=[1]
    )
    assert sum(chosen["lnat_weight"]) == pytest.approx(2)
    alone = select_dataset(
        ROWS, student("llama"), padded(), strategy="weighted", budget=1, windows=[1]
    )
    assert alone["lnat_weight"] == [1.0, 1.0]
    assert set(select_dataset(ROWS, student(), padded(), **BEST)["lnat_weight"]) == {1.0}


def test_a_choice_replaces_the_columns_of_an_earlier_one() -> None:
    first = select_dataset(ROWS, student(), padded(), **BEST)
    second = select_dataset(first, student(), padded(), strategy="longest")
    assert second.column_names == first.column_names
    assert second["lnat_score"] == [None, None]


def test_a_teacher_set_and_a_data_set_are_two_sources(tmp_path: Path) -> None:
    path = str(write_teacher_set(tmp_path, 1))
    with pytest.raises(LnatError, match="`teacher_set` and a data set are both given"):
        select_dataset(ROWS, student(), padded(), teacher_set=path)


@pytest.mark.parametrize("kind", ["pandas", "numpy", "torch"])
def test_the_data_set_s_format_plays_no_part(kind: str) -> None:
    found = select_dataset(PLAIN.with_format(kind), student("llama"), padded(), **BEST)
    expected = select_dataset(PLAIN, student("llama"), padded(), **BEST)
    assert found.with_format(None)["completion"] == expected["completion"]


@pytest.mark.parametrize("column", ["tools", "chat_template_kwargs"])
def test_plain_text_needs_no_template_columns(column: str) -> None:
    rows = with_column(column, "calculator", PLAIN)
    assert len(select_dataset(rows, student("llama"), padded(), **BEST)) == 2
