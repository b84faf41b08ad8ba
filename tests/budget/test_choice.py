"""A run that chooses a response of each prompt, over made-up records: what it asks for and says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from lnat_plugins.budget.choice import (
    NAME,
    PORTION,
    ChoiceRun,
    Choices,
    replay_choices,
    stride_window,
)
from lnat_plugins.budget.records import mean_of, tokens_of
from lnat_plugins.budget.run import Row, Wanted, run_to_end
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import Budget
from tests.budget.helpers import unread
from tests.helpers_samples import make_record

STEPS, STRIDE, TOKENS, PROMPT = 24, 4, 10, 20
BUDGET = {"goal": "choice", "stride": STRIDE}
SETTINGS = {"windows": ["2"], "budget": BUDGET}
EVERY = tuple(range(STEPS))
BOTH, STRIDES, EXACT = (
    Part(EVERY, whole=False, stride="2/4"),
    Part((), whole=False, stride="2/4"),
    Part(EVERY, whole=False),
)


def full(prompt: int, teacher: str, mean: float, noise: float) -> StepSums:
    """Scored under its window and with a stride, which shifts scores by about .1."""
    generator = np.random.default_rng([prompt, *teacher.encode()])
    local = mean - 6 + generator.normal(0, 0.2) + generator.normal(0, 1, STEPS)
    stride = local + 0.1 + generator.normal(0, noise)
    sums = {"2": (TOKENS * local).tolist(), "2/4": (TOKENS * stride).tolist()}
    record = make_record(teacher, sums, [TOKENS] * STEPS, windows=("2",))
    return dataclasses.replace(
        record, prompt_tokens=PROMPT, ids_digest=f"{prompt}{teacher}", settings=SETTINGS
    )


def read_part(record: StepSums, part: Part | None) -> StepSums:
    """As the scorer reads it."""
    assert part is not None
    nothing = (math.nan,) * record.n_steps
    sums = {"2": record.sums["2"] if part.steps else nothing}
    sums |= {"2/4": record.sums["2/4"]} if part.stride else {}
    totals = {name: math.fsum(values or ()) for name, values in sums.items()}
    reasons = {name: "part" for name, total in totals.items() if math.isnan(total)}
    return dataclasses.replace(
        record, sums=sums, totals=totals, undefined=reasons, part=part.as_dict()
    )


class Student:
    """Holds what each row would say if all of it were read, and counts what was."""

    def __init__(self, prompts: int = 100, teachers: str = "abc", noise: float = 0.15) -> None:
        self.full = [
            full(p, teacher, -2.0 - 0.1 * j, noise)
            for p in range(prompts) for j, teacher in enumerate(teachers)
        ]  # fmt: skip
        self.rows = [
            Row(f"p{i // len(teachers)}", 300, unread(record)) for i, record in enumerate(self.full)
        ]
        self.asked: list[Wanted] = []

    def replace(self, i: int, window: str, value: float) -> None:
        sums = {**self.full[i].sums, window: (TOKENS * value,) * STEPS}
        self.full[i] = dataclasses.replace(self.full[i], sums=sums)

    def read(self, wanted: Sequence[Wanted]) -> Iterable[StepSums]:
        self.asked += wanted
        return [read_part(self.full[i], part) for i, part in wanted]

    def run(self, **budget: Any) -> tuple[list[StepSums], Choices]:
        run = ChoiceRun(Budget(**(BUDGET | budget)), self.rows)
        run_to_end(run, self.read)
        return run.records(), run.result()

    def of(self, prompt: str) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row.prompt_id == prompt]

    @property
    def prompts(self) -> list[str]:
        return list(dict.fromkeys(row.prompt_id for row in self.rows))

    def best(self, rows: Sequence[int]) -> int:
        return max(rows, key=lambda i: mean_of(self.full[i], "2"))


def wrong(student: Student, found: Choices, kept: Sequence[bool] | None = None) -> float:
    """The share of prompts whose choice is not that by exact scores."""
    of_prompts = [
        [i for i in student.of(p) if kept is None or kept[i]] for p in student.prompts
    ]  # fmt: skip
    return float(np.mean([found.best(one)[0] != student.best(one) for one in of_prompts if one]))


def test_choices_are_those_of_exact_scores_for_fewer_tokens() -> None:
    # The probability is over pilots, so several seeds share it.
    student = Student(200)
    of_seeds = [student.run(seed=seed)[1] for seed in range(12)]
    assert np.mean([wrong(student, found) for found in of_seeds]) <= 0.06
    by_stride = [
        max(student.of(p), key=lambda i: mean_of(student.full[i], "2/4"))
        != student.best(student.of(p))
        for p in student.prompts
    ]
    assert np.mean(by_stride) > 0.1  # what stride scores alone would get wrong
    found = of_seeds[0]
    assert found.prompts == found.all == 200 and found.tokens < found.exact_tokens
    assert 0 < found.pilot.margin < 0.6 and found.pilot.prompts == 19
    assert found.pilot.error == pytest.approx(0.05)
    assert 0 < found.alone < 181 and found.exact < found.responses == 600
    assert NAME in found.sentence


def test_the_pilot_is_read_in_both_ways_and_the_rest_first_with_a_stride() -> None:
    student = Student()
    _, found = student.run()
    parts = [one.part for one in student.asked]
    assert parts[: 3 * 19] == [BOTH] * 57
    assert parts[57 : 57 + 3 * PORTION] == [STRIDES] * (3 * PORTION)
    assert parts.count(STRIDES) == 3 * 81 and set(parts) == {BOTH, STRIDES, EXACT}
    for i, part in student.asked:
        if part == EXACT:
            scores = [
                mean_of(student.full[k], "2/4") for k in student.of(student.rows[i].prompt_id)
            ]
            assert mean_of(student.full[i], "2/4") >= max(scores) - found.pilot.margin
    other = Student()
    other.run(seed=9)
    assert {one.row for one in other.asked[:57]} != {one.row for one in student.asked[:57]}


def test_what_is_read_is_counted() -> None:
    student = Student()
    _, found = student.run()
    calls = {(student.rows[i].prompt_id, part) for i, part in student.asked}
    spent = sum(tokens_of(student.full[i], part) for i, part in student.asked)
    assert found.tokens == spent + PROMPT * len(calls)
    one = student.full[0]
    # Blocks of 4 behind 2 steps; the first has none before it.
    assert tokens_of(one, STRIDES) == 5 * (6 * TOKENS - 1) + 4 * TOKENS - 1
    assert tokens_of(one, EXACT) == 22 * (3 * TOKENS - 1)
    # The exact runs that begin where those of the stride do are within them.
    assert tokens_of(one, BOTH) == 16 * 29 + 5 * 59 + 39
    assert found.exact_tokens == 300 * tokens_of(one, EXACT) + 100 * PROMPT
    assert found.global_tokens == 300 * (STEPS * TOKENS - 1) + 100 * PROMPT


def test_what_was_not_read_says_why() -> None:
    student = Student()
    records, found = student.run()
    reasons = [record.undefined.get("2", "") for record in records]
    far = [i for i, reason in enumerate(reasons) if "below the best" in reason]
    alone = [i for i, reason in enumerate(reasons) if "no other response is within" in reason]
    assert len(far) + len(alone) == found.responses - found.exact and len(alone) == found.alone
    gap = max(mean_of(student.full[i], "2/4") for i in student.of(student.rows[far[0]].prompt_id))
    gap -= mean_of(student.full[far[0]], "2/4")
    margin = found.pilot.margin
    assert reasons[far[0]] == f"not read: {gap:.2g} below the best by {NAME} (margin {margin:.2g})"
    for record, row in zip(records, student.rows, strict=True):
        assert math.isfinite(mean_of(record, stride_window(record.settings)))
        assert math.isnan(mean_of(record, "2")) == ("2" in record.undefined)
        assert record.tokens == row.record.tokens
        StepSums.from_json(record.to_json())


@pytest.mark.parametrize(
    "budget", [{}, {"seed": 5}, {"error": 0.2}, {"max_tokens": 250_000}], ids=str
)
def test_the_records_replay_the_run(budget: dict[str, Any]) -> None:
    student = Student()
    records, found = student.run(**budget)
    stored = [
        row._replace(record=StepSums.from_json(record.to_json()))
        for row, record in zip(student.rows, records, strict=True)
    ]
    again = replay_choices(Budget(**(BUDGET | budget)), stored)
    assert str(again) == str(found)  # NaN is not equal to itself
    with pytest.raises(DataError, match="not those that this budget reads"):
        replay_choices(Budget(**(BUDGET | {"seed": 77})), stored)


def test_a_run_that_was_killed_asks_for_the_same_again() -> None:
    student = Student()
    student.run()
    every = list(student.asked)
    for stop in (1, 2, 3):
        run = ChoiceRun(Budget(**BUDGET), student.rows)
        asked: list[Wanted] = []
        for _ in range(stop):
            wanted = run.wanted()
            asked += wanted
            run.tell(dict(zip((w.row for w in wanted), student.read(wanted), strict=True)))
        assert asked == every[: len(asked)]


def test_no_more_tokens_than_allowed() -> None:
    student = Student()
    records, found = student.run(max_tokens=120_000)
    assert found.stop == "max_tokens" and 100_000 < found.tokens <= 120_000
    assert 19 < found.prompts < 100
    left = [
        i for i, r in enumerate(records) if "`max_tokens` was reached" in r.undefined.get("2", "")
    ]
    assert len(left) == 3 * (100 - found.prompts)
    assert all(records[i].undefined["2/4"] == records[i].undefined["2"] for i in left)
    assert found.best(student.of(student.rows[left[0]].prompt_id)) == []
    with pytest.raises(ConfigError, match="the 19 prompts of the pilot take about"):
        student.run(max_tokens=10_000)


def test_few_prompts_are_all_scored_exactly() -> None:
    student = Student(12)
    _, found = student.run()
    assert found.exact == 36 and found.pilot.prompts == 12
    assert "by exact scores, because the pilot takes all prompts" in found.sentence


def test_a_response_that_no_run_with_a_stride_fits_is_scored_exactly() -> None:
    student = Student()
    order = [
        student.rows[one.row].prompt_id
        for one in ChoiceRun(Budget(**BUDGET), student.rows).wanted()
    ]
    prompt = next(p for p in student.prompts if p not in order)
    rows = student.of(prompt)
    student.replace(rows[2], "2/4", math.nan)
    student.replace(rows[2], "2", 5.0)
    _, found = student.run()
    assert found.best(rows) == [rows[2]]
    student.replace(rows[2], "2", math.nan)
    student.asked.clear()
    _, found = student.run()
    assert found.best(rows) == [student.best(rows[:2])]


def test_equal_responses_need_no_exact_scores() -> None:
    student = Student()
    twins = student.of("p5")[:2]
    for i in twins:
        student.full[i] = dataclasses.replace(student.full[twins[0]], teacher="abc"[i % 3])
        student.rows[i] = Row("p5", 300, unread(student.full[i]))
        student.replace(i, "2/4", 3.0)
    _, found = student.run()
    assert found.best(student.of("p5")) == twins
    if not found.read_R[twins[0]]:
        assert found.best(twins[1:]) == twins[1:]


def test_a_choice_among_correct_responses_is_right_too() -> None:
    student, blind = Student(200), Student(200)
    correct = [bool(np.random.default_rng(i).integers(0, 2)) for i in range(600)]
    student.rows = [row._replace(correct=c) for row, c in zip(student.rows, correct, strict=True)]
    of_seeds = [student.run(seed=seed)[1] for seed in range(12)]
    assert np.mean([wrong(student, found, correct) for found in of_seeds]) <= 0.06
    assert np.mean([wrong(student, found) for found in of_seeds]) <= 0.06
    without = [blind.run(seed=seed)[1].tokens for seed in range(12)]
    with_correct = [found.tokens for found in of_seeds]
    assert np.mean(without) < np.mean(with_correct) < of_seeds[0].exact_tokens


def test_other_rows_are_refused_where_the_best_cannot_be_told() -> None:
    student = Student()
    _, found = student.run()
    far = [
        [i for i in student.of(p) if not found.read_R[i] and i != found.best(student.of(p))[0]]
        for p in student.prompts
    ]
    close = next(
        rows for rows in far
        if len(rows) == 2
        and abs(found.stride_R[rows[0]] - found.stride_R[rows[1]]) <= found.pilot.margin
    )  # fmt: skip
    with pytest.raises(ConfigError, match="the best of these rows cannot be told"):
        found.best(close)


def test_nothing_to_choose() -> None:
    student = Student(30, "a")
    with pytest.raises(DataError, match="nothing to choose"):
        student.run()


def test_a_prompt_with_one_response_is_read_with_a_stride_alone() -> None:
    student = Student(40)
    only = student.of("p3")[1:]
    for i in reversed(only):
        del student.rows[i], student.full[i]
    _, found = student.run()
    (row,) = student.of("p3")
    assert found.best([row]) == [row] and not found.read_R[row]
