"""The built-in metrics by name, and the metrics that a setting names.

A metric turns scored responses into numbers. No metric knows of files, of hosts, of models, or of
how the statistics that it needs are gathered. Every metric's function takes a window; all but
`local_naturalness` ignore it, as they read the whole trace before a token, or only counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.metrics.aslec import ASLEC_CASL, ASLEC_CASL_BY_TEACHER, ASLEC_DROP, ASLEC_DROP2
from lnat_plugins.metrics.base import ALL, GLOBAL, Metric, Ratings, Scored, UndefinedError
from lnat_plugins.metrics.contrast import CONTRAST
from lnat_plugins.metrics.controls import CONTROLS, RANDOM
from lnat_plugins.metrics.lark import LARK, LARK_TOP50
from lnat_plugins.metrics.masters import MASTERS
from lnat_plugins.metrics.natural_thoughts import DISAGREEMENT, STRATEGY_COUNT, STRATEGY_DENSITY
from lnat_plugins.metrics.naturalness import (
    GLOBAL_NATURALNESS,
    GLOBAL_STEP_NATURALNESS,
    LOCAL_NATURALNESS,
)
from lnat_plugins.metrics.perplexity import CAR, ENTROPY, IFD, PERPLEXITY, RSR
from lnat_plugins.metrics.scas import SCAS
from lnat_plugins.scoring.record import RequestedMetrics

__all__ = ["ALL", "GLOBAL", "Metric", "Ratings", "Scored", "UndefinedError"]

_BUILT_IN = (
    LOCAL_NATURALNESS, GLOBAL_NATURALNESS, GLOBAL_STEP_NATURALNESS, ASLEC_DROP, ASLEC_DROP2,
    ASLEC_CASL, ASLEC_CASL_BY_TEACHER, RSR, LARK, LARK_TOP50, SCAS, PERPLEXITY, ENTROPY, IFD, CAR,
    MASTERS, CONTRAST, STRATEGY_COUNT, STRATEGY_DENSITY, DISAGREEMENT, *CONTROLS,
    RANDOM,
)  # fmt: skip
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _BUILT_IN})


def get_metric(name: str, metrics: Mapping[str, Metric] = METRICS, where: str = "") -> Metric:
    """The metric of that name; raises ConfigError, with the nearest known name, if there is none.

    Args:
        metrics: name -> metric, all there are.
        where: the setting that names it, for messages.
    """
    if not isinstance(name, str):
        raise ConfigError(
            "this must be the name of one metric", where=where or "metric", found=name,
            remedy="give one name; several are compared: `Scores.compare`, `lnat rank --metric`",
        )  # fmt: skip
    if name not in metrics:
        raise ConfigError(
            f"unknown metric {name!r}", where=where, remedy=did_you_mean(name, metrics)
        )
    return metrics[name]


def resolve_metrics(
    names: Sequence[str], metrics: Mapping[str, Metric], where: str
) -> tuple[Metric, ...]:
    """The metrics of those names, in their order; the one name "all" is every metric.

    Raises:
        ConfigError: no name, an unknown or a duplicate one, or "all" beside others.
    """
    if not names:
        raise ConfigError(
            "no metric is named", where=where, remedy=f"name one, or {ALL!r} for all of them"
        )
    if tuple(names) == (ALL,):
        return tuple(metrics.values())
    if ALL in names:
        raise ConfigError(
            f"{ALL!r} already stands for every metric", where=where, found=", ".join(names),
            remedy=f"name {ALL!r} alone, or leave it out",
        )  # fmt: skip
    found: dict[str, Metric] = {}
    for name in names:
        if name in found:
            raise ConfigError(f"duplicate metric name {name!r}", where=where, remedy="name it once")
        found[name] = get_metric(name, metrics, where)
    return tuple(found.values())


def metrics_to_compare(
    names: Sequence[str], metrics: Mapping[str, Metric], where: str
) -> tuple[Metric, ...]:
    """As `resolve_metrics`, but "all" is every metric that has a better and a worse."""
    found = resolve_metrics(names, metrics, where)
    return tuple(one for one in found if ALL not in names or one.higher_is_better is not None)


def request_metrics(
    names: Sequence[str], windows: Collection[str], metrics: Mapping[str, Metric], where: str
) -> RequestedMetrics:
    """As `resolve_metrics`, but "all" is every metric that the scored windows allow.

    Raises:
        ConfigError: as `resolve_metrics`; or a metric reads a window that is not in `windows`.
    """
    found = resolve_metrics(names, metrics, where)
    every = tuple(names) == (ALL,)
    unread = [one for one in found if one.reads == "global" and "global" not in windows]
    if unread and not every:
        raise ConfigError(
            f"metric {unread[0].name!r} reads the window 'global', which is not scored",
            where=where, found=", ".join(windows),
            remedy="add `global` to `windows`, or leave the metric out",
        )  # fmt: skip
    needs = {one.name: one.needs for one in found if one not in unread}
    return RequestedMetrics(needs, optional=every)


def check_prefix(metric: Metric, prefix: str, where: str) -> None:
    """Raises ConfigError for a metric of whole responses in a run that scores prefixes."""
    if prefix and not metric.of_prefix:
        raise ConfigError(
            f"metric {metric.name!r} needs whole responses", where=where, found=f"prefix: {prefix}",
            remedy="leave the prefix out, or choose another metric",
        )  # fmt: skip


def score_again(what: str) -> str:
    """The remedy where a metric's statistics were not gathered."""
    return (
        f"score again with {what} among the metrics (`naturalness: metrics:` in a teacher set's "
        "YAML, `metrics=` of `score()`)"
    )
