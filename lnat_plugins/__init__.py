"""Tells which teacher's reasoning traces a given student would learn most from.

The public names, each loaded when it is first used: `import lnat_plugins` alone imports
neither torch nor any host. Knows nothing of how they work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lnat_plugins.teacher_set import load_teacher_set

__version__ = "0.1.0"
__all__ = ["__version__", "load_teacher_set"]

_HOME: Final = {"load_teacher_set": "lnat_plugins.teacher_set"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
