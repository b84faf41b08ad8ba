"""`balanced`: the best row of each prompt, but no more of a teacher than its part.

Knows nothing of how the optimum is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.selection.strategies import _options
from lnat_plugins.selection.strategies._assignment import assign
from lnat_plugins.selection.strategies._cells import Cells, cells_of
from lnat_plugins.selection.strategies._counts import Counts, in_shares, under_quotas
from lnat_plugins.selection.strategies._top import TIED, near
from lnat_plugins.selection.strategy import Choice, Contest, Option, Strategy


def balanced(contest: Contest) -> Choice:
    """One row a prompt: first for as many prompts as possible, then the largest total goodness.

    With `quota`, no teacher gives more rows than its quota; one that a mapping does not name has
    none. With `teacher_mix`, the chosen rows have those shares of teachers as nearly as whole
    numbers allow (largest remainder), and a teacher that is not named gives no row. With neither,
    all teachers of the contest have equal shares.

    The optimum is exact, not greedy: a teacher's rows go to the prompts where they gain most over
    what else could stand there. Of a teacher's equally good rows for a prompt the first is taken;
    of equally good assignments one that prefers rows at the front. Each prompt for which a choice
    as good was left counts as one tie.

    Raises:
        DataError: no row of a teacher in `teacher_mix` passed the filters.
    """
    cells, counts = _parts(contest)
    column_P, tied_P = assign(cells.values, cells.places, counts)
    (prompts,) = np.nonzero(column_P < len(cells.teachers))
    columns = column_P[prompts]
    tied_P[prompts] |= cells.tied[prompts, columns]
    chosen = dict(zip(prompts.tolist(), cells.rows[prompts, columns].tolist(), strict=True))
    given_T = np.bincount(columns, minlength=len(cells.teachers)).tolist()
    given = dict(zip(cells.teachers, given_T, strict=True))
    reasons = {
        position: _why_not(contest, position, chosen.get(prompt), given)
        for prompt, positions in enumerate(contest.by_prompt)
        for position in positions
        if position != chosen.get(prompt)
    }
    return Choice(tuple(chosen.values()), reasons=reasons, ties=int(tied_P.sum()))


def _parts(contest: Contest) -> tuple[Cells, Counts]:
    """The rows of the teachers that may give some, and how many each of them gives."""
    quota, mix = contest.options["quota"], contest.options["teacher_mix"]
    if quota is not None:
        cells = cells_of(contest, contest.teachers)
        by_teacher = quota if isinstance(quota, Mapping) else dict.fromkeys(cells.teachers, quota)
        most = [by_teacher.get(teacher, len(cells.rows)) for teacher in cells.teachers]
        return cells, under_quotas(cells.rows >= 0, most)
    shares = mix or dict.fromkeys(contest.teachers, Fraction(1))
    for teacher in shares:
        if teacher not in contest.teachers:
            raise DataError(
                "no row of a teacher in `teacher_mix` passed the filters",
                where="strategy 'balanced'",
                found=teacher,
                remedy="loosen the filters, or leave the teacher out of the mix",
            )
    cells = cells_of(contest, [teacher for teacher in contest.teachers if teacher in shares])
    whole = sum(shares.values())
    return cells, in_shares(cells.rows >= 0, [shares[name] / whole for name in cells.teachers])


def _why_not(contest: Contest, position: int, chosen: int | None, given: Mapping[str, int]) -> str:
    """Why this row of a prompt is not the chosen one; `given` is teacher -> rows chosen."""
    teacher = contest.rows[position].teacher
    if teacher not in given:
        return "its teacher is not in teacher_mix"
    if chosen is None:
        used_up = contest.options["quota"] is not None
        return "its prompt got no row: " + (
            "the quotas of its teachers are used up"
            if used_up
            else "with more rows the shares of teachers could not be kept"
        )
    lead = contest.goodness[position] - contest.goodness[chosen]
    equal = near(float(contest.goodness[chosen]))
    if lead < -equal:
        return STRATEGY.otherwise
    if lead <= equal and chosen < position:
        return TIED
    return (
        f"its teacher's part is used up: {teacher} gives {given[teacher]} to prompts that need it "
        "more"
    )


def _check(options: Mapping[str, Any], teachers: Sequence[str], where: str) -> None:
    if None not in (options["quota"], options["teacher_mix"]):
        raise ConfigError(
            "`quota` and `teacher_mix` exclude each other", where=where, remedy="keep one of them"
        )
    for option in ("quota", "teacher_mix"):
        named = options[option] if isinstance(options[option], Mapping) else {}
        for teacher in named:
            if teacher not in teachers:
                raise ConfigError(
                    "no row is by this teacher",
                    where=f"{where}: {option}",
                    found=teacher,
                    remedy=did_you_mean(teacher, teachers),
                )


STRATEGY = Strategy(
    name="balanced",
    description="the best row of each prompt, with every teacher held to its part of the rows",
    choose=balanced,
    otherwise="another response to the prompt scored better",
    needs=frozenset({"scores"}),
    options={
        "quota": Option(_options.quota, None, "the most rows of each teacher, or {teacher: most}"),
        "teacher_mix": Option(
            _options.teacher_mix, None, "shares of the chosen rows, {teacher: share}; else equal"
        ),
    },
    check=_check,
)
