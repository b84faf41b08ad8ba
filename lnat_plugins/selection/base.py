"""A selection strategy: its options, the scored rows that it gets, and the choice that it makes.

Also what the built-in strategies share: how options are read, and the highest of several values
with ties counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from typing import Any, Final, Literal

import numpy as np

from lnat_plugins.errors import NAME_RULE, ConfigError, class_and_text, is_name, is_text, require
from lnat_plugins.ranking.table import TIE, Floats, Ints
from lnat_plugins.teacher_set.prompts import Candidate

KEYS: Final = (
    "strategy", "metric", "window", "windows", "steps", "markers", "prefix", "turns",
    "observations", "require_correct", "max_length", "min_margin", "where", "drop_duplicates",
    "weights", "resample", "order", "seed", "mix_answers", "columns", "teacher_set", "plugins",
)  # fmt: skip
"""Keys of every selection block. The options of the strategy stand beside them."""

REQUIRED: Final = object()
"""The default of an option that must be given."""

TIED: Final = "an equally good row comes first"
"""The reason of a row that lost a tie."""


@dataclass(frozen=True)
class Option:
    """One setting of a strategy, written beside `strategy:` in a `selection:` block.

    Attributes:
        parse: the value as written -> the value as used; raises ValueError, whose text says what
            is allowed ("a whole number, 1 or more").
        default: used as it is where nothing is written; `REQUIRED` if something must be.
        help: one line for `lnat select --help`.
    """

    parse: Callable[[Any], Any]
    default: Any
    help: str


@dataclass(frozen=True)
class ScoredCandidates:
    """The n rows to choose from, each with a score that is better when higher.

    Attributes:
        rows: n rows, at least one, in the order of the data; those without a defined score are
            not among them if the strategy needs scores.
        scores: (n,) the metric, negated if lower is better; zeros if not needed.
        tokens: (n,) tokens of the responses; zeros if not needed.
        options: every declared option, parsed.
        seed: for strategies that draw or resample.
        higher_is_better: the metric's own direction, for an option in the metric's unit.
        parts: (2, n) numerators and denominators of a metric whose figure for several rows is a
            ratio of means, as the metric gives them (not negated); None for a plain mean.
    """

    rows: tuple[Candidate, ...]
    scores: Floats
    tokens: Ints
    options: Mapping[str, Any]
    seed: int
    higher_is_better: bool = True
    parts: Floats | None = None

    @cached_property
    def by_prompt(self) -> tuple[tuple[int, ...], ...]:
        """Positions (0 … n-1) of the rows of each prompt, prompts in order of appearance."""
        groups: dict[str, list[int]] = {}
        for position, row in enumerate(self.rows):
            groups.setdefault(row.prompt_id, []).append(position)
        return tuple(map(tuple, groups.values()))

    @cached_property
    def teachers(self) -> tuple[str, ...]:
        """Teachers of the rows, in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))


@dataclass(frozen=True)
class Choice:
    """What a strategy chose.

    Attributes:
        positions: of the chosen rows in `ScoredCandidates.rows`; each once, in any order.
        weights: position -> weight for the chosen ones; None if all weigh the same.
        reasons: position -> why it was not chosen, where it is not the strategy's
            `default_reason`; "category: detail" or just a category.
        ties: decisions in which several candidates were equally good and the first row won.
    """

    positions: tuple[int, ...]
    weights: Mapping[int, float] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    ties: int = 0


@dataclass(frozen=True)
class Strategy:
    """A named rule that chooses rows to train on.

    Attributes:
        name: as written after `strategy:`; lower-case letters, digits and underscores.
        description: one line.
        choose: scored candidates -> choice. What it returns is checked where it is used.
        default_reason: why a row was not chosen ("another response scored higher").
        needs: what the candidates must hold: "scores", "tokens".
        options: its settings by name.
        source: paper and section, where there is one.
        check: (options, teachers of the candidates, where) -> nothing, or a ConfigError at
            `where` if the options do not fit each other or these teachers. Called before anything
            is scored.
        weighs: whether chosen rows may differ in weight. A trainer that cannot weigh rows then
            refuses the strategy before anything is scored.
        owner: the plugin that registered the strategy, for messages; set by the registry.

    Raises:
        ConfigError: a field that is not as above; names the strategy and the field.
    """

    name: str
    description: str
    choose: Callable[[ScoredCandidates], Choice]
    default_reason: str
    needs: frozenset[Literal["scores", "tokens"]] = frozenset()
    options: Mapping[str, Option] = field(default_factory=dict)
    source: str = ""
    check: Callable[[Mapping[str, Any], Sequence[str], str], None] | None = None
    weighs: bool = False
    owner: str = ""

    def __post_init__(self) -> None:
        must = partial(require, "strategy", self)
        must("name", is_name(self.name), NAME_RULE)
        must("description", is_text(self.description), "one line of text")
        must("choose", callable(self.choose), "a function")
        must("default_reason", is_text(self.default_reason), "text: why a row was not chosen")
        needs: Any = self.needs
        known = isinstance(needs, frozenset) and needs <= {"scores", "tokens"}
        must("needs", known, 'a frozenset of "scores" and "tokens", or of neither')
        options: Any = self.options
        mapping = "a mapping of names to `Option`s"
        must("options", isinstance(options, Mapping), mapping)
        for name, option in options.items():
            must("options", is_name(name), f"named: {NAME_RULE}")
            unlike_keys = f"named unlike the selection's own keys ({name!r} is one)"
            must("options", name not in KEYS, unlike_keys)
            must("options", isinstance(option, Option), mapping)
            must("options", callable(option.parse), f"parsed by a function ({name!r} is not)")
        must("source", isinstance(self.source, str), "text")
        check: object = self.check
        must("check", check is None or callable(check), "a function, or None")
        must("weighs", isinstance(self.weighs, bool), "True or False")

    def failed(self, cause: BaseException) -> ConfigError:
        """The error for an exception in one of the strategy's functions."""
        what = f"strategy {self.name} failed: {class_and_text(cause)}"
        return ConfigError(what, where=self.owner, remedy="fix the strategy")


def whole_number(value: Any) -> int:
    """Parse a whole number, 1 or more."""
    if not _is_whole(value, 1):
        raise ValueError("a whole number, 1 or more")
    return int(value)


def number(value: Any) -> float:
    """Parse a finite number."""
    if not _is_number(value):
        raise ValueError("a number, in the metric's unit")
    return float(value)


def share(value: Any) -> Fraction:
    """Parse a share above 0, at most 1; exact, so that 0.07 of 100 rows are 7."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError("a share of the rows, above 0 and at most 1")
    return Fraction(str(value))


def quota(value: Any) -> int | dict[str, int]:
    """Parse the most rows of every teacher, or of each teacher named."""
    if _is_whole(value, 1):
        return int(value)
    if _is_by_teacher(value) and all(_is_whole(most, 0) for most in value.values()):
        return dict(value)
    raise ValueError(
        "a whole number, 1 or more, or a mapping of teachers to whole numbers, 0 or more"
    )


def teacher_mix(value: Any) -> dict[str, Fraction]:
    """Parse teacher -> share of the rows, exact; the shares need not sum to 1."""
    if _is_by_teacher(value) and all(_is_number(part) and part > 0 for part in value.values()):
        return {teacher: Fraction(str(part)) for teacher, part in value.items()}
    raise ValueError("a mapping of teachers to shares above 0")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_by_teacher(value: Any) -> bool:
    names = value if isinstance(value, Mapping) else ()
    return bool(names) and all(isinstance(name, str) for name in names)


def tolerance(value: float) -> float:
    """How far from `value` another may be and still be equal to it but for rounding."""
    return TIE * max(1.0, abs(value))


def top(values: Floats | Ints, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions of the `count` highest values (or of all), and of others that tie with the last.

    Both ascending; of equal values the first ones are chosen.
    """
    if count >= len(values):
        return tuple(range(len(values))), ()
    cut = float(np.partition(values, -count)[-count])
    above = np.flatnonzero(values > cut + tolerance(cut))
    level = np.flatnonzero(np.abs(values - cut) <= tolerance(cut))
    room = count - len(above)
    chosen = sorted((*above.tolist(), *level[:room].tolist()))
    return tuple(chosen), tuple(level[room:].tolist())


def choose_top(values: Floats, count: int) -> Choice:
    """The `count` rows with the highest values, whatever their prompts; a tie at the cut is one."""
    chosen, tied = top(values, count)
    return Choice(chosen, reasons=dict.fromkeys(tied, TIED), ties=int(bool(tied)))


def choose_per_prompt(
    candidates: ScoredCandidates,
    values: Floats | Ints,
    count: int = 1,
    teachers: Sequence[str] | None = None,
) -> Choice:
    """The `count` rows of each prompt with the highest `values` (n,); a tie at its cut is one.

    With `teachers`, of their rows only: a prompt without one gives none.
    """
    positions: list[int] = []
    reasons: dict[int, str] = {}
    ties = 0
    groups: Iterable[Sequence[int]] = candidates.by_prompt
    if teachers is not None:
        rows = candidates.rows
        groups = ([i for i in group if rows[i].teacher in teachers] for group in groups)
    for group in filter(None, groups):
        chosen, tied = top(values[list(group)], count)
        positions += [group[i] for i in chosen]
        reasons |= {group[i]: TIED for i in tied}
        ties += bool(tied)
    return Choice(tuple(positions), reasons=reasons, ties=ties)
