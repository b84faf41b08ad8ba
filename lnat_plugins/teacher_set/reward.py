"""The reward that a row may carry. Knows nothing of what is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lnat_plugins.errors import DataError


def reward_of(extra: Mapping[str, Any], where: str) -> float | None:
    """The row's column `reward`, or None if it has none.

    Args:
        extra: the row's columns that are no fields of a response.
        where: file and row, for messages.

    Raises:
        DataError: it is no finite number.
    """
    value = extra.get("reward")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise DataError("column 'reward' is not a number", where=where, found=value)
    return float(value)
