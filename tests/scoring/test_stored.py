"""JSON text read in one pass: what is read so is right, and what is not certain is left."""

from __future__ import annotations

import json

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.stored import quick_json, quick_record
from tests.helpers_samples import make_record

CERTAIN = [
    '{"a": 1, "b": {"c": [{"d": "x"}, 2.5, null]}}',
    '{"a":"{\\"b\\": 1}"}',
    '{"a": "\\u00e4 \\\\ b"}',
]
UNCERTAIN = [
    '{"a": 1, "a": 2}',
    '{"b": [{"a": 1, "a": 2}]}',
    '{"a" : 1, "a" : 2, "b": 1}',
    '{"a"\\t: 1}'.replace("\\t", "\t"),
    '{"a\\\\": 1, "a\\\\": 2}',
    '{"a": ": "}',
    "[1]",
    "{",
    '{"a": "\\ud800"}',
    "",
]


@pytest.mark.parametrize("text", CERTAIN)
def test_what_is_certain_is_read(text: str) -> None:
    assert quick_json(text) == json.loads(text)


@pytest.mark.parametrize("text", UNCERTAIN)
def test_what_is_not_certain_is_left(text: str) -> None:
    assert quick_json(text) is None


def test_a_record() -> None:
    text = make_record().to_json()
    found = quick_record(text)
    assert found is not None and found.teacher == json.loads(text)["teacher"]
    name, _, rest = text[1:].partition(",")
    assert quick_record("{" + name + "," + text[1:]) is None  # the first key twice
    assert rest and quick_record(text[:-1] + ', "of_a_later_version": 1}') is None
    assert quick_record(text.replace('"global"', '"4"')) is None


@pytest.mark.parametrize("end", [2**32 - 1, 2**32, 10**30])
def test_an_end_beyond_every_text_is_read_and_refused_later(end: int) -> None:
    """By the length of the text, which is not known to the record."""
    fields = json.loads(make_record().to_json())
    fields["spans"][-1][1] = end
    assert StepSums.from_json(json.dumps(fields)).spans[-1][1] == end


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["settings", "student", "part"])
def test_a_number_that_is_not_finite_is_refused_in_fields_of_any_kind(
    field: str, number: str
) -> None:
    fields = {**json.loads(make_record().to_json()), field: {"a": [{"b": "HERE"}]}}
    text = json.dumps(fields).replace('"HERE"', number)
    assert quick_record(text) is None
    with pytest.raises(DataError):
        StepSums.from_json(text)
