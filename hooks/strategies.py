"""The built-in selection strategies, registered as any plugin registers its own."""

from __future__ import annotations

from lnat_plugins import Registry, hookimpl
from lnat_plugins.selection.strategies import STRATEGIES


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add every built-in strategy."""
    for strategy in STRATEGIES.values():
        registry.add_strategy(strategy)
