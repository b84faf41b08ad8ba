"""Metrics' scores of the teachers, prompt by prompt, on the rows that the students are trained on.

Shapes: M metrics, T teachers, P prompts, B resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.ranking.table import Bools, Floats, Ints, ScoreTable


@dataclass(frozen=True, eq=False)
class MetricScores:
    """Per-prompt scores, higher = better.

    A teacher's score is the mean over the matched prompts, which are those where every teacher has
    a finite value of that metric, as in `ranking.table`; with `denominators` it is the mean of the
    values divided by that of the denominators.

    Attributes:
        metrics, teachers: M and T names, each once.
        values: (M, T, P); NaN where undefined.
        denominators: (M, T, P), for metrics that are ratios of means; 1 for all others. None if no
            metric is a ratio.
        prompt_set: the name of the prompts. Objects with equal names and as many prompts are
            resampled alike where several are pooled.

    Raises:
        DataError: shapes that do not fit, or a name twice.
    """

    metrics: tuple[str, ...]
    teachers: tuple[str, ...]
    values: Floats
    denominators: Floats | None = None
    prompt_set: str = "prompts"

    def __post_init__(self) -> None:
        """Check what is given."""
        shape = (len(self.metrics), len(self.teachers))
        arrays = [self.values, *([] if self.denominators is None else [self.denominators])]
        for array in arrays:
            fits = array.ndim == 3 and array.shape[:2] == shape and array.shape[2] > 0
            if not all(shape) or not fits or array.shape != self.values.shape:
                raise DataError(
                    "scores need a value by metric, teacher and prompt",
                    found=f"{shape[0]} metrics, {shape[1]} teachers, shape {array.shape}",
                    remedy="give an array (metrics, teachers, prompts)",
                )
        for names in (self.metrics, self.teachers):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise DataError(
                    "a metric or a teacher is named twice", found=twice[0],
                    remedy="give each once",
                )  # fmt: skip

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, ScoreTable], prompt_set: str = "prompts"
    ) -> MetricScores:
        """Of tables over the same prompts and teachers, which `ranking.table.score_table` makes.

        Args:
            tables: name -> table; a metric has a name for each window.
        """
        teachers = next(iter(tables.values())).teachers
        values = np.stack([table.parts[0].T for table in tables.values()])
        below = np.ones_like(values)
        for index, table in enumerate(tables.values()):
            if table.teachers != teachers:
                raise DataError(
                    "tables of different teachers", where=f"metric {table.metric.name}",
                    found=table.teachers, remedy="score every metric for the same teachers",
                )  # fmt: skip
            if len(table.parts) == 2:
                below[index] = table.parts[1].T
        return cls(tuple(tables), teachers, values, below, prompt_set)

    @property
    def matched(self) -> Bools:
        """(M, P) the prompts where every teacher has a finite value."""
        finite_MTP = np.isfinite(self.values)
        if self.denominators is not None:
            finite_MTP &= np.isfinite(self.denominators) & (self.denominators != 0)
        return np.asarray(finite_MTP.all(axis=1))

    def of(self, teachers: Sequence[str]) -> MetricScores:
        """The same for these teachers, in this order.

        Raises:
            DataError: a teacher without scores.
        """
        for name in teachers:
            if name not in self.teachers:
                raise DataError(
                    "a teacher without scores", found=name,
                    remedy=did_you_mean(name, self.teachers),
                )  # fmt: skip
        kept = [self.teachers.index(name) for name in teachers]
        below = self.denominators
        return replace(
            self, teachers=tuple(teachers), values=self.values[:, kept],
            denominators=None if below is None else below[:, kept],
        )  # fmt: skip

    def means(self, metric: int, used_P: Bools, counts_BP: Ints | None = None) -> Floats:
        """(B, T) the teachers' scores by one metric over those prompts.

        Args:
            metric: its index.
            used_P: matched prompts of the metric, or fewer.
            counts_BP: how often each prompt of all P is drawn; by default once.

        Returns:
            NaN where no such prompt is drawn, or a ratio's denominators add up to 0.
        """
        weights_BP = np.ones((1, used_P.sum())) if counts_BP is None else counts_BP[:, used_P]
        above_BT = weights_BP @ self.values[metric][:, used_P].T
        below_BT = np.broadcast_to(weights_BP.sum(axis=1, keepdims=True), above_BT.shape)
        if self.denominators is not None:
            below_BT = weights_BP @ self.denominators[metric][:, used_P].T
        found = np.full(above_BT.shape, np.nan)
        np.divide(above_BT, below_BT, out=found, where=below_BT != 0)
        return found
