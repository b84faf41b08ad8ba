"""Whether teachers can be compared by a metric at all, and what is said where they cannot.

Knows nothing of figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.metrics import Metric, Scored
from lnat_plugins.metrics.asked import score_again
from lnat_plugins.ranking.cells import Cells, Floats

_BY_ZERO: Final = "the denominators add up to 0"
_REWARD: Final = "give the rows a column `reward` and score again"


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


def not_gathered(metric: Metric, rows: Sequence[Scored]) -> bool:
    """Whether the scoring run was not asked for what the metric needs, and could have had it."""
    return any(
        metric.name not in (row.record.settings.get("metrics") or ())
        and (row.record.path != "loglikelihood" or name == "reward")
        and not any(name in held for held in (
            row.record.undefined, row.record.statistics, row.record.step_statistics
        ))
        for row in rows
        for name in metric.needs
    )  # fmt: skip


def cannot_compare(cells: Cells, metric: Metric, rows: Sequence[Scored]) -> str:
    """Why this metric cannot be set beside others, and what would help; "" if it can."""
    if metric.higher_is_better is None:
        return "it describes, and has no better or worse"
    if why := undefined_everywhere(cells):
        if not_gathered(metric, rows):
            return f"not gathered: {score_again('it')}"
        return f"{why}: {_REWARD}" if _without_reward(metric, rows) else why
    if cells.matched.any():
        figures_T = cells.figures(cells.columns(cells.matched).mean(axis=0))
        without = [name for name, known in zip(cells.teachers, np.isfinite(figures_T), strict=True)
                   if not known]  # fmt: skip
        return f"{_BY_ZERO} of {', '.join(without)}" if without else ""
    scored_T = np.isfinite(cells.values).sum(axis=0)
    least = int(scored_T.argmin())
    reasons = counted(cells.undefined[least])
    return f"no prompt has it for every teacher, least often {cells.teachers[least]}" + (
        f": {reasons}" if reasons else ""
    )


def none_compares(why: str, metrics: Sequence[Metric], rows: Sequence[Scored]) -> DataError:
    """The error where none of several metrics can be compared."""
    again = any(not_gathered(metric, rows) for metric in metrics)
    remedy = (
        score_again("those that you want") if again else "name other metrics, or another window"
    )
    return DataError(f"none of the metrics can be compared: {why}", remedy=remedy)


def no_figure(cells: Cells, metric: Metric, figures_T: Floats) -> DataError:
    """The error for a ratio of means whose denominators add up to 0 for a teacher."""
    without = cells.teachers[int(np.isfinite(figures_T).argmin())]
    return DataError(
        f"{metric.name} is undefined: {_BY_ZERO}",
        where=f"teacher {without!r}",
        remedy="leave that teacher out (--teachers), or rank by another metric",
    )


def no_matched_prompt(cells: Cells, metric: Metric, rows: Sequence[Scored]) -> DataError:
    """The error for a metric that no prompt has for every teacher."""
    everywhere = undefined_everywhere(cells)
    if everywhere:
        return DataError(
            f"no response has a value of {metric.name}",
            found=everywhere,
            remedy=_remedy(metric, rows),
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


def _remedy(metric: Metric, rows: Sequence[Scored]) -> str:
    if not_gathered(metric, rows):
        return score_again(metric.name)
    if _without_reward(metric, rows):
        return f"{_REWARD}, or rank by another metric"
    return "rank by another metric" + ("" if metric.needs else " or window")


def _without_reward(metric: Metric, rows: Sequence[Scored]) -> bool:
    return "reward" in metric.needs and any("reward" in row.record.undefined for row in rows)
