"""What `lnat rank` prints of one task and student: settings, metrics compared, the ranking.

One metric gives its ranking; several, or "all", are compared first, and the ranking is that of the
first of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.bootstrap import RESAMPLES
from lnat_plugins.ranking.compare import Comparison, compare
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.reference import Reference
from lnat_plugins.ranking.result import Ranking
from lnat_plugins.ranking.table import RowsWithTables, check_metric
from lnat_plugins.scoring.chat import rendering_in_words
from lnat_plugins.scoring.samples import ScoredSet


@dataclass(frozen=True, repr=False)
class Leaderboard:
    """The ranking of one task's teachers for one student, and a comparison of several metrics.

    Attributes:
        scored: the rows ranked, and how they were scored.
        ranking: by the first metric.
        comparison: of all metrics requested; None for one.
    """

    scored: ScoredSet
    ranking: Ranking
    comparison: Comparison | None

    def __repr__(self) -> str:
        return f"<Leaderboard of task {self.scored.task}: {self.ranking!r}>"

    def to_markdown(self, *, brief: bool = False) -> str:
        """The text of `lnat rank`; `brief`: the verdict, the teachers, metrics compared."""
        scored, settings = self.scored, self.scored.settings
        of = f"task: {scored.task}, student: {scored.student}"
        prompts, metric = self.ranking.title()
        title = [
            f"{of}, {prompts}",
            f"steps: {scored.steps}, windows: {','.join(scored.windows)}, engine: "
            f"{','.join(scored.paths)}, settings: {scored.settings_hash}",
        ]
        if rendering := rendering_in_words(settings):
            title.append(f"rendering: {rendering}")
        if self.comparison is None:
            return self.ranking.to_markdown([*title, metric], brief=brief)
        if brief:  # the fit to the known order is that of the comparison's first line
            text = replace(self.ranking, reference=None).to_markdown(brief=True)
            return text + "\n" + self.comparison.to_markdown(brief=True)
        text = self.ranking.to_markdown([*title, metric])
        return text + "\n" + self.comparison.to_markdown([f"{of}, metrics compared:"])

    def as_dict(self) -> dict[str, Any]:
        """One entry of `ranking.json`: plain JSON values, NaN as None."""
        scored = self.scored
        compared = {} if self.comparison is None else {"comparison": self.comparison.as_dict()}
        return {
            "task": scored.task,
            "student": scored.student,
            "settings": dict(scored.settings),
            "settings_hash": scored.settings_hash,
            "splitter": scored.splitter,
            "engine": list(scored.paths),
            "files": list(scored.files),
            "left_aside": list(scored.skipped),
            "duplicates": scored.duplicates,
            **compared,
            "ranking": self.ranking.as_dict(),
        }


def leaderboard(
    scored: ScoredSet,
    metrics: Sequence[Metric],
    window: str,
    *,
    every: bool = False,
    known: Mapping[str, Metric],
    reference: Reference | None = None,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
) -> Leaderboard:
    """Rank the teachers by the first metric; compare the metrics where there are several.

    Args:
        metrics: at least one; each has a direction.
        window, reference, bootstrap_iters, seed: as for `rank`.
        every: whether the metrics are simply all there are: one that cannot be compared is then
            reported, and refused otherwise.
        known: name -> metric, all there are.

    Raises:
        ConfigError, DataError: as `rank`; a metric requested by name that cannot be compared.
    """
    first = metrics[0]
    rows = RowsWithTables(scored.rows)
    comparison = None
    if not every:
        for metric in metrics:
            check_metric(metric, known, rows, window)
    with scored.degenerate_meanwhile() as degenerate:
        if every or len(metrics) > 1:
            comparison = compare(
                rows, scored.prompts, metrics, window,
                bootstrap_iters=bootstrap_iters, seed=seed, reference=reference,
            )  # fmt: skip
            if not every and comparison.left_out:
                name, why = next(iter(comparison.left_out.items()))
                raise DataError(
                    f"metric {name!r} cannot be compared: {why}",
                    where=f"task {scored.task}",
                    remedy="name the others alone, or `all` for those that can be",
                )
            if every:
                first = known[comparison.metrics[0].metric]
        ranking = rank(
            rows, scored.prompts, first, window,
            bootstrap_iters=bootstrap_iters, seed=seed, reference=reference, metrics=known,
            texts=[row.text for row in scored.rows], degenerate=degenerate,
            unusable=scored.unusable, student=scored.student,
            prompts_in_set=scored.prompts_in_set, grown_from=scored.grown_from,
        )  # fmt: skip
    return Leaderboard(scored, ranking, comparison)
