"""`utility`: what a small update on a teacher's rows changes on the text of all teachers.

For each teacher the student gets a small update (by default one step of the optimizer on one batch,
the same prompts for all teachers, constant learning rate), and is scored at held-out prompts before
and after it. With R_u(p) the responses of teacher u at prompt p that are not known to be wrong, and
ℓ(y) = 1/|y| · Σ_t log p(y_t | x, y_<t) (`global_naturalness`):

    utility of teacher t at prompt p = mean over teachers u of mean over y in R_u(p) of
                                       ℓ after the update on t − ℓ before it        nats per token

Higher = better: the update made the responses of all teachers more probable. It is the finite form
of an influence, and costs a training and a pass over all teachers' held-out rows for each teacher.
It is measured on the same teachers' text that it is to judge, a teacher's own included, so it is a
metric like the others and no independent truth.

How large an update must be is not known beforehand: a small one is drowned by rounding, a large one
shows another part of the loss. So some teachers are trained longer too, by the study's own settings
on their rows at all prompts that are not held out, and the learning rate is taken whose changes
order most pairs of these teachers as the longer training does; of several the smallest, whose
change is nearest to the derivative. The agreement of the rate that is chosen is the highest of
several, and so is too high by chance; the longer changes serve for nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from lnat_plugins.formatting import markdown_table, number, plain, plural
from lnat_plugins.study.spec import Utility

UTILITY: Final = "utility"
BEFORE: Final = "before"
LONGER: Final = "longer"
_TRL_BATCH: Final = 8


@dataclass(frozen=True)
class RateAgreement:
    """The changes by one learning rate against those by the longer training.

    Attributes:
        learning_rate: of the update.
        pairs: share of the pairs of sampled teachers in the same order, ties half; NaN for one.
        signs: share of the sampled teachers whose change has the same sign.
        changes: teacher -> mean over the held-out prompts.
    """

    learning_rate: float
    pairs: float
    signs: float
    changes: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """Which update was chosen for one student, and by what.

    Attributes:
        chosen: the rate that serves for all teachers.
        rates: all that were tried, ascending.
        longer: teacher -> change by the longer training.
        pairs: how many pairs of teachers that is.
        needed: the least agreement that counts as calibrated.
        updates, longer_updates: of a teacher's update, and of the longer training.
    """

    chosen: RateAgreement
    rates: tuple[RateAgreement, ...]
    longer: Mapping[str, float]
    pairs: int
    needed: float
    updates: int
    longer_updates: int

    @property
    def reached(self) -> bool:
        """Whether enough pairs agree."""
        return self.chosen.pairs >= self.needed

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {
            "reached": self.reached,
            **{name: plain(value) for name, value in vars(self).items()},
        }

    def in_words(self) -> str:
        """One or two sentences of a verdict."""
        sampled = plural(len(self.longer), "teacher")
        if not self.pairs:
            return f"The step of {UTILITY} could not be calibrated: it takes two teachers."
        best = f", the highest of {len(self.rates)} learning rates" if len(self.rates) > 1 else ""
        rate = f"{self.chosen.learning_rate:g}"
        found = (
            f"at {rate}{best}, {number(self.chosen.pairs, 2)} of {plural(self.pairs, 'pair')} of "
            f"{sampled} are in the order after {plural(self.longer_updates, 'update')}, and "
            f"{number(self.chosen.signs, 2)} of the changes have its sign"
        )
        if self.reached:
            return f"The step of {UTILITY} is calibrated: {found}."
        return (
            f"The step of {UTILITY} could not be calibrated ({number(self.needed, 2)} is needed): "
            f"{found}. Its figures are those of this step alone.{self._further()}"
        )

    def _further(self) -> str:
        """Where a better rate may lie, if the chosen one is the first or the last of several."""
        for end, word in ((self.rates[-1], "larger"), (self.rates[0], "smaller")):
            if len(self.rates) > 1 and self.chosen is end:
                return f" It is the end of what was tried: {word} `learning_rates` may agree more."
        return ""

    def to_markdown(self) -> str:
        """A line a learning rate."""
        after = f"order after {plural(self.longer_updates, 'update')}"
        rows = [
            [
                f"{one.learning_rate:g}", number(one.pairs, 2), number(one.signs, 2),
                "chosen" if one is self.chosen else "",
            ]
            for one in self.rates
        ]  # fmt: skip
        headers = [f"{UTILITY}: learning rate", f"pairs in the {after}", "signs", ""]
        return markdown_table(headers, rows, left=1)


def settings_of(
    utility: Utility, rates: Sequence[float], sft: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Learning rate in words -> TRL's settings of the small update.

    One batch holds all rows, in parts no larger than the study's own batches.
    """
    given = sft.get("per_device_train_batch_size", _TRL_BATCH)
    # TRL refuses what is no number, in the longer training.
    batch = min(given, utility.rows) if isinstance(given, int) and given > 0 else utility.rows
    return {
        f"{rate:g}": {
            "max_steps": utility.updates, "learning_rate": rate, "lr_scheduler_type": "constant",
            "warmup_steps": 0, "per_device_train_batch_size": batch, "dataloader_drop_last": False,
            "gradient_accumulation_steps": math.ceil(utility.rows / batch),
        }
        for rate in rates
    }  # fmt: skip


def changes(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Held-out prompt -> what an update changes; NaN where it left no value."""
    return {prompt: after.get(prompt, math.nan) - value for prompt, value in before.items()}


def read_calibration(
    before: Mapping[str, Any] | None, sampled: Mapping[str, Mapping[str, Any] | None],
    utility: Utility,
) -> Calibration | None:  # fmt: skip
    """From what the units wrote; None if one of them is not done.

    Args:
        before: the student as it is.
        sampled: teacher -> after each of its trainings.
        utility: the study's settings.
    """
    means: dict[str, dict[str, float]] = {}
    for teacher, one in sampled.items():
        if before is None or one is None:
            return None
        for name, after in one["log_probs"].items():
            of_prompt = changes(after, before["log_probs"][BEFORE])
            means.setdefault(name, {})[teacher] = float(np.mean([*of_prompt.values()]))
    by_rate = {rate: means[f"{rate:g}"] for rate in utility.learning_rates}
    return calibrate(by_rate, means[LONGER], utility)


def calibrate(
    by_rate: Mapping[float, Mapping[str, float]], longer: Mapping[str, float], utility: Utility
) -> Calibration:
    """Choose the learning rate.

    Args:
        by_rate: learning rate -> sampled teacher -> change by the small update.
        longer: sampled teacher -> change by the longer training.
        utility: the study's settings.
    """
    pairs = list(combinations(longer, 2))
    rates = []
    for rate, of in sorted(by_rate.items()):
        same = [_same(of[one] - of[other], longer[one] - longer[other]) for one, other in pairs]
        signs = [_same(of[teacher], longer[teacher]) for teacher in longer]
        agreeing = float(np.mean(same)) if same else math.nan
        rates.append(RateAgreement(rate, agreeing, float(np.mean(signs)), dict(of)))
    # The first of those with the highest agreement: the smallest.
    chosen = max(rates, key=lambda one: -1.0 if math.isnan(one.pairs) else one.pairs)
    return Calibration(
        chosen, tuple(rates), dict(longer), len(pairs), utility.agreement, utility.updates,
        utility.longer,
    )  # fmt: skip


def _same(one: float, other: float) -> float:
    """1 for equal signs, 0 for opposite ones, half where either is 0."""
    return float(1 + np.sign(one) * np.sign(other)) / 2
