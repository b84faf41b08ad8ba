"""How far the order by the beginnings of the responses is the order by the whole ones.

What a prefix says of whole traces is an estimate, so its agreement is measured, never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import ConfigError
from lnat_plugins.formatting import number, plain, plural, with_span
from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.bootstrap import (
    RESAMPLES,
    check_resampling,
    known_rows,
    most_resamples,
    resampled_means,
    tau_interval,
)
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.ranking.table import ScoreTable, check_metric, score_table
from lnat_plugins.scoring.samples import ScoredSet

_ALIKE: Final = (
    "steps", "splitter", "markers", "target_delimiter", "chat_template", "system_instruction",
    "chat_template_kwargs", "observations",
)  # fmt: skip


@dataclass(frozen=True)
class PrefixAgreement:
    """The order of the teachers by a prefix, against that by whole responses.

    Attributes:
        task, student: of both.
        prefix: the part that was scored, as "512 tokens".
        metric, window: of both orders; the window is None if the metric reads none.
        tau: Kendall's tau-b of the teachers' figures, on the prompts where both have one for every
            teacher; NaN if there is none, or if all teachers tie.
        tau_low, tau_high: its interval over prompts; every resample draws the same for both.
        by_prefix, by_whole: teachers, best first, on these prompts.
        same_winner: share of these prompts with the same best teacher.
        prompts: how many these are.
        not_compared: why there is no agreement; "" if there is.
    """

    task: str
    student: str
    prefix: str
    metric: str
    window: str | None
    tau: float = math.nan
    tau_low: float = math.nan
    tau_high: float = math.nan
    by_prefix: tuple[str, ...] = ()
    by_whole: tuple[str, ...] = ()
    same_winner: float = math.nan
    prompts: int = 0
    not_compared: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found

    def in_words(self) -> str:
        """One sentence."""
        of = f"The first {self.prefix} against whole responses"
        if self.not_compared:
            return f"{of}, student {self.student}: not compared, {self.not_compared}."
        first = self.by_prefix[0]
        leads = (
            f"{first} is first by both"
            if first == self.by_whole[0]
            else f"{first} is first by the prefix, {self.by_whole[0]} by the whole"
        )
        return (
            f"{of}, student {self.student}, {self.metric}: Kendall's tau-b of both orders "
            f"{with_span(self.tau, self.tau_low, self.tau_high, 3)} over "
            f"{plural(len(self.by_whole), 'teacher')} and {plural(self.prompts, 'prompt')}; {leads}"
            f"; same best teacher on {number(self.same_winner, 3)} of the prompts."
        )


def prefix_agreement(
    prefix: ScoredSet,
    whole: ScoredSet,
    metric: Metric,
    window: str,
    *,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
) -> PrefixAgreement:
    """How far the order by a prefix of the responses agrees with that by all of them.

    Args:
        prefix, whole: the same teacher set scored for the same student, but for the prefix.
        metric, window: of both orders.
        bootstrap_iters, seed: of the interval.

    Raises:
        ConfigError: the first scores are of no prefix or the second of one, or as `rank`.
    """
    if not prefix.prefix or whole.prefix:
        raise ConfigError(
            "scores of a prefix are held against those of whole responses",
            found=", ".join(one.prefix or "whole" for one in (prefix, whole)),
            remedy="give the prefix's scores first, and then the whole ones",
        )
    for each in (prefix, whole):
        check_metric(metric, {metric.name: metric}, each.rows, window)
    about = (prefix.task, prefix.student, prefix.prefix, metric.name, metric.window_read(window))
    teachers = whole.teachers
    check_resampling(bootstrap_iters, seed, most_resamples(2 * len(teachers)))
    if why := _differing(prefix, whole):
        return PrefixAgreement(*about, not_compared=f"they differ in {why}")
    common = {*prefix.prompts} & {*whole.prompts}
    prompts = [one for one in whole.prompts if one in common]
    tables = [_table(each, prompts, teachers, metric, window) for each in (prefix, whole)]
    both_P = tables[0].matched & tables[1].matched
    if not both_P.any():
        return PrefixAgreement(*about, not_compared="no prompt has both for every teacher")
    columns = [table.columns(both_P) for table in tables]
    drawn_BC = resampled_means(np.concatenate(columns, axis=1), bootstrap_iters, seed)
    ends = np.split(drawn_BC, [columns[0].shape[1]], axis=1)
    scores_2T = np.stack([table.teacher_scores(both_P) for table in tables])
    drawn = [table.of_means(means_BC) for table, means_BC in zip(tables, ends, strict=True)]
    n_teachers = len(teachers)
    known_B2T = known_rows(np.concatenate(drawn, axis=1))
    better = [ranks(part).better for part in (known_B2T[:, :n_teachers], known_B2T[:, n_teachers:])]
    of_set_2T = ranks(scores_2T).better
    low, high = tau_interval(tau_b(*better))
    winners = [table.winners(both_P)[0] for table in tables]
    by_prefix, by_whole = (
        tuple(teachers[column] for column in np.argsort(-scores_T, kind="stable"))
        for scores_T in scores_2T
    )
    return PrefixAgreement(
        *about,
        tau=float(tau_b(of_set_2T[:1], of_set_2T[1:])[0]), tau_low=low, tau_high=high,
        by_prefix=by_prefix, by_whole=by_whole,
        same_winner=float((winners[0] == winners[1]).mean()), prompts=int(both_P.sum()),
    )  # fmt: skip


def _table(
    scored: ScoredSet, prompts: Sequence[str], teachers: Sequence[str], metric: Metric, window: str
) -> ScoreTable:
    kept = {*prompts}
    rows = [row for row in scored.rows if row.prompt_id in kept]
    return score_table(rows, prompts, teachers, metric, window)


def _differing(prefix: ScoredSet, whole: ScoredSet) -> str:
    """In what else the two differ; "" if in nothing."""
    names = [n for n in _ALIKE if prefix.settings.get(n) != whole.settings.get(n)]
    if {*prefix.teachers} != {*whole.teachers}:
        names.append("teachers")
    ids = [
        {(row.prompt_id, row.teacher, row.sample): row.record.ids_digest for row in each.rows}
        for each in (prefix, whole)
    ]
    if any(ids[0][key] != ids[1][key] for key in ids[0].keys() & ids[1].keys()):
        names.append("the responses' tokens")
    return ", ".join(names)
