"""The class of a task that a YAML names in place of the package's own: one derived from it.

The package's own is known by its name: importing it loads torch and the harness.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import PASSES_ON, ConfigError
from lnat_plugins.files import FunctionName, require_regular
from lnat_plugins.plugins.sources import import_file
from lnat_plugins.teacher_set.catalog import OWN_CLASSES

_BASE: Final = ("lnat_plugins.harness.task", "NaturalnessTask")


def check_own_class(config: Mapping[str, Any], path: str | Path) -> None:
    """Import the class that a teacher set's YAML names, unless it is the package's.

    It is found as lm-eval finds it: in a file beside the YAML, else in an installed module.

    Raises:
        ConfigError: it cannot be imported, or is not derived from `NaturalnessTask`.
    """
    named = config.get("class")
    if not isinstance(named, FunctionName) or named in OWN_CLASSES:
        return
    where = f"{path}: class"
    module, _, name = named.rpartition(".")
    file = named.folder / f"{module.replace('.', '/')}.py"
    require_regular(file, ConfigError, where)
    try:
        holder = import_file(file, where) if file.exists() else importlib.import_module(module)
        found = getattr(holder, name)
    except PASSES_ON:
        raise
    except BaseException as cause:  # whatever a module does while it is imported
        raise ConfigError(
            f"the class cannot be imported: {type(cause).__name__}: {cause}",
            where=where, found=named,
            remedy=f"correct it, or write `class: !function {OWN_CLASSES[0]}`",
        ) from cause  # fmt: skip
    bases = found.__mro__ if isinstance(found, type) else ()
    if _BASE not in ((base.__module__, base.__name__) for base in bases):
        raise ConfigError(
            "this is no class derived from NaturalnessTask", where=where, found=named,
            remedy="derive it: `from lnat_plugins.harness import NaturalnessTask`",
        )  # fmt: skip
