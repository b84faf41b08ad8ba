"""The steps of many responses one after the other, for metrics that are sums and means of them.

A set of 500,000 responses is rated by some twenty metrics. A function called for each response
takes microseconds, an array operation nanoseconds. The metric's own definition stays the one for a
single response; here are the same sums for all of them.

Shapes: R responses, S steps of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain, repeat
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.engine.types import Floats
from lnat_plugins.scoring.packed import joined
from lnat_plugins.scoring.record import StepSums

Ints = NDArray[np.int64]
Compute = Callable[..., float]
Function = TypeVar("Function", bound=Compute)

_BLOCK: Final = 1 << 15
_FEW: Final = 32
"""Responses of one number of steps below which they are summed one by one."""


def in_blocks(records: Sequence[StepSums]) -> list[Steps]:
    """The steps of all these records, so many responses at a time that their arrays stay small."""
    return [Steps(records[i : i + _BLOCK]) for i in range(0, len(records), _BLOCK)]


class Steps:
    """The steps of R records in their order. Numbers that a record does not hold are NaN.

    Attributes:
        n_steps: (R,) steps of each response.
    """

    def __init__(self, records: Sequence[StepSums]) -> None:
        self._records = records
        self.n_steps: Ints = np.fromiter(
            (len(one.tokens) for one in self._records), np.int64, len(self._records)
        )

    @cached_property
    def tokens(self) -> NDArray[Any]:
        """(S,) scored tokens of each step."""
        every = chain.from_iterable(one.tokens for one in self._records)
        return np.fromiter(every, np.int32, int(self.n_steps.sum()))

    @cached_property
    def n_tokens(self) -> Ints:
        """(R,) scored tokens of each response."""
        return self.added(self.tokens)

    @cached_property
    def whole_tokens(self) -> Ints:
        """(R,) tokens of each whole response, of which a prefix may be all that is scored."""
        return self._of_whole(self.n_tokens, lambda one: one.whole_tokens)

    @cached_property
    def whole_steps(self) -> Ints:
        """(R,) steps of each whole response."""
        return self._of_whole(self.n_steps, lambda one: one.whole_steps)

    def _of_whole(self, scored_R: Ints, count: Callable[[StepSums], int]) -> Ints:
        cut = [i for i, one in enumerate(self._records) if one.whole]
        found_R: Ints = scored_R.copy()
        found_R[cut] = [count(self._records[i]) for i in cut]
        return found_R

    @property
    def index(self) -> Ints:
        """(S,) the response of each step."""
        return np.repeat(np.arange(len(self.n_steps)), self.n_steps)

    @property
    def place(self) -> Ints:
        """(S,) the number of each step in its response, from 0."""
        return np.arange(len(self.tokens)) - np.repeat(_starts(self.n_steps), self.n_steps)

    @cached_property
    def undefined(self) -> NDArray[np.bool_]:
        """(R,) whether the record says of anything why it is undefined."""
        return np.fromiter(
            (bool(one.undefined) for one in self._records), np.bool_, len(self._records)
        )

    def totals(self, window: str) -> Floats:
        """(R,) the sum of the whole response."""
        found = joined((one.totals for one in self._records), window, repeat(1, len(self._records)))
        return np.frombuffer(found, np.float64)

    def means(self, window: str) -> Floats:
        """(S,) the mean of each step's tokens."""
        sums = joined((one.sums for one in self._records), window, self.n_steps.tolist())
        return np.asarray(np.frombuffer(sums, np.float64) / self.tokens)

    def summed(self, statistic: str) -> Floats:
        """(R,) the sum of a step statistic over each response."""
        numbers = joined(
            (one.step_statistics for one in self._records), statistic, self.n_steps.tolist()
        )
        return _row_sums(np.frombuffer(numbers, np.float64), self.n_steps)

    def mean(self, values_S: Floats, kept_S: NDArray[np.bool_] | None = None) -> Floats:
        """(R,) the mean over the steps of each response, or over those kept; NaN for none."""
        counts_R = self.n_steps
        if kept_S is not None:
            values_S, counts_R = values_S[kept_S], self.added(kept_S)
        return np.asarray(_row_sums(values_S, counts_R) / counts_R)

    def added(self, counts_S: NDArray[Any]) -> Ints:
        """(R,) the sum of a whole number of each step over each response."""
        before = np.concatenate([[0], np.cumsum(counts_S, dtype=np.int64)])
        starts = _starts(self.n_steps)
        return np.asarray(before[starts + self.n_steps] - before[starts])


Many = Callable[[Steps, str], Floats]

_MANY: Final[dict[int, tuple[Compute, Many]]] = {}


def together(many: Many) -> Callable[[Function], Function]:
    """Decorates the score of one record under a window with `many`, which gives those of R.

    `many` only saves time: (R,) the same numbers, and NaN where the score itself is to be asked. It
    belongs to this function alone, so that a metric that is made from another one, with a score of
    its own, never has it.
    """

    def decorated(compute: Function) -> Function:
        _MANY[id(compute)] = (compute, many)
        return compute

    return decorated


def many_of(compute: Callable[..., object]) -> Many | None:
    """What the function was decorated with; None for any other."""
    found = _MANY.get(id(compute))
    return found[1] if found else None


def _row_sums(values_S: Floats, counts_R: Ints) -> Floats:
    """(R,) sums of so many values each, rounded once, as `math.fsum` does."""
    found = np.zeros(len(counts_R))
    starts = _starts(counts_R)
    order = np.argsort(counts_R, kind="stable")
    ends = np.flatnonzero(np.diff(counts_R[order])) + 1
    for rows in np.split(order, ends):
        length = int(counts_R[rows[0]]) if len(rows) else 0
        if len(rows) < _FEW:
            for row in rows.tolist():
                begin = int(starts[row])
                found[row] = math.fsum(values_S[begin : begin + length].tolist())
        elif length:
            found[rows] = _sum_alike(values_S, starts[rows], length)
    return found


def _sum_alike(values_S: Floats, starts: Ints, length: int) -> Floats:
    """The sums of stretches of one length; what each addition rounds off is added at the end.

    Two-sum: Knuth, *The Art of Computer Programming* 2, §4.2.2, theorem B.
    """
    sum_R = values_S[starts]
    lost_R = np.zeros(len(starts))
    for place in range(1, length):
        value_R = values_S[starts + place]
        next_R = sum_R + value_R
        added_R = next_R - sum_R
        lost_R += (sum_R - (next_R - added_R)) + (value_R - added_R)
        sum_R = next_R
    return np.asarray(sum_R + lost_R)


def _starts(counts: Ints) -> Ints:
    return np.asarray(np.cumsum(counts) - counts)
