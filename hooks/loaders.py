"""The built-in loaders of files, registered as any plugin registers its own."""

from __future__ import annotations

from lnat_plugins import Registry, hookimpl
from lnat_plugins.teacher_set import LOADERS


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add every built-in loader."""
    for loader in LOADERS.values():
        registry.add_loader(loader)
