"""The built-in strategies by name, one a file. None knows of students, files and hosts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lnat_plugins.selection.strategies import (
    balanced,
    best,
    best_teacher,
    longest,
    random,
    shortest,
    threshold,
    top_fraction,
    top_k,
    weighted,
)
from lnat_plugins.selection.strategy import Strategy

__all__ = ["STRATEGIES"]

STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        module.STRATEGY.name: module.STRATEGY
        for module in (
            best,
            top_k,
            top_fraction,
            threshold,
            best_teacher,
            weighted,
            balanced,
            random,
            shortest,
            longest,
        )
    }
)
