"""What a selection strategy declares, what it is given, and what it answers.

A strategy sees rows that passed the filters, with one number each that is better when higher,
whatever the metric's own direction. It knows nothing of students, files and hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.selection.pool import PoolRow

REQUIRED: Final = object()
"""The default of an option that has none."""


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
class Contest:
    """The n rows to choose from, in the order of the pool.

    Attributes:
        rows: n rows, at least one; those without a defined score are not among them if the
            strategy needs scores.
        goodness: (n,) the metric, turned so that higher is better; zeros if not needed.
        tokens: (n,) tokens of the responses; zeros if not needed.
        options: every declared option, parsed.
        seed: for strategies that draw.
        higher_is_better: the metric's own direction, for an option written on its own scale.
    """

    rows: tuple[PoolRow, ...]
    goodness: NDArray[np.float64]
    tokens: NDArray[np.int64]
    options: Mapping[str, Any]
    seed: int
    higher_is_better: bool = True

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
        positions: of the chosen rows in `Contest.rows`; each once, in any order.
        weights: position -> weight for the chosen ones; None if all weigh the same.
        reasons: position -> why it was not chosen, where the strategy's `otherwise` does not say.
        ties: decisions in which several candidates were equally good and the first row won.
    """

    positions: tuple[int, ...]
    weights: Mapping[int, float] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    ties: int = 0


@dataclass(frozen=True)
class Strategy:
    """A named way to choose.

    Attributes:
        name: as written after `strategy:`.
        description: one line.
        choose: contest -> choice.
        otherwise: why a row that was not chosen was not ("another response scored higher").
        needs: what the contest must hold: "scores", "tokens".
        options: its settings by name.
        source: paper and section, where there is one.
        check: (options, teachers of the pool, where) -> nothing, or a ConfigError at `where` if
            the options do not go together or with this pool. Asked before anything is scored.
        weighs: whether chosen rows may differ in weight. A trainer that cannot weigh rows then
            refuses the strategy before anything is scored.
    """

    name: str
    description: str
    choose: Callable[[Contest], Choice]
    otherwise: str
    needs: frozenset[Literal["scores", "tokens"]] = frozenset()
    options: Mapping[str, Option] = field(default_factory=dict)
    source: str = ""
    check: Callable[[Mapping[str, Any], Sequence[str], str], None] | None = None
    weighs: bool = False
