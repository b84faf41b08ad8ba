"""A metric of your own, in one file: the median of the step means instead of their mean.

Shows `@hookimpl` and `Metric`. One step that the student finds absurd pulls a mean down and
leaves a median where it is. It is computed from the sums that are already there: nothing is
scored again.

    lnat rank out --metric median_step --plugins examples/custom_metric.py
    lnat select out --metric median_step --plugins examples/custom_metric.py

In a `selection:` block, from the block's folder:

    selection:
      plugins: [custom_metric.py]
      metric: median_step

docs/plugins.md says what else a plugin can bring.
"""

from __future__ import annotations

import math
import statistics

from lnat_plugins import Metric, Registry, hookimpl
from lnat_plugins.scoring.record import StepSums


def median_step(record: StepSums, window: str) -> float:
    """The median of the step means in nats per token; NaN if the window has none."""
    sums = record.sums.get(window)
    if sums is None:
        return math.nan
    # A step may hold no token of its own; it has no mean.
    means = [total / count for total, count in zip(sums, record.tokens, strict=True) if count]
    if not means or any(map(math.isnan, means)):
        return math.nan
    return statistics.median(means)


@hookimpl
def lnat_register(registry: Registry) -> None:
    """Add the metric."""
    registry.add_metric(
        Metric(
            name="median_step",
            higher_is_better=True,
            scope="response",
            unit="nats per token",
            source="examples/custom_metric.py",
            aggregate="mean",
            compute=median_step,
            reads="window",
        )
    )
