"""What a record must hold, where its JSON text says something else than its type allows."""

from __future__ import annotations

import json

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record


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
    with pytest.raises(DataError, match=f"record: {field}: a number in it is not finite"):
        StepSums.from_json(text)


@pytest.mark.parametrize("key", ["teacher", "sums", "settings"])
def test_a_key_that_comes_twice_is_refused(key: str) -> None:
    text = make_record().to_json()
    value = json.dumps(json.loads(text)[key])
    with pytest.raises(DataError, match=f"record: duplicate key '{key}'"):
        StepSums.from_json(f'{{"{key}": {value}, {text[1:]}')


def test_a_key_of_a_later_version_is_ignored() -> None:
    text = make_record().to_json()
    assert StepSums.from_json(text[:-1] + ', "of_a_later_version": 1}') == StepSums.from_json(text)


@pytest.mark.parametrize(("value", "refused"), [(1e-6, False), (1.1e-6, True)])
def test_a_millionth_of_a_nat_above_zero_is_rounding(value: float, refused: bool) -> None:
    fields = {**json.loads(make_record().to_json()), "variants": {"steps line": value}}
    if refused:
        with pytest.raises(DataError, match="holds a log-probability above 0 in 'steps line'"):
            StepSums.from_json(fields)
    else:
        assert StepSums.from_json(fields).variants == {"steps line": value}
