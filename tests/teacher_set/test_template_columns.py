"""`tools`, `chat_template_kwargs`: what TRL reads, what is unrelated, what a table changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from datasets import Dataset

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set import Prompt, Response
from lnat_plugins.teacher_set.template_columns import (
    fill_template_arguments,
    settle_template_columns,
    template_arguments,
    template_column_notes,
)

ADD = {"name": "add"}


def responses(name: str, values: Sequence[Any]) -> list[Response]:
    """A response a value, `...` = the row has no such column."""
    extras = [{"id": i} | ({} if v is ... else {name: v}) for i, v in enumerate(values)]
    return [Response("QwQ", "Seven.", extra=e, where=f"row {i}") for i, e in enumerate(extras)]


@pytest.mark.parametrize(
    ("name", "value", "arguments", "strictly"),
    [
        ("tools", None, {"tools": None}, True),
        ("tools", [], {"tools": []}, True),  # some templates write a frame for no tools
        ("tools", [ADD], {"tools": [ADD]}, True),
        ("tools", '[{"name": "add"}]', {"tools": [ADD]}, True),
        ("tools", "null", {"tools": None}, True),
        ("tools", "", {"tools": None}, False),
        ("tools", "calculator", {"tools": None}, False),
        ("tools", '"calculator"', {"tools": None}, False),
        ("tools", "3", {"tools": None}, False),
        ("tools", {"name": "add"}, {"tools": None}, False),
        ("tools", ["add", "sum"], {"tools": None}, False),
        ("tools", 2, {"tools": None}, False),
        ("chat_template_kwargs", {}, {"tools": None}, True),
        ("chat_template_kwargs", {"hint": "x"}, {"tools": None, "hint": "x"}, True),
        ("chat_template_kwargs", {"hint": None}, {"tools": None, "hint": None}, True),
        ("chat_template_kwargs", {"tools": [ADD]}, {"tools": [ADD]}, True),
        ("chat_template_kwargs", None, {"tools": None}, False),
        ("chat_template_kwargs", '{"hint": "x"}', {"tools": None}, False),
        ("chat_template_kwargs", ["hint"], {"tools": None}, False),
        ("chat_template_kwargs", ..., {"tools": None}, True),
    ],
)
def test_arguments_of_a_row(
    name: str, value: Any, arguments: dict[str, Any], strictly: bool
) -> None:
    (one,) = responses(name, [value])
    assert template_arguments(one, strict=False) == arguments
    if strictly:
        assert template_arguments(one) == arguments
    else:
        with pytest.raises(DataError, match=f"row 0: TRL gives the column `{name}`"):
            template_arguments(one)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("tools", [..., ...], [..., ...]),
        ("tools", [None, ...], [..., ...]),
        ("tools", ["", None], [..., ...]),
        ("tools", [[ADD], ...], [[ADD], ...]),
        ("tools", [[ADD], ""], [[ADD], None]),
        ("tools", ["[]", [ADD]], ["[]", [ADD]]),
        ("chat_template_kwargs", [{}, None], [..., ...]),
        ("chat_template_kwargs", [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ("chat_template_kwargs", [{"a": None}, {"a": "x"}], [{"a": None}, {"a": "x"}]),
        ("chat_template_kwargs", [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
         [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]),
    ],
)  # fmt: skip
def test_columns_that_a_table_holds_as_they_are(
    name: str, values: list[Any], expected: list[Any]
) -> None:
    found = settle_template_columns(responses(name, values))
    assert [extra.get(name, ...) for extra in found] == expected
    assert [extra["id"] for extra in found] == [0, 1]
    assert list(template_column_notes(responses(name, values))) == []


@pytest.mark.parametrize("name", ["tools", "chat_template_kwargs"])
def test_a_column_that_is_meant_for_something_else_has_another_name(name: str) -> None:
    rows = responses(name, ["calculator", None, "search", ...])
    rows[3].extra[f"row_{name}"] = 3  # type: ignore[index]
    found = settle_template_columns(rows)
    assert [extra.get(f"row_row_{name}") for extra in found] == ["calculator", None, "search", None]
    assert not any(name in extra for extra in found)
    assert rows[0].extra[name] == "calculator"
    (note,) = template_column_notes(rows)
    assert note.startswith(f"the column '{name}' is not given to the chat template in 2 rows")
    assert "cannot be trained on" not in note


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tools", [[ADD], "calculator"], "row 1: TRL gives .* cannot read it in 1 of 2 rows"),
        ("chat_template_kwargs", [["a"], {"a": 1}], "row 0: TRL gives .* in 1 of 2 rows"),
        ("chat_template_kwargs", [{"a": 1}, {"a": "1"}], "row 0: rows differ in the types"),
        ("chat_template_kwargs", [{"a": {}}, {"a": {}}, {"b": 2**70}], "rows differ in the types"),
    ],
)
def test_rows_that_a_table_would_change_are_refused(
    name: str, values: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        settle_template_columns(responses(name, values))
    (note,) = template_column_notes(responses(name, values))
    assert "such a set cannot be trained on with the template" in note


@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ([{"a": 1}, None], [{"a": 1}, {"a": None}]),
        ([{"a": 1}, ...], [{"a": 1}, {"a": None}]),
        ([{"a": 1}, {"b": 1}], [{"a": 1, "b": None}, {"a": None, "b": 1}]),
        ([{"a": {"x": 1}}, {"a": {"y": 1}}],
         [{"a": {"x": 1, "y": None}}, {"a": {"x": None, "y": 1}}]),
        ([{"a": 1}, {"a": 0.5}], [{"a": 1.0}, {"a": 0.5}]),
    ],
)  # fmt: skip
def test_rows_are_filled_as_a_table_fills_them(values: list[Any], filled: list[Any]) -> None:
    name = "chat_template_kwargs"
    rows = responses(name, values)
    given = [Prompt(f"p{i}", (), (row,)) for i, row in enumerate(rows)]
    prompts, note = fill_template_arguments(given)
    found = [prompt.responses[0].extra for prompt in prompts]
    assert [repr(extra[name]) for extra in found] == [*map(repr, filled)]
    assert [extra["id"] for extra in found] == [0, 1]
    assert note is not None
    again, none = fill_template_arguments(prompts)
    assert (again, none) == (prompts, None)
    assert [extra[name] for extra in settle_template_columns(rows)] == filled
    of_dicts = [value if isinstance(value, dict) else {} for value in values]
    assert Dataset.from_dict({name: of_dicts})[name][:] == filled


@pytest.mark.parametrize("values", [[..., ...], [{"a": 1}, {"a": 2}], [["x"], {"a": 1}],
                                    [{"a": 1}, {"a": "1"}]])  # fmt: skip
def test_rows_that_stay_as_they_are(values: list[Any]) -> None:
    prompts = [Prompt("p", (), tuple(responses("chat_template_kwargs", values)))]
    assert fill_template_arguments(prompts) == (prompts, None)
