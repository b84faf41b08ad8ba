"""How errors are worded, and that they keep it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from lnat_plugins.errors import (
    ConfigError,
    DataError,
    LnatError,
    StudentError,
    class_and_text,
    did_you_mean,
    shorten,
    validate,
)


def test_an_error_says_what_where_found_and_remedy() -> None:
    error = DataError("empty response", where="a.jsonl row 2", found="", remedy="fill it")
    assert str(error) == "a.jsonl row 2: empty response (found ''). Fill it."
    assert str(ConfigError("no window")) == "no window."
    assert error.exit_code == 2


@pytest.mark.parametrize("kind", [LnatError, ConfigError, DataError, StudentError])
def test_an_error_survives_the_way_to_another_process(kind: type[LnatError]) -> None:
    error = kind("wrong", where="here", found=object(), remedy="fix it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.what, again.where, again.remedy) == ("wrong", "here", "fix it")


def test_long_values_are_cut_in_the_middle() -> None:
    assert shorten("x" * 500).startswith("'xxx")
    assert len(shorten(list(range(1000)))) <= 80
    assert "..." in shorten("x" * 500)


class UnsayableError(Exception):
    """Of a plugin: neither its object nor its text can be shown."""

    def __repr__(self) -> str:
        raise ValueError

    __str__ = __repr__


def test_what_cannot_be_shown_is_named_by_its_class() -> None:
    assert shorten(UnsayableError()) == "a value of type UnsayableError that cannot be shown"
    assert shorten(10**5000) == "a value of type int that cannot be shown"
    assert class_and_text(UnsayableError()) == "UnsayableError"
    assert class_and_text(ValueError("no such row")) == "ValueError: no such row"


def test_the_nearest_name_is_offered() -> None:
    assert did_you_mean("bets", ["best", "random"]) == "did you mean 'best'? known: best, random"
    assert did_you_mean("zzz", ["best"]) == "known: best"
    assert did_you_mean("zzz", []) == "none is known here"


class Recipe(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    title: str = Field(json_schema_extra={"remedy": "write a title"})
    oven: str = Field(alias="class", default="gas")
    minutes: Annotated[int, Field(ge=1)] = 10
    heat: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["soup", "cake"] = "soup"
    tags: Mapping[str, Any] = Field({}, json_schema_extra={"must_be": "a mapping of tags"})
    vegan: bool = False

    @field_validator("oven")
    @classmethod
    def check_oven(cls, value: str) -> str:
        if value == "ice":
            raise ValueError("no oven")
        if value == "fire":
            raise DataError("passes as it is")
        return value


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "f: the key `title` is missing. Write a title."),
        (
            {"titel": "a"},
            "f: unknown key (found 'titel'). Did you mean 'title'? known: class, heat",
        ),
        ({1: "a"}, "f: unknown key (found '1'). Known: class, "),
        ({"title": 3}, "f: recipe: title: this must be text (found 3). Write a title."),
        ({"class": 3}, "f: recipe: class: this must be text (found 3)."),
        ({"class": "ice"}, "f: recipe: class: no oven (found 'ice')."),
        ({"class": "fire"}, "passes as it is."),
        ({"minutes": True}, "f: recipe: minutes: this must be a whole number (found True)."),
        ({"minutes": 0}, "f: recipe: minutes: this must be 1 or more (found 0)."),
        ({"heat": 0.0}, "f: recipe: heat: this must be above 0"),
        (
            {"kind": "soop"},
            "f: recipe: kind: no such choice (found 'soop'). Did you mean 'soup'? known",
        ),
        ({"tags": 3}, "f: recipe: tags: this must be a mapping of tags (found 3)."),
        ({"tags": {1: 2}}, "f: recipe: tags: keys must be text, in quotes (found 1)."),
        ({"vegan": 1}, "f: recipe: vegan: this must be true or false (found 1)."),
    ],
)
def test_pydantics_first_error_becomes_one_line(values: dict[Any, Any], line: str) -> None:
    if "title" not in values and values and "titel" not in values:
        values = {"title": "a", **values}
    with pytest.raises(LnatError) as caught:
        validate(Recipe, values, where="f", prefix="recipe: ", kind=DataError)
    assert str(caught.value).startswith(line)
    assert type(caught.value) is DataError


def test_a_model_without_a_place_names_the_field_alone() -> None:
    with pytest.raises(ConfigError, match=r"^minutes: this must be"):
        validate(Recipe, {"title": "a", "minutes": "x"})
    assert validate(Recipe, {"title": "a", "class": "gas"}).oven == "gas"
