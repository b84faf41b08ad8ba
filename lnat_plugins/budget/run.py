"""A race over the responses of a teacher set: which are read next, and how, until it is settled.

Everything follows from the settings and the records. So a run that was killed asks for the same
responses again, and the same records give the same outcome when they are read from a file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from lnat_plugins.budget.contrasts import unusual_lengths
from lnat_plugins.budget.outcome import Outcome
from lnat_plugins.budget.pilot import WORTH, Plan, plan_steps
from lnat_plugins.budget.race import FIRST_LOOK, Costs, Race, Read
from lnat_plugins.budget.records import (
    Mode,
    before,
    estimate_of,
    joined,
    part_of,
    tokens_of,
    trace_of,
    window_of,
)
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import Budget

PILOT: Final = 5
"""Prompts that are scored exactly, to see how the others are read; part of the first look."""

Cell = tuple[str, str]


class Row(NamedTuple):
    """A response that may be read.

    Args:
        prompt_id, length: of the response; its length in characters.
        record: of the response, whether it was read or not: its steps and tokens are known.
        correct: as the teacher set has it; only a choice reads it.
    """

    prompt_id: str
    length: int
    record: StepSums
    correct: bool | None = None


class Wanted(NamedTuple):
    """What is to be read next: a row, and which part of it."""

    row: int
    part: Part


@dataclass(frozen=True)
class Raced:
    """What came of a run with a budget.

    Attributes:
        outcome: of the race.
        plan: how responses were read after the pilot; None without a pilot.
        incomplete: prompts that are in no race because a teacher has no response to them.
        prompts: how many prompts were read of each teacher.
    """

    outcome: Outcome
    plan: Plan | None
    incomplete: int
    prompts: Mapping[str, int]


class Run(Protocol):
    """What reads with a budget: a race, or a choice."""

    def wanted(self) -> list[Wanted]:
        """What is to be read now; empty at the end."""

    def tell(self, records: Mapping[int, StepSums]) -> None:
        """Takes the records of `wanted`, all of them."""

    def records(self) -> list[StepSums]:
        """A record for every row; those that were not read say why."""

    @property
    def sentence(self) -> str:
        """How far it is."""

    @property
    def news(self) -> str:
        """Changes when the sentence says something new."""


class BudgetedRun:
    """Asks for responses and takes their records.

    Args:
        budget: the settings.
        rows: all responses, prompt by prompt or not.

    Raises:
        DataError: no prompt has a response of every teacher.
        ConfigError: as `Race`; `max_tokens` that the first prompts exceed.
    """

    def __init__(self, budget: Budget, rows: Sequence[Row]) -> None:
        self._budget, self._rows = budget, rows
        self._cells: dict[Cell, list[int]] = {}
        for i, row in enumerate(rows):
            self._cells.setdefault((row.prompt_id, row.record.teacher), []).append(i)
        self._teachers = sorted({row.record.teacher for row in rows})
        everyone = sorted({row.prompt_id for row in rows})
        self._prompts = [
            p for p in everyone if all((p, teacher) in self._cells for teacher in self._teachers)
        ]
        self._incomplete = len(everyone) - len(self._prompts)
        if not self._prompts:
            raise DataError(
                "no prompt has a response of every teacher, so no teachers can be compared",
                where="naturalness: budget", found=", ".join(self._teachers),
                remedy="leave out teachers (`teachers: [...]`), or the budget",
            )  # fmt: skip
        # A response of nothing but tags has no part that could be read.
        self._records = {i: row.record for i, row in enumerate(rows) if not row.record.part}
        self._empty = frozenset(self._records)
        self._plan: Plan | None = None
        self._pilot = budget.steps != "exact"
        self._race = self._new_race(phases=1)
        self._check_first()

    def wanted(self) -> list[Wanted]:
        """What is to be read now; empty when the race is over."""
        while (cells := self._asked()) is not None:
            reading = self._race.next()
            assert reading is not None
            mode = self._mode(reading.phase)
            rows = [i for cell in cells for i in self._cells[cell]]
            wanted = [Wanted(i, self._part(i, mode)) for i in rows]
            # The pilot's responses are exact already when they come again in the second phase.
            missing = [one for one in wanted if not self._has(one)]
            if missing:
                return missing
            self._go_on({})
        return []

    def _asked(self) -> Sequence[Cell] | None:
        """What the race asks for; of the pilot its prompts alone."""
        reading = self._race.next()
        if reading is None:
            return None
        if self._pilot and self._plan is None:
            pilot = self._race.order[:PILOT]
            return [cell for cell in reading.cells if cell[0] in pilot]
        return reading.cells

    def tell(self, records: Mapping[int, StepSums]) -> None:
        """Takes the records of `wanted`, all of them."""
        read = {}
        for i, record in records.items():
            first = self._records.get(i)
            self._records[i] = record if first is None else joined(first, record)
            read[i] = tokens_of(record, Part(tuple(record.part["steps"]), record.part["whole"]))
        self._go_on(read)

    def _has(self, one: Wanted) -> bool:
        record = self._records.get(one.row)
        if record is None:
            return False
        return one.row in self._empty or len(record.part["steps"]) == record.n_steps

    def _go_on(self, read: Mapping[int, int]) -> None:
        """Row -> the tokens read for it now."""
        cells = self._asked()
        assert cells is not None
        if self._pilot and self._plan is None:
            self._end_pilot(cells, read)
        else:
            self._race.tell({cell: self._read(cell, read) for cell in cells})

    def result(self) -> Raced:
        """What the race says."""
        read: dict[str, set[str]] = {teacher: set() for teacher in self._teachers}
        for i in self._records.keys() - self._empty:
            read[self._rows[i].record.teacher].add(self._rows[i].prompt_id)
        counts = {teacher: len(prompts) for teacher, prompts in read.items()}
        return Raced(self._race.outcome, self._plan, self._incomplete, counts)

    @property
    def sentence(self) -> str:
        """What the race says so far."""
        return self._race.outcome.sentence

    @property
    def news(self) -> str:
        """The teachers that are not settled, once a prompt was read."""
        outcome = self._race.outcome
        return " ".join(sorted(outcome.remaining)) if outcome.prompts else ""

    def records(self) -> list[StepSums]:
        """A record for every row; those that were not read say why."""
        outcome = self._race.outcome
        dropped = {one.teacher: one.prompts for one in outcome.placed}
        usable = set(self._prompts)
        found = []
        for i, row in enumerate(self._rows):
            record = self._records.get(i)
            if record is None:
                if row.prompt_id not in usable:
                    why = "not read: a teacher has no response to this prompt"
                elif row.record.teacher in dropped:
                    why = f"not read: settled after {dropped[row.record.teacher]} prompts"
                elif outcome.stop == "max_tokens":
                    why = f"not read: `max_tokens` was reached after {outcome.prompts} prompts"
                else:
                    why = f"not read: the race was over after {outcome.prompts} prompts"
                window = window_of(row.record).name
                record = dataclasses.replace(row.record, undefined={window: why})
            found.append(record)
        return found

    def _check_first(self) -> None:
        """Raises ConfigError if the first prompts alone are above `max_tokens`."""
        limit, first = self._budget.max_tokens, set(self._race.order[:FIRST_LOOK])
        if limit is None:
            return
        pilot = self._race.order[:PILOT] if self._pilot else ()
        needed = sum(
            tokens_of(
                row.record, self._part(i, "pilot" if row.prompt_id in pilot else "exact")
            )
            + row.record.prompt_tokens / len(self._teachers)
            for i, row in enumerate(self._rows) if row.prompt_id in first and i not in self._empty
        )  # fmt: skip
        if needed > limit:
            raise ConfigError(
                f"the first {len(first)} prompts take about {round(needed):,} tokens",
                where="naturalness: budget: max_tokens", found=limit,
                remedy="allow more, or leave it out",
            )  # fmt: skip

    def _new_race(self, phases: int) -> Race:
        shape = len(self._prompts), len(self._teachers)
        exact_PT, whole_PT, length_PT = (np.zeros(shape) for _ in range(3))
        for i, prompt in enumerate(self._prompts):
            for j, teacher in enumerate(self._teachers):
                own = [self._rows[k] for k in self._cells[prompt, teacher]]
                # The prompt is read once for all of its responses.
                share = own[0].record.prompt_tokens / len(self._teachers)
                read = [row.record for row in own if row.record.part]
                exact_PT[i, j] = share + sum(
                    tokens_of(one, Part(tuple(range(one.n_steps)), whole=False)) for one in read
                )
                whole_PT[i, j] = share + sum(tokens_of(one, Part((), whole=True)) for one in read)
                length_PT[i, j] = sum(row.length for row in own) / len(own)
        budget = self._budget
        return Race(
            self._prompts, self._teachers, Costs(exact_PT, whole_PT), goal=budget.goal,
            error=budget.error, seed=budget.seed, first=FIRST_LOOK, phases=phases,
            unusual=unusual_lengths(length_PT), max_tokens=budget.max_tokens,
        )  # fmt: skip

    def _mode(self, phase: int) -> Mode:
        if phase > 1 or self._budget.steps == "exact":
            return "exact"
        return "pilot" if self._plan is None else self._plan

    def _part(self, i: int, mode: Mode) -> Part:
        row = self._rows[i]
        return part_of(row.record, mode, seed=self._budget.seed, prompt_id=row.prompt_id)

    def _end_pilot(self, cells: Sequence[Cell], read: Mapping[int, int]) -> None:
        """Chooses how the rest is read, and begins the race with what the pilot read."""
        traces = (
            trace_of(self._records[i], self._rows[i].prompt_id)
            for cell in cells for i in self._cells[cell]
        )  # fmt: skip
        drawn = self._budget.steps if isinstance(self._budget.steps, int) else None
        self._plan = plan_steps([one for one in traces if one is not None], steps=drawn)
        self._race = self._new_race(phases=1 if self._plan.way == "exact" else 2)
        self._race.tell({cell: self._read(cell, read) for cell in cells})

    def _read(self, cell: Cell, read: Mapping[int, int]) -> Read:
        """The mean over a teacher's responses to a prompt."""
        rows = self._cells[cell]
        estimates = [estimate_of(self._records[i]) for i in rows]
        tokens = sum(read.get(i, 0) for i in rows)
        # The prompt is read once for all of its responses.
        prompt = self._rows[rows[0]].record.prompt_tokens / len(self._teachers) if tokens else 0
        return Read(
            math.fsum(one.mean for one in estimates) / len(rows),
            math.fsum(one.variance for one in estimates) / len(rows) ** 2,
            tokens + round(prompt),
        )


def expected_tokens(budget: Budget, exact: int, n_prompts: int) -> tuple[int, int]:
    """About how many tokens a race reads: settled at its first look, and never settled.

    Drawn steps are used only where a response costs less by `pilot.WORTH`; what is not settled with
    them is read again with every step.

    Args:
        exact: tokens of exact scoring.
        n_prompts: of the teacher set.
    """
    fewest = round(exact * min(1.0, FIRST_LOOK / n_prompts))
    most = exact if budget.steps == "exact" else round(exact * (1 + 1 / WORTH))
    limit = most if budget.max_tokens is None else budget.max_tokens
    return min(fewest, limit), min(most, limit)


def run_race(
    budget: Budget, rows: Sequence[Row], read: Callable[[Sequence[Wanted]], Iterable[StepSums]]
) -> tuple[list[StepSums], Raced]:
    """Reads until the race is over.

    Args:
        read: the records of what is wanted, in order.

    Returns:
        A record for every row, and what the race says.

    Raises: as `BudgetedRun`, and whatever `read` raises.
    """
    run = BudgetedRun(budget, rows)
    run_to_end(run, read)
    return run.records(), run.result()


def run_to_end(run: Run, read: Callable[[Sequence[Wanted]], Iterable[StepSums]]) -> None:
    """Reads until nothing is wanted; args and errors as `run_race`."""
    while wanted := run.wanted():
        run.tell(dict(zip((one.row for one in wanted), read(wanted), strict=True)))


def other_budget(row: Row) -> DataError:
    """The error of a record that is not as the run reads it."""
    return DataError(
        "the scores are not those that this budget reads",
        where=f"prompt {row.prompt_id}, teacher {row.record.teacher}",
        remedy="name all samples files of the run, or score again",
    )


def replay(budget: Budget, rows: Sequence[Row]) -> Raced:
    """What the race said, from the records that it left.

    Raises:
        DataError: a response that the race read has no record of it.
    """

    def stored(wanted: Sequence[Wanted]) -> Iterator[StepSums]:
        for i, part in wanted:
            record: StepSums | None = rows[i].record
            assert record is not None
            if record.part != part.as_dict():
                record = before(record, part)
            if record is None or window_of(record).name not in record.sums:
                raise other_budget(rows[i])
            yield record

    return run_race(budget, rows, stored)[1]
