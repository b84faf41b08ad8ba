"""A race over teachers: prompts are read in random order, and teachers leave it when settled.

After every few prompts each pair of teachers that is still read is compared (`contrasts`) by a
t-test that may be repeated at will (`sequential`). Statements "i is better than j" accumulate until
the goal is settled (`goals`). The error is shared by the comparisons that could mislead the goal.

What holds, and what does not. For normal differences the error is held whenever one stops. For the
scores of real sets it is held in simulation (`examples/benchmark/simulate_races.py`). It is not
held for tails that no sample shows and no length announces: where one response in twenty scores 6
nats lower than the others, unannounced, one of two equal teachers is dropped in .19 of the races,
of twelve in .43.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.budget.contrasts import Bools, Contrasts, Ints, contrasts
from lnat_plugins.budget.goals import parse_goal, settle
from lnat_plugins.budget.needed import prompts_needed
from lnat_plugins.budget.outcome import Lead, Outcome, Place, Placed, Stop
from lnat_plugins.budget.sequential import Floats, critical, limits, raised
from lnat_plugins.errors import ConfigError

FIRST_LOOK: Final = 20
"""Prompts before the first comparison: those of the pilot."""

EVERY: Final = 5
"""Prompts between comparisons."""

EARLIEST: Final = 10
"""The first look may not be earlier: at 5 the error was .10 where .05 was asked for."""

WORTH_DRAWING: Final = 0.1
"""A second phase is run if drawing steps makes this share of a difference's variance, or more."""


class Read(NamedTuple):
    """What came of one response: its mean in nats per token (NaN = undefined), the variance of that
    mean over the draws of its steps (0 = exact, NaN = not known), and the tokens read for it."""

    mean: float
    variance: float
    tokens: int


class Reading(NamedTuple):
    """What is to be read next: (prompt, teacher) pairs, prompt by prompt; in phase 2 with more
    steps than in phase 1."""

    cells: tuple[tuple[str, str], ...]
    phase: int


@dataclass(frozen=True)
class Costs:
    """(P, T) tokens of exact scoring, and of one global pass with its prompt."""

    exact: Floats
    global_: Floats


class Race:
    """A state machine without input or output: `next`, `tell`, `outcome`.

    It is determined by its arguments and the values told, not by how they are portioned: told the
    same values again, it gives the same outcome.

    Args:
        prompts, teachers: P and T names, unique.
        costs: rows in the order of `prompts`, columns in that of `teachers`.
        goal: "best", "order", or the number of teachers sought.
        error: the probability of a wrong statement, at most.
        seed: of the order of the prompts.
        first: prompts before the first comparison.
        every: prompts between comparisons.
        unusual: (P, T) responses of unusual length, see `contrasts`; None for none.
        phases: 2 to read the prompts again, with more steps, for teachers that are not settled when
            all are used up; each phase then has half the error.
        max_tokens: no reading begins that is expected to end above it; None for no limit.

    Raises:
        ConfigError: a setting that cannot be.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        teachers: Sequence[str],
        costs: Costs,
        *,
        goal: str | int = "best",
        error: float = 0.05,
        seed: int = 1234,
        first: int = FIRST_LOOK,
        every: int = EVERY,
        unusual: Bools | None = None,
        phases: int = 1,
        max_tokens: int | None = None,
    ) -> None:
        _check(error=(error, 0 < error < 0.5, "between 0 and 0.5"),
               first=(first, first >= EARLIEST, f"{EARLIEST} or more"),
               every=(every, every >= 1, "1 or more"),
               phases=(phases, phases in (1, 2), "1 or 2"))  # fmt: skip
        self._goal = parse_goal(goal, len(teachers))
        self._prompts, self._teachers = tuple(prompts), tuple(teachers)
        self._costs, self._error, self._phases = costs, error, phases
        self._first, self._every, self._max_tokens = first, every, max_tokens
        shape = len(prompts), len(teachers)
        self._unusual_PT = np.zeros(shape, dtype=np.bool_) if unusual is None else unusual
        self._row = {prompt: i for i, prompt in enumerate(self._prompts)}
        self._order = [self._row[prompt] for prompt in shuffled(seed, self._prompts)]
        self._column = {teacher: j for j, teacher in enumerate(self._teachers)}
        self._threshold = phases * self._goal.comparisons(len(teachers)) / error
        self._better_TT = np.zeros((shape[1], shape[1]), dtype=np.bool_)
        self._open_T = np.ones(shape[1], dtype=np.bool_)
        self._in: list[int] = []
        self._placed: list[Placed] = []
        self._means: dict[str, float] = {}
        self._left_out_P = np.zeros(shape[0], dtype=np.bool_)
        self._undefined: set[tuple[str, str]] = set()
        self._tokens, self._prompts_read = 0, 0
        self._stop: Stop = "running"
        self._begin_phase(1)
        self._begin_batch()

    @property
    def order(self) -> tuple[str, ...]:
        """The prompts in the order in which they are read."""
        return tuple(self._prompts[i] for i in self._order)

    def next(self) -> Reading | None:
        """What is still missing of the present portion; None when the race is over."""
        if self._stop != "running":
            return None
        return Reading(tuple(cell for cell in self._batch if cell not in self._told), self._phase)

    def tell(self, values: Mapping[tuple[str, str], Read]) -> None:
        """Take what was read, all of `next` or part of it.

        Raises ValueError for a response that is not to be read now.
        """
        wanted = set(self._batch) - self._told.keys() if self._stop == "running" else set()
        if strange := values.keys() - wanted:
            raise ValueError(f"not to be read now: {sorted(strange)[:3]}")
        self._told.update(values)
        if self._stop == "running" and len(self._told) == len(self._batch):
            self._end_batch()

    def _begin_phase(self, phase: int) -> None:
        shape = self._unusual_PT.shape
        # What a reading is expected to cost: as exact scoring, until the first shows.
        self._phase, self._end, self._ratio = phase, 0, 1.0
        self._mean_PT, self._variance_PT = np.full((2, *shape), np.nan)

    def _begin_batch(self) -> None:
        start, size = self._end, self._every if self._end else self._first
        rows = np.array(self._order[start : start + size], dtype=np.int64)
        open_T = np.flatnonzero(self._open_T)
        expected = self._ratio * self._costs.exact[np.ix_(rows, open_T)].sum()
        self._batch = [(self._prompts[i], self._teachers[j]) for i in rows for j in open_T]
        self._told: dict[tuple[str, str], Read] = {}
        self._end = start + len(rows)
        if self._max_tokens is not None and self._tokens + expected > self._max_tokens:
            self._stop, self._end = "max_tokens", start

    def _end_batch(self) -> None:
        exact, spent = 0.0, 0
        for prompt, teacher in self._batch:
            i, j, read = self._row[prompt], self._column[teacher], self._told[prompt, teacher]
            self._mean_PT[i, j], self._variance_PT[i, j] = read.mean, read.variance
            exact, spent = exact + self._costs.exact[i, j], spent + read.tokens
            if math.isnan(read.mean):
                self._undefined.add((prompt, teacher))
                self._left_out_P[i] = True
        self._tokens += spent
        self._ratio = spent / exact if exact else 1.0
        self._prompts_read = max(self._prompts_read, self._end)
        found = self._compare()
        if found is not None and found.n >= self._first:
            self._look(found)
        if not self._open_T.any():
            self._stop = "settled"
        elif self._end < len(self._order):
            self._begin_batch()
        elif self._phase < self._phases and self._worth_reading_again():
            self._begin_phase(2)
            self._begin_batch()
        else:
            self._stop = "prompts used up"

    def _compare(self) -> Contrasts | None:
        """All teachers that are open, over the prompts read in this phase; others are NaN."""
        rows = self._rows()
        if len(rows) < 3:
            return None
        kept_P, columns = ~self._left_out_P, np.flatnonzero(self._open_T)
        within = np.ix_(rows, columns)
        found = contrasts(
            self._mean_PT[within], self._unusual_PT[within],
            self._unusual_PT[kept_P][:, columns].mean(axis=0), int(kept_P.sum()),
        )  # fmt: skip
        self._means.update(
            (self._teachers[j], float(self._mean_PT[rows, j].mean())) for j in columns
        )
        return found

    def _rows(self) -> Ints:
        """Of the prompts read in this phase, those that are compared."""
        read = np.array(self._order[: self._end], dtype=np.int64)
        return read[~self._left_out_P[read]]

    def _look(self, found: Contrasts) -> None:
        columns = np.flatnonzero(self._open_T)
        bound_TT = raised(critical(found.n, self._threshold), found.skewness, found.n)
        new_TT = (found.t >= bound_TT) & found.ready & found.ready[:, None]
        grid = np.ix_(columns, columns)
        self._better_TT[grid] |= new_TT & ~self._better_TT[grid].T
        in_T, out_T = settle(self._goal, self._better_TT, self._open_T, len(self._in))
        now: list[int] = np.flatnonzero(in_T | out_T).tolist()
        for j in sorted(now, key=lambda j: self._means[self._teachers[j]]):
            self._place(j, bool(in_T[j]))
        self._open_T &= ~(in_T | out_T)

    def _place(self, j: int, is_in: bool) -> None:
        if is_in:
            self._in.append(j)
        if self._goal.top is None:
            decided_T = self._better_TT[:, j] | self._better_TT[j]
        else:
            decided_T = self._better_TT[j] if is_in else self._better_TT[:, j]
        against = tuple(self._teachers[i] for i in np.flatnonzero(decided_T))
        place: Place = "placed" if self._goal.top is None else "in" if is_in else "out"
        self._placed.append(Placed(self._teachers[j], place, self._end, against, self._phase))

    def _worth_reading_again(self) -> bool:
        lead = self._lead()
        return lead is not None and not lead.drawing_share < WORTH_DRAWING

    def _lead(self) -> Lead | None:
        """Of the closest pair, in standard errors, that no statement has settled."""
        found = self._compare()
        if found is None:
            return None
        columns = np.flatnonzero(self._open_T)
        known_TT = self._better_TT[np.ix_(columns, columns)]
        t_TT = np.where(known_TT | known_TT.T | (found.mean < 0), math.inf, found.t)
        t_TT[np.diag_indices_from(t_TT)] = math.inf
        if self._goal.top is not None and self._goal.top > len(self._in):
            # Only pairs across the border of those sought matter: of the best, the leader's.
            rank_T = found.mean.mean(axis=1).argsort()[::-1].argsort()
            inside_T = rank_T < self._goal.top - len(self._in)
            t_TT[~(inside_T[:, None] & ~inside_T)] = math.inf
        i, j = np.unravel_index(t_TT.argmin(), t_TT.shape)
        mean, error = float(found.mean[i, j]), float(found.error[i, j])
        low, high = limits(mean, error, found.n, self._threshold, float(found.skewness[i, j]))
        rows = self._rows()
        drawn = self._variance_PT[np.ix_(rows, columns[[i, j]])].sum() / len(rows) ** 2
        return Lead(
            self._teachers[columns[i]], self._teachers[columns[j]], mean, low, high,
            needed=prompts_needed(mean, error, found.n, self._threshold),
            drawing_share=float(drawn / error**2) if error else math.nan,
        )  # fmt: skip

    @property
    def outcome(self) -> Outcome:
        """Who is settled and who remains, and what it took; at any time."""
        remaining = [self._teachers[j] for j in np.flatnonzero(self._open_T)]
        chosen = [self._teachers[j] for j in self._in]
        if self._goal.top is None:
            # By statements: the means of those that left at different times do not compare.
            chosen.sort(key=lambda name: -int(self._better_TT[self._column[name]].sum()))
        else:
            chosen.sort(key=lambda name: -self._means[name])
        return Outcome(
            goal=self._goal.name,
            error=self._error,
            stop=self._stop,
            chosen=tuple(chosen),
            remaining=tuple(sorted(remaining, key=lambda name: -self._means.get(name, -math.inf))),
            means=dict(self._means),
            placed=tuple(self._placed),
            prompts=self._prompts_read,
            all=len(self._prompts),
            left_out=int(self._left_out_P.sum()),
            undefined=Counter(teacher for _, teacher in sorted(self._undefined)),
            tokens=self._tokens,
            exact_tokens=float(self._costs.exact.sum()),
            global_tokens=float(self._costs.global_.sum()),
            lead=self._lead() if len(remaining) > 1 and self._stop != "running" else None,
        )


def shuffled(seed: int, prompts: Iterable[str]) -> list[str]:
    """The prompts in random order.

    It is that of their hashes, so it is no matter of the order in which prompts come or of a
    generator's version.
    """

    def place(prompt: str) -> bytes:
        return hashlib.sha256(repr((seed, prompt)).encode("utf-8", "surrogatepass")).digest()

    return sorted(prompts, key=place)


def _check(**settings: tuple[object, bool, str]) -> None:
    for name, (value, holds, must_be) in settings.items():
        if not holds:
            raise ConfigError(f"a budget's `{name}` must be {must_be}", found=value)
