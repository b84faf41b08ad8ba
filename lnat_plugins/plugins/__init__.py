"""Plugins: found, checked and called. There is no global manager; each load is a new one.

`load_plugins` takes them in order from the package itself, from installed packages (entry-point
group `lnat_plugins`), from the names in a configuration, and from objects in a program. This folder
imports no model, no lm-eval and no TRL.
"""

from __future__ import annotations

from lnat_plugins.plugins.configured import (
    init_with_plugins,
    load_with_plugins,
    metrics_of,
    plugins_of,
)
from lnat_plugins.plugins.load import LoadedPlugin, Plugins, load_plugins

__all__ = [
    "LoadedPlugin", "Plugins", "init_with_plugins", "load_plugins", "load_with_plugins",
    "metrics_of", "plugins_of",
]  # fmt: skip
