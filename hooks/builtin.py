"""The built-in splitters, metrics, strategies, loaders and the built-in choice of rows.

Registered as any plugin registers its own; the choice is called last, after every other plugin.
"""

from __future__ import annotations

from lnat_plugins import Registry, Selection, hookimpl
from lnat_plugins.metrics import METRICS
from lnat_plugins.selection import SelectionSpec, Student, choose
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.steps import SPLITTERS
from lnat_plugins.teacher_set import LOADERS, Candidates


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add every built-in loader, metric, splitter and strategy."""
    for splitter in SPLITTERS.values():
        registry.add_splitter(splitter)
    for metric in METRICS.values():
        registry.add_metric(metric)
    for strategy in STRATEGIES.values():
        registry.add_strategy(strategy)
    for loader in LOADERS.values():
        registry.add_loader(loader)


@hookimpl
def lnat_select(candidates: Candidates, student: Student, config: SelectionSpec) -> Selection:
    """Filters, then scores, then the block's strategy."""
    return choose(candidates, student, config)
