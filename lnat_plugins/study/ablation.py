"""Which teachers carry the agreement: every metric's tau with teachers left out of the pool."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.formatting import plain
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.ranking.table import Bools, Floats
from lnat_plugins.study.agreement import Draws, estimates
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.resample import Estimate
from lnat_plugins.study.scores import MetricScores

_PAIRS_AT_ONCE: Final = 1 << 21


@dataclass(frozen=True)
class LeftOut:
    """The pool without some teachers.

    Attributes:
        name: the teacher, or the group's name.
        teachers: who is left out.
        tau: metric -> Kendall's tau-b of the others.
        change: metric -> that minus tau of the whole pool. Below 0: they carry the agreement.
            Above 0: they spoil it. The intervals of a metric hold for all that is left out at once,
            and so for its largest change; prompts, seeds and items are resampled, the teachers as
            they are.
    """

    name: str
    teachers: tuple[str, ...]
    tau: Mapping[str, float]
    change: Mapping[str, Estimate]


@dataclass(frozen=True)
class Ablation:
    """Of one student and family of tasks.

    Attributes:
        tau: metric -> Kendall's tau-b of the whole pool.
        without: a teacher each in order, then a group each.
    """

    tau: Mapping[str, float]
    without: tuple[LeftOut, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}

    def largest(self, metric: str) -> LeftOut | None:
        """What changes the metric's tau most; None if nothing changes it."""
        changing = [one for one in self.without if abs(one.change[metric].value) > 0]
        return max(changing, key=lambda one: abs(one.change[metric].value), default=None)


def ablation(
    outcomes: Outcomes,
    scores: MetricScores,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    draws: Draws | None = None,
) -> Ablation:
    """Leave out each teacher, and each group of teachers.

    Scores stay those on the prompts matched for the whole pool, so that a change comes from the
    order of the teachers alone. Metrics without such a prompt are left out; tau is NaN where fewer
    than two teachers are left or all tie; such resamples do not count.

    Args:
        groups: name -> teachers that are left out together.
        draws: of the `agreement` of the same teachers and metrics, behind the intervals; None =
            without these. With 20 teachers, 20 metrics and 10,000 resamples they take 3 seconds.

    Raises:
        DataError: a group names a teacher that was not trained on, or a teacher has no scores.
    """
    teachers = outcomes.teachers
    scores = scores.of(teachers)
    accuracy_1T = outcomes.means[outcomes.columns(teachers)][None]
    score_1T = {
        name: scores.means(index, used_P)
        for index, (name, used_P) in enumerate(zip(scores.metrics, scores.matched, strict=True))
        if used_P.any()
    }
    left_out: dict[str, tuple[str, ...]] = {name: (name,) for name in teachers}
    for group, members in (groups or {}).items():
        for name in members:
            if name not in teachers:
                raise DataError(
                    "a group names an unknown teacher", where=f"group {group!r}", found=name,
                    remedy=did_you_mean(name, teachers),
                )  # fmt: skip
        left_out[f"group {group}" if group in teachers else group] = tuple(members)

    def tau(without: Sequence[str]) -> dict[str, float]:
        kept = np.array([name not in without for name in teachers])
        known_1T = ranks(accuracy_1T[:, kept]).better
        return {
            name: float(tau_b(ranks(one_1T[:, kept]).better, known_1T)[0])
            for name, one_1T in score_1T.items()
        }

    whole = tau(())
    found = [tau(members) for members in left_out.values()]
    kept_LT = np.array([[name not in out for name in teachers] for out in left_out.values()])
    changes: dict[str, list[Estimate]] = {}
    for name in score_1T:
        values = [one[name] - whole[name] for one in found]
        if draws is None or name not in draws.scores:
            changes[name] = [Estimate(value, math.nan, math.nan) for value in values]
            continue
        without_BL = _taus(draws.scores[name], draws.accuracy, kept_LT)
        changes[name] = estimates(values, list((without_BL - draws.tau_fixed[name][:, None]).T))
    return Ablation(whole, tuple(
        LeftOut(name, members, found[i], {each: changes[each][i] for each in found[i]})
        for i, (name, members) in enumerate(left_out.items())
    ))  # fmt: skip


def _taus(scores_BT: Floats, accuracy_BT: Floats, kept_LT: Bools) -> Floats:
    """(B, L) tau-b of each row of resamples, of those teachers that are kept in each of L pools.

    The signs of all pairs are formed once: Σ over the pairs of a pool is half of kᵀ S k.
    """
    size, kept_TL = scores_BT.shape[1], kept_LT.T.astype(np.float32)
    found = np.full((len(scores_BT), len(kept_LT)), np.nan)
    step = max(1, _PAIRS_AT_ONCE // size**2)
    for start in range(0, len(scores_BT), step):
        part = slice(start, start + step)
        ours, theirs = (
            np.sign(better[:, :, None] - better[:, None, :]).astype(np.float32)
            for better in (
                ranks(np.nan_to_num(one[part])).better for one in (scores_BT, accuracy_BT)
            )
        )
        agreeing, ours_BL, theirs_BL = (
            ((signs.reshape(-1, size) @ kept_TL).reshape(-1, *kept_TL.shape) * kept_TL).sum(axis=1)
            for signs in (ours * theirs, ours * ours, theirs * theirs)
        )
        untied_BL = np.sqrt(ours_BL.astype(np.float64) * theirs_BL)
        np.divide(agreeing, untied_BL, out=found[part], where=untied_BL > 0)
    found[~np.isfinite(scores_BT).all(axis=1)] = np.nan
    return found
