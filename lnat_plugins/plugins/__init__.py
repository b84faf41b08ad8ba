"""Plugins: found, checked, and asked. There is no global manager; each load is a new one.

`load_plugins` takes them in order from the package itself, from installed packages (entry-point
group `lnat_plugins`), from the names in a configuration, and from objects in a program. Knows
nothing of hosts.
"""

from __future__ import annotations

from lnat_plugins.plugins.found import LoadedPlugin
from lnat_plugins.plugins.load import load_plugins
from lnat_plugins.plugins.loaded import Plugins
from lnat_plugins.plugins.teacher_sets import load_with_plugins, metrics_of, plugins_of

__all__ = [
    "LoadedPlugin",
    "Plugins",
    "load_plugins",
    "load_with_plugins",
    "metrics_of",
    "plugins_of",
]
