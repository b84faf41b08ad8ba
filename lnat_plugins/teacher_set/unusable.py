"""Rows that cannot be used: left out and counted, by teacher and by reason.

A reason names the column and the kind of fault, never a value or a row's number, so that equal
faults count together: "column 'response': the text is empty".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plural

NO_COLUMN: Final = "there is no column"
"""How the error of a missing column begins."""

MOST: Final = 0.05
"""Share of a teacher's rows, or of all, above which a verdict names those left out (ours)."""

_MOST_NAMED: Final = 4
_COLUMN: Final = re.compile(r""", column ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


@dataclass(frozen=True)
class UnusableRows:
    """Of one teacher's rows, those that could not be used.

    Attributes:
        rows: read, usable ones included; each response of a wide or nested row counts as one.
        reasons: reason -> rows left out for it, in order of first appearance.
        places: reason -> the first such row: "rows.jsonl row 3, column 'response'".
    """

    rows: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """Number of rows that could not be used."""
        return sum(self.reasons.values())

    @property
    def commonest(self) -> str:
        """The reason of most rows; "" if every row could be used."""
        return max(self.reasons, key=lambda reason: self.reasons[reason], default="")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"rows": self.rows, "reasons": dict(self.reasons), "places": dict(self.places)}


class Tally:
    """Counts what is left out while a set is read.

    Args:
        strict: whether the first row that cannot be used is an error.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._counts: dict[str, Counter[str]] = {}
        self._first: dict[tuple[str, str], DataError] = {}

    def leave_out(self, teacher: str, error: DataError) -> None:
        """Count one row of the teacher ("" where that is not known); raises the error if strict."""
        if self._strict:
            raise error
        reason = reason_of(error)
        self._counts.setdefault(teacher, Counter())[reason] += 1
        self._first.setdefault((teacher, reason), error)

    def refuse_nothing(self) -> None:
        """Raise the error of the first row left out, if there is one: no row can be used."""
        for error in self._first.values():
            raise error

    def refuse_missing_columns(self, used: Mapping[str, int], named: Iterable[str]) -> None:
        """Raise the error of a column that every row of a teacher lacks: its name is wrong.

        Args:
            used: teacher -> rows that can be used.
            named: teachers whose columns or files the definition names.
        """
        for teacher in named:
            counts = self._counts.get(teacher)
            if counts and not used.get(teacher):
                reason, _ = counts.most_common(1)[0]
                if reason.startswith(NO_COLUMN):
                    raise self._first[teacher, reason]

    def by_reason(self) -> Counter[str]:
        """Reason -> rows left out for it, whoever wrote them."""
        found: Counter[str] = Counter()
        for counts in self._counts.values():
            found.update(counts)
        return found

    def by_teacher(self, used: Mapping[str, int]) -> dict[str, UnusableRows]:
        """Every teacher's counts; `used`: teacher -> rows that can be used."""
        found = {}
        for teacher in dict.fromkeys([*used, *self._counts]):
            counts = self._counts.get(teacher, Counter())
            places = {reason: self._first[teacher, reason].where for reason in counts}
            n_rows = used.get(teacher, 0) + counts.total()
            found[teacher] = UnusableRows(n_rows, dict(counts), places)
        return found


def reason_of(error: DataError) -> str:
    """The column and the kind of fault, without values and numbers."""
    columns = [] if error.reason.startswith(NO_COLUMN) else _COLUMN.findall(error.where)
    return f"column {columns[-1]}: {error.reason}" if columns else error.reason


def in_words(unusable: Mapping[str, UnusableRows]) -> str:
    """Who lacks more than `MOST` of the rows, with the commonest reason; "" if nobody does.

    "B 12 of 100 (mostly: column 'response': the text is empty)".
    """
    above = [(t, one) for t, one in unusable.items() if t and one.left_out > MOST * one.rows]
    above.sort(key=lambda named: -named[1].left_out / named[1].rows)
    parts = [f"{teacher} {_counted(one)}" for teacher, one in above[:_MOST_NAMED]]
    if further := len(above) - len(parts):
        parts.append(plural(further, "more teacher"))
    whole = add(unusable.values())
    if whole.left_out > MOST * whole.rows and ("" in unusable or not parts):
        parts.append(f"all teachers together {_counted(whole)}")
    return ", ".join(parts)


def _counted(one: UnusableRows) -> str:
    return f"{one.left_out} of {one.rows} (mostly: {one.commonest})"


def add(several: Iterable[UnusableRows]) -> UnusableRows:
    """The counts of disjoint rows together."""
    rows, reasons, places = 0, Counter[str](), dict[str, str]()
    for one in several:
        rows += one.rows
        reasons.update(one.reasons)
        places = {**one.places, **places}
    return UnusableRows(rows, dict(reasons), places)
