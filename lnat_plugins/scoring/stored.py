"""What of a samples file is checked by type: a record's fields, read from JSON text at once.

`json` reads text into objects that pydantic then reads again; pydantic reads it in one pass, in a
fifth of the time. What it cannot do is refuse a duplicate key. So keys are counted: in the text,
and in what was read. Where the counts differ, or anything is wrong, the slow way decides.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)
from pydantic_core import from_json


def _text_or_whole_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("this must be text or a whole number")
    return value


Sample = Annotated[Any, AfterValidator(_text_or_whole_number)]

# JSON has lists where records hold tuples: strict about their entries only.
_Tuple = Field(strict=False)
# More tokens than 2^31 - 1 are no response's, and would not fit the arithmetic.
_LARGEST = 2**31 - 1
_Count = Annotated[NonNegativeInt, Field(le=_LARGEST)]
_Span = Annotated[tuple[NonNegativeInt, NonNegativeInt], _Tuple]
_Number = float | None
_Numbers = Annotated[tuple[_Number, ...], _Tuple]


class StoredRecord(BaseModel):
    """The fields of `StepSums` in JSON, where NaN is null. Keys of a later version are ignored."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    teacher: str
    sample: Sample
    spans: Annotated[tuple[_Span, ...], _Tuple] = Field(
        json_schema_extra={"must_be": "a list of [start, end] pairs of whole numbers"}
    )
    tokens: Annotated[tuple[Annotated[PositiveInt, Field(le=_LARGEST)], ...], _Tuple] = Field(
        json_schema_extra={"must_be": "a list of whole numbers from 1 to 2,147,483,647"}
    )
    sums: dict[str, _Numbers | None]
    totals: dict[str, _Number]
    undefined: dict[str, str]
    path: str
    settings: dict[str, Any]
    settings_hash: str
    splitter: str
    versions: dict[str, str]
    step_statistics: dict[str, _Numbers] = {}
    statistics: dict[str, _Number] = {}
    tag_tokens: Annotated[tuple[_Count, ...], _Tuple] = ()
    tag_sums: dict[str, _Numbers] = {}
    variants: dict[str, _Number] = {}
    calibration: dict[str, list[float]] = {}
    token_values: dict[str, Any] | None = None
    prompt_tokens: _Count = 0
    student: dict[str, Any] = {}
    ids_digest: str = ""
    part: dict[str, Any] = {}
    whole: dict[str, _Count] = {}

    def values(self) -> dict[str, Any]:
        """The fields, with NaN for null."""
        found = dict(vars(self))
        for name in ("sums", "step_statistics", "tag_sums"):
            for window, numbers in found[name].items():
                if numbers is not None and None in numbers:
                    found[name][window] = tuple(map(_nan_for_null, numbers))
        for name in ("totals", "statistics", "variants"):
            if None in found[name].values():
                found[name] = {key: _nan_for_null(one) for key, one in found[name].items()}
        return found


def _nan_for_null(value: float | None) -> float:
    return math.nan if value is None else value


_READ: Final = StoredRecord.__pydantic_validator__.validate_json
_SPACE_BEFORE_COLON: Final = re.compile(r'"[ \t\r\n]+:')


def quick_record(text: str) -> StoredRecord | None:
    """The record in JSON text; None where it must be read the slow way."""
    try:
        found: StoredRecord = _READ(text)
    except ValidationError:
        return None
    return found if _has_keys(text, _keys_of_fields(found)) else None


def quick_json(text: str) -> dict[str, Any] | None:
    """The object in JSON text; None where it must be read the slow way, or is none."""
    try:
        found = from_json(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and _has_keys(text, _keys(found)) else None


def _has_keys(text: str, count: float) -> bool:
    """Whether the text has so many keys; False too where that cannot be counted quickly.

    A key ends in a quote and a colon; one in a string has a backslash before it. Text such as
    `": "` within a string makes the count too large, never too small, so that equal counts prove
    that no key came twice.
    """
    in_strings = text.count('\\":') if "\\" in text else 0
    if text.count('":') - in_strings != count or (in_strings and '\\\\":' in text):
        return False
    return not _SPACE_BEFORE_COLON.search(text)


def _keys_of_fields(record: StoredRecord) -> float:
    fields = vars(record)
    count: float = len(record.model_fields_set)
    for name in _FLAT:
        count += len(fields[name])
    for name in _NESTED:
        if fields[name]:
            count += _keys(fields[name])
    return count


_FLAT: Final = (
    "sums", "totals", "undefined", "versions", "step_statistics", "statistics", "tag_sums",
    "variants", "calibration", "whole",
)  # fmt: skip
_NESTED: Final = ("settings", "student", "part", "token_values")


def _keys(value: dict[str, Any] | list[Any]) -> float:
    """The keys of all objects in a JSON object or list; NaN where a number is not finite."""
    count: float = 0
    inner: Any = value
    if type(value) is dict:
        count, inner = len(value), value.values()
    for one in inner:
        if type(one) is dict or type(one) is list:
            count += _keys(one)
        elif type(one) is float and not math.isfinite(one):
            return math.nan
    return count
