"""Tells which teacher's reasoning traces a given student would learn most from.

The public names, each loaded when it is first used: `import lnat_plugins` alone imports
neither torch nor any host. Knows nothing of how they work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lnat_plugins.api import Scores, load_teacher_set, score
    from lnat_plugins.hooks.trl_data import select_dataset
    from lnat_plugins.metrics import Metric, UndefinedError
    from lnat_plugins.plugins import load_plugins
    from lnat_plugins.plugins.hookspecs import hookimpl
    from lnat_plugins.plugins.registry import Registry
    from lnat_plugins.scoring.record import StepSums
    from lnat_plugins.selection import (
        Candidate,
        Candidates,
        Choice,
        Option,
        ScoredCandidates,
        Selection,
        SelectionSpec,
        Strategy,
        Student,
        choose,
    )
    from lnat_plugins.steps import Span, Splitter, tile
    from lnat_plugins.teacher_set import Loader, Row

__version__ = "0.1.0"
__all__ = [
    "Choice",
    "ScoredCandidates",
    "Loader",
    "Metric",
    "Option",
    "Candidates",
    "Candidate",
    "Registry",
    "Row",
    "Scores",
    "Selection",
    "SelectionSpec",
    "Span",
    "Splitter",
    "StepSums",
    "Strategy",
    "Student",
    "UndefinedError",
    "__version__",
    "choose",
    "hookimpl",
    "load_plugins",
    "load_teacher_set",
    "score",
    "select_dataset",
    "tile",
]

_HOME: Final = {
    "api": ("Scores", "load_teacher_set", "score"),
    "plugins.hookspecs": ("hookimpl",),
    "metrics": ("Metric", "UndefinedError"),
    "plugins": ("load_plugins",),
    "scoring.record": ("StepSums",),
    "plugins.registry": ("Registry",),
    "selection": (
        "Choice",
        "ScoredCandidates",
        "Option",
        "Candidates",
        "Candidate",
        "Selection",
        "SelectionSpec",
        "Strategy",
        "Student",
        "choose",
    ),
    "steps": ("Span", "Splitter", "tile"),
    "teacher_set": ("Loader", "Row"),
    "hooks.trl_data": ("select_dataset",),
}
_MODULE: Final = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lnat_plugins.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
