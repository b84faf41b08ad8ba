"""The built-in metrics by name. Each reads one scored response; none knows of teachers or files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.metrics import (
    controls,
    global_naturalness,
    global_step_naturalness,
    local_naturalness,
)
from lnat_plugins.metrics.base import GLOBAL, Metric, Ratings, Scored, UndefinedError

__all__ = [
    "GLOBAL", "METRICS", "Metric", "Ratings", "Scored", "UndefinedError", "get_metric",
]  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            local_naturalness.METRIC,
            global_naturalness.METRIC,
            global_step_naturalness.METRIC,
            *controls.CONTROLS,
        )
    }
)


def get_metric(name: str, metrics: Mapping[str, Metric] = METRICS) -> Metric:
    """The metric of that name among `metrics`.

    Raises:
        ConfigError: there is none; offers the nearest.
    """
    if name not in metrics:
        raise ConfigError(f"unknown metric {name!r}", remedy=did_you_mean(name, metrics))
    return metrics[name]
