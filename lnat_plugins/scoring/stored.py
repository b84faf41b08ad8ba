"""A record in a samples file: its fields checked by type, and whether they fit each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import repeat
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from lnat_plugins.errors import DataError, validate
from lnat_plugins.files import RepeatedKeyError, is_finite, parse_json

SCORE_AGAIN: Final = (
    "score the responses again; the file was cut, edited, or written by another version"
)
_ROUNDING: Final = 1e-6
"""Nats a token by which rounding may put a log-probability above 0; relative, of a sum."""


def _text_or_whole_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("this must be text or a whole number")
    return value


Sample = Annotated[Any, AfterValidator(_text_or_whole_number)]


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    if not is_finite(value):
        raise ValueError("a number in it is not finite")
    return value


# JSON has lists where records hold tuples: strict about their entries only.
_Tuple = Field(strict=False)
# More tokens than 2^31 - 1 are no response's, and would not fit the arithmetic.
_LARGEST = 2**31 - 1
_Count = Annotated[NonNegativeInt, Field(le=_LARGEST)]
_Span = Annotated[tuple[NonNegativeInt, NonNegativeInt], _Tuple]
_Number = float | None
_Numbers = Annotated[tuple[_Number, ...], _Tuple]
_Values = Annotated[dict[str, Any], AfterValidator(_finite)]


class _StoredRecord(BaseModel):
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
    settings: _Values
    settings_hash: str
    splitter: str
    versions: dict[str, str]
    step_statistics: dict[str, _Numbers] = Field(default_factory=dict)
    statistics: dict[str, _Number] = Field(default_factory=dict)
    tag_tokens: Annotated[tuple[_Count, ...], _Tuple] = ()
    tag_sums: dict[str, _Numbers] = Field(default_factory=dict)
    variants: dict[str, _Number] = Field(default_factory=dict)
    calibration: dict[str, list[float]] = Field(default_factory=dict)
    token_values: dict[str, Any] | None = None
    prompt_tokens: _Count = 0
    student: _Values = Field(default_factory=dict)
    ids_digest: str = ""
    part: _Values = Field(default_factory=dict)
    whole: dict[str, _Count] = Field(default_factory=dict)

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


def read_fields(record: str | Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a record, by name, from `StepSums.to_json`'s text or the object parsed from it.

    Null is NaN. Raises DataError for fields of a wrong type, and for such that do not fit each
    other; names `where` and field.
    """
    parsed: object = record
    if isinstance(record, str):
        try:
            parsed = parse_json(record)
        except RepeatedKeyError as cause:
            raise DataError(f"record: {cause}", where=where, remedy=SCORE_AGAIN) from None
        except (ValueError, RecursionError):
            parsed = None
    if not isinstance(parsed, Mapping) or not {"spans", "tokens", "sums"} <= parsed.keys():
        raise DataError("not a scored record", where=where, found=record, remedy=SCORE_AGAIN)
    stored = validate(
        _StoredRecord, parsed, where=where, kind=DataError, key="record's field",
        prefix="record: ", remedy=SCORE_AGAIN,
    )  # fmt: skip
    fields = stored.values()
    _check_parts(fields, where)
    return fields


def _check_parts(record: Mapping[str, Any], where: str) -> None:
    """Args: `record` holds the fields of `StepSums` by their names."""

    def refuse(name: str, problem: str, found: object) -> DataError:
        what = f"the record's field {name!r} {problem}"
        return DataError(what, where=where, found=found, remedy=SCORE_AGAIN)

    spans, tokens, tags = record["spans"], record["tokens"], record["tag_tokens"]
    sums_of, totals, whole = record["sums"], record["totals"], record["whole"]
    n, end = len(spans), 0
    for start, after in spans:
        if start != end or after <= start:
            problem = f"does not tile the response: a step must begin at character {end}"
            raise refuse("spans", problem, [start, after])
        end = after
    if len(tokens) != n:
        raise refuse("tokens", f"does not hold a count for each of {n} steps", tokens)
    if sums_of.keys() != totals.keys():
        raise refuse("totals", "does not hold the windows of 'sums'", sorted(totals))
    n_tokens = sum(tokens)
    if whole:
        steps, all_tokens, ids = (whole.get(name, 0) for name in ("steps", "tokens", "ids"))
        read = n_tokens + sum(tags)
        if len(whole) != 3 or steps < n or not 1 <= all_tokens <= ids or ids < read:
            raise refuse("whole", "does not hold more than the prefix", dict(whole))
        if not record["settings"].get("prefix"):
            raise refuse("whole", "is there without a prefix in the settings", dict(whole))
    if tags and len(tags) != n:
        raise refuse("tag_tokens", f"does not hold a count for each of {n} steps", len(tags))
    for name, sums in record["tag_sums"].items():
        if len(sums) != n or name not in sums_of:
            raise refuse("tag_sums", f"does not hold a sum for each of {n} steps", name)
    unknown = set()
    for name, sums in record["step_statistics"].items():
        if len(sums) != n:
            problem = f"does not hold a sum for each of {n} steps in {name!r}"
            raise refuse("step_statistics", problem, sums)
        if math.isnan(sum(sums)):
            unknown.add(name)
    for name, sums in sums_of.items():
        total = totals[name]
        if sums is not None and len(sums) != n:
            problem = f"does not hold a sum for each of {n} steps in window {name!r}"
            raise refuse("sums", problem, sums)
        if math.isnan(total) or (sums is not None and math.isnan(sum(sums))):
            unknown.add(name)
    for single in (record["statistics"], record["variants"]):
        unknown.update(name for name, value in single.items() if value != value)
    for name in sorted(unknown - record["undefined"].keys()):
        problem = f"does not say why {name!r} is undefined"
        raise refuse("undefined", problem, dict(record["undefined"]))
    above = _ROUNDING * max(1, n_tokens)
    for name, sums in sums_of.items():
        total = totals[name]
        if sums is not None and not _near(total, math.fsum(sums)):
            raise refuse("totals", f"is not the sum of the steps in window {name!r}", total)
        if total > above:
            raise refuse("totals", f"holds a log-probability above 0 in window {name!r}", total)
    windows = [("sums", name, sums, tokens) for name, sums in sums_of.items()]
    windows += [("tag_sums", name, sums, tags) for name, sums in record["tag_sums"].items()]
    for field_name, name, sums, counts in windows:
        # quick where there is none, and where a NaN hides the largest it is looked for
        if not sums or max(sums) <= _ROUNDING:
            continue
        for one, count in zip(sums, counts or repeat(0), strict=False):
            if one > _ROUNDING * max(1, count):
                problem = f"holds a log-probability above 0 in window {name!r}"
                raise refuse(field_name, problem, one)
    for name, value in record["variants"].items():
        if value > _ROUNDING:
            raise refuse("variants", f"holds a log-probability above 0 in {name!r}", value)


def _near(total: float, steps: float) -> bool:
    """Whether both are the same sum, or both undefined."""
    if math.isnan(total) or math.isnan(steps):
        return math.isnan(total) and math.isnan(steps)
    return math.isclose(total, steps, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
