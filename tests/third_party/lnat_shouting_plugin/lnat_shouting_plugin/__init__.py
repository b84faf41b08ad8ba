"""A metric, a splitter, a strategy and a loader for lnat-plugins."""

from __future__ import annotations

from lnat_plugins import Registry, hookimpl
from lnat_shouting_plugin.loader import LOADER
from lnat_shouting_plugin.metric import METRIC
from lnat_shouting_plugin.splitter import SPLITTER
from lnat_shouting_plugin.strategy import STRATEGY


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add all four."""
    registry.add_metric(METRIC)
    registry.add_splitter(SPLITTER)
    registry.add_strategy(STRATEGY)
    registry.add_loader(LOADER)
