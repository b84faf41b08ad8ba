"""What `lnat rank` prints of one task and student: settings, metrics compared, the ranking.

One metric gives its ranking; several, or "all", are compared first, and the ranking is that of the
first of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.compare import Comparison, compare, comparison_to_markdown
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.reference import Reference
from lnat_plugins.ranking.result import Ranking, to_markdown
from lnat_plugins.ranking.table import check_metric
from lnat_plugins.scoring.samples import ScoredSet


@dataclass(frozen=True)
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

    def to_markdown(self) -> str:
        """The text of `lnat rank`."""
        scored = self.scored
        text = to_markdown(self.ranking, self._title())
        if self.comparison is None:
            return text
        title = [f"task: {scored.task}, student: {scored.student}, metrics compared:"]
        return comparison_to_markdown(self.comparison, title) + "\n" + text

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

    def _title(self) -> list[str]:
        scored, ranking = self.scored, self.ranking
        direction = "higher" if ranking.higher_is_better else "lower"
        return [
            f"task: {scored.task}, student: {scored.student}, prompts: {ranking.prompts_used} of "
            f"{ranking.prompts}, responses: {ranking.responses}",
            f"steps: {scored.settings.get('steps')} ({scored.splitter}), windows: "
            f"{','.join(scored.windows)}, engine: {','.join(scored.paths)}, "
            f"settings: {scored.settings_hash}",
            *_rendering(scored.settings),
            f"metric: {ranking.metric} ({ranking.unit}, {direction} is better), bootstrap_iters: "
            f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
        ]


def _rendering(settings: Mapping[str, Any]) -> list[str]:
    """How prompts were rendered; nothing where the settings do not say."""
    if "chat_template" not in settings:
        return []
    template = settings["chat_template"]
    text = f"chat template (digest {template})" if template else "plain text"
    system = settings.get("system_instruction")
    return [f"rendering: {text}" + (", with a system instruction" if system else "")]


def leaderboard(
    scored: ScoredSet,
    metrics: Sequence[Metric],
    window: str,
    *,
    every: bool = False,
    known: Mapping[str, Metric],
    reference: Reference | None = None,
    bootstrap_iters: int = 10_000,
    seed: int = 1234,
) -> Leaderboard:
    """Rank the teachers by the first metric; compare the metrics where there are several.

    Args:
        scored: the rows to rank.
        metrics: at least one; each has a direction.
        window: a scored window.
        every: whether the metrics are simply all there are: one that cannot be compared is then
            counted, and refused otherwise.
        known: name -> metric, all there are.
        reference: a known order of the teachers.
        bootstrap_iters, seed: of the intervals.

    Raises:
        ConfigError, DataError: as `rank`; a metric requested by name that cannot be compared.
    """
    first = metrics[0]
    comparison = None
    if not every:
        for metric in metrics:
            check_metric(metric, known, scored.rows, window)
    if every or len(metrics) > 1:
        comparison = compare(
            scored.rows, scored.prompts, metrics, window,
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
        scored.rows, scored.prompts, first, window,
        bootstrap_iters=bootstrap_iters, seed=seed, reference=reference, metrics=known,
        texts=[row.text for row in scored.rows], student=scored.student,
    )  # fmt: skip
    return Leaderboard(scored, ranking, comparison)
