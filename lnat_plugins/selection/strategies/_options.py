"""How strategies read their options: each raises ValueError with what is allowed.

Knows nothing of rows. A flag is not a number, and neither is text that looks like one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any


def whole(value: Any) -> int:
    """A whole number, 1 or more."""
    if not _is_whole(value) or value < 1:
        raise ValueError("a whole number, 1 or more")
    return int(value)


def number(value: Any) -> float:
    """Any finite number."""
    if not _is_number(value):
        raise ValueError("a number, in the metric's unit")
    return float(value)


def share(value: Any) -> Fraction:
    """A share above 0, at most 1; exactly as written, so that 7 % of 100 are 7."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError("a share of the rows, above 0 and at most 1")
    return Fraction(str(value))


def quota(value: Any) -> int | dict[str, int]:
    """The most rows of every teacher, or of each teacher named."""
    if _is_whole(value) and value >= 1:
        return int(value)
    if _is_by_teacher(value) and all(_is_whole(most) and most >= 0 for most in value.values()):
        return {teacher: int(most) for teacher, most in value.items()}
    raise ValueError(
        "a whole number, 1 or more, or a mapping of teachers to whole numbers, 0 or more"
    )


def teacher_mix(value: Any) -> dict[str, Fraction]:
    """Teacher -> share of the rows, exactly as written; the shares need not sum to 1."""
    if _is_by_teacher(value) and all(_is_number(part) and part > 0 for part in value.values()):
        return {teacher: Fraction(str(part)) for teacher, part in value.items()}
    raise ValueError("a mapping of teachers to shares above 0")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_by_teacher(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(name, str) for name in value)
    )
