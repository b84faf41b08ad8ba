"""What was chosen, with a reason for every row that was not.

Knows nothing of how the choice came about.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lnat_plugins.errors import DataError

_REMEDY = "it was cut or edited; delete it to choose again"


def category(reason: str) -> str:
    """The part of a reason that many rows share: what stands before the first colon."""
    return reason.partition(":")[0]


def json_value(value: Any) -> Any:
    """The value as JSON has it: sequences as lists, keys and what JSON lacks as text."""
    if isinstance(value, Mapping):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    plain = value is None or isinstance(value, str | int)
    return value if plain or (isinstance(value, float) and math.isfinite(value)) else str(value)


@dataclass(frozen=True)
class Selection:
    """Which rows of a pool to train on. N rows in the pool, n of them chosen.

    Attributes:
        indices: n indices into the pool, ascending.
        weights: n weights, all 1.0 unless the strategy weighs rows.
        scores: N values of the metric; NaN where a row has none.
        reasons: index -> why the row was not chosen, N - n entries; "category: detail" or just
            a category.
        teachers: N names.
        prompts: N prompt ids.
        strategy: name of the strategy that decided.
        metric, window: what it went by; None if it needed no score. The window is None too for
            a metric that reads none.
        higher_is_better: the metric's direction; None without a metric.
        ties: decisions in which several rows were equally good and the first one won.
        settings: the whole selection block, defaults filled in (`SelectionSpec.written`).
        pool: the pool's fingerprint.
        student: the student's name.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]
    scores: tuple[float, ...]
    reasons: Mapping[int, str]
    teachers: tuple[str, ...]
    prompts: tuple[str, ...]
    strategy: str
    metric: str | None = None
    window: str | None = None
    higher_is_better: bool | None = None
    ties: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    pool: str = ""
    student: str = ""

    @property
    def weighted(self) -> bool:
        """Whether the chosen rows differ in weight."""
        return len(set(self.weights)) > 1

    @property
    def chosen_by_teacher(self) -> dict[str, int]:
        """Teacher -> rows chosen, every teacher of the pool, in order of first appearance."""
        chosen = Counter(self.teachers[i] for i in self.indices)
        return {teacher: chosen[teacher] for teacher in dict.fromkeys(self.teachers)}

    @property
    def left_out(self) -> dict[str, dict[str, int]]:
        """Category of reason -> teacher -> rows left out for it, most frequent category first."""
        found: dict[str, Counter[str]] = {}
        for index, reason in self.reasons.items():
            found.setdefault(category(reason), Counter())[self.teachers[index]] += 1
        ordered = sorted(found, key=lambda reason: -found[reason].total())
        return {reason: dict(found[reason]) for reason in ordered}

    def figures(self) -> dict[str, float]:
        """Flat numbers for a training log: counts, shares and mean scores."""
        scored = [score for score in self.scores if not math.isnan(score)]
        chosen = [s for i in self.indices if not math.isnan(s := self.scores[i])]
        out: dict[str, float] = {
            "lnat/candidates": len(self.scores),
            "lnat/chosen": len(self.indices),
            "lnat/prompts": len({self.prompts[i] for i in self.indices}),
            "lnat/ties": self.ties,
        }
        if scored:
            out["lnat/score_candidates"] = math.fsum(scored) / len(scored)
        if chosen:
            out["lnat/score_chosen"] = math.fsum(chosen) / len(chosen)
        for teacher, count in self.chosen_by_teacher.items():
            out[f"lnat/share/{teacher}"] = count / max(1, len(self.indices))
        return out

    def as_dict(self) -> dict[str, Any]:
        """JSON values; NaN becomes null. `from_dict` reads them back."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["scores"] = [None if math.isnan(score) else score for score in self.scores]
        values["reasons"] = {str(index): reason for index, reason in self.reasons.items()}
        for name in ("indices", "weights", "teachers", "prompts"):
            values[name] = list(values[name])
        values["settings"] = json_value(self.settings)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Selection:
        """Read what `as_dict` gave.

        Raises:
            DataError: no mapping, a part that is missing or of the wrong kind, or parts that do
                not fit each other.
        """
        if not isinstance(values, Mapping):
            raise DataError(
                "this is not a stored selection", where=where, found=values, remedy=_REMEDY
            )
        missing = [one.name for one in fields(cls) if one.name not in values]
        if missing:
            raise DataError(
                f"this is not a stored selection: it has no {', '.join(missing)}",
                where=where,
                remedy=_REMEDY,
            )
        try:
            found = {one.name: values[one.name] for one in fields(cls)} | {
                "indices": tuple(map(operator.index, values["indices"])),
                "weights": tuple(map(float, values["weights"])),
                "scores": tuple(
                    math.nan if score is None else float(score) for score in values["scores"]
                ),
                "reasons": {int(index): str(why) for index, why in values["reasons"].items()},
                "teachers": tuple(map(str, values["teachers"])),
                "prompts": tuple(map(str, values["prompts"])),
                "ties": operator.index(values["ties"]),
                "settings": dict(values["settings"]),
            }
        except (TypeError, ValueError, AttributeError) as cause:
            raise DataError(
                "a part of the stored selection is of the wrong kind",
                where=where,
                found=str(cause),
                remedy=_REMEDY,
            ) from None
        selection = cls(**found)
        if complaint := selection.complaint():
            raise DataError(complaint, where=where, remedy=_REMEDY)
        return selection

    def complaint(self) -> str:
        """What is wrong with the parts taken together; "" if nothing is."""
        size = len(self.scores)
        if not len(self.teachers) == len(self.prompts) == size:
            return f"{size} scores, {len(self.teachers)} teachers and {len(self.prompts)} prompts"
        if not {*self.indices, *self.reasons} <= set(range(size)):
            return f"an index is not a row of the pool of {size}"
        if list(self.indices) != sorted(set(self.indices)):
            return "the chosen indices are not ascending, each once"
        if len(self.weights) != len(self.indices):
            return f"{len(self.weights)} weights for {len(self.indices)} chosen rows"
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights):
            return "a weight is negative or not finite"
        if sorted([*self.indices, *self.reasons]) != list(range(size)):
            return "not every row is either chosen or has a reason why not"
        return ""
