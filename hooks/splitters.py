"""The built-in splitters, registered as any plugin registers its own."""

from __future__ import annotations

from lnat_plugins import Registry, hookimpl
from lnat_plugins.steps import SPLITTERS


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add every built-in splitter."""
    for splitter in SPLITTERS.values():
        registry.add_splitter(splitter)
