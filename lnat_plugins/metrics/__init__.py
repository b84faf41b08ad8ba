"""The built-in metrics by name. Each reads scored responses; none knows of files and of hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.metrics import (
    aslec_casl,
    aslec_drop,
    car,
    controls,
    entropy,
    global_naturalness,
    global_step_naturalness,
    ifd,
    lark,
    local_naturalness,
    random,
    rsr,
    scas,
)
from lnat_plugins.metrics.base import GLOBAL, Metric, Ratings, Scored, UndefinedError

__all__ = [
    "ALL", "GLOBAL", "METRICS", "Metric", "Ratings", "Scored", "UndefinedError", "get_metric",
    "metrics_to_compare", "resolve_metrics",
]  # fmt: skip

ALL: Final = "all"
"""Stands for every metric there is, where metrics are named."""

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            local_naturalness.METRIC,
            global_naturalness.METRIC,
            global_step_naturalness.METRIC,
            aslec_drop.METRIC,
            aslec_drop.METRIC_2,
            aslec_casl.METRIC,
            aslec_casl.BY_TEACHER,
            rsr.METRIC,
            lark.METRIC,
            lark.TOP_50,
            scas.METRIC,
            entropy.METRIC,
            ifd.METRIC,
            car.METRIC,
            *controls.CONTROLS,
            random.METRIC,
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


def resolve_metrics(
    names: Sequence[str], metrics: Mapping[str, Metric], where: str
) -> tuple[Metric, ...]:
    """The metrics of those names, in their order; the one name "all" is every metric.

    Args:
        names: at least one, each once.
        metrics: name -> metric, all there are.
        where: who names them, for messages.

    Raises:
        ConfigError: an unknown name, with the nearest known one; a name twice; "all" beside
            others; no name.
    """
    if not names:
        raise ConfigError(
            "no metric is named", where=where, remedy=f"name one, or {ALL!r} for all of them"
        )
    if ALL in names:
        if len(names) > 1:
            raise ConfigError(
                f"{ALL!r} already stands for every metric",
                where=where,
                found=", ".join(names),
                remedy=f"name {ALL!r} alone, or leave it out",
            )
        return tuple(metrics.values())
    for place, name in enumerate(names):
        if name not in metrics:
            raise ConfigError(
                f"unknown metric {name!r}", where=where, remedy=did_you_mean(name, metrics)
            )
        if name in names[:place]:
            raise ConfigError(
                f"the metric {name!r} is named twice", where=where, remedy="name it once"
            )
    return tuple(metrics[name] for name in names)


def metrics_to_compare(
    names: Sequence[str], metrics: Mapping[str, Metric], where: str
) -> tuple[Metric, ...]:
    """As `resolve_metrics`, but "all" is every metric that has a better and a worse."""
    found = resolve_metrics(names, metrics, where)
    return tuple(one for one in found if ALL not in names or one.higher_is_better is not None)
