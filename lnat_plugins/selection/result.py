"""A selection: which rows are chosen, and a reason for every row that is not."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, FiniteFloat

from lnat_plugins.errors import ConfigError, DataError, LnatError, is_text, validate
from lnat_plugins.metrics.base import LARGEST
from lnat_plugins.steps.prefix import parse_prefix

_REMEDY: Final = "it was cut or edited; delete it to choose again"
_LISTS: Final = (
    "indices",
    "weights",
    "teachers",
    "prompts",
    "warnings",
    "sequence",
    "answers_only",
    "answers_left_whole",
)

_NUMBERS: Final = (
    "indices", "weights", "scores", "sequence", "answers_only", "answers_left_whole"
)  # fmt: skip
_OWN: Final = frozenset({int, float, type(None)})
_OF_ROWS: Final = ("weights", "scores", "teachers", "prompts")

# Categories of the reasons that filters give.
INCORRECT: Final = "`correct` is false"
CORRECT: Final = "`correct` is true"
NOT_GIVEN: Final = "`correct` is not given"
DUPLICATE: Final = "duplicate"
TOO_LONG: Final = "longer than max_length"
UNDEFINED: Final = "the score is undefined"
NARROW: Final = "below min_margin"
WHERE: Final = "its prompt does not meet `where`"
WEIGHTLESS: Final = "it has no weight"
SCRIPTED: Final = "it would be trained on a scripted turn"

FILTERED: Final = frozenset(
    {
        WHERE, INCORRECT, CORRECT, NOT_GIVEN, WEIGHTLESS, SCRIPTED, DUPLICATE, TOO_LONG, UNDEFINED,
        NARROW,
    }
)  # fmt: skip

NOT_DRAWN: Final = "not drawn by its weight"
"""Category of the rows that `resample` left out."""
"""Rows dropped for one of these could not be chosen by the strategy."""


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


@dataclass(frozen=True, repr=False)
class Selection:
    """Which of the candidates to train on: n rows of N.

    Attributes:
        indices: n indices into the candidates, ascending.
        weights: n weights, all 1.0 unless the strategy weighs rows.
        scores: N values of the metric; NaN where a row has none.
        reasons: index -> why the row was not chosen, N - n entries; "category: detail" or just
            a category.
        teachers: N names.
        prompts: N prompt ids.
        strategy: name of the strategy that decided.
        metric, window: what rows were scored by; None if no score was needed. The window is None
            too for a metric that reads none.
        higher_is_better: the metric's direction; None without a metric.
        ties: decisions in which several rows were equally good and the first one won.
        settings: the whole selection block, defaults filled in (`SelectionSpec.written`).
        pool: the candidates' fingerprint.
        student: the student's name.
        degenerate: teacher -> kind of degenerate response -> chosen rows of that kind; only counts
            above 0.
        degenerate_eligible: kind -> its share among the `eligible` rows (exact, or estimated in a
            large set), only for kinds that one of the warnings names.
        warnings: what speaks against training on these rows, a sentence or more each.
        sequence: the rows of the training set as indices, in its order, each as often as it stands
            there; empty where that is just `indices`.
        training_notes: in what training reads chosen rows otherwise than a reader would expect ->
            number of rows; see `Student.training_notes`.
        answers_only: indices of the chosen rows that are trained on without their thinking
            (`mix_answers`), ascending; scores and lengths are of the whole responses.
        answers_left_whole: indices of the chosen rows of easy prompts that stay whole, as their
            thinking cannot be taken apart, ascending.
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
    degenerate: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    degenerate_eligible: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    training_notes: Mapping[str, int] = field(default_factory=dict)
    sequence: tuple[int, ...] = ()
    answers_only: tuple[int, ...] = ()
    answers_left_whole: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<Selection of {len(self.indices)} of {len(self.scores)} rows by {self.strategy}>"

    @property
    def weighted(self) -> bool:
        """Whether the chosen rows differ in weight."""
        return len(set(self.weights)) > 1

    @property
    def mixes_answers(self) -> bool:
        """Whether some of the rows were to be trained on by their answers alone."""
        return bool(self.answers_only or self.settings.get("mix_answers"))

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the training set as indices, in its order, each as often as it is there."""
        return self.sequence or self.indices

    @property
    def row_weights(self) -> tuple[float, ...]:
        """The weights of `rows`."""
        weight_of = dict(zip(self.indices, self.weights, strict=True))
        return tuple(weight_of[index] for index in self.rows)

    @property
    def eligible(self) -> tuple[int, ...]:
        """Indices of the rows that passed the filters, chosen or not, by their reasons."""
        dropped = {i for i, reason in self.reasons.items() if category(reason) in FILTERED}
        return tuple(index for index in range(len(self.scores)) if index not in dropped)

    @property
    def chosen_by_teacher(self) -> dict[str, int]:
        """Teacher -> rows of the training set, for every teacher, in order of first appearance."""
        chosen = Counter(self.teachers[i] for i in self.rows)
        return {teacher: chosen[teacher] for teacher in dict.fromkeys(self.teachers)}

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """Category of reason -> teacher -> rows not chosen for it, most frequent category first."""
        found: dict[str, Counter[str]] = {}
        for index, reason in self.reasons.items():
            found.setdefault(category(reason), Counter())[self.teachers[index]] += 1
        ordered = sorted(found, key=lambda reason: -found[reason].total())
        return {reason: dict(found[reason]) for reason in ordered}

    def figures(self) -> dict[str, float]:
        """Flat numbers for a training log: counts, shares and mean scores of the training set."""
        scored = [score for score in self.scores if not math.isnan(score)]
        chosen = [s for i in self.rows if not math.isnan(s := self.scores[i])]
        out: dict[str, float] = {
            "lnat/candidates": len(self.scores),
            "lnat/chosen": len(self.rows),
            "lnat/prompts": len({self.prompts[i] for i in self.indices}),
            "lnat/ties": self.ties,
        }
        if len(self.rows) > len(self.indices):
            out["lnat/distinct"] = len(self.indices)
        if scored:
            out["lnat/score_candidates"] = math.fsum(scored) / len(scored)
        if chosen:
            out["lnat/score_chosen"] = math.fsum(chosen) / len(chosen)
        if self.mixes_answers:
            only = {*self.answers_only}
            out["lnat/answers_only"] = sum(index in only for index in self.rows)
        if self.settings.get("prefix"):
            prefix = parse_prefix(self.settings["prefix"])
            out[f"lnat/prefix_{prefix.unit}"] = prefix.count
        for teacher, count in self.chosen_by_teacher.items():
            out[f"lnat/share/{teacher}"] = count / max(1, len(self.rows))
        return out

    def as_dict(self) -> dict[str, Any]:
        """JSON values; NaN becomes null. `from_dict` reads them back."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["scores"] = [None if math.isnan(score) else score for score in self.scores]
        values["reasons"] = {str(index): reason for index, reason in self.reasons.items()}
        values["settings"] = json_value(self.settings)
        return values | {name: list(values[name]) for name in _LISTS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Selection:
        """Read what `as_dict` gave; other keys are ignored.

        Raises:
            DataError: no mapping, a part that is missing or of the wrong type, or parts that do
                not fit each other.
        """
        if not isinstance(values, Mapping):
            raise DataError(
                "this is not a stored selection", where=where, found=values, remedy=_REMEDY
            )
        # Older files do not have these.
        later: dict[str, Any] = {
            **{name: {} for name in ("degenerate", "degenerate_eligible", "training_notes")},
            **{name: [] for name in _LISTS[4:]},
        }
        values = {**later, **values}
        names = [one.name for one in fields(cls)]
        if missing := [name for name in names if name not in values]:
            what = f"this is not a stored selection: it has no {', '.join(missing)}"
            raise DataError(what, where=where, remedy=_REMEDY)
        return cls._read({name: values[name] for name in names}, where, DataError, _REMEDY)

    def plain(self, where: str = "") -> Selection:
        """With Python's own numbers in place of others, numpy's for example.

        Raises:
            ConfigError: a part of the wrong type, or parts that do not fit each other.
        """
        values = self.as_dict()
        for name in _NUMBERS:
            if not _OWN.issuperset(map(type, values[name])):
                values[name] = [_plain(value) for value in values[name]]
        values["ties"] = _plain(values["ties"])
        found = self._read(values, where, ConfigError, "fix the plugin")
        try:
            short = {name: values[name] for name in values if name not in _OF_ROWS}
            json.dumps(short, ensure_ascii=False).encode()
        except ValueError as cause:  # halves of characters, thousands of digits
            what = f"a part cannot be written: {cause}"
            raise ConfigError(what, where=where, remedy="fix the plugin") from None
        return found

    @classmethod
    def _read(
        cls, values: Mapping[str, Any], where: str, kind: type[LnatError], remedy: str
    ) -> Selection:
        stored = validate(_Stored, values, where=where, kind=kind, remedy=remedy)
        found = stored.model_dump() | {
            "scores": tuple(math.nan if score is None else score for score in stored.scores),
            # What is no index becomes one that no row has.
            "reasons": {int(i) if i.isdecimal() else -1: why for i, why in stored.reasons.items()},
        }
        selection = cls(**found | {name: tuple(found[name]) for name in _LISTS})
        if problem := selection.problem():
            raise kind(problem, where=where, remedy=remedy)
        return selection

    def problem(self) -> str:
        """What is wrong with the parts taken together; "" if nothing is."""
        size = len(self.scores)
        if not len(self.teachers) == len(self.prompts) == size:
            return f"{size} scores, {len(self.teachers)} teachers and {len(self.prompts)} prompts"
        if not {*self.indices, *self.reasons} <= set(range(size)):
            return f"an index is not one of the {size} candidates"
        if list(self.indices) != sorted(set(self.indices)):
            return "the chosen indices are not ascending, each once"
        if len(self.weights) != len(self.indices):
            return f"{len(self.weights)} weights for {len(self.indices)} chosen rows"
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights):
            return "a weight is negative or not finite"
        if any(abs(float(number)) > LARGEST for number in (*self.scores, *self.weights)):
            return f"a score or a weight is beyond {LARGEST:g}"
        if not all(map(is_text, self.reasons.values())):
            return "a reason is no text"
        if sorted([*self.indices, *self.reasons]) != list(range(size)):
            return "not every row is either chosen or has a reason why not"
        easy = [*self.answers_only, *self.answers_left_whole]
        if not {*easy} <= set(self.indices) or len({*easy}) < len(easy):
            return "rows of easy prompts are not chosen, or named twice"
        if self.sequence and set(self.sequence) != set(self.indices):
            return "the sequence of the training set holds other rows than the chosen ones"
        return ""


def _plain(value: Any) -> Any:
    """A number of another library as Python's own."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


class _Stored(BaseModel):
    """A selection as JSON has it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    indices: list[int]
    weights: list[float]
    scores: list[float | None]
    reasons: dict[str, str]
    teachers: list[str]
    prompts: list[str]
    strategy: str
    metric: str | None
    window: str | None
    higher_is_better: bool | None
    ties: int
    settings: dict[str, Any]
    pool: str
    student: str
    degenerate: dict[str, dict[str, int]]
    degenerate_eligible: dict[str, FiniteFloat]
    warnings: list[str]
    training_notes: dict[str, int]
    sequence: list[int]
    answers_only: list[int]
    answers_left_whole: list[int]
