"""Whether teachers can be compared by a metric at all, and what is said where they cannot.

Knows nothing of figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.metrics import Metric, Scored
from lnat_plugins.ranking.cells import Cells


def check_metric(
    metric: Metric, metrics: Mapping[str, Metric], rows: Sequence[Scored], window: str
) -> None:
    """Refuse a metric without a direction, or whose window was not scored."""
    if metric.higher_is_better is None:
        directed = [name for name, each in metrics.items() if each.higher_is_better is not None]
        raise ConfigError(
            f"nothing can be ranked by {metric.name!r}: it describes, and has no better or worse",
            remedy=f"rank by one of {', '.join(directed)}",
        )
    read = metric.window_read(window)
    scored = {each for row in rows for each in row.record.sums}
    if read is not None and read not in scored:
        raise ConfigError(
            f"metric {metric.name!r} needs window {read!r}, which was not scored",
            remedy=did_you_mean(read, scored),
        )


def check_resampling(bootstrap_iters: int, seed: int) -> None:
    """Refuse numbers below 0."""
    for name, number in (("bootstrap_iters", bootstrap_iters), ("seed", seed)):
        if number < 0:
            raise ConfigError(f"{name} is below 0", found=number, remedy="give 0 or more")


def undefined_everywhere(cells: Cells) -> str:
    """The reasons, with counts, where no response has a value; "" where one has."""
    if len(cells.defined):
        return ""
    reasons: Counter[str] = Counter()
    for of_teacher in cells.undefined:
        reasons.update(of_teacher)
    return counted(reasons)


def counted(reasons: Mapping[str, int]) -> str:
    """Reason after reason, each with its count."""
    return "; ".join(f"{reason} ({count})" for reason, count in reasons.items())


def no_matched_prompt(cells: Cells, metric: Metric) -> DataError:
    """The error for a metric that no prompt has for every teacher."""
    everywhere = undefined_everywhere(cells)
    if everywhere:
        needs = f"score again with {metric.name} among the `metrics`" if metric.needs else ""
        return DataError(
            f"no response has a value of {metric.name}",
            found=everywhere,
            remedy=needs or "rank by another metric or window",
        )
    scored_T = np.isfinite(cells.values).sum(axis=0)
    least = int(scored_T.argmin())
    why = counted(cells.undefined[least])
    return DataError(
        f"no prompt has {metric.name} for every teacher, so that they cannot be compared",
        where=f"teacher {cells.teachers[least]!r}",
        found=f"{scored_T[least]} of {len(cells.values)} prompts scored"
        + (f"; undefined: {why}" if why else ""),
        remedy="leave that teacher out (--teachers), or score it on the prompts of the others",
    )
