"""A response of each prompt: stride scores of all, exact scores of those that may be the best.

A pilot is scored in both ways and gives the margin (see `margin`). All responses to the other
prompts are then scored with a stride, and with every step under the window only where several are
within the margin of the best. Where some responses are known to be incorrect, candidates are found
among all and among the correct ones, so that either choice is right.

Everything follows from the settings and the records, as in a race (`run`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lnat_plugins.budget.margin import (
    Pilot,
    best_of,
    calibrate,
    near_best,
    prompts_for,
    shortfall,
)
from lnat_plugins.budget.outcome import percent
from lnat_plugins.budget.race import shuffled
from lnat_plugins.budget.records import joined, mean_of, tokens_of, window_of
from lnat_plugins.budget.run import BudgetedRun, Row, Run, Wanted, other_budget, run_to_end
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import STRIDE, Budget

PORTION: Final = 64
"""Prompts that are read together, first with a stride and then exactly."""

NAME: Final = "local_naturalness_stride"


def stride_window(settings: Mapping[str, object]) -> str:
    """The window of the stride scores, of the settings of a run for a choice: "4/8"."""
    windows, budget = settings["windows"], settings["budget"]
    assert isinstance(windows, Sequence) and isinstance(budget, Mapping)
    return f"{windows[0]}/{budget['stride']}"


@dataclass(frozen=True)
class Choices:
    """What a run says: the best response of each prompt, as far as it was read.

    Attributes:
        pilot: see `margin`.
        stride: name of the window of the stride scores.
        prompts: read; all: prompts that there are.
        alone: prompts whose best needed no exact score, because no other was within the margin.
        exact: responses with exact scores; responses: that there are.
        stop: why no more was read.
        tokens: read.
        exact_tokens, global_tokens: what exact scoring, and one global pass, would have read.
        stride_R, exact_R: the scores of every row, nats per token; NaN where not read or undefined.
        read_R: whether the row was scored exactly, or holds nothing that could be.
        equal_R: equal for equal responses to a prompt.
    """

    pilot: Pilot
    stride: str
    prompts: int
    all: int
    alone: int
    exact: int
    responses: int
    stop: Literal["all read", "max_tokens"]
    tokens: int
    exact_tokens: int
    global_tokens: int
    stride_R: tuple[float, ...]
    exact_R: tuple[float, ...]
    read_R: tuple[bool, ...]
    equal_R: tuple[object, ...]

    @property
    def sentence(self) -> str:
        """What was read, and how far it can be relied on; without the last full stop."""
        pilot = self.pilot
        read = (
            f"Read: {self.prompts} of {self.all} prompts, "
            f"{percent(self.tokens / self.exact_tokens)} of the tokens of exact scoring, "
            f"{percent(self.tokens / self.global_tokens)} of those of one global pass"
        )
        if self.exact == self.responses:
            return f"A choice by exact scores, because the pilot takes all prompts. {read}"
        return (
            f"A choice by {NAME}, and by exact scores where several responses are within "
            f"{pilot.margin:.2g} of the best. {read}. In a pilot of {pilot.prompts} prompts {NAME} "
            f"alone has the best by exact scores in {pilot.same}, and within that margin in all; "
            f"for each of the others it is missed with a probability of at most "
            f"{percent(pilot.error)}"
        )

    def best(self, rows: Sequence[int]) -> list[int]:
        """The best of some rows of one prompt, those that are equally good, in the rows' order.

        Empty if none has a score.

        Args:
            rows: all rows of the prompt, or all correct ones; equal ones may be left out.

        Raises:
            ConfigError: other rows, among which the best cannot be told.
        """
        candidates = candidates_of(rows, self.stride_R, self.exact_R, self.read_R, self.pilot)
        known = [i for i in candidates if self.read_R[i] or math.isfinite(self.stride_R[i])]
        if not known:  # nothing of the prompt was read
            return []
        if len({self.equal_R[i] for i in candidates}) == 1 and known == candidates:
            return known
        if not all(self.read_R[i] for i in candidates):
            raise ConfigError(
                "the best of these rows cannot be told: exact scores were read only where all rows "
                "of a prompt, or all correct ones, compete",
                remedy="choose among those, or score without `budget:`",
            )
        return [candidates[k] for k in best_of([self.exact_R[i] for i in candidates])]


def candidates_of(
    rows: Sequence[int], stride_R: Sequence[float], exact_R: Sequence[float],
    read_R: Sequence[bool], pilot: Pilot,
) -> list[int]:  # fmt: skip
    """Of some rows of a prompt those that may be the best; none whose exact score is undefined."""
    left = [i for i in rows if not read_R[i] or math.isfinite(exact_R[i])]
    return [left[k] for k in near_best([stride_R[i] for i in left], pilot.margin)]


class ChoiceRun:
    """Asks for responses and takes their records, as `BudgetedRun` does.

    Args:
        budget: the settings.
        rows: all responses, prompt by prompt or not.

    Raises:
        DataError: no prompt has two different responses.
        ConfigError: `max_tokens` that the pilot exceeds.
    """

    def __init__(self, budget: Budget, rows: Sequence[Row]) -> None:
        self._budget, self._rows = budget, rows
        self._of: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            self._of.setdefault(row.prompt_id, []).append(i)
        # Of equal ids and steps; ids that are not known are a row's own.
        self._equal = tuple((row.record.ids_digest or i, row.record.spans)
                            for i, row in enumerate(rows))  # fmt: skip
        order = shuffled(budget.seed, self._of)
        compared = [p for p in order if len({self._equal[i] for i in self._of[p]}) > 1]
        if not compared:
            raise DataError(
                "no prompt has two different responses, so there is nothing to choose",
                where="naturalness: budget", remedy="add teachers, or leave out the budget",
            )  # fmt: skip
        first = rows[0].record
        self._window = window_of(first).name
        self._stride = f"{self._window}/{budget.stride}"
        self._judged = any(row.correct for row in rows) and not all(row.correct for row in rows)
        self._pilot_prompts = compared[: prompts_for(budget.error)]
        pilot = set(self._pilot_prompts)
        self._waiting = [p for p in order if p not in pilot]
        self._portion = self._pilot_prompts
        self._begun: list[str] = list(self._portion)
        self._pilot: Pilot | None = None
        self._records: dict[int, StepSums] = {}
        self._stride_R, self._exact_R = ([math.nan] * len(rows) for _ in range(2))
        # A response of nothing but tags has no part that could be read.
        self._read_R = [not row.record.part for row in rows]
        self._tokens = 0
        self._stop: Literal["all read", "max_tokens"] = "all read"
        needed = self._cost({i: self._both(i) for p in pilot for i in self._of[p]})
        if budget.max_tokens is not None and needed > budget.max_tokens:
            raise ConfigError(
                f"the {len(pilot)} prompts of the pilot take about {needed:,} tokens",
                where="naturalness: budget: max_tokens", found=budget.max_tokens,
                remedy="allow more, a larger `error`, or leave it out",
            )  # fmt: skip

    def wanted(self) -> list[Wanted]:
        """What is to be read now; empty when all is read."""
        while self._portion:
            pilot = self._pilot
            asked = {i: self._both(i) for p in self._portion for i in self._of[p]}
            if pilot is not None:
                asked = {i: Part((), whole=False, stride=self._stride) for i in asked}
            wanted = self._missing(asked)
            if not wanted and pilot is not None:
                near = {i for p in self._portion for i in self._candidates(p)}
                wanted = self._missing(
                    {i: self._exactly(i) for i in sorted(near) if not self._read_R[i]}
                )
            if wanted:
                return wanted
            if pilot is None:  # nothing in it can be read
                self._pilot = self._calibrate()
            self._next_portion()
        return []

    def tell(self, records: Mapping[int, StepSums]) -> None:
        """Takes the records of `wanted`, all of them."""
        parts = {one.row: one.part for one in self.wanted()}
        asked = {i: parts[i] for i in records}
        self._tokens += self._cost(asked)
        for i, record in records.items():
            if asked[i].stride:
                self._stride_R[i] = mean_of(record, self._stride)
            if asked[i].steps:
                self._exact_R[i], self._read_R[i] = mean_of(record, self._window), True
            first = self._records.get(i)
            self._records[i] = record if first is None else joined(first, record)
        if self._pilot is None and all(self._read_R[i] for p in self._portion for i in self._of[p]):
            self._pilot = self._calibrate()

    @functools.cached_property
    def _costs(self) -> tuple[int, int]:
        """Tokens of exact scoring, and of one global pass, of all responses."""
        readable = [i for i in range(len(self._rows)) if self._rows[i].record.part]
        whole = dict.fromkeys(readable, Part((), whole=True))
        return self._cost({i: self._exactly(i) for i in readable}), self._cost(whole)

    def result(self) -> Choices:
        """What can be chosen so far."""
        pilot = self._pilot or calibrate((), 0)
        exact = {i for i in self._records if self._read_R[i]}
        return Choices(
            pilot=pilot,
            stride=self._stride,
            prompts=len(self._begun),
            all=len(self._of),
            alone=sum(exact.isdisjoint(self._of[p]) for p in self._begun),
            exact=len(exact),
            responses=len(self._rows),
            stop=self._stop,
            tokens=self._tokens,
            exact_tokens=self._costs[0],
            global_tokens=self._costs[1],
            stride_R=tuple(self._stride_R),
            exact_R=tuple(self._exact_R),
            read_R=tuple(self._read_R),
            equal_R=self._equal,
        )

    @property
    def sentence(self) -> str:
        """How far it is."""
        return self.result().sentence

    @property
    def news(self) -> str:
        """How many prompts have been begun."""
        return str(len(self._begun)) if self._pilot else ""

    def records(self) -> list[StepSums]:
        """A record for every row; those that were not read exactly say why."""
        begun = set(self._begun)
        found = []
        for i, row in enumerate(self._rows):
            record = self._records.get(i, row.record)
            if record.part and not self._read_R[i]:
                why = (
                    self._why_not_exact(i)
                    if row.prompt_id in begun
                    else (f"not read: `max_tokens` was reached after {len(begun)} prompts")
                )
                record = dataclasses.replace(
                    record, undefined={**record.undefined, self._window: why}
                )
            if self._stride not in record.sums:
                # Undefined for the same reason: nothing was read.
                nothing = (math.nan,) * record.n_steps
                record = dataclasses.replace(
                    record,
                    sums={**record.sums, self._stride: nothing},
                    totals={**record.totals, self._stride: math.nan},
                    undefined={
                        **record.undefined, self._stride: record.undefined[self._window]
                    },
                )  # fmt: skip
            found.append(record)
        return found

    def _why_not_exact(self, i: int) -> str:
        margin = self._pilot.margin if self._pilot else math.inf
        best = max(
            s for k in self._of[self._rows[i].prompt_id] if not math.isnan(s := self._stride_R[k])
        )
        gap = best - self._stride_R[i]
        if gap > margin:
            return f"not read: {gap:.2g} below the best by {NAME} (margin {margin:.2g})"
        return f"not read: no other response is within {margin:.2g} of it by {NAME}"

    def _sets(self, prompt: str) -> list[list[int]]:
        """The rows among which a response may be chosen: all, and all that are correct."""
        rows = self._of[prompt]
        correct = [i for i in rows if self._rows[i].correct]
        return [rows, correct] if self._judged and 0 < len(correct) < len(rows) else [rows]

    def _candidates(self, prompt: str) -> Iterator[int]:
        """Those whose exact scores decide."""
        assert self._pilot is not None
        for rows in self._sets(prompt):
            found = candidates_of(rows, self._stride_R, self._exact_R, self._read_R, self._pilot)
            defined = all(math.isfinite(self._stride_R[i]) for i in found)
            if not defined or len({self._equal[i] for i in found}) > 1:
                yield from found

    def _calibrate(self) -> Pilot:
        shortfalls, same = [], 0
        for prompt in self._pilot_prompts:
            of_sets = [
                shortfall(
                    *([scores[i] for i in rows] for scores in (self._stride_R, self._exact_R))
                )
                for rows in self._sets(prompt)
            ]
            if of_sets[0] is not None:
                shortfalls.append(max(one for one in of_sets if one is not None))
                same += of_sets[0] == 0
        return calibrate(shortfalls, same)

    def _next_portion(self) -> None:
        """As many of the waiting prompts as may be read, even if all of them are read exactly."""
        portion = self._waiting[:PORTION]
        limit, spent = self._budget.max_tokens, self._tokens
        if limit is not None:
            for n, prompt in enumerate(portion):
                rows = self._of[prompt]
                spent += self._cost({i: Part((), whole=False, stride=self._stride) for i in rows})
                spent += self._cost({i: self._exactly(i) for i in rows})
                if spent > limit:
                    portion, self._stop = portion[:n], "max_tokens"
                    break
        self._portion, self._waiting = portion, self._waiting[len(portion) :]
        self._begun += portion

    def _missing(self, asked: Mapping[int, Part]) -> list[Wanted]:
        """Of what is asked for, what was not read."""
        return [
            Wanted(i, part)
            for i, part in asked.items()
            if not self._read_R[i] and (part.steps or i not in self._records)
        ]

    def _both(self, i: int) -> Part:
        return self._exactly(i)._replace(stride=self._stride)

    def _exactly(self, i: int) -> Part:
        return Part(tuple(range(self._rows[i].record.n_steps)), whole=False)

    def _cost(self, asked: Mapping[int, Part]) -> int:
        """Tokens of one reading: each prompt and each different response once."""
        prompts: dict[str, int] = {}
        bodies: dict[object, int] = {}
        for i, part in asked.items():
            record, prompt = self._rows[i].record, self._rows[i].prompt_id
            prompts[prompt] = record.prompt_tokens
            if (key := (prompt, self._equal[i])) not in bodies:
                bodies[key] = tokens_of(record, part)
        return sum(prompts.values()) + sum(bodies.values())


def run_of(budget: Budget, rows: Sequence[Row]) -> Run:
    """A race over teachers or a choice of responses, as the budget says; raises as these."""
    return ChoiceRun(budget, rows) if budget.of_choice else BudgetedRun(budget, rows)


def replay_choices(budget: Budget, rows: Sequence[Row]) -> Choices:
    """What the run said, from the records that it left.

    Raises:
        DataError: a response that the run read has no record of it.
    """
    run = ChoiceRun(budget, rows)

    def stored(wanted: Sequence[Wanted]) -> Iterator[StepSums]:
        for i, part in wanted:
            record = rows[i].record
            read = record.part.get("stride") == f"{window_of(record).name}/{budget.stride}"
            if part.steps:
                read = read and len(record.part["steps"]) == record.n_steps
            if not read:
                raise other_budget(rows[i])
            yield record

    run_to_end(run, stored)
    return run.result()


def expected_of_choice(budget: Budget, count: int, exact: int, n_prompts: int) -> tuple[int, int]:
    """About how many tokens a run reads: if no prompt needs exact scores, and if all do.

    Args:
        count: steps of the window.
        exact: tokens of exact scoring.
        n_prompts: of the teacher set.
    """
    stride = budget.stride or STRIDE
    rest = 1 - min(1.0, prompts_for(budget.error) / n_prompts)
    with_stride = rest * (count + stride) / stride / (count + 1)
    most = round(exact * (1 + with_stride))
    limit = most if budget.max_tokens is None else budget.max_tokens
    return min(round(exact * (1 - rest + with_stride)), limit), min(most, limit)


def only_a_choice(task: str) -> ConfigError:
    """The error of whatever needs exact scores of all responses."""
    return ConfigError(
        "these scores were read to choose a response of each prompt, and say nothing else",
        where=f"task {task}",
        remedy='choose (`Scores.select("best")`, `lnat select OUT --strategy best`), or score '
        "without `budget:`",
    )
