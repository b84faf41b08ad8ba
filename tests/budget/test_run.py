"""A run with a budget over made-up records: what it asks for, and that files replay it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from lnat_plugins.budget.records import counts_of, estimate_of, part_of, tokens_of
from lnat_plugins.budget.run import BudgetedRun, Raced, Row, Wanted, replay, run_race
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import Budget
from tests.budget.helpers import unread
from tests.helpers_samples import make_record


def full(prompt: int, teacher: str, mean: float, steps: int = 30, seed: int = 0) -> StepSums:
    """A response that is scored under its window and the whole context; 10 tokens a step."""
    generator = np.random.default_rng([prompt, seed, *teacher.encode()])
    whole = mean - 6 + generator.normal(0, 0.5) + generator.normal(0, 1, steps)
    local = whole + generator.normal(0, 0.2, steps) * (np.arange(steps) > 2)
    sums = {"2": (10 * local).tolist(), "global": (10 * whole).tolist()}
    record = make_record(teacher, sums, [10] * steps, windows=("2", "global"))
    return dataclasses.replace(record, prompt_tokens=20, ids_digest=f"{prompt}{teacher}")


WHOLE = Part(tuple(range(30)), whole=True)
"""What the pilot reads."""


def read_part(record: StepSums, part: Part) -> StepSums:
    """As the scorer reads it."""
    known = range(3) if part.whole else range(0)
    kept = {*known, *part.steps}
    local = tuple(v if i in kept else math.nan for i, v in enumerate(record.sums["2"] or ()))
    sums = {"2": local} | ({"global": record.sums["global"]} if part.whole else {})
    totals = {name: math.fsum(values or ()) for name, values in sums.items()}
    reasons = {name: "part" for name, total in totals.items() if math.isnan(total)}
    return dataclasses.replace(
        record, sums=sums, totals=totals, undefined=reasons,
        part={"steps": list(part.steps), "whole": part.whole},
    )  # fmt: skip


class Student:
    """Holds what each row would say if all of it were read, and counts what was."""

    def __init__(self, means: dict[str, float], prompts: int = 100, **more: Any) -> None:
        self.full = [
            full(p, teacher, mean, **more)
            for p in range(prompts)
            for teacher, mean in means.items()
        ]
        self.rows = [
            Row(f"p{i // len(means)}", 300, unread(record)) for i, record in enumerate(self.full)
        ]
        self.asked: list[Wanted] = []

    def read(self, wanted: Sequence[Wanted]) -> Iterable[StepSums]:
        self.asked += wanted
        return [read_part(self.full[i], part) for i, part in wanted]

    def run(self, **budget: Any) -> tuple[list[StepSums], Raced]:
        return run_race(Budget(**budget), self.rows, self.read)


CLEAR = {"a": -2.0, "b": -3.0, "c": -4.0}


def test_a_clear_best_is_found_with_few_tokens() -> None:
    student = Student(CLEAR)
    records, found = student.run()
    assert found.outcome.chosen == ("a",) and found.outcome.settled
    assert found.outcome.share_of_exact < 0.4
    assert found.plan is not None and found.plan.way != "exact" and found.plan.prompts == 5
    assert all(one.part == WHOLE for one in student.asked[:15])  # the pilot
    drawn = [one.part for one in student.asked[15:]]
    whole = found.plan.way == "with_global_pass"
    steps = (found.plan.steps or 0) + (0 if whole else 3)
    assert drawn and all(p and p.whole == whole and len(p.steps) == steps for p in drawn)
    assert len({one.row for one in student.asked}) == len(student.asked)  # nothing twice
    last = {one.teacher: one.prompts for one in found.outcome.placed}
    for row, record in zip(student.rows, records, strict=True):
        assert record.tokens == row.record.tokens
    why = {
        record.undefined["2"] for record in records if record.part == {"steps": [], "whole": False}
    }
    assert why == {f"not read: settled after {n} prompts" for n in last.values()}


def test_what_was_read_is_counted() -> None:
    student = Student(CLEAR)
    _, found = student.run()
    spent = sum(tokens_of(student.full[i], part) for i, part in student.asked)
    prompts = sum(found.prompts.values()) * 20 / 3
    assert found.outcome.tokens == pytest.approx(spent + prompts, abs=sum(found.prompts.values()))
    exact = Part(tuple(range(30)), whole=False)
    assert tokens_of(student.full[0], exact) == 28 * 29  # a run of three steps from each of 28
    assert tokens_of(student.full[0], WHOLE) == 27 * 29 + 299  # that from the start goes to the end
    assert tokens_of(student.full[0], Part((), whole=True)) == 299
    assert counts_of(student.full[0]) == [10] * 30


@pytest.mark.parametrize(
    "budget",
    [{}, {"steps": "exact"}, {"steps": 3}, {"goal": 2}, {"goal": "order"}, {"seed": 5}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("means", [CLEAR, {"a": -2.0, "b": -2.02, "c": -3.0}], ids=["clear", "tie"])
def test_the_records_replay_the_race(budget: dict[str, Any], means: dict[str, float]) -> None:
    student = Student(means, prompts=60)
    records, found = student.run(**budget)
    stored = [
        row._replace(record=StepSums.from_json(record.to_json()))
        for row, record in zip(student.rows, records, strict=True)
    ]
    again = replay(Budget(**budget), stored[::-1])
    assert again.outcome.sentence == found.outcome.sentence
    assert again.outcome.placed == found.outcome.placed
    assert again.outcome.tokens == found.outcome.tokens
    assert again.plan == found.plan and again.prompts == found.prompts


def test_a_run_that_was_killed_asks_for_the_same_again() -> None:
    student = Student({"a": -2.0, "b": -2.1, "c": -3.0}, prompts=60)
    _, whole = student.run()
    every = list(student.asked)
    for stop in (1, 2, 4):
        run = BudgetedRun(Budget(), student.rows)
        asked: list[Wanted] = []
        for _ in range(stop):
            wanted = run.wanted()
            asked += wanted
            run.tell(dict(zip((w.row for w in wanted), student.read(wanted), strict=True)))
        assert asked == every[: len(asked)]
    assert whole.outcome.prompts >= 40


def test_near_ties_are_read_again_with_every_step() -> None:
    student = Student({"a": -2.0, "b": -2.001}, prompts=40)
    records, found = student.run(steps=2)
    assert found.outcome.stop == "prompts used up" and len(found.outcome.remaining) == 2
    second = [one for one in student.asked if one.part == Part(tuple(range(30)), whole=False)]
    assert len(second) == 2 * 35  # those of the pilot are exact already
    assert all(estimate_of(record).variance == 0 for record in records)
    for record, truth in zip(records, student.full, strict=True):
        exact = np.mean(np.array(truth.sums["2"]) / 10)
        assert estimate_of(record).mean == pytest.approx(exact)
        assert math.isfinite(record.totals["2"]) and "2" not in record.undefined


def test_exact_steps_need_no_pilot_and_no_whole_context() -> None:
    student = Student(CLEAR)
    _, found = student.run(steps="exact")
    assert found.plan is None and found.outcome.chosen == ("a",)
    assert all(one.part == Part(tuple(range(30)), whole=False) for one in student.asked)


def test_no_more_tokens_than_allowed() -> None:
    student = Student({"a": -2.0, "b": -2.01, "c": -2.02}, prompts=300)
    records, found = student.run(max_tokens=60_000)
    assert found.outcome.stop == "max_tokens" and found.outcome.tokens <= 60_000
    assert any("`max_tokens` was reached" in one.undefined.get("2", "") for one in records)
    with pytest.raises(ConfigError, match="the first 20 prompts take about 5[0-9],"):
        student.run(max_tokens=50_000)


def test_several_responses_of_a_teacher_count_as_one() -> None:
    student = Student(CLEAR, prompts=40)
    twice = [
        dataclasses.replace(record, sample=1, ids_digest=record.ids_digest + "x")
        for record in student.full
    ]
    rows = student.rows + [
        row._replace(record=unread(r)) for row, r in zip(student.rows, twice, strict=True)
    ]
    student.full += twice
    student.rows = rows
    _, found = student.run()
    assert found.outcome.chosen == ("a",)
    pilot = [one.row for one in student.asked if one.part == WHOLE]
    assert len(pilot) == 2 * 15


def test_a_prompt_that_a_teacher_did_not_answer_takes_no_part() -> None:
    student = Student(CLEAR, prompts=60)
    gone = student.rows.pop(4)
    student.full.pop(4)
    records, found = student.run()
    assert gone.record.teacher == "b" and found.incomplete == 1
    why = {
        r.undefined["2"]
        for row, r in zip(student.rows, records, strict=True)
        if row.prompt_id == "p1"
    }
    assert why == {"not read: a teacher has no response to this prompt"}
    alone = [row for row in student.rows if row.record.teacher != "a" or row.prompt_id == "p1"]
    with pytest.raises(DataError, match="no prompt has a response of every teacher"):
        BudgetedRun(Budget(), alone)


def test_an_undefined_response_leaves_its_prompt_out() -> None:
    student = Student(CLEAR, prompts=60)
    order = [
        student.rows[one.row].prompt_id for one in BudgetedRun(Budget(), student.rows).wanted()
    ]
    victim = next(i for i, row in enumerate(student.rows) if row.prompt_id == order[0])
    broken = student.full[victim]
    local = (math.nan, *(broken.sums["2"] or ())[1:])
    student.full[victim] = dataclasses.replace(
        broken, sums={**broken.sums, "2": local}, totals={**broken.totals, "2": math.nan},
        undefined={"2": "1 of 30 steps have no score"},
    )  # fmt: skip
    records, found = student.run()
    assert found.outcome.left_out == 1 and sum(found.outcome.undefined.values()) == 1
    assert math.isnan(estimate_of(records[victim]).mean)


def test_a_response_of_nothing_but_tags_is_never_read() -> None:
    """Its prompt is left out, in the pilot or behind it, and the records replay the race."""
    student = Student(CLEAR, prompts=60)
    order = BudgetedRun(Budget(), student.rows)._race.order
    empty = [i for i, row in enumerate(student.rows)
             if row.prompt_id in (order[1], order[12]) and row.record.teacher == "b"]  # fmt: skip
    for i in empty:
        record = dataclasses.replace(student.rows[i].record, part={}, undefined={"2": "only tags"})
        student.rows[i] = student.rows[i]._replace(record=record)
    records, found = student.run()
    assert not {one.row for one in student.asked} & {*empty}
    assert [records[i].undefined for i in empty] == [{"2": "only tags"}] * 2
    assert found.outcome.left_out == 2 and found.outcome.chosen == ("a",)
    rows = [row._replace(record=one) for row, one in zip(student.rows, records, strict=True)]
    assert replay(Budget(), rows) == found


def test_equal_responses_have_equal_parts_whoever_wrote_them() -> None:
    student = Student(CLEAR, prompts=40)
    _, found = student.run()
    assert found.plan is not None
    one = student.full[0]
    other = dataclasses.replace(one, teacher="z")
    draw: Callable[..., Any] = lambda record, **more: part_of(record, found.plan, **more)  # noqa: E731
    assert draw(one, seed=1, prompt_id="p") == draw(other, seed=1, prompt_id="p")
    assert draw(one, seed=1, prompt_id="p") != draw(one, seed=2, prompt_id="p")


def test_records_of_another_budget_are_not_replayed() -> None:
    student = Student(CLEAR, prompts=60)
    records, _ = student.run()
    rows = [row._replace(record=one) for row, one in zip(student.rows, records, strict=True)]
    with pytest.raises(DataError, match="not those that this budget reads"):
        replay(Budget(seed=9), rows)
