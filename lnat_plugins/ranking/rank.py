"""Ranks teachers by one metric. Knows no files and no hosts.

All teachers are compared on the same prompts: those with a defined value for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking.bootstrap import Bootstrap, bootstrap
from lnat_plugins.ranking.cells import Cells, build_cells
from lnat_plugins.ranking.correlation import agreement, with_length
from lnat_plugins.ranking.notes import notes
from lnat_plugins.ranking.result import Ranking, TeacherRank
from lnat_plugins.ranking.winners import winners


def rank(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metric: Metric,
    window: str,
    *,
    bootstrap_iters: int = 10_000,
    seed: int = 1234,
) -> Ranking:
    """Teachers, best first by the metric's direction, with intervals, controls and notes.

    Teachers with equal means keep their order of first appearance.

    Args:
        rows: scored responses, at least one; each belongs to one of `prompts`.
        prompts: ids of all prompts, unscored ones included; coverage counts against these.
        metric: must have a direction.
        window: a scored window; metrics that read the global window ignore it.
        bootstrap_iters: resamples; 0 = no intervals.
        seed: of the resampling; the same seed gives the same intervals.

    Raises:
        ConfigError: the metric has no direction, the window was not scored, or a number of
            resamples or a seed below 0.
        DataError: no prompt has a defined value for every teacher.
    """
    _check(rows, metric, window, bootstrap_iters, seed)
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    cells = build_cells(rows, prompts, teachers, metric, window)
    used_P = cells.matched
    if not used_P.any():
        raise _no_matched_prompt(cells, metric)

    values_PT = cells.values[used_P]
    higher = bool(metric.higher_is_better)
    means_T = values_PT.mean(axis=0)
    order = np.argsort(-means_T if higher else means_T, kind="stable")
    winner_P, ties = winners(values_PT, cells.first_row[used_P], higher)
    boot = bootstrap(values_PT, higher, int(order[0]), bootstrap_iters, seed)
    other = _counterpart(metric)
    other_cells = build_cells(rows, prompts, teachers, other, window)
    ranking = Ranking(
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=higher,
        window=metric.window_read(window),
        teachers=tuple(
            _teacher(cells, boot, winner_P, int(order[0]), place, int(column))
            for place, column in enumerate(order, start=1)
        ),
        prompts=len(prompts),
        prompts_used=int(used_P.sum()),
        responses=len(rows),
        ties=ties,
        length=with_length(cells),
        agreement=agreement(metric, cells, other, other_cells, other.window_read(window)),
        bootstrap_iters=bootstrap_iters,
        seed=seed,
        notes=(),
    )
    return notes(ranking)


def _check(
    rows: Sequence[Scored], metric: Metric, window: str, bootstrap_iters: int, seed: int
) -> None:
    if metric.higher_is_better is None:
        directed = [name for name, each in METRICS.items() if each.higher_is_better is not None]
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
    for name, number in (("bootstrap_iters", bootstrap_iters), ("seed", seed)):
        if number < 0:
            raise ConfigError(f"{name} is below 0", found=number, remedy="give 0 or more")


def _no_matched_prompt(cells: Cells, metric: Metric) -> DataError:
    scored_T = (~np.isnan(cells.values)).sum(axis=0)
    least = int(scored_T.argmin())
    teacher, reasons = cells.teachers[least], cells.undefined[least]
    why = "; ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return DataError(
        f"no prompt has {metric.name} for every teacher, so that they cannot be compared",
        where=f"teacher {teacher!r}",
        found=f"{scored_T[least]} of {len(cells.values)} prompts scored"
        + (f"; undefined: {why}" if why else ""),
        remedy="leave that teacher out (--teachers), or score it on the prompts of the others",
    )


def _counterpart(metric: Metric) -> Metric:
    name = "local_naturalness" if metric.reads == "global" else "global_naturalness"
    return METRICS[name]


def _teacher(
    cells: Cells, boot: Bootstrap, winner_P: NDArray[np.int64], first: int, place: int, column: int
) -> TeacherRank:
    used_P = cells.matched
    values_P = cells.values[used_P, column]
    scored = int((~np.isnan(cells.values[:, column])).sum())
    mean = float(values_P.mean())
    return TeacherRank(
        rank=place,
        teacher=cells.teachers[column],
        mean=mean,
        median=float(np.median(values_P)),
        low=float(boot.low[column]),
        high=float(boot.high[column]),
        difference=mean - float(cells.values[used_P, first].mean()),
        difference_low=float(boot.difference_low[column]),
        difference_high=float(boot.difference_high[column]),
        p_best=float(boot.p_best[column]),
        win_rate=float((winner_P == column).mean()),
        scored_prompts=scored,
        coverage=scored / len(cells.values),
        responses=cells.responses[column],
        undefined=cells.undefined[column],
        controls={
            name: float(table_PT[used_P, column].mean())
            for name, table_PT in cells.controls.items()
        },
    )
