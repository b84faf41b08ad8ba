"""The built-in metrics, registered as any plugin registers its own."""

from __future__ import annotations

from lnat_plugins import Registry, hookimpl
from lnat_plugins.metrics import METRICS


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add every built-in metric, the controls too."""
    for metric in METRICS.values():
        registry.add_metric(metric)
