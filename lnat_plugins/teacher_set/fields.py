"""One value of a row, checked: text, names, verdict, sample, supplied steps.

Every check returns the value, or raises a DataError with file, row and column. No text is changed.
Conversations are read by `conversations`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.steps import supplied_spans


def known(value: Any) -> Any:
    """The value, or None for a NaN, by which pandas writes that there is none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def checked_text(value: Any, where: str) -> str:
    """Text that is neither empty nor blank, and that UTF-8 can hold."""
    if not isinstance(value, str):
        if known(value) is None:
            raise DataError("the value is null", where=where, remedy="fill it or remove the row")
        raise DataError(
            f"this must be text, not {type(value).__name__}",
            where=where, found=value, remedy="write it as text, or name another column",
        )  # fmt: skip
    if not value.strip():
        raise DataError(
            "the text is empty" if not value else "the text is nothing but white space",
            where=where, found=value, remedy="fill it or remove the row",
        )  # fmt: skip
    check_unicode(value, where)
    return value


def check_unicode(text: str, where: str) -> None:
    """Raise DataError for text that UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise DataError(
            f"a lone surrogate at character {cause.start}: no tokenizer can read it",
            where=where, found=text[max(0, cause.start - 10) : cause.end + 10],
            remedy="fix the row where it was written; half of an emoji is the usual cause",
            reason="a lone surrogate, which no tokenizer can read",
        ) from None  # fmt: skip


def check_json(value: Any, where: str) -> bool:
    """Whether JSON can hold a value. Raises DataError for text that UTF-8 cannot hold in it, and
    for values nested deeper than 100."""
    try:
        coded = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise too_deep(where) from None
    except (TypeError, ValueError):
        return False
    check_unicode(coded, where)
    # each level takes a bracket at least
    if coded.count("[") + coded.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise too_deep(where)
    return True


def too_deep(where: str) -> DataError:
    """The error for values that are nested deeper than what reads and writes JSON follows."""
    return DataError(
        f"values are nested deeper than {_DEEPEST}", where=where,
        remedy="flatten them, or leave them out", reason="values are nested too deep",
    )  # fmt: skip


def _depth(value: Any) -> int:
    """Levels of lists and objects."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, Mapping | list | tuple)]:
        depth += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
    return depth


_DEEPEST: Final = 100


_VERDICTS: Final[Mapping[str, bool | None]] = {
    "": None,
    **dict.fromkeys(("true", "yes", "correct", "right", "pass", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "incorrect", "wrong", "fail", "0", "0.0"), False),
}
"""Verdicts written as text, in lower case."""


def correctness(value: Any, where: str) -> bool | None:
    """True, False or None (not known: null, NaN, empty text).

    Verdicts are a boolean, 0 or 1, or one of the words of `_VERDICTS` in any case.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str) and value.strip().lower() in _VERDICTS:
        return _VERDICTS[value.strip().lower()]
    if isinstance(value, int | float):
        if value in (0, 1):
            return bool(value)
        if value != value:
            return None
    raise DataError(
        "`correct` must be a verdict", where=where, found=value,
        remedy="write true or false, 1 or 0, yes or no, correct or incorrect, pass or fail, or "
        "null; `columns: {correct: null}` ignores the column",
    )  # fmt: skip


def _whole(value: Any) -> Any:
    """A float that is a whole number as that number: pandas writes integers so beside a gap."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def name_text(value: Any, where: str) -> str:
    """A teacher's name or a prompt's id: text, or a whole number, written as text."""
    if isinstance(value, str):
        return checked_text(value, where)
    value = _whole(value)
    if isinstance(value, int) and not isinstance(value, bool) and _can_be_written(value):
        return str(value)
    return checked_text(value, where)


def _can_be_written(number: int) -> bool:
    """Python writes no number of more than 4,300 digits."""
    return number.bit_length() <= 10_000


def sample_key(value: Any, where: str) -> int | str | None:
    """The number or name of one of several responses of a teacher to a prompt."""
    value = _whole(value)
    if isinstance(value, str):
        check_unicode(value, where)
        return value
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and _can_be_written(value):
        return value
    raise DataError(
        "`sample` must be a whole number or text", where=where, found=value,
        remedy="number a teacher's answers 0, 1, ...; "
        "`columns: {sample: null}` ignores the column",
    )  # fmt: skip


def supplied_steps(value: Any, text: str, where: str, typed: bool = True) -> tuple[str, ...] | None:
    """The row's own steps: a list of text that joins to the response exactly."""
    if value is None or (not typed and value == ""):
        return None
    if not typed and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise DataError(
            "`steps` must be a list of text", where=where, found=value,
            remedy='write ["one step. ", "the next."]; `columns: {steps: null}` ignores the column',
        )  # fmt: skip
    supplied_spans(text, value, where)
    return tuple(value)
