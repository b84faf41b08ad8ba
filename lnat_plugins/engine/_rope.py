"""Rotary positions whose meaning depends on how much is read at once."""

from __future__ import annotations

from typing import Any


def length_dependent_rope(config: Any) -> str:
    """ "longrope", "dynamic", or "" for a configuration whose positions mean one thing.

    With "longrope" a row beyond the original context is read with other frequencies, so rows
    of different lengths cannot share a pass. With "dynamic" the frequencies moreover stay as
    the longest row so far left them, so that a score depends on what was read before.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    each = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    return min({str(one.get("rope_type")) for one in each} & {"dynamic", "longrope"}, default="")
