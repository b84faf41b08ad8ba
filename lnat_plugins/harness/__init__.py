"""lm-evaluation-harness: the naturalness task, its requests and its results.

The only part of the package that imports lm_eval. A task's YAML names the class::

    class: !function lnat_plugins.harness.NaturalnessTask
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lnat_plugins.errors import ConfigError, did_you_mean, nearest
from lnat_plugins.harness.command import is_command, plain_errors
from lnat_plugins.harness.definitions import check_command

if TYPE_CHECKING:
    from lnat_plugins.harness.task import NaturalnessTask

__all__ = ["NaturalnessTask"]


def __getattr__(name: str) -> Any:
    """The task's class; the command reads the teacher sets that it names when it looks it up."""
    if name != "NaturalnessTask":
        near = not name.startswith("_") and nearest(name, __all__)
        if near and is_command():  # a YAML's `class:`; the harness would end in a traceback
            with plain_errors():
                what = f"there is no class {name!r} in lnat_plugins.harness"
                raise ConfigError(
                    what, where="a YAML's `class`", remedy=did_you_mean(name, __all__)
                )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if is_command():
        with plain_errors():
            check_command(tuple(sys.argv))
    return import_module("lnat_plugins.harness.task").NaturalnessTask
